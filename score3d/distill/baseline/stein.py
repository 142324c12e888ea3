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

__all__ = [
    "Phi",
    "Stein",
    "correlation",
    "depth_agreement",
    "normal_agreement",
    "rendered_normals",
    "silhouette",
    "variate",
]

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

    estimate: rgb [M,3,h,w] -> [M,h',w'], larger where nearer. colours: latents -> rgb, about in
    [0,1]; that the network is shown an affine map of the latents and not decoded pictures is
    ours. The scene must render depth."""

    def phi(z_t: Tensor, noisy: Noisy) -> Tensor:
        view: Any = noisy.view
        near = torch.where(view.alpha > 0.5, 1 / view.depth.clamp(min=1e-3), 0.0)
        return 1 - _agreement(near.detach(), estimate(colours(z_t)))

    return phi


def normal_agreement(
    estimate: Callable[[Tensor], Tensor], colours: Callable[[Tensor], Tensor]
) -> Phi:
    """The paper's other phi: 1 - the mean cosine, in [0,2], between the normals of the render's
    depth and those that a network sees in z_t, over the object; 1 where there is none.

    estimate: rgb [M,3,h,w] -> normals [M,3,h',w'] in the camera's axes (x right, y down, z
    forward), of length at most 1. colours: as in `depth_agreement`."""

    def phi(z_t: Tensor, noisy: Noisy) -> Tensor:
        view: Any = noisy.view
        said = estimate(colours(z_t))
        normals, known = rendered_normals(
            view.depth.detach(), view.alpha.detach() > 0.5, noisy.draw.views.Ks
        )
        both = torch.cat([normals * known, known.to(normals)], 1).to(said)
        if both.shape[-2:] != said.shape[-2:]:
            both = torch.nn.functional.interpolate(both, said.shape[-2:], mode="area")
        both = both.repeat_interleave(len(said) // len(both), 0)
        cosine = (both[:, :3] * said).sum((1, 2, 3))
        return 1 - cosine / both[:, 3].sum((1, 2)).clamp(min=1e-6)

    return phi


def rendered_normals(depth: Tensor, inside: Tensor, Ks: Tensor) -> tuple[Tensor, Tensor]:
    """Unit normals [B,3,H,W] of depth maps [B,1,H,W] by central differences, in the camera's axes
    and towards it, and where they are known [B,1,H,W]: inside, with all four neighbours.

    inside [B,1,H,W] bool; Ks [B,3,3] in pixels."""
    h, w = depth.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(h, device=depth.device) + 0.5,
        torch.arange(w, device=depth.device) + 0.5,
        indexing="ij",
    )
    fx, fy, cx, cy = (
        Ks[:, i, j, None, None].to(depth) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2))
    )
    rays = torch.stack([(x - cx) / fx, (y - cy) / fy, torch.ones_like(x).expand(len(Ks), h, w)], 1)
    points = torch.nn.functional.pad(rays * depth, (1, 1, 1, 1), mode="replicate")
    across = points[:, :, 1:-1, 2:] - points[:, :, 1:-1, :-2]
    down = points[:, :, 2:, 1:-1] - points[:, :, :-2, 1:-1]
    normals = torch.nn.functional.normalize(torch.linalg.cross(down, across, dim=1), dim=1)
    padded = torch.nn.functional.pad(inside, (1, 1, 1, 1))
    known = inside & padded[..., 2:, 1:-1] & padded[..., :-2, 1:-1]
    return normals, known & padded[..., 1:-1, 2:] & padded[..., 1:-1, :-2]


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
