"""From 2D masks to labels of Gaussians in closed form: FlashSplat (Shen, Yang, Wang, ECCV 2024,
arXiv 2409.08270).

A rendered mask is linear in the labels, M(p) = sum_i alpha_i(p) T_i(p) P_i, so the binary labels
of least L1 error are a vote that each Gaussian holds for itself:

    A[e,i] = sum_views sum_{p: mask(p)=e} alpha_i(p) T_i(p)
    P_i    = argmax_e  A[e,i] / sum_e A[e,i] + gamma [e = 0]

The sum is what the gradient of sum_p [mask(p)=e] M(p) with respect to P_i is, so that one
backward pass of any differentiable renderer gives it, three labels at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from score3d.cameras import Cameras
from score3d.files.splats import Splats
from score3d.render import rasterization

__all__ = ["Lifted", "coverage", "label_weights", "lift", "vote"]

CHANNELS = 3  # what the renderer takes at a time
UNSEEN = 1e-4  # pixels' worth of weight below which a Gaussian has not been seen


@dataclass(frozen=True)
class Lifted:
    """labels [N]: of each Gaussian, 0 for the background and for what no view shows. seen [N]:
    whether any view shows it. weights [E,N]: A."""

    labels: NDArray[np.int64]
    seen: NDArray[np.bool_]
    weights: NDArray[np.float32]


def _painter(splats: Splats) -> Callable[[Tensor, Cameras], Tensor]:
    geometry = (
        torch.from_numpy(splats.means),
        torch.from_numpy(splats.quats),
        torch.from_numpy(splats.log_scales).exp(),
        torch.from_numpy(splats.logit_opacities).sigmoid(),
    )

    def paint(colours: Tensor, camera: Cameras) -> Tensor:
        size = camera.width, camera.height
        return rasterization(*geometry, colours, camera.viewmats, camera.Ks, *size)[0]

    return paint


def label_weights(splats: Splats, cameras: Cameras, masks: NDArray[np.integer]) -> Tensor:
    """A [E,N] of masks [V,H,W] that hold labels 0..E-1, one per camera. Raises ValueError for
    masks of another size than the cameras'."""
    size = (len(cameras), cameras.height, cameras.width)
    if masks.shape != size:
        raise ValueError(f"masks of shape {masks.shape} for cameras of {size}")
    paint, count = _painter(splats), int(masks.max()) + 1
    total = torch.zeros(max(count, 2), len(splats))
    labels = torch.from_numpy(masks.astype(np.int64))
    for v in range(len(cameras)):
        for first in range(0, len(total), CHANNELS):
            colours = torch.zeros(len(splats), CHANNELS, requires_grad=True)
            wanted = torch.arange(first, first + CHANNELS)
            inside = (labels[v, :, :, None] == wanted).float()
            picture = paint(colours, cameras[v : v + 1])[0]
            (found,) = torch.autograd.grad((picture * inside).sum(), colours)
            rows = min(CHANNELS, len(total) - first)
            total[first : first + rows] += found.T[:rows]
    return total


def vote(weights: Tensor, gamma: float = 0.0) -> Lifted:
    """The labels that weights A [E,N] speak for. gamma in [-1,1] biases towards the background:
    above 0 selections are smaller and cleaner, below more inclusive. Shares are of the sum over
    labels (L1), as in the paper."""
    mass = weights.sum(0)
    seen = mass > UNSEEN
    shares = weights / mass.clamp(min=1e-30)
    shares[0] += gamma
    labels = torch.where(seen, shares.argmax(0), torch.zeros_like(mass, dtype=torch.long))
    return Lifted(labels.numpy(), seen.numpy(), weights.numpy())


def lift(
    splats: Splats, cameras: Cameras, masks: NDArray[np.integer], gamma: float = 0.0
) -> Lifted:
    """Labels of Gaussians from masks [V,H,W]; see `vote` for gamma."""
    return vote(label_weights(splats, cameras, masks), gamma)


@torch.no_grad()
def coverage(splats: Splats, selected: NDArray[np.bool_], cameras: Cameras) -> NDArray[np.float32]:
    """[V,H,W] in [0,1]: how much of each pixel the selected Gaussians make up."""
    paint = _painter(splats)
    colours = torch.from_numpy(np.repeat(selected[:, None], CHANNELS, 1).astype(np.float32))
    views = (cameras[v : v + 1] for v in range(len(cameras)))
    return torch.cat([paint(colours, view)[..., 0] for view in views]).numpy()
