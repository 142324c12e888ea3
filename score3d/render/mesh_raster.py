"""A differentiable rasterizer for triangle meshes on the CPU.

Which face a sample shows is found exactly, with a z-buffer. Values at the corners are interpolated
with perspective-correct barycentric coordinates, through which gradients reach values and corners.
Coverage is a step function, whose gradient is zero or infinite, so outlines are blended as in
Laine et al. 2020 (nvdiffrast, arXiv 2011.03277, section 3.6): where one passes between two
neighbouring samples, at a share t of the way from p, which shows the surface, to q, which shows
what is behind it,

    t < 1/2:  C_p = (1/2 + t) C_p + (1/2 - t) C_q
    t > 1/2:  C_q = (3/2 - t) C_q + (t - 1/2) C_p

with t a smooth function of the outline's two corners. Summed over the samples along an outline this
is the area it covers, and its gradient that of the area. Unlike there, the outline is found by
walking over the surface from p towards q, so it is also found when the faces at it are smaller
than a sample.

Tensors may be on any device; visibility is found on the CPU.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from score3d.render.threads import run
from score3d.render.visibility import fill_nearest, outline_pairs

__all__ = ["MeshRaster", "face_neighbours", "rasterize_mesh", "rows"]


class _Rows(torch.autograd.Function):
    """values[index] along the first axis."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.shape = values.shape
        return values[index]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (index,), width = ctx.saved_tensors, ctx.shape[1:].numel()
        out = grads[0].new_zeros(ctx.shape)
        places = index.reshape(-1, 1) * width + torch.arange(width, device=index.device)
        out.view(-1).index_add_(0, places.reshape(-1), grads[0].reshape(-1))
        return out, None


def rows(values: Tensor, index: Tensor) -> Tensor:
    """values[index] of values [N,...] at index [...], with a gradient that is summed in order: that
    of plain indexing is not the same from run to run when several threads add it up."""
    return _Rows.apply(values, index)


def face_neighbours(faces: NDArray[np.int64]) -> NDArray[np.int64]:
    """[F,3]: the face across the edge from corner k to corner k + 1 of each face [F,3], -1 where
    there is none or more than one."""
    ends = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2)
    low, high = ends.min(axis=1), ends.max(axis=1)
    key = low * (faces.max(initial=0) + 1) + high
    order = np.argsort(key, kind="stable")
    first = np.flatnonzero(np.diff(key[order], prepend=-1))
    pairs = first[np.diff(first, append=len(order)) == 2]
    neighbours = np.full(len(ends), -1, np.int64)
    a, b = order[pairs], order[pairs + 1]
    neighbours[a], neighbours[b] = b // 3, a // 3
    return neighbours.reshape(-1, 3)


@dataclass(frozen=True)
class MeshRaster:
    """What B views of a mesh show at H x W samples each.

    sample [P]: numbers (view, row, column; flat) of the samples that show a face. corner [P,3]:
    that face's corners. weights [P,3]: their barycentric coordinates, on the graph. depth [P]:
    along the viewing axis, world units, on the graph. inner, outer [Q]: the pairs of samples that
    an outline passes between. share [Q]: where, in (0,1) from inner to outer, on the graph.
    """

    views: int
    width: int
    height: int
    sample: Tensor
    corner: Tensor
    weights: Tensor
    depth: Tensor
    inner: Tensor
    outer: Tensor
    share: Tensor

    def interpolate(self, values: Tensor) -> Tensor:
        """Values [V,C] of the corners at the samples, [P,C]."""
        return (self.weights[..., None] * rows(values, self.corner)).sum(1)

    def picture(self, values: Tensor) -> Tensor:
        """[B,C,H,W] of values [P,C] at the samples, zero where no face is, outlines blended."""
        base = values.new_zeros(self.views * self.height * self.width, values.shape[1])
        base = base.index_copy(0, self.sample, values)
        if len(self.inner):
            beyond = self.share - 0.5
            target = torch.where(beyond > 0, self.outer, self.inner)
            source = torch.where(beyond > 0, self.inner, self.outer)
            weight = beyond.abs()
            # a sample between several outlines is never more than replaced
            total = torch.zeros_like(base[:, 0]).index_add(0, target, weight)
            weight = weight / rows(total.clamp(min=1), target)
            change = weight[:, None] * (rows(base, source) - rows(base, target))
            base = base + torch.zeros_like(base).index_add(0, target, change)
        shape = (self.views, self.height, self.width, values.shape[1])
        return base.view(shape).permute(0, 3, 1, 2)


