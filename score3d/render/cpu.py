"""The compiled CPU backend: PyTorch's autograd around the kernels.

Two functions in the graph, as in gsplat: ``_Project`` (Gaussians to ellipses) and ``_Blend``
(ellipses to pixels), so that ``meta["means2d"]`` is an ordinary tensor between them whose gradient
density control can read.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from score3d.render import cpu_blend, cpu_harmonics, cpu_project, cpu_tiles
from score3d.render.threads import run, split

LOG2_255 = math.log2(255.0)
GAUSSIAN_GRAIN = 8192  # Gaussian-views: about half a millisecond
PAIR_GRAIN = 4096  # (tile, splat) pairs: about a third of a millisecond


# Arrays are made, copied and summed by numpy, not torch: torch hands anything over 32k elements to
# OpenMP, whose threads spin for each other, and one busy core then costs milliseconds per call.


def _flat(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().numpy()).reshape(-1)


def _flat_or_zeros(gradient: Tensor | None, *shape: int) -> np.ndarray:
    return _zeros(*shape).reshape(-1) if gradient is None else _flat(gradient)


def _zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


@dataclass
class _Group:
    """Tile lists of a range of tile rows, from ``first_tile`` on (see ``cpu_tiles``)."""

    first_tile: int
    offsets: np.ndarray
    entries: np.ndarray
    used: np.ndarray


@dataclass
class _Lists:
    """Splats in depth order and the tiles they touch; ``total`` (splat, tile) pairs."""

    ids: np.ndarray
    records: np.ndarray
    boxes: np.ndarray
    counts: np.ndarray
    slots: np.ndarray
    total: int
    groups: list[_Group]

    def spread(self, kernel: Any, group: _Group) -> list[Any]:
        """Calls of ``kernel`` on ranges of the group's tiles."""
        work = self.total / len(self.groups)
        return [partial(kernel, *b) for b in split(len(group.used), work, PAIR_GRAIN)]


