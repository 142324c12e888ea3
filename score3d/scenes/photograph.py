"""Pictures of splats, as files and people see them (no gradients)."""

import numpy as np
import torch
from numpy.typing import NDArray

from score3d.cameras import Cameras
from score3d.files.splats import Splats
from score3d.render import rasterization

__all__ = ["photograph"]


@torch.no_grad()
def photograph(splats: Splats, cameras: Cameras, background: float = 1.0) -> NDArray[np.float32]:
    """Pictures [B,H,W,3] in [0,1] from B cameras on a gray level in [0,1].

    One camera at a time, so that memory does not grow with their number.
    """
    means, quats = torch.from_numpy(splats.means), torch.from_numpy(splats.quats)
    scales = torch.from_numpy(splats.log_scales).exp()
    opacities = torch.from_numpy(splats.logit_opacities).sigmoid()
    sh = torch.from_numpy(splats.sh)
    pictures = [
        rasterization(
            means,
            quats,
            scales,
            opacities,
            sh,
            view.viewmats,
            view.Ks,
            view.width,
            view.height,
            sh_degree=splats.sh_degree,
            backgrounds=torch.full((1, 3), background),
        )[0][0]
        for view in (cameras[i : i + 1] for i in range(len(cameras)))
    ]
    return torch.stack(pictures).clamp(0, 1).numpy()
