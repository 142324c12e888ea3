"""Colour names of the world and the range of sRGB colours each stands for."""

import colorsys

import numpy as np
from numpy.typing import NDArray

__all__ = ["COLOURS", "MATERIAL_TONES", "name_of", "sample_colour"]

# name -> (hue range in degrees, saturation range, value range); the ranges do not overlap,
# so that a classifier can be asked for the name of what it sees.
COLOURS: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "red": ((-8, 6), (0.80, 1.0), (0.70, 0.95)),
    "orange": ((22, 32), (0.85, 1.0), (0.92, 1.0)),
    "yellow": ((50, 58), (0.80, 1.0), (0.90, 1.0)),
    "green": ((100, 140), (0.65, 1.0), (0.45, 0.80)),
    "cyan": ((176, 188), (0.65, 1.0), (0.80, 0.98)),
    "blue": ((214, 232), (0.75, 1.0), (0.65, 0.95)),
    "purple": ((268, 284), (0.60, 0.95), (0.50, 0.80)),
    "pink": ((322, 342), (0.35, 0.60), (0.92, 1.0)),
    "brown": ((20, 30), (0.60, 0.80), (0.32, 0.50)),
    "black": ((0, 360), (0.0, 0.15), (0.05, 0.14)),
    "gray": ((0, 360), (0.0, 0.06), (0.42, 0.58)),
    "white": ((0, 360), (0.0, 0.03), (0.94, 1.0)),
}

# Tones of parts that keep their own colour whatever the prompt says (trunks, tyres, glass).
MATERIAL_TONES: dict[str, tuple[float, float, float]] = {
    "wood": (0.50, 0.33, 0.18),
    "dark": (0.12, 0.12, 0.13),
    "metal": (0.66, 0.68, 0.70),
    "glass": (0.62, 0.80, 0.90),
    "cream": (0.95, 0.90, 0.78),
    "leaf": (0.25, 0.58, 0.20),
    "carrot": (0.95, 0.50, 0.10),
    "light": (0.97, 0.95, 0.80),
    "snow": (0.96, 0.97, 0.99),
    "red": (0.85, 0.12, 0.10),
    "rose": (0.95, 0.60, 0.66),
    "gold": (0.88, 0.70, 0.22),
    "waffle": (0.84, 0.62, 0.34),
    "flame": (1.00, 0.78, 0.25),
    "pottery": (0.72, 0.38, 0.25),
    "seeds": (0.30, 0.19, 0.11),
}


def sample_colour(name: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """An sRGB colour in [0,1]^3 of a colour name or a material tone."""
    if name in COLOURS:
        hue, sat, val = (rng.uniform(*span) for span in COLOURS[name])
        return np.array(colorsys.hsv_to_rgb((hue % 360) / 360, sat, val))
    tone = np.array(MATERIAL_TONES[name])
    return np.clip(tone * rng.uniform(0.88, 1.1) + rng.uniform(-0.03, 0.03, 3), 0, 1)


def name_of(rgb: NDArray[np.float64]) -> NDArray[np.str_]:
    """The colour names [N] of sRGB colours [N,3] in [0,1], "" for what has none.

    The ranges are widened by 3 degrees of hue and by 0.08, which still leaves gaps.
    """
    high, low = rgb.max(1), rgb.min(1)
    spread = high - low
    safe = np.where(spread > 0, spread, 1.0)
    r, g, b = (rgb.T - low) / safe
    hue = np.select(
        [spread == 0, rgb[:, 0] == high, rgb[:, 1] == high],
        [0.0, 60 * (g - b), 120 + 60 * (b - r)],
        240 + 60 * (r - g),
    )
    saturation = np.where(high > 0, spread / np.where(high > 0, high, 1.0), 0.0)
    names = np.full(len(rgb), "", "U8")
    for name, (hues, saturations, values) in COLOURS.items():
        inside = (hue - hues[0] + 3) % 360 <= hues[1] - hues[0] + 6
        for x, (a, z) in ((saturation, saturations), (high, values)):
            inside &= (x >= a - 0.08) & (x <= z + 0.08)
        names[inside & (names == "")] = name
    return names
