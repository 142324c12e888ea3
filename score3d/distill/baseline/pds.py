"""Posterior distillation sampling (Koo, Park, Sung 2024, arXiv 2311.13831), written out.

The paper matches the stochastic latents zeta = (x_t' - mu(x_t, e)) / s of the posterior step from
t to t' < t, with the same noise for target and source. Multiplied out, that is

    g   = psi (z - z_src) + chi (e - e_src)
    psi = (alpha' - c0 - c1 alpha) / s          chi = c0 sigma / (alpha s)
    c0  = alpha' beta / sigma^2                 c1  = sqrt(1 - beta) sigma'^2 / sigma^2
    s^2 = beta sigma'^2 / sigma^2

so the baseline is e_src - (psi / chi) (z - z_src), and w(t) = chi ("pds"). beta is that of one
step of the network's grid. With t' one step below t, psi is 0: the identity term exists because
the authors' grid strides over two steps and keeps the single step's beta. The stride is a setting
here, 2 as in their code; 1 is weighted DDS.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from score3d.distill.baseline.dds import Dds
from score3d.distill.equation import Noisy
from score3d.schedule import NoiseSchedule
from score3d.teachers.base import Teacher

__all__ = ["Pds", "pds_time_weight", "psi_chi"]


def psi_chi(schedule: NoiseSchedule, t: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """psi and chi [M], float64, at times t [M] in (0,1), for t' `stride` network steps below
    (or the first). Differences of near-equal numbers: nothing less than float64 will do."""
    bars = schedule.alphas_cumprod.to(t.device).double()
    step = schedule.timesteps(t)
    bar, before = bars[step], bars[(step - stride).clamp(min=0)]
    previous = torch.where(step > 0, bars[(step - 1).clamp(min=0)], torch.ones_like(bar))
    beta = 1 - bar / previous
    c0 = before.sqrt() * beta / (1 - bar)
    c1 = (1 - beta).sqrt() * (1 - before) / (1 - bar)
    s = ((1 - before) / (1 - bar) * beta).sqrt()
    psi = (before.sqrt() - c0 - c1 * bar.sqrt()) / s
    chi = c0 * (1 - bar).sqrt() / (bar.sqrt() * s)
    return psi, chi


def pds_time_weight(stride: int):
    """w(t) = chi(t), with which the rule's gradient is the paper's."""

    def pds(schedule: NoiseSchedule, t: Tensor, z_t: Tensor) -> Tensor:
        return psi_chi(schedule, t, stride)[1].view(-1, 1, 1, 1).to(z_t)

    return pds


@dataclass(frozen=True)
class Pds:
    """source: the DDS branch. stride: t - t' in network steps, >= 1; more binds more tightly to
    the source."""

    source: Dds
    stride: int = 2

    def __call__(self, teacher: Teacher, noisy: Noisy) -> Tensor:
        """[M,C,h,w], one more pass of the guide. Raises ValueError without a source."""
        said = self.source(teacher, noisy)
        psi, chi = psi_chi(teacher.schedule, noisy.t, self.stride)
        assert noisy.cond.source_latents is not None  # or the source branch has raised
        pull = (psi / chi).view(-1, 1, 1, 1).to(said)
        return said - pull * (noisy.z - noisy.cond.source_latents)
