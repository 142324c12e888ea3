"""Guidance rescale: pull the spread of the guided prediction back to the conditional one's.

    x0'  = phi x0_g std(x0_c) / std(x0_g) + (1 - phi) x0_g,     x0 = (z_t - sigma e) / alpha
    e'   = (z_t - alpha x0') / sigma

Large guidance inflates the predicted picture, which saturates colours. The idea is of Lin et
al. 2023 (arXiv 2305.08891, on the network's output); on x0 as MVDream has it (Shi et al. 2023,
arXiv 2308.16512), but with the standard deviation per sample instead of over four views.
"""

import torch
from torch import Tensor

from score3d.schedule import NoiseSchedule

__all__ = ["rescaled"]


def rescaled(
    e: Tensor, e_c: Tensor, z_t: Tensor, t: Tensor, schedule: NoiseSchedule, phi: float
) -> Tensor:
    """Guided noise e [M,C,h,w] with the spread of the conditional e_c, blended by phi in [0,1];
    0 returns e itself."""
    if phi == 0:
        return e
    alpha, sigma = schedule.alpha_sigma(t, z_t)
    guided, plain = (z_t - sigma * e) / alpha, (z_t - sigma * e_c) / alpha
    spread = guided.std((1, 2, 3), keepdim=True)
    factor = plain.std((1, 2, 3), keepdim=True) / spread.clamp(min=torch.finfo(spread.dtype).tiny)
    return (z_t - alpha * guided * (phi * factor + 1 - phi)) / sigma
