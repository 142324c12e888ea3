"""How well a generated asset shows what its prompt names, by the judge."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from score3d.evaluate.judge import Judge

__all__ = ["has_two_fronts", "score_views"]

AZIMUTH_TOLERANCE = 45.0  # degrees; the judge's bins are 30 wide


def has_two_fronts(said: NDArray[np.float64], azimuths: NDArray[np.float64]) -> bool:
    """Whether views more than 90 degrees apart are both taken for the front: a Janus object.

    said, azimuths [B]: the judge's and the cameras', degrees. The front is within 45 degrees of
    azimuth 0, as in DreamFusion's view words. It is a quadrant, so that views from its two borders,
    90 degrees apart, show one and the same front.
    """
    fronts = azimuths[np.abs((said + 180) % 360 - 180) <= 45]
    gaps = np.abs((fronts[:, None] - fronts + 180) % 360 - 180)
    return bool((gaps > 90 + 1e-6).any())


def score_views(
    pictures: NDArray[np.float32],
    noun: str,
    colour: str | None,
    judge: Judge | None = None,
    *,
    material: str | None = None,
    azimuths: NDArray[np.float64] | None = None,
) -> dict[str, Any]:
    """Scores of B turntable pictures [B,H,W,3] in [0,1] of an asset that should be `noun` in
    `colour` and `material` (None: any): the share of views with the right name, and what the
    judge said of each.

    azimuths [B] in degrees, for nouns that have a front: "sides" is the share of views whose side
    the judge recognises within 45 degrees, and "janus" is `has_two_fronts`.
    """
    said = (judge or Judge())(torch.from_numpy(pictures).permute(0, 3, 1, 2))
    scores: dict[str, Any] = {
        "shape": float(np.mean([n == noun for n in said.nouns])),
        "said_shapes": said.nouns,
    }
    if colour:
        scores["colour"] = float(np.mean([c == colour for c in said.colours]))
        scores["said_colours"] = said.colours
    if material:
        scores["material"] = float(np.mean([m == material for m in said.materials]))
        scores["said_materials"] = said.materials
    if azimuths is not None:
        gaps = np.abs((np.array(said.azimuths) - azimuths + 180) % 360 - 180)
        scores["sides"] = float(np.mean(gaps <= AZIMUTH_TOLERANCE))
        scores["janus"] = has_two_fronts(np.array(said.azimuths), azimuths)
        scores["said_azimuths"] = said.azimuths
    return scores
