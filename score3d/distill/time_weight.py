"""w(t), the weight of a noise level.

sds         sigma_t^2           DreamFusion (arXiv 2209.14988)
uniform     1
fantasia3d  alpha_t sigma_t^2   Fantasia3D (arXiv 2303.13873), as threestudio has it
pds         chi(t)              in baseline/pds.py, with its setting
"""

from torch import Tensor

from score3d.schedule import NoiseSchedule

__all__ = ["TIME_WEIGHTS"]


def sds(schedule: NoiseSchedule, t: Tensor, z_t: Tensor) -> Tensor:
    return schedule.alpha_sigma(t, z_t)[1] ** 2


def uniform(schedule: NoiseSchedule, t: Tensor, z_t: Tensor) -> Tensor:
    return z_t.new_ones(len(t), 1, 1, 1)


def fantasia3d(schedule: NoiseSchedule, t: Tensor, z_t: Tensor) -> Tensor:
    alpha, sigma = schedule.alpha_sigma(t, z_t)
    return alpha * sigma**2


TIME_WEIGHTS = {"sds": sds, "uniform": uniform, "fantasia3d": fantasia3d}
