"""How well a generated asset shows what its prompt names, by the judge."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from score3d.evaluate.judge import Judge

__all__ = ["score_views"]


def score_views(
    pictures: NDArray[np.float32], noun: str, colour: str | None, judge: Judge | None = None
) -> dict[str, Any]:
    """Scores of B turntable pictures [B,H,W,3] in [0,1] of an asset that should be `noun` in
    `colour`: the share of views with the right name, and what the judge said of each."""
    said = (judge or Judge())(torch.from_numpy(pictures).permute(0, 3, 1, 2))
    scores: dict[str, Any] = {
        "shape": float(np.mean([n == noun for n in said.nouns])),
        "said_shapes": said.nouns,
    }
    if colour:
        scores["colour"] = float(np.mean([c == colour for c in said.colours]))
        scores["said_colours"] = said.colours
    return scores
