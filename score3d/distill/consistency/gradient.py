"""Gradient consistency: what the teacher asks of one view, it should ask of the next
(geometry-aware score distillation, Kwak et al. 2024, arXiv 2406.16695), reconstructed.

Views a and b are a small rotation apart. A latent pixel p of a is lifted to the rendered depth
d_a(p), seen in b at q, and the gradients are compared where b sees the same surface:

    M(p) = 1[ |d_b(q) - z_b(p)| < tau ]
    L    = weight * |g| * sum_p M(p) (1 - cos(g_a(p), g_b(q(p; d_a)))) / sum_p M(p)

averaged over both directions of all pairs. The gradients are constants; L reaches the geometry
through q alone, that is through the depth. The paper's exact penalty, weight and angles could not
be found: cosine over channels, the angle between the views (`distill.pair_angle`), tau and the
weight are settings here. |g|, the mean norm of the gradients, makes the weight independent of
guidance and teacher.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, cosine_similarity, grid_sample

from score3d.cameras import Cameras
from score3d.draw import Draw

__all__ = ["GradientConsistency", "agreement", "warp"]


def _pooled(view: Any, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Expected depth and alpha [B,1,h,w] of latent pixels: depths weigh as much as they show."""
    alpha = adaptive_avg_pool2d(view.alpha, size)
    return adaptive_avg_pool2d(view.depth * view.alpha, size) / alpha.clamp(min=1e-6), alpha


def warp(
    g_b: Tensor, depth: Tensor, alpha: Tensor, cameras: Cameras, a: int, b: int, tau: float
) -> tuple[Tensor, Tensor]:
    """Gradients g_b [C,h,w] of view b as view a sees them [C,h,w], and M [h,w] in {0,1}.

    depth, alpha [B,1,h,w]: at latent resolution; depth[a] on the graph moves where g_b is read.
    """
    _, h, w = g_b.shape
    fx, fy = cameras.width / w, cameras.height / h  # render pixels per latent pixel
    rows, columns = torch.meshgrid(
        torch.arange(h, device=g_b.device), torch.arange(w, device=g_b.device), indexing="ij"
    )
    pixels = torch.stack([(columns + 0.5) * fx, (rows + 0.5) * fy, torch.ones_like(rows)], -1).to(
        g_b
    )
    rays = pixels @ torch.linalg.inv(cameras.Ks[a]).T
    there = cameras.viewmats[b] @ torch.linalg.inv(cameras.viewmats[a])
    point = (rays * depth[a, 0].unsqueeze(-1)) @ there[:3, :3].T + there[:3, 3]
    z = point[..., 2]
    q = (point / z.clamp(min=1e-6).unsqueeze(-1)) @ cameras.Ks[b].T
    grid = torch.stack([2 * q[..., 0] / cameras.width - 1, 2 * q[..., 1] / cameras.height - 1], -1)
    inside = (grid.detach().abs() <= 1).all(-1)
    read = grid_sample(g_b[None], grid[None], align_corners=False, padding_mode="border")[0]
    other = torch.cat([depth[b : b + 1], alpha[b : b + 1]], 1).detach()
    d_b, alpha_b = grid_sample(
        other, grid[None].detach(), align_corners=False, padding_mode="border"
    )[0]  # fmt: skip
    solid = (alpha[a, 0].detach() > 0.5) & (alpha_b > 0.5)
    mask = inside & solid & ((z.detach() - d_b).abs() < tau)
    return read, mask.to(g_b)


def agreement(view: Any, g: Tensor, draw: Draw, tau: float) -> tuple[Tensor, Tensor]:
    """The mean cosine between the gradients g [B,C,h,w] of views 2k and 2k + 1, over the pixels
    that both see, and the number of those pixels. 0 and 0 where none is."""
    parts = view.parts or (view,)
    b = len(g) // len(parts)
    total, count = g.new_zeros(()), g.new_zeros(())
    for i, part in enumerate(parts):
        if part.depth is None:
            continue
        depth, alpha = _pooled(part, (g.shape[-2], g.shape[-1]))
        cameras, own = draw.views[i * b : (i + 1) * b], g[i * b : (i + 1) * b].detach()
        for k in range(0, b - 1, 2):
            for a, other in ((k, k + 1), (k + 1, k)):
                read, mask = warp(own[other], depth, alpha, cameras, a, other, tau)
                total = total + (mask * cosine_similarity(own[a], read, dim=0)).sum()
                count = count + mask.sum()
    return total / count.clamp(min=1), count


@dataclass(frozen=True)
class GradientConsistency:
    """weight: of the loss, relative to the gradient. tau: world units."""

    weight: float = 0.1
    tau: float = 0.05

    def __call__(self, view: Any, g: Tensor, draw: Draw) -> Tensor | None:
        """A scalar on the graph of the depth; None for a scene without geometry (a picture) and
        where no two views see the same surface."""
        g = g.detach()
        cosine, count = agreement(view, g, draw, self.tau)
        if not count:
            return None
        return self.weight * g.flatten(1).norm(dim=1).mean() * (1 - cosine)
