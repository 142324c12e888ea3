"""The CUDA backend: gsplat itself (Ye et al. 2024, "gsplat: An Open-Source Library for Gaussian
Splatting"), called with the arguments given."""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor


def require_gsplat(device: torch.device) -> ModuleType:
    """The gsplat module, ready to render on ``device``.

    Raises RuntimeError, with what to do about it, where it cannot.
    """
    if not torch.cuda.is_available():
        raise RuntimeError(
            "backend='gsplat' needs a CUDA device and torch sees none; "
            "use backend='cpu' or backend='auto'"
        )
    if device.type != "cuda":
        raise RuntimeError(
            f"backend='gsplat' needs tensors on a CUDA device, got {device}; "
            "move them with .to('cuda') or use backend='auto'"
        )
    try:
        import gsplat
        import gsplat.cuda._backend as extension
    except ImportError as error:
        raise RuntimeError(
            f"backend='gsplat' cannot import gsplat ({error}); pip install gsplat==1.5.3"
        ) from error
    if extension._C is None:
        raise RuntimeError(
            "gsplat's CUDA extension is not built: install the CUDA toolkit (nvcc on PATH) and "
            "retry, or install a prebuilt wheel from https://docs.gsplat.studio/whl"
        )
    return gsplat


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
    """Call ``gsplat.rasterization(..., packed=False)``; see ``rasterization`` for the arguments."""
    return require_gsplat(means.device).rasterization(
        means, quats, scales, opacities, colors, viewmats, intrinsics, width, height,
        packed=False, **options,
    )  # fmt: skip
