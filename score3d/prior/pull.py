"""The shape that a 3D prior imagined as a part of the optimisation of a scene of Gaussians."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from score3d.world.volumes import CELL

__all__ = ["PriorPull"]


@dataclass(frozen=True)
class PriorPull:
    """Draws centres that have left a surface back to it, up to step `until`; in the place of
    GSGEN's 3D score on positions (Chen et al. 2024, arXiv 2309.16585, section 4.2), which needs a
    diffusion model of points.

    surface [M,3]: points of it in world units. weight: of a pull next to the root mean square of
    the gradients on all centres, so that it means the same whatever the loss and its guidance. A
    centre within CELL of the surface is left alone, one at twice that feels all of it.
    """

    surface: NDArray[np.float64]
    weight: float
    until: int

    @cached_property
    def _tree(self):
        from scipy.spatial import KDTree

        return KDTree(self.surface)

    def __call__(self, step: int, params: torch.nn.ParameterDict) -> None:
        means = params["means"]
        if step >= self.until or means.grad is None:
            return
        at = means.detach().cpu().numpy()
        distance, nearest = self._tree.query(at)
        away = (at - self.surface[nearest]) / np.maximum(distance, 1e-12)[:, None]
        away *= np.clip(distance / CELL - 1, 0, 1)[:, None]
        usual = means.grad.square().sum(1).mean().sqrt()
        means.grad += self.weight * usual * torch.from_numpy(away).to(means)
