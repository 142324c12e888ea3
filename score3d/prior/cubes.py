"""Volumes as a few numbers per cube of cells: the latents of the 3D prior."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from score3d.world.volumes import SIDE

__all__ = ["Cubes"]


class Cubes:
    """Principal components of cubes of `patch`^3 cells (fullness and colours), without a mean: an
    empty cube is 0. basis [D,C], scale [C]; kept [T]: the cubes that shapes ever reach."""

    def __init__(self, patch: int, basis: Tensor, scale: Tensor, kept: Tensor) -> None:
        self.patch, self.side = patch, SIDE // patch
        self.basis, self.scale, self.kept = basis.float(), scale.float(), kept.long()

    @classmethod
    def fitted(cls, cells: NDArray[np.uint8], patch: int, channels: int) -> "Cubes":
        """Of volumes [N,4,S,S,S] as scripts/render_volumes.py stores them. Scales grow with
        deviation^(3/4), as those of the teacher's latents; the mean variance is 1."""
        empty = cls(patch, torch.zeros(0), torch.zeros(0), torch.zeros(0))
        cubes = empty._cut(_unpacked(torch.from_numpy(cells)))
        filled = cubes[..., : patch**3].amax(-1) > 0.1
        kept = torch.nonzero(filled.float().mean(0) > 0.002)[:, 0]
        rows = cubes[:, kept].flatten(0, 1)
        variance, vectors = torch.linalg.eigh((rows.T.double() @ rows.double()) / len(rows))
        variance, vectors = variance.flip(0)[:channels], vectors.flip(1)[:, :channels]
        scale = variance.pow(0.375)
        scale = scale * (variance / scale**2).mean().sqrt()
        return cls(patch, vectors, scale, kept)

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.basis, self.scale, self.kept

    def _cut(self, volumes: Tensor) -> Tensor:
        """[N,4,S,S,S] -> [N,s^3,4 patch^3]."""
        n, s, p = len(volumes), self.side, self.patch
        cut = volumes.reshape(n, 4, s, p, s, p, s, p).permute(0, 2, 4, 6, 1, 3, 5, 7)
        return cut.reshape(n, s**3, 4 * p**3)

    def encode(self, cells: Tensor) -> Tensor:
        """[N,4,S,S,S] uint8 -> latents [N,T,C]."""
        cubes = self._cut(_unpacked(cells))[:, self.kept]
        return cubes @ self.basis / self.scale

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [N,T,C] -> volumes [N,4,S,S,S]: fullness, and colours less 0.5."""
        n, s, p = len(latents), self.side, self.patch
        cubes = latents.new_zeros(n, s**3, 4 * p**3)
        cubes[:, self.kept] = (latents * self.scale) @ self.basis.T
        cut = cubes.reshape(n, s, s, s, 4, p, p, p).permute(0, 4, 1, 5, 2, 6, 3, 7)
        return cut.reshape(n, 4, s * p, s * p, s * p)


def _unpacked(cells: Tensor) -> Tensor:
    volumes = cells.float() / 255
    volumes[:, 1:] -= 0.5
    # 127.5 is not a whole number: what has no colour is stored as 127 or 128
    volumes[:, 1:][volumes[:, 1:].abs() < 0.5 / 255] = 0
    return volumes