def _list_splats(
    means2d: np.ndarray,
    depths: np.ndarray,
    conics: np.ndarray,
    extents: np.ndarray,
    opacities: np.ndarray,
    log2_opacities: np.ndarray,
    colors: np.ndarray,
    per_camera: bool,
    c: int,
    n: int,
    width: int,
    height: int,
    tile_bits: int,
) -> _Lists:
    places = c * n
    ids, other_ids = np.empty((2, places), np.int32)
    keys, other_keys = np.empty((2, places), np.uint32)
    visible = np.empty(c, np.int64)
    records = np.empty(places * cpu_tiles.RECORD, np.float32)
    boxes, counts = np.empty(places * 4, np.int32), np.empty(places, np.int64)
    sort = partial(cpu_tiles.sort_splats, depths.view(np.uint32), extents, n)
    scratch = ids, other_ids, keys, other_keys
    run(
        [partial(sort, *cameras, *scratch, visible) for cameras in split(c, places, GAUSSIAN_GRAIN)]
    )
    pack = partial(
        cpu_tiles.pack_splats, ids, visible, means2d, depths, conics, extents, opacities,
        log2_opacities, colors, per_camera, n, width, height, tile_bits, records, boxes, counts,
    )  # fmt: skip
    run([partial(pack, *bounds) for bounds in split(places, places, GAUSSIAN_GRAIN)])
    slots = np.cumsum(counts)
    total = int(slots[-1]) if places else 0
    slots -= counts
    across, down = ((width - 1) >> tile_bits) + 1, ((height - 1) >> tile_bits) + 1
    shape = width, height, tile_bits
    list_tiles = partial(cpu_tiles.list_tiles, boxes, counts, visible, n, *shape)
    groups, tasks = [], []
    rows = c * down
    parts = max(1, min(torch.get_num_threads(), places // GAUSSIAN_GRAIN))
    step = -(-rows // parts)
    for first in range(0, rows, step):
        last = min(first + step, rows)
        tiles = (last - first) * across
        offsets, entries = np.zeros(tiles + 2, np.int64), np.empty(total, np.int32)
        tasks.append(partial(list_tiles, first, last, offsets, entries))
        groups.append(_Group(first * across, offsets[:-1], entries, np.empty(tiles, np.int64)))
    run(tasks)
    return _Lists(ids, records, boxes, counts, slots, total, groups)


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        means: Tensor,
        quats: Tensor,
        scales: Tensor,
        reach: np.ndarray,
        viewmats: Tensor,
        intrinsics: Tensor,
        size: tuple[int, int],
        near: float,
        far: float,
        eps2d: float,
        radius_clip: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        c, n = len(viewmats), len(means)
        means2d, depths = means.new_empty(c, n, 2), means.new_empty(c, n)
        conics, extents = means.new_empty(c, n, 3), means.new_empty(c, n, 2)
        gaussians = [_flat(t) for t in (means, quats, scales)]
        cameras = [_flat(t) for t in (viewmats, intrinsics)]
        outputs = [_flat(t) for t in (means2d, depths, conics, extents)]
        width, height = float(size[0]), float(size[1])
        call = partial(
            cpu_project.project_forward, *gaussians, reach, *cameras, c, n, width, height,
            float(near), float(far), float(eps2d), float(radius_clip), *outputs,
        )  # fmt: skip
        run([partial(call, *bounds) for bounds in split(n, c * n, GAUSSIAN_GRAIN, 8)])
        ctx.save_for_backward(means, quats, scales, viewmats, intrinsics, extents)
        ctx.set_materialize_grads(False)
        ctx.width, ctx.height, ctx.eps2d = width, height, float(eps2d)
        ctx.mark_non_differentiable(extents)
        return means2d, depths, conics, extents

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,
        g_means2d: Tensor | None,
        g_depths: Tensor | None,
        g_conics: Tensor | None,
        _: None,
    ) -> Any:
        means, quats, scales, viewmats, intrinsics, extents = ctx.saved_tensors
        c, n = len(viewmats), len(means)
        grads = [torch.empty_like(t, memory_format=torch.contiguous_format)
                 for t in (means, quats, scales)]  # fmt: skip
        call = partial(
            cpu_project.project_backward,
            *(_flat(t) for t in (means, quats, scales, viewmats, intrinsics, extents)),
            c, n, ctx.width, ctx.height, ctx.eps2d,
            _flat_or_zeros(g_means2d, c, n, 2), _flat_or_zeros(g_depths, c, n),
            _flat_or_zeros(g_conics, c, n, 3), *(_flat(t) for t in grads),
        )  # fmt: skip
        run([partial(call, *bounds) for bounds in split(n, c * n, GAUSSIAN_GRAIN, 8)])
        return *grads, *([None] * 8)


class _Harmonics(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        means: Tensor,
        coefficients: Tensor,
        viewmats: Tensor,
        extents: Tensor,
        degree: int,
    ) -> Tensor:
        c, n = len(viewmats), len(means)
        positions = torch.linalg.inv(viewmats)[:, :3, 3].contiguous()
        colors = means.new_empty(c, n, 3)
        shape = c, n, coefficients.shape[-2], (degree + 1) ** 2, coefficients.dim() == 4
        call = partial(
            cpu_harmonics.harmonics_forward,
            *(_flat(t) for t in (means, coefficients, positions, extents)), *shape, _flat(colors),
        )  # fmt: skip
        run([partial(call, *bounds) for bounds in split(n, c * n, GAUSSIAN_GRAIN, 8)])
        ctx.save_for_backward(means, coefficients, positions, colors)
        ctx.geometry = shape
        return colors

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_colors: Tensor) -> Any:
        saved = ctx.saved_tensors
        v_means, v_coefficients = _zeros(*saved[0].shape), _zeros(*saved[1].shape)
        c, n, *_ = ctx.geometry
        call = partial(
            cpu_harmonics.harmonics_backward, *(_flat(t) for t in saved), *ctx.geometry,
            _flat(g_colors), v_means.reshape(-1), v_coefficients.reshape(-1),
        )  # fmt: skip
        run([partial(call, *bounds) for bounds in split(n, c * n, GAUSSIAN_GRAIN, 8)])
        return torch.from_numpy(v_means), torch.from_numpy(v_coefficients), None, None, None


class _Blend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        means2d: Tensor,
        conics: Tensor,
        opacities: Tensor,
        colors: Tensor,
        depths: Tensor,
        backgrounds: Tensor,
        log2_opacities: np.ndarray,
        extents: Tensor,
        size: tuple[int, int],
        with_depth: bool,
        absgrad: bool,
        tile_bits: int,
    ) -> tuple[Tensor, Tensor]:
        (width, height), (c, n) = size, depths.shape
        image = means2d.new_empty(c, height, width, 4 if with_depth else 3)
        final, alphas = means2d.new_empty(c, height, width), means2d.new_empty(c, height, width, 1)
        shape = width, height, tile_bits
        ellipses = [_flat(t) for t in (means2d, depths, conics, extents, opacities)]
        lists = _list_splats(
            *ellipses, log2_opacities, _flat(colors), colors.dim() == 3, c, n, *shape
        )
        pixels = [_flat(t) for t in (backgrounds, image, final, alphas)]
        kernel = cpu_blend.forward_kernel(with_depth)
        tasks = []
        for group in lists.groups:
            call = partial(
                kernel, lists.records, lists.boxes, group.offsets, group.entries, group.used,
                *pixels, group.first_tile, *shape,
            )  # fmt: skip
            tasks += lists.spread(call, group)
        run(tasks)
        ctx.save_for_backward(means2d, image, final)
        ctx.set_materialize_grads(False)
        ctx.lists, ctx.shared, ctx.shape = lists, colors.dim() == 2, shape
        ctx.with_depth, ctx.absgrad = with_depth, absgrad
        return image, alphas

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_image: Tensor | None, g_alpha: Tensor | None) -> Any:
        means2d, image, final = ctx.saved_tensors
        c, n, _ = means2d.shape
        lists, depth, absgrad = ctx.lists, ctx.with_depth, ctx.absgrad
        kernel = cpu_blend.backward_kernel(depth, absgrad)
        v_means2d, v_conics = _zeros(c, n, 2), _zeros(c, n, 3)
        v_opacities, v_colors = _zeros(c, n), _zeros(c, n, 3)
        v_depths, v_abs = _zeros(c, n if depth else 0), _zeros(c, n if absgrad else 0, 2)
        outputs = v_means2d, v_conics, v_opacities, v_colors, v_depths, v_abs
        g_pixels = _flat_or_zeros(g_image, *image.shape)
        pixels = _flat(image), _flat(final), g_pixels, _flat_or_zeros(g_alpha, *final.shape)
        sums = np.empty(lists.total * cpu_blend.SLOT, np.float32)
        visited = np.zeros(lists.total, np.uint8)
        blends = []
        for group in lists.groups:
            call = partial(
                kernel, lists.records, lists.boxes, lists.slots, group.offsets, group.entries,
                group.used, *pixels, sums, visited, group.first_tile, *ctx.shape,
            )  # fmt: skip
            blends += lists.spread(call, group)
        call = partial(
            cpu_blend.reduce_slots, lists.ids, lists.counts, lists.records, lists.slots, sums,
            visited, n, depth, absgrad, *(v.reshape(-1) for v in outputs),
        )  # fmt: skip
        reductions = [partial(call, *bounds) for bounds in split(c * n, c * n, GAUSSIAN_GRAIN)]
        run(blends)
        run(reductions)
        if absgrad:  # gsplat's protocol: an attribute on the graph's own tensor
            means2d.absgrad = torch.from_numpy(v_abs)
        v_background = None
        if ctx.needs_input_grad[5]:
            g = g_pixels.reshape(image.shape)[..., :3]
            v_background = torch.from_numpy(np.einsum("chw,chwk->ck", final.numpy(), g))
        grads = (
            v_means2d, v_conics, v_opacities.sum(0), v_colors.sum(0) if ctx.shared else v_colors,
        )  # fmt: skip
        return (
            *(torch.from_numpy(g) for g in grads),
            torch.from_numpy(v_depths) if depth else None,
            v_background,
            *([None] * 6),
        )


