"""Stein control variate: SteinDreamer's SSD (Wang et al. 2024, arXiv 2401.00604), reconstructed.

    baseline = eps - mu h,      h = eps phi(z_t) - sigma_t grad phi(z_t)

By Stein's lemma E[eps phi(z_t)] = sigma E[grad phi(z_t)] for z_t = alpha z + sigma eps and any
smooth scalar phi, so h has mean zero and mu changes the variance alone. As published the variate
is eps phi + grad phi, which has not: this is the corrected sign and scale. No code of the paper
is public. The eps variate of SDS is kept beside it, so that mu = 0 is SDS.

mu minimises E ||w (e - eps + mu h)||^2: -E<f, wh> / E<wh, wh> with f = w (e - eps), by running
means over *earlier* steps, so that it does not depend on the noise it multiplies and the gradient
stays unbiased. The paper learns mu by gradient steps, as far as is known.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from score3d.distill.equation import Asked, Noisy
from score3d.schedule import NoiseSchedule
from score3d.teachers.base import Teacher

__all__ = ["Phi", "Stein", "correlation", "depth_agreement", "silhouette", "variate"]

# phi(z_t [M,C,h,w], noisy) -> [M]: differentiable, each row a function of its own z_t
Phi = Callable[[Tensor, Noisy], Tensor]


def silhouette(z_t: Tensor, noisy: Noisy) -> Tensor:
    """1 - the correlation of the render's silhouette with the mean channel of z_t, in [0,2].

    The paper correlates rendered depth with a depth network's answer to z_t; this needs no
    network, and any phi of z_t is as valid. A silhouette or z_t without contrast gives 1.
    """
    view: Any = noisy.view
    return 1 - _agreement(view.alpha.detach(), z_t.mean(1))


def depth_agreement(
    estimate: Callable[[Tensor], Tensor], colours: Callable[[Tensor], Tensor]
) -> Phi:
    """The paper's phi: 1 - the correlation, in [0,2], of the render's nearness (inverse depth, 0
    beside the object) with the depth that a network sees in z_t.

    estimate: rgb [M,3,h,w] -> [M,h,w], larger where nearer. colours: latents -> rgb, at the
    latents' resolution; that the network is shown these and not decoded pictures is ours. The
    scene must render depth."""

    def phi(z_t: Tensor, noisy: Noisy) -> Tensor:
        view: Any = noisy.view
        near = torch.where(view.alpha > 0.5, 1 / view.depth.clamp(min=1e-3), 0.0)
        return 1 - _agreement(near.detach(), estimate(colours(z_t).clamp(0, 1)))

    return phi


def _agreement(seen: Tensor, said: Tensor) -> Tensor:
    """Correlation [M] of maps [B,1,H,W] of the render with maps [M,h,w], M a multiple of B."""
    small = torch.nn.functional.interpolate(seen.to(said), said.shape[-2:], mode="area")
    return correlation(small[:, 0].repeat_interleave(len(said) // len(small), 0), said)


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's correlation [M] of maps [M,H,W], per row; 0 where one of them is flat."""
    x, y = a.flatten(1), b.flatten(1)
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    return (x * y).sum(1) / (x.norm(dim=1) * y.norm(dim=1)).clamp(min=1e-6)


def variate(phi: Phi, schedule: NoiseSchedule, noisy: Noisy) -> Tensor:
    """h [M,C,h,w], of mean zero over eps."""
    with torch.enable_grad():
        z_t = noisy.z_t.detach().requires_grad_()
        value = phi(z_t, noisy)
        (slope,) = torch.autograd.grad(value.sum(), z_t)
    sigma = schedule.alpha_sigma(noisy.t, z_t)[1]
    return noisy.eps * value.detach().view(-1, 1, 1, 1) - sigma * slope


class Stein:
    """phi: the scalar function. decay in [0,1): share of the running means kept at each step.

    State: `moments` [2], float64, the running means of <f, wh> and <wh, wh>.
    """

    def __init__(self, phi: Phi, decay: float = 0.99) -> None:
        self.phi, self.decay = phi, decay
        self.moments = torch.zeros(2, dtype=torch.float64)

    @property
    def coefficient(self) -> float:
        """mu; 0 until something has been learnt."""
        cross, square = self.moments.tolist()
        return -cross / square if square > 0 else 0.0

    def __call__(self, teacher: Teacher, noisy: Noisy) -> Tensor:
        """[M,C,h,w]."""
        mu = self.coefficient
        return noisy.eps - mu * variate(self.phi, teacher.schedule, noisy) if mu else noisy.eps

    def learn(self, teacher: Teacher, asked: Asked) -> None:
        """Update the running means; phi is evaluated again, the teacher is not."""
        f = asked.w * (asked.said - asked.noisy.eps)
        h = asked.w * variate(self.phi, teacher.schedule, asked.noisy)
        now = torch.stack([(f * h).double().sum(), (h * h).double().sum()]).cpu() / len(f)
        self.moments = self.decay * self.moments + (1 - self.decay) * now

    def state_dict(self) -> dict[str, Tensor]:
        return {"moments": self.moments}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        if "moments" not in state:
            raise ValueError("the checkpoint has no state of the Stein variate")
        self.moments = state["moments"].clone()
