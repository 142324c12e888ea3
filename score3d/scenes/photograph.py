"""Pictures of splats, as files and people see them (no gradients)."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from score3d.cameras import Cameras
from score3d.files.splats import Splats
from score3d.render import rasterization

__all__ = ["depth_pictures", "photograph"]


def _render(splats: Splats, camera: Cameras, **options: Any) -> tuple[Tensor, Tensor]:
    """Picture [1,H,W,D] and alpha [1,H,W,1] from one camera."""
    picture, alpha, _ = rasterization(
        torch.from_numpy(splats.means),
        torch.from_numpy(splats.quats),
        torch.from_numpy(splats.log_scales).exp(),
        torch.from_numpy(splats.logit_opacities).sigmoid(),
        torch.from_numpy(splats.sh),
        camera.viewmats,
        camera.Ks,
        camera.width,
        camera.height,
        sh_degree=splats.sh_degree,
        **options,
    )
    return picture, alpha


@torch.no_grad()
def photograph(splats: Splats, cameras: Cameras, background: float = 1.0) -> NDArray[np.float32]:
    """Pictures [B,H,W,3] in [0,1] from B cameras on a gray level in [0,1].

    One camera at a time, so that memory does not grow with their number.
    """
    gray = torch.full((1, 3), background)
    views = (cameras[i : i + 1] for i in range(len(cameras)))
    pictures = [_render(splats, view, backgrounds=gray)[0][0] for view in views]
    return torch.stack(pictures).clamp(0, 1).numpy()


@torch.no_grad()
def depth_pictures(
    splats: Splats, cameras: Cameras
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Expected depth along the viewing axis, in world units, and alpha in [0,1], each [B,H,W]."""
    views = (cameras[i : i + 1] for i in range(len(cameras)))
    pairs = [_render(splats, view, render_mode="ED") for view in views]
    depth, alpha = (torch.cat(column)[..., 0].numpy() for column in zip(*pairs, strict=True))
    return depth, alpha
