"""w(t), the weight of a noise level.

sds         sigma_t^2           DreamFusion (arXiv 2209.14988)
uniform     1
fantasia3d  alpha_t sigma_t^2   Fantasia3D (arXiv 2303.13873), as threestudio has it
"""

from torch import Tensor

__all__ = ["TIME_WEIGHTS"]


def sds(alpha: Tensor, sigma: Tensor) -> Tensor:
    return sigma**2


def uniform(alpha: Tensor, sigma: Tensor) -> Tensor:
    return sigma * 0 + 1


def fantasia3d(alpha: Tensor, sigma: Tensor) -> Tensor:
    return alpha * sigma**2


TIME_WEIGHTS = {"sds": sds, "uniform": uniform, "fantasia3d": fantasia3d}
