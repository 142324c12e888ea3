"""Volume rendering of a radiance field in a cube: marching and compositing.

Mildenhall et al. 2020, NeRF (arXiv 2003.08934), with the quadrature

    C = sum_i w_i c_i,   w_i = T_i (1 - exp(-sigma_i delta)),   T_i = exp(-sum_{j<i} sigma_j delta),

and Mueller et al. 2022's occupancy grid (arXiv 2201.05989), which says where sampling is worth it.
Weights, visibility and sums are nerfacc's (Li et al. 2023, arXiv 2305.04966), by those of its
functions that run anywhere. Its marcher runs on CUDA only; on the CPU ours takes its place.
"""

from dataclasses import dataclass

import nerfacc
import numpy as np
import torch
from numba import njit
from torch import Tensor

from score3d.render.threads import run, split

__all__ = ["Samples", "camera_rays", "march", "weights"]


@dataclass(frozen=True)
class Samples:
    """M samples in order along R rays. ray [M]: whose they are, ascending. t [M]: distance of
    their middle from the ray's origin. step: their length, all the same."""

    ray: Tensor
    t: Tensor
    rays: int
    step: float

    def select(self, kept: Tensor) -> "Samples":
        """Those that the mask [M] keeps."""
        return Samples(self.ray[kept], self.t[kept], self.rays, self.step)


def camera_rays(viewmats: Tensor, Ks: Tensor, width: int, height: int) -> tuple[Tensor, ...]:
    """Origins [B,3], unit directions [B,H,W,3] through pixel centres, and their cosines with the
    viewing axis [B,H,W], by which depth along the axis is distance times cosine."""
    rotation = viewmats[:, :3, :3]
    origins = -(rotation.transpose(1, 2) @ viewmats[:, :3, 3:]).squeeze(-1)
    x = torch.arange(width).to(viewmats) + 0.5
    y = torch.arange(height).to(viewmats) + 0.5
    u = (x - Ks[:, 0, 2:3]) / Ks[:, 0, :1]
    v = (y - Ks[:, 1, 2:3]) / Ks[:, 1, 1:2]
    b = len(viewmats)
    local = torch.stack(
        [u[:, None].expand(b, height, width), v[:, :, None].expand(b, height, width),
         torch.ones_like(u[:, None]).expand(b, height, width)], -1
    )  # fmt: skip
    length = local.norm(dim=-1, keepdim=True)
    directions = torch.einsum("bij,bhwi->bhwj", rotation, local / length)
    return origins, directions, 1 / length[..., 0]


@torch.no_grad()
def march(
    origins: Tensor, directions: Tensor, occupied: Tensor, bound: float, step: float
) -> Samples:
    """Samples every `step` from where a ray enters the cube [-bound, bound]^3, in its middles,
    in occupied cells only.

    origins, directions [R,3], unit directions. occupied [Z,Y,X] bool, z slowest.
    """
    if origins.is_cuda:
        return _march_cuda(origins, directions, occupied, bound, step)
    o = np.ascontiguousarray(origins.detach().double().numpy())
    d = np.ascontiguousarray(directions.detach().double().numpy())
    cells = np.ascontiguousarray(occupied.numpy())
    n = len(o)
    counts, near = np.zeros(n, np.int64), np.zeros(n)
    parts = split(n, float(n), 2000.0)
    run([lambda s=s, e=e: _count(o, d, cells, bound, step, counts, near, s, e) for s, e in parts])
    ends = np.cumsum(counts)
    ray, t = np.empty(ends[-1], np.int64), np.empty(ends[-1])
    run([lambda s=s, e=e: _fill(o, d, cells, bound, step, ends - counts, near, ray, t, s, e)
         for s, e in parts])  # fmt: skip
    return Samples(torch.from_numpy(ray), torch.from_numpy(t).to(origins.dtype), n, step)


