"""``rasterization``: one function, gsplat's names and conventions, three backends."""

from typing import Any, Literal, get_args

import torch
from torch import Tensor

RenderMode = Literal["RGB", "D", "ED", "RGB+D", "RGB+ED"]
Backend = Literal["auto", "cpu", "reference", "gsplat"]
MAX_SH_DEGREE = 3


def rasterization(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    width: int,
    height: int,
    *,
    near_plane: float = 0.01,
    far_plane: float = 1e10,
    eps2d: float = 0.3,
    radius_clip: float = 0.0,
    sh_degree: int | None = None,
    backgrounds: Tensor | None = None,
    render_mode: RenderMode = "RGB",
    absgrad: bool = False,
    backend: Backend = "auto",
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Render N Gaussians in C pinhole cameras, differentiably.

    The names, shapes, defaults and cut-offs are those of ``gsplat.rasterization`` (1.5.3,
    ``packed=False``); the method is Kerbl et al. 2023, "3D Gaussian Splatting", sections 4 and 6.

    Args:
        means: centres [N,3], world units.
        quats: rotations [N,4], wxyz, any norm (zero counts as no rotation).
        scales: standard deviations [N,3], world units, linear.
        opacities: [N], in 0..1.
        colors: [N,3] or [C,N,3]; with ``sh_degree``, spherical-harmonics coefficients [N,K,3] or
            [C,N,K,3], K >= (sh_degree + 1)^2, giving max(sum_k Y_k c_k + 1/2, 0).
        viewmats: world-to-camera matrices [C,4,4], OpenCV axes (x right, y down, z forward).
        Ks: intrinsics [C,3,3] in pixels; pixel centres lie at +0.5; skew is ignored.
        width, height: of the pictures, in pixels.
        near_plane, far_plane: depths kept, world units.
        eps2d: variance in square pixels added to every projected Gaussian.
        radius_clip: splats with both radii at most this many pixels are dropped.
        sh_degree: 0..3, or None for plain colours.
        backgrounds: [C,3], composited behind the colours (never behind depth).
        render_mode: what the last axis holds: colour (3), accumulated depth "D" (1), expected
            depth "ED" = D / max(alpha, 1e-10) (1), or colour then depth (4).
        absgrad: also leave the sum over pixels of the absolute gradients of ``means2d`` in
            ``meta["means2d"].absgrad`` after backward (Ye et al. 2024, "AbsGS").
        backend: "cpu" (compiled, float32), "reference" (dense torch, any float dtype), "gsplat"
            (CUDA); "auto" takes gsplat for CUDA tensors, reference for float64, else cpu.

    Returns:
        ``(rendered [C,H,W,D], alphas [C,H,W,1], meta)``. ``meta`` holds what gsplat's densification
        strategies read: ``means2d`` [C,N,2] in pixels (in the autograd graph: call
        ``retain_grad()`` on it), ``radii`` [C,N,2] int32 (0 where culled), ``depths`` [C,N],
        ``conics`` [C,N,3], ``opacities`` [C,N], ``width``, ``height``, ``n_cameras``,
        ``gaussian_ids`` and ``camera_ids`` (None: the unpacked layout).

        Gradients reach means, quats, scales, opacities, colors and backgrounds; cameras get none
        except from the reference.

    Raises:
        ValueError: an argument has the wrong shape, dtype, device or value.
        RuntimeError: backend "gsplat" where CUDA or its extension is missing.
    """
    _validate(means, quats, scales, opacities, colors, viewmats, Ks, backgrounds, sh_degree)
    _check(isinstance(width, int) and width > 0, "width", "a positive int", width)
    _check(isinstance(height, int) and height > 0, "height", "a positive int", height)
    _check(near_plane > 0, "near_plane", "a positive number", near_plane)
    _check(eps2d >= 0, "eps2d", "a number of at least 0", eps2d)
    _check(render_mode in get_args(RenderMode), "render_mode", get_args(RenderMode), render_mode)
    _check(backend in get_args(Backend), "backend", get_args(Backend), backend)
    if backend == "auto":
        backend = _choose(means)
    if backend == "gsplat":
        from score3d.render import gsplat_backend

        return gsplat_backend.rasterize(
            means, quats, scales, opacities, colors, viewmats, Ks, width, height,
            near_plane=near_plane, far_plane=far_plane, radius_clip=radius_clip, eps2d=eps2d,
            sh_degree=sh_degree, backgrounds=backgrounds, render_mode=render_mode, absgrad=absgrad,
        )  # fmt: skip
    limits = near_plane, far_plane, eps2d, radius_clip
    geometry = means, quats, scales, opacities, colors, viewmats, Ks, width, height
    if backend == "cpu":
        _check(means.device.type == "cpu", "means.device", "cpu for backend='cpu'", means.device)
        _check(
            means.dtype == torch.float32, "means.dtype", "float32 for backend='cpu'", means.dtype
        )
        from score3d.render import cpu

        rendered, alphas, projected = cpu.rasterize(
            *geometry, *limits, sh_degree, backgrounds, render_mode, absgrad
        )
    else:
        _check(not absgrad, "absgrad", "False for backend='reference'", absgrad)
        from score3d.render import reference

        rendered, alphas, projected = reference.rasterize(
            *geometry, *limits, sh_degree, backgrounds, render_mode
        )
    if render_mode in ("ED", "RGB+ED"):
        depth = rendered[..., -1:] / alphas.clamp(min=1e-10)
        rendered = torch.cat([rendered[..., :-1], depth], -1)
    means2d, depths, conics, radii = projected
    meta = {
        "means2d": means2d,
        "radii": radii,
        "depths": depths,
        "conics": conics,
        "opacities": opacities.expand(len(viewmats), -1),
        "width": width,
        "height": height,
        "n_cameras": len(viewmats),
        "gaussian_ids": None,
        "camera_ids": None,
    }
    return rendered, alphas, meta


def warm_up(backward: bool = True) -> None:
    """Compile the CPU kernels (seconds once per machine; afterwards they come from Numba's cache).

    Args:
        backward: also compile what training needs; False is enough to make pictures.
    """
    means = torch.zeros(1, 3, requires_grad=backward)
    ones = torch.ones(1, 4)
    viewmat = torch.eye(4)[None].clone()
    viewmat[0, 2, 3] = 2.0
    intrinsics = torch.tensor([[[8.0, 0.0, 4.0], [0.0, 8.0, 4.0], [0.0, 0.0, 1.0]]])
    variants: list[tuple[RenderMode, int | None, bool]] = [
        ("RGB", None, False),
        ("RGB+D", 0, False),
        ("RGB", None, True),
    ]
    for mode, degree, absgrad in variants:
        if absgrad and not backward:
            continue
        colors = torch.ones(1, 3) if degree is None else torch.ones(1, 1, 3)
        rendered, _, _ = rasterization(
            means, ones, ones[:, :3], ones[:, 0], colors, viewmat, intrinsics, 8, 8,
            sh_degree=degree, render_mode=mode, absgrad=absgrad, backend="cpu",
        )  # fmt: skip
        if backward:
            rendered.sum().backward()


def _choose(means: Tensor) -> Backend:
    if means.is_cuda:
        return "gsplat"
    return "reference" if means.dtype == torch.float64 else "cpu"


def _check(ok: bool, name: str, expected: object, got: object) -> None:
    if not ok:
        raise ValueError(f"{name}: expected {expected}, got {got}")


def _validate(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    viewmats: Tensor,
    intrinsics: Tensor,
    backgrounds: Tensor | None,
    sh_degree: int | None,
) -> None:
    _check(means.dim() == 2 and means.shape[1] == 3, "means", "shape [N, 3]", _shape(means))
    _check(means.is_floating_point(), "means", "a float dtype", means.dtype)
    n = len(means)
    c = len(viewmats) if viewmats.dim() else 0
    _check(c > 0, "viewmats", "shape [C, 4, 4] with C >= 1", _shape(viewmats))
    if sh_degree is None:
        kinds = [(n, 3), (c, n, 3)]
    else:
        degrees = range(MAX_SH_DEGREE + 1)
        _check(sh_degree in degrees, "sh_degree", f"None or 0..{MAX_SH_DEGREE}", sh_degree)
        k = colors.shape[-2] if colors.dim() >= 2 else 0
        bases = (sh_degree + 1) ** 2
        _check(k >= bases, "colors", f"at least {bases} SH coefficients", _shape(colors))
        kinds = [(n, k, 3), (c, n, k, 3)]
    named = {
        "quats": (quats, [(n, 4)]),
        "scales": (scales, [(n, 3)]),
        "opacities": (opacities, [(n,)]),
        "colors": (colors, kinds),
        "viewmats": (viewmats, [(c, 4, 4)]),
        "Ks": (intrinsics, [(c, 3, 3)]),
    }
    if backgrounds is not None:
        named["backgrounds"] = (backgrounds, [(c, 3)])
    for name, (tensor, shapes) in named.items():
        if tuple(tensor.shape) not in shapes:
            expected = " or ".join(str(list(s)) for s in shapes)
            raise ValueError(f"{name}: expected shape {expected}, got {_shape(tensor)}")
        if tensor.dtype != means.dtype or tensor.device != means.device:
            raise ValueError(
                f"{name}: expected {means.dtype} on {means.device} like means, "
                f"got {tensor.dtype} on {tensor.device}"
            )


def _shape(tensor: Tensor) -> str:
    return f"shape {list(tensor.shape)}"
