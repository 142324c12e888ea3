"""The network of the 3D prior: what a noisy volume was, told what it shows.

A transformer on cubes of cells (Peebles and Xie 2023, "Scalable Diffusion Models with
Transformers", arXiv 2212.09748, with its adaptive layer norms), a token each.
"""

import math

import torch
from torch import Tensor, nn

__all__ = ["VolumeDenoiser"]

WORDS = ("noun", "colour", "material", "second")


def _timestep_embedding(t: Tensor, width: int) -> Tensor:
    half = width // 2
    rates = torch.exp(-math.log(10000.0) * torch.arange(half, device=t.device) / half)
    angles = t[:, None].float() * rates
    return torch.cat([angles.cos(), angles.sin()], 1)


class _Block(nn.Module):
    """Attention and MLP, both residual, scaled and shifted by the condition [B,1,W]."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.modulate = nn.Linear(width, 6 * width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.into, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width)
        )
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = self.modulate(condition).chunk(6, -1)
        h = self.norm(x) * (1 + scale) + shift
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.into(h).chunk(3, -1)
        )
        read = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + gate * self.out(read.transpose(1, 2).flatten(2))
        return x + gate_mlp * self.mlp(self.norm(x) * (1 + scale_mlp) + shift_mlp)


class VolumeDenoiser(nn.Module):
    """x [B,T,C] noisy, t [B] steps in 0..999, words [B,4] (noun, colour, material, colour of the
    second part; 0: not said) -> v [B,T,C]. `known`: how many of each word there are."""

    def __init__(
        self,
        known: tuple[int, int, int, int],
        tokens: int,
        channels: int,
        width: int = 192,
        depth: int = 8,
        heads: int = 4,
    ) -> None:
        super().__init__()
        self.width = width
        self.words = nn.ModuleList(nn.Embedding(n + 1, width) for n in known)
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.place = nn.Parameter(torch.randn(tokens, width) * 0.5)
        self.enter = nn.Linear(channels, width)
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(depth))
        self.modulate = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.leave = nn.Linear(width, channels)
        for layer in (self.modulate, self.leave):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, t: Tensor, words: Tensor) -> Tensor:
        condition = self.time(_timestep_embedding(t, self.width).to(x))
        for embedding, word in zip(self.words, words.unbind(1), strict=True):
            condition = condition + embedding(word)
        condition = nn.functional.silu(condition)[:, None]
        h = self.enter(x) + self.place
        for block in self.blocks:
            h = block(h, condition)
        shift, scale = self.modulate(condition).chunk(2, -1)
        return self.leave(self.norm(h) * (1 + scale) + shift)