def rasterize_mesh(
    vertices: Tensor,
    faces: Tensor,
    neighbours: NDArray[np.int64],
    viewmats: Tensor,
    Ks: Tensor,
    width: int,
    height: int,
) -> MeshRaster:
    """The samples of B views of a mesh, at pixel centres.

    vertices [V,3]: world. faces [F,3] int64, all of whose corners must be in front of the cameras;
    faces that are not are left out. neighbours: see `face_neighbours`. viewmats [B,4,4]:
    world-to-camera, OpenCV; Ks [B,3,3].
    """
    b, v = len(viewmats), len(vertices)
    turned = torch.einsum("bij,vj->bvi", viewmats[:, :3, :3].to(vertices), vertices)
    local = turned + viewmats[:, None, :3, 3].to(vertices)
    seen = _visible(local, faces, neighbours, Ks, width, height)
    sample, corner, pairs = (torch.from_numpy(x).to(vertices.device) for x in seen)
    view = sample // (width * height)
    ks = Ks.to(vertices)
    focal, middle = torch.stack([ks[:, 0, 0], ks[:, 1, 1]], 1), ks[:, :2, 2]
    centre = torch.stack([sample % width, sample // width % height], 1).to(vertices) + 0.5
    ray = (centre - middle[view]) / focal[view]
    # relative to the ray, where products of small numbers lose no digits
    triangle = rows(local.reshape(-1, 3), view[:, None] * v + corner)
    flat = triangle[..., :2] - triangle[..., 2:] * ray[:, None]
    areas = torch.stack(
        [flat[:, i, 0] * flat[:, j, 1] - flat[:, i, 1] * flat[:, j, 0]
         for i, j in ((1, 2), (2, 0), (0, 1))], 1
    )  # fmt: skip
    weights = areas / areas.sum(1, keepdim=True)
    depth = (weights * triangle[..., 2]).sum(1)
    inner, outer, ends, axis = pairs[:, 0], pairs[:, 1], pairs[:, 2:4], pairs[:, 4]
    which = inner // (width * height)
    at = rows(local.reshape(-1, 3), which[:, None] * v + ends)
    at = at[..., :2] / at[..., 2:] * focal[which][:, None] + middle[which][:, None]
    along = torch.where(axis[:, None] == 0, at[..., 0], at[..., 1])
    across = torch.where(axis[:, None] == 0, at[..., 1], at[..., 0])
    column, row = inner % width, inner // width % height
    level = torch.where(axis == 0, row, column).to(vertices) + 0.5
    start = torch.where(axis == 0, column, row).to(vertices) + 0.5
    s = (level - across[:, 0]) / (across[:, 1] - across[:, 0])
    crossing = along[:, 0] + s * (along[:, 1] - along[:, 0])
    share = (crossing - start) * torch.where(outer > inner, 1.0, -1.0).to(vertices)
    return MeshRaster(b, width, height, sample, corner, weights, depth, inner, outer, share)


def _visible(
    local: Tensor, faces: Tensor, neighbours: NDArray, Ks: Tensor, width: int, height: int
) -> tuple[NDArray, NDArray, NDArray]:
    """sample [P], corner [P,3] and pairs [Q,5] of all views, see `outline_pairs`."""
    triangles = faces.cpu().numpy()
    # before the threads start: grad mode is each thread's own, no_grad would not reach them
    corners, intrinsics = (x.detach().cpu().double().numpy() for x in (local, Ks))
    found: list[tuple[NDArray, ...]] = [()] * len(corners)

    def one(i: int) -> None:
        points, k = corners[i], intrinsics[i]
        depth = np.ascontiguousarray(points[:, 2])
        px = points[:, :2] / np.maximum(depth, 1e-6)[:, None] * (k[0, 0], k[1, 1]) + k[:2, 2]
        zbuffer = np.zeros((height, width))
        owner = np.zeros((height, width), np.int64)
        fill_nearest(px, depth, triangles, owner, zbuffer)
        pairs = outline_pairs(px, depth, triangles, neighbours, owner, zbuffer)
        sample = np.flatnonzero(zbuffer > 0)
        pairs[:, :2] += i * width * height
        found[i] = (sample + i * width * height, triangles[owner.ravel()[sample]], pairs)

    run([lambda i=i: one(i) for i in range(len(corners))])
    if not found:
        return np.zeros(0, np.int64), np.zeros((0, 3), np.int64), np.zeros((0, 5), np.int64)
    sample, corner, pairs = (np.concatenate(column) for column in zip(*found, strict=True))
    return sample, corner, pairs
