"""What an edit did, in figures."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from score3d.evaluate.judge import Judge
from score3d.evaluate.verdict import score_views

__all__ = ["fulfilment", "outside_psnr", "psnr", "silhouette_iou"]

KEYS = {"noun": "shape", "colour": "colour", "material": "material"}
MOST = 0.75  # of the views


def psnr(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Peak signal-to-noise ratio in dB of pictures in [0,1]; infinite where they are equal."""
    error = float(np.mean((a.astype(np.float64) - b) ** 2))
    return float(np.inf) if error == 0 else -10 * float(np.log10(error))


def outside_psnr(
    before: NDArray[np.float32], after: NDArray[np.float32], inside: NDArray[np.bool_]
) -> float | None:
    """PSNR in dB of pictures [B,H,W,3] in [0,1] where `inside` [B,H,W] is False; None if that is
    nowhere."""
    if inside.all():
        return None
    return psnr(before[~inside], after[~inside])


def silhouette_iou(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """Intersection over union, in [0,1], of where alphas [B,H,W] exceed one half."""
    a, b = before > 0.5, after > 0.5
    union = (a | b).sum()
    return float((a & b).sum() / union) if union else 1.0


def fulfilment(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    noun: str,
    asked: dict[str, str],
    judge: Judge,
) -> dict[str, Any]:
    """Whether the judge sees what was asked for, in pictures [B,H,W,3] in [0,1] before and after.

    noun: what it is after the edit. asked: of "noun", "colour", "material", the names that are
    new. For the noun and each of those, the share of views in which the judge says it, before and
    after. "fulfilled" if after the edit each is said in at least three quarters of the views: what
    was asked for must be seen, and what it is must be kept (or, for a swap, be the new thing).
    """
    named = {"noun": noun} | asked
    scores = []
    for pictures in (before, after):
        found = score_views(
            pictures, noun, asked.get("colour"), judge, material=asked.get("material")
        )
        scores.append({key: found[KEYS[key]] for key in named})
    shares = {key: {"before": scores[0][key], "after": scores[1][key]} for key in named}
    fulfilled = bool(asked) and all(share >= MOST for share in scores[1].values())
    return {"asked": asked, "shares": shares, "fulfilled": fulfilled}