def _march_cuda(
    origins: Tensor, directions: Tensor, occupied: Tensor, bound: float, step: float
) -> Samples:
    box = torch.tensor([[-bound] * 3 + [bound] * 3], device=origins.device, dtype=torch.float32)
    cells = occupied.permute(2, 1, 0).contiguous()[None]
    intervals, samples, _ = nerfacc.traverse_grids(
        origins.float(), directions.float(), cells, box, step_size=step
    )
    start = intervals.vals[intervals.is_left]
    end = intervals.vals[intervals.is_right]
    t = (0.5 * (start + end)).to(origins.dtype)
    assert samples.ray_indices is not None  # traverse_grids gives them
    return Samples(samples.ray_indices.long(), t, len(origins), step)


@njit(cache=True, nogil=True, error_model="numpy")
def _enter(o, d, i, bound):
    """Distances at which ray i enters and leaves the cube; the first is larger if it misses."""
    near, far = 0.0, 1e30
    for a in range(3):
        if abs(d[i, a]) < 1e-12:
            if abs(o[i, a]) > bound:
                return 1.0, 0.0
        else:
            p, q = (-bound - o[i, a]) / d[i, a], (bound - o[i, a]) / d[i, a]
            near, far = max(near, min(p, q)), min(far, max(p, q))
    return near, far


@njit(cache=True, nogil=True, error_model="numpy")
def _is_occupied(o, d, i, t, cells, bound):
    nz, ny, nx = cells.shape
    x = min(nx - 1, max(0, int((o[i, 0] + t * d[i, 0] + bound) / (2 * bound) * nx)))
    y = min(ny - 1, max(0, int((o[i, 1] + t * d[i, 1] + bound) / (2 * bound) * ny)))
    z = min(nz - 1, max(0, int((o[i, 2] + t * d[i, 2] + bound) / (2 * bound) * nz)))
    return cells[z, y, x]


@njit(cache=True, nogil=True, error_model="numpy")
def _count(o, d, cells, bound, step, counts, nears, start, stop):
    for i in range(start, stop):
        near, far = _enter(o, d, i, bound)
        nears[i] = near
        n, k = 0, 0
        while near + (k + 0.5) * step < far:
            if _is_occupied(o, d, i, near + (k + 0.5) * step, cells, bound):
                n += 1
            k += 1
        counts[i] = n


@njit(cache=True, nogil=True, error_model="numpy")
def _fill(o, d, cells, bound, step, firsts, nears, ray, t, start, stop):
    for i in range(start, stop):
        near, far = _enter(o, d, i, bound)
        n, k = firsts[i], 0
        while near + (k + 0.5) * step < far:
            middle = near + (k + 0.5) * step
            if _is_occupied(o, d, i, middle, cells, bound):
                ray[n], t[n] = i, middle
                n += 1
            k += 1


class _Table:
    """Samples laid out one row per ray that has any, filled up with zeros at the end: nerfacc's
    flat sums are CUDA kernels, those along rows are torch's."""

    def __init__(self, samples: Samples) -> None:
        counts = torch.bincount(samples.ray, minlength=samples.rays)
        firsts = counts.cumsum(0) - counts
        hit = counts > 0
        row = (hit.cumsum(0) - 1)[samples.ray]
        slot = torch.arange(len(samples.ray), device=counts.device) - firsts[samples.ray]
        self.shape = int(hit.sum()), int(counts.max()) if len(counts) else 0
        self.place = row * self.shape[1] + slot

    def lay(self, values: Tensor) -> Tensor:
        flat = values.new_zeros(self.shape[0] * self.shape[1])
        return flat.index_copy(0, self.place, values).view(self.shape)

    def pick(self, rows: Tensor) -> Tensor:
        return rows.reshape(-1)[self.place]


def weights(samples: Samples, density: Tensor) -> tuple[Tensor, Tensor]:
    """w and T [M], both in [0,1], for densities [M] (>= 0, per world unit) of the samples."""
    if len(density) == 0:
        return density, density
    table = _Table(samples)
    rows = table.lay(density)
    start = torch.zeros_like(rows)
    w, transmittance, _ = nerfacc.render_weight_from_density(start, start + samples.step, rows)
    return table.pick(w), table.pick(transmittance)
