"""The network of the 3D prior: what a noisy point cloud was, told a noun and a colour.

Points are read by a few latents, which talk to each other and are read back by the points
(Jabri et al. 2022, "Scalable Adaptive Computation for Iterative Generation", arXiv 2212.11972,
simplified): the cost grows with the number of points, not with its square, and any number of
points can be asked about, in any order, as in Point-E (Nichol et al. 2022, arXiv 2212.08751).
"""

import math

import torch
from torch import Tensor, nn

__all__ = ["PointDenoiser"]

CHANNELS = 6  # x, y, z, and r, g, b


def _timestep_embedding(t: Tensor, width: int) -> Tensor:
    half = width // 2
    rates = torch.exp(-math.log(10000.0) * torch.arange(half, device=t.device) / half)
    angles = t[:, None].float() * rates
    return torch.cat([angles.cos(), angles.sin()], 1)


class _Attend(nn.Module):
    """Queries read a context (themselves, if none is given); then each its own MLP. Residual."""

    def __init__(self, width: int, context: int, heads: int, growth: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.norm_context = nn.LayerNorm(width), nn.LayerNorm(context)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(context, 2 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, growth * width), nn.GELU(),
            nn.Linear(growth * width, width),
        )  # fmt: skip

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        q = self._split(self.query(self.norm(x)))
        seen = self.norm_context(x if context is None else context)
        k, v = (self._split(h) for h in self.key_value(seen).chunk(2, -1))
        read = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(read.transpose(1, 2).flatten(2))
        return x + self.mlp(x)

    def _split(self, h: Tensor) -> Tensor:
        return h.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class PointDenoiser(nn.Module):
    """x [B,K,6] noisy, t [B] steps in 0..999, noun and colour [B] (0: not said) -> v [B,K,6]."""

    def __init__(
        self,
        nouns: int,
        colours: int,
        width: int = 160,
        point_width: int = 96,
        latents: int = 48,
        rounds: int = 2,
        depth: int = 2,
    ) -> None:
        super().__init__()
        self.noun = nn.Embedding(nouns + 1, width)
        self.colour = nn.Embedding(colours + 1, width)
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.latents = nn.Parameter(torch.randn(1, latents, width) * 0.02)
        # waves of the place let a point's own MLP see fine differences
        self.enter = nn.Linear(CHANNELS + 3 * 2 * 4, point_width)
        self.point_time = nn.Linear(width, point_width)
        self.read = nn.ModuleList(_Attend(width, point_width, 4, 2) for _ in range(rounds))
        self.think = nn.ModuleList(
            nn.Sequential(*(_Attend(width, width, 4, 3) for _ in range(depth)))
            for _ in range(rounds)
        )
        self.write = nn.ModuleList(_Attend(point_width, width, 4, 2) for _ in range(rounds))
        last = nn.Linear(point_width, CHANNELS)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.leave = nn.Sequential(nn.LayerNorm(point_width), last)

    def forward(self, x: Tensor, t: Tensor, noun: Tensor, colour: Tensor) -> Tensor:
        width = self.noun.embedding_dim
        time = self.time(_timestep_embedding(t, width).to(x))
        said = torch.stack([self.noun(noun), self.colour(colour), time], 1)
        waves = x[..., None, :3] * (2.0 ** torch.arange(4, device=x.device))[:, None]
        waves = waves.flatten(-2)
        p = self.enter(torch.cat([x, waves.sin(), waves.cos()], -1))
        p = p + self.point_time(time)[:, None]
        z = torch.cat([self.latents.expand(len(x), -1, -1) + time[:, None], said], 1)
        for read, think, write in zip(self.read, self.think, self.write, strict=True):
            z = read(z, p)
            z = think(z)
            p = write(p, z)
        return self.leave(p)
