"""Gaussians where neighbours leave a gap: compactness-based densification (Chen et al. 2024,
"Text-to-3D using Gaussian Splatting", GSGEN, arXiv 2309.16585, section 4.3).

For Gaussian i and each j of its K nearest, with d the distance of their centres and r_i, r_j how
far each reaches towards the other: if r_i + r_j < d, one is put in the middle of what is left,

    mu = mu_i + u (d + r_i - r_j) / 2,   s = (d - r_i - r_j) / 6,

u from i to j, so that three standard deviations fill the gap. The released code squares lengths
twice in r; here r(u) = (sum_k (R^T u)_k^2 / s_k^2)^(-1/2), where one standard deviation ends.
"""

from dataclasses import dataclass

import torch
from scipy.spatial import KDTree
from torch import Tensor

from score3d.draw import Draw
from score3d.scenes.adaptation import Adaptation, Optimizers, Params, replace_rows
from score3d.scenes.base import Render

__all__ = ["Compactness", "gaps", "reach"]


def reach(quats: Tensor, scales: Tensor, direction: Tensor) -> Tensor:
    """How far Gaussians with quats [N,4] (w, x, y, z, any norm) and scales [N,3] (linear) reach
    along unit directions [N,3]: one standard deviation, [N]."""
    w, *xyz = torch.nn.functional.normalize(quats, dim=1).unbind(1)
    axis = -torch.stack(xyz, 1)  # the inverse turn
    cross = torch.linalg.cross(axis, direction)
    local = direction + 2 * (w[:, None] * cross + torch.linalg.cross(axis, cross))
    return (local / scales).square().sum(1).rsqrt()


def gaps(
    means: Tensor, quats: Tensor, scales: Tensor, neighbours: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The gaps between each of N Gaussians and its nearest: from whom [G], the middle [G,3] and
    the width [G] > 0, each pair once."""
    count = min(neighbours, len(means) - 1)
    if count < 1:
        return means.new_zeros(0, dtype=torch.long), means[:0], means.new_zeros(0)
    at = means.detach().cpu().numpy()
    # itself is among its nearest, if not always the first
    near = torch.from_numpy(KDTree(at).query(at, k=count + 1)[1]).to(means.device)
    i = torch.arange(len(means), device=means.device)[:, None].expand_as(near)
    pairs = torch.stack([i, near], -1)[near != i]
    pairs = torch.unique(pairs.sort(dim=1).values, dim=0)
    i, j = pairs.unbind(1)
    between = means[j] - means[i]
    d = between.norm(dim=1)
    u = between / d.clamp(min=1e-12)[:, None]
    r_i, r_j = reach(quats[i], scales[i], u), reach(quats[j], scales[j], u)
    width = d - r_i - r_j
    open_ = width > 0
    middle = means[i] + u * (0.5 * (d + r_i - r_j))[:, None]
    return i[open_], middle[open_], width[open_]


@dataclass(frozen=True)
class Compactness(Adaptation):
    """Fill gaps, then drop what is fainter than min_opacity. neighbours: K. Where more gaps are
    found than `cap` has room for, the step's random numbers choose."""

    neighbours: int = 3

    def prepare(self, meta: dict) -> None:
        """Nothing to retain for the backward pass."""

    def __call__(self, params: Params, optimizers: Optimizers, draw: Draw, view: Render) -> None:
        if not self.due(draw.step):
            return
        opacity = params["opacities"].detach().sigmoid()
        alive = torch.where(opacity >= min(self.min_opacity, float(opacity.max())))[0]
        old = {name: value.detach()[alive] for name, value in params.items()}
        host, middle, width = gaps(old["means"], old["quats"], old["scales"].exp(), self.neighbours)
        room = max(0, self.cap - len(alive))
        if len(host) > room:
            generator = torch.Generator().manual_seed(draw.adapt_seed)
            chosen = torch.randperm(len(host), generator=generator)[:room].sort().values
            chosen = chosen.to(host.device)
            host, middle, width = host[chosen], middle[chosen], width[chosen]
        new = {name: torch.cat([value, value[host]]) for name, value in old.items()}
        new["means"][len(alive) :] = middle
        new["scales"][len(alive) :] = (width / 6).log()[:, None]
        replace_rows(params, optimizers, new, torch.cat([alive, torch.full_like(host, -1)]))