def rasterize(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    viewmats: Tensor,
    intrinsics: Tensor,
    width: int,
    height: int,
    near_plane: float,
    far_plane: float,
    eps2d: float,
    radius_clip: float,
    sh_degree: int | None,
    backgrounds: Tensor | None,
    render_mode: str,
    absgrad: bool,
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Pictures, alphas and (means2d, depths, conics, radii); depth is accumulated, not expected."""
    size = width, height
    with np.errstate(divide="ignore", invalid="ignore"):  # opacity 0, or a caller's NaN
        log2_opacities = np.log2(_flat(opacities))
        # In standard deviations; NaN compares as culled.
        reach = np.sqrt(2.0 * math.log(2.0) * np.maximum(log2_opacities + LOG2_255, 0.0))
    means2d, depths, conics, extents = _Project.apply(
        means, quats, scales, reach.astype(np.float32), viewmats, intrinsics, size,
        near_plane, far_plane, eps2d, radius_clip,
    )  # fmt: skip
    with_color, with_depth = render_mode.startswith("RGB"), render_mode.endswith("D")
    if not with_color:
        # Depth alone goes through the three-channel kernel as a colour: rare enough.
        colors, backgrounds = depths[..., None].expand(-1, -1, 3), None
    elif sh_degree is not None:
        colors = _Harmonics.apply(means, colors, viewmats, extents, sh_degree)
    if backgrounds is None:
        backgrounds = means.new_zeros(len(viewmats), 3)
    rendered, alphas = _Blend.apply(
        means2d, conics, opacities, colors, depths, backgrounds, log2_opacities, extents, size,
        with_color and with_depth, absgrad, _tile_bits(width, height),
    )  # fmt: skip
    if not with_color:
        rendered = rendered[..., :1]
    radii = torch.from_numpy(np.ceil(extents.numpy()).astype(np.int32))
    return rendered, alphas, (means2d, depths, conics, radii)


def _tile_bits(width: int, height: int) -> int:
    """Splats of small pictures are small, and fewer, larger tiles cut fewer of them in two; in
    large pictures a tile's state should stay in the first-level cache."""
    return 6 if max(width, height) <= 128 else 5
