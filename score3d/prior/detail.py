"""The detail of the 3D prior: what a volume looks like with cells of half the side.

A cascade, as of images (Ho et al. 2022, "Cascaded Diffusion Models for High Fidelity Image
Generation", JMLR 23(47)), whose second stage is a regression: how full a cell is says to a part of
its width where the surface runs in it, and the network has seen what surfaces look like.
"""

import torch
from torch import Tensor, nn

__all__ = ["VolumeDetail"]


class _Block(nn.Module):
    """Two convolutions, residual, the first scaled by the noun. Without norms: most of a volume is
    empty, and the statistics of norms would depend on how much is."""

    def __init__(self, width: int, words: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(width, width, 3, padding=1)
        self.second = nn.Conv3d(width, width, 3, padding=1)
        self.scale = nn.Linear(words, width)
        for p in (*self.second.parameters(), *self.scale.parameters()):
            nn.init.zeros_(p)

    def forward(self, x: Tensor, word: Tensor) -> Tensor:
        h = self.first(nn.functional.silu(x)) * (1 + self.scale(word)[:, :, None, None, None])
        return x + self.second(nn.functional.silu(h))


class VolumeDetail(nn.Module):
    """volumes [B,4,X,Y,Z] as of `score3d.world.volumes` (sides multiples of four; a whole one or
    what lies around a part of it), noun [B] (1 and up; 0: not said) -> [B,4,2X,2Y,2Z], of which
    colours mean something near surfaces alone. A U-Net of three scales."""

    def __init__(self, nouns: int, widths: tuple[int, int, int] = (24, 48, 64)) -> None:
        super().__init__()
        a, b, c = widths
        words = 32
        self.word = nn.Embedding(nouns + 1, words)
        self.enter = nn.Conv3d(4, a, 3, padding=1)
        self.fall = nn.ModuleList([nn.Conv3d(a, b, 2, stride=2), nn.Conv3d(b, c, 2, stride=2)])
        self.rise = nn.ModuleList(
            [nn.ConvTranspose3d(c, b, 2, stride=2), nn.ConvTranspose3d(b, a, 2, stride=2)]
        )
        self.blocks = nn.ModuleList(_Block(w, words) for w in (a, b, c, c, b, a))
        self.leave = nn.Conv3d(a, 4 * 8, 3, padding=1)
        for p in self.leave.parameters():
            nn.init.zeros_(p)

    def forward(self, volumes: Tensor, noun: Tensor) -> Tensor:
        word = self.word(noun)
        h = self.enter(volumes).contiguous(memory_format=torch.channels_last_3d)
        near = self.blocks[0](h, word)
        middle = self.blocks[1](self.fall[0](near), word)
        far = self.blocks[3](self.blocks[2](self.fall[1](middle), word), word)
        middle = self.blocks[4](middle + self.rise[0](far), word)
        near = self.blocks[5](near + self.rise[1](middle), word)
        cells = self.leave(near)
        b, _, x, y, z = cells.shape
        fine = cells.reshape(b, 4, 2, 2, 2, x, y, z).permute(0, 1, 5, 2, 6, 3, 7, 4)
        plain = nn.functional.interpolate(
            volumes, scale_factor=2, mode="trilinear", align_corners=False
        )
        return plain + fine.reshape(b, 4, 2 * x, 2 * y, 2 * z)
