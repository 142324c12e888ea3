"""The CUDA backend: gsplat itself (Ye et al. 2024, "gsplat: An Open-Source Library for Gaussian
Splatting"), called with the arguments given."""

from typing import Any

import torch
from torch import Tensor


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
    **options: Any,
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Call ``gsplat.rasterization(..., packed=False)``; see ``rasterization`` for the arguments.

    Raises RuntimeError, with what to do about it, where gsplat cannot run.
    """
    if not (torch.cuda.is_available() and means.is_cuda):
        have = "this machine has none" if not torch.cuda.is_available() else f"got {means.device}"
        raise RuntimeError(
            f"backend='gsplat' needs tensors on a CUDA device ({have}); "
            "use backend='cpu' or backend='auto'"
        )
    try:
        import gsplat
        from gsplat.cuda._backend import _C
    except ImportError as error:
        raise RuntimeError(
            f"backend='gsplat' cannot import gsplat ({error}); pip install gsplat==1.5.3"
        ) from error
    if _C is None:
        raise RuntimeError(
            "gsplat's CUDA extension is not built: install the CUDA toolkit (nvcc on PATH) and "
            "retry, or install a prebuilt wheel from https://docs.gsplat.studio/whl"
        )
    return gsplat.rasterization(
        means, quats, scales, opacities, colors, viewmats, intrinsics, width, height,
        packed=False, **options,
    )  # fmt: skip
