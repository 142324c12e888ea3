"""What an edit did, in figures."""

import colorsys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from score3d.evaluate.judge import Judge
from score3d.evaluate.verdict import score_views
from score3d.world.palette import COLOURS

__all__ = ["fulfilment", "named_colours", "outside_psnr", "psnr", "recoloured", "silhouette_iou"]

KEYS = {"noun": "shape", "colour": "colour", "material": "material"}
MOST = 0.75  # of the views
HALF = 0.5  # of the pixels that had the old colour
LIGHTNESS = 0.3  # its weight against hue and chroma: shade does not change a colour's name


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


def named_colours(pictures: NDArray[np.float32]) -> NDArray[np.str_]:
    """The name [B,H,W] of the colour of the world nearest to each pixel of pictures [B,H,W,3] in
    [0,1], in CIELAB, lightness counting less."""
    from skimage.color import rgb2lab

    weights = np.array([LIGHTNESS, 1.0, 1.0])
    middles = [
        colorsys.hsv_to_rgb(sum(hue) / 720 % 1, sum(chroma) / 2, sum(value) / 2)
        for hue, chroma, value in COLOURS.values()
    ]
    centres = rgb2lab(np.array(middles)[None])[0] * weights
    pixels = rgb2lab(pictures) * weights
    nearest = [np.linalg.norm(pixels - c, axis=-1) for c in centres]
    return np.array(list(COLOURS))[np.argmin(nearest, 0)]


def recoloured(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    old: str,
    new: str,
    background: float | None = None,
) -> float | None:
    """Share, in [0,1], of the pixels of pictures [B,H,W,3] in [0,1] that had the colour called
    `old` before and have the one called `new` after; None where nothing had it. A judge may call
    an ochre thing with blue spots blue; this does not. background: the gray level of pixels that
    do not count, since a light gray is nearest to white."""
    was = named_colours(before) == old
    if background is not None:
        was &= np.abs(before - background).max(-1) > 1 / 255
    if not was.any():
        return None
    return float((named_colours(after)[was] == new).mean())


def fulfilment(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    noun: str,
    asked: dict[str, str],
    judge: Judge,
    old_colour: str | None = None,
    background: float | None = None,
) -> dict[str, Any]:
    """Whether the judge sees what was asked for, in pictures [B,H,W,3] in [0,1] before and after.

    noun: what it is after the edit. asked: of "noun", "colour", "material", the names that are
    new. For the noun and each of those, the share of views in which the judge says it, before and
    after. "fulfilled" if after the edit each is said in at least three quarters of the views: what
    was asked for must be seen, and what it is must be kept (or, for a swap, be the new thing).
    old_colour: where a colour alone is asked for, what it was; then half of the pixels of that
    colour must have the new one as well ("pixels": `recoloured`, which see for background).
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
    found: dict[str, Any] = {"asked": asked, "shares": shares, "fulfilled": fulfilled}
    if old_colour and "colour" in asked and "noun" not in asked:
        share = recoloured(before, after, old_colour, asked["colour"], background)
        if share is not None:
            found |= {"pixels": share, "fulfilled": fulfilled and share >= HALF}
    return found
