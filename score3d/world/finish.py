"""Materials: how the main parts of a shape are shaded or patterned.

"matte" is the plain look; the pictures of a caption that names no material are matte.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from score3d.world.palette import sample_colour

__all__ = ["MATERIALS", "MATTE", "Finish", "sample_finish"]

# The order is the rasterizer's numbering.
MATERIALS = ("matte", "shiny", "metallic", "wooden", "striped", "checkered", "spotted")


@dataclass(frozen=True)
class Finish:
    """A material of one shape.

    kind: index into MATERIALS. frame [3,3], offset [3]: pattern coordinates are
    frame @ position + offset, one period per unit. colour [3]: sRGB of stripes, squares, spots.
    """

    kind: int
    frame: NDArray[np.float64]
    offset: NDArray[np.float64]
    colour: NDArray[np.float64]


MATTE = Finish(0, np.eye(3), np.zeros(3), np.zeros(3))

# Period of each pattern in world units (the bounding sphere has radius 0.55). At 64 pixels a
# unit is about 44 of them, so a half period stays above four pixels; grain is finer on purpose.
PERIODS = {
    "wooden": (0.09, 0.13),
    "striped": (0.20, 0.30),
    "checkered": (0.15, 0.21),
    "spotted": (0.19, 0.25),
}


def _turn(rng: np.random.Generator) -> NDArray[np.float64]:
    """A random rotation [3,3]."""
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    return q * np.sign(np.diag(r))


def sample_finish(material: str, colour: str, rng: np.random.Generator) -> Finish:
    """A random finish of `material` for main parts called `colour`.

    The second colour of a pattern is white, or black on white, so that the object's colour
    still has one name. Raises ValueError for an unknown material.
    """
    if material not in MATERIALS:
        raise ValueError(f"unknown material {material!r}; known: {', '.join(MATERIALS)}")
    if material == "matte":
        return MATTE
    frame = np.eye(3)
    if material == "striped":
        # horizontal, upright or slanted: the first row is the direction across the stripes
        choice = rng.random()
        tilt = 0.0 if choice < 0.55 else 90.0 if choice < 0.8 else rng.uniform(30, 60)
        about = rng.uniform(0, 2 * np.pi)
        c, s = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
        frame = np.tile([s * np.sin(about), c, s * np.cos(about)], (3, 1))
    elif material == "spotted":
        # turned, because a lattice along the axes would hit or miss whole faces of a cube
        frame = _turn(rng)
    elif material == "wooden":
        # rings about a trunk that lies roughly along one of the axes
        frame = np.eye(3)[rng.permutation(3)] + rng.uniform(-0.12, 0.12, (3, 3))
    if material in PERIODS:
        frame = frame / rng.uniform(*PERIODS[material])
    other = sample_colour("black" if colour == "white" else "white", rng)
    return Finish(MATERIALS.index(material), frame, rng.uniform(-4, 4, 3), other)
