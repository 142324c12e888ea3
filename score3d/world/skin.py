"""Textures of a mesh as a shape carries them, and giving them another colour."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["Skin", "recoloured"]

LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Skin:
    """Pictures on faces, repeated outside of [0, 1].

    uv [F,3,2] of the faces' corners, v upwards; image [F]: which picture; texels [T,3] sRGB in
    [0,1], all pictures behind one another, row by row from the top; sizes [M,3]: first texel,
    width and height of each.
    """

    uv: NDArray[np.float64]
    image: NDArray[np.int64]
    texels: NDArray[np.float64]
    sizes: NDArray[np.int64]

    def rows(self, image: int) -> slice:
        """Where the texels of a picture are."""
        first, width, height = self.sizes[image]
        return slice(int(first), int(first + width * height))


def recoloured(
    skin: Skin, images: list[int], colour: NDArray[np.float64], reference: float
) -> Skin:
    """The same with `colour` [3] in these pictures: what was as bright as `reference` (luma in
    [0,1]) has just that colour, darker texels stay darker and brighter ones a little brighter."""
    texels = skin.texels.copy()
    for image in images:
        rows = skin.rows(image)
        change = np.clip(texels[rows] @ LUMA - reference, -1.0, 0.1) / max(reference, 0.5)
        texels[rows] = np.clip((1 + change)[:, None] * colour, 0, 1)
    return replace(skin, texels=texels)
