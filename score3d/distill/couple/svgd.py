"""Stein variational coupling: Collaborative Score Distillation (Kim et al. 2023, 2307.04787).

    g_i   = sum_j K_ij r_j + w_i sum_j grad_{x_i} K_ij,      x the noisy latents
    K_ij  = exp(-gamma ||x_i - x_j||^2),    gamma = log(B + 1) / median_{i<j} ||x_i - x_j||^2

Views share what the teacher says of their likes, and repel each other. The paper's 1/B is the
loop's division by B. As published, but for the median: theirs counts the zeros of the diagonal,
so that two particles get median 0 and NaN; here it runs over pairs. The repulsion is

    sum_j grad_{x_i} K_ij = -2 gamma (x_i sum_j K_ij - sum_j K_ij x_j)

in O(B D) memory; written out it is a tensor of B^2 D. The kernel's gradient is zero between
identical points, and no map that treats all views alike could tell those apart. What parts them
is their independent noise: x_i = alpha z + sigma eps_i differ although the latents do not.
"""

import math

import torch
from torch import Tensor

from score3d.distill.equation import Asked

__all__ = ["kernel", "repulsion", "svgd"]


def kernel(x: Tensor) -> tuple[Tensor, float]:
    """K [B,B] and gamma of points x [B,D], B >= 2. Where the median is 0, K is 1 between equal
    points, 0 between others, and gamma is 0."""
    square = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").square()
    i, j = torch.triu_indices(len(x), len(x), 1)
    median = float(square[i, j].quantile(0.5))
    if median == 0:
        return (square == 0).to(x), 0.0
    gamma = math.log(len(x) + 1) / median
    return torch.exp(-gamma * square), gamma


def repulsion(x: Tensor, k: Tensor, gamma: float) -> Tensor:
    """sum_j grad_{x_i} K_ij [B,D]; a descent along it moves points apart."""
    return -2 * gamma * (x * k.sum(1, keepdim=True) - k @ x)


def svgd(r: Tensor, asked: Asked) -> Tensor:
    """g [B,C,h,w] of residuals r [B,C,h,w]; r itself for a single view.

    With several scenes (particles), each view of one is coupled with the same view of the
    others, and scenes repel each other; with one, its views are the particles. With several
    noises per view, the first is where a view stands. Meant for one t shared by the views
    (`distill.shared_t`): otherwise distances also measure the differences of t.
    """
    b, scenes = len(r), asked.noisy.draw.particles
    samples = len(asked.noisy.t) // b
    x, w = asked.noisy.z_t[::samples].flatten(1), asked.w[::samples].flatten(1)
    groups = b // scenes if scenes > 1 else 1
    g = r.flatten(1).clone()
    for rows in (slice(v, None, groups) for v in range(groups)):
        if len(x[rows]) > 1:
            k, gamma = kernel(x[rows])
            g[rows] = k @ r[rows].flatten(1) + w[rows] * repulsion(x[rows], k, gamma)
    return g.view_as(r)
