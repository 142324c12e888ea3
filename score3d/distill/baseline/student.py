"""Variational score distillation: a student of the renders (Wang et al. 2023, arXiv 2305.16213).

    baseline = e_phi(z_t; t, y, camera),     min_phi E || e_phi(alpha z + sigma eps; ...) - eps ||^2

The student learns the noise prediction of the distribution that the renders come from; what it
would say of any picture cancels, as the noise itself does in SDS. A student that says the noise
is SDS; one that says what the unguided teacher does leaves w (s - 1) (e_c - e_u), the pure
guidance direction, and that is where it starts. It is asked with the plain prompt, without the
view's phrase, and learns the view from the camera; all views and all particles share one.

Following ProlificDreamer: a fresh t over the whole schedule and a fresh eps for each fit, the
camera dropped for the whole batch one time in ten, w(t) of the residual unchanged, the error
taken in what the network predicts (v for a v-network). Different: Adam without weight decay.
"""

from typing import Protocol

import torch
from torch import Tensor

from score3d.distill.equation import Asked, Noisy
from score3d.draw import Draw
from score3d.teachers.base import Teacher

__all__ = ["Network", "Student"]

CAMERA_DROPOUT = 0.1
STREAM = 10  # of the draw's generators


class Network(Protocol):
    """A trainable noise prediction."""

    def eps(
        self,
        z_t: Tensor,
        t: Tensor,
        emb: Tensor,
        camera: Tensor,
        samples: int = 1,
        teacher: Teacher | None = None,
    ) -> Tensor:
        """Noise [M,C,h,w] on the graph of the parameters. camera [M,16]: camera-to-world, flat;
        zeros for none. samples: noises per view, side by side. teacher: as the step sees it."""
        ...

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """What is trained, by name."""
        ...


def _cameras(draw: Draw, samples: int) -> Tensor:
    flat = torch.linalg.inv(draw.views.viewmats.float()).flatten(1)
    return flat.repeat_interleave(samples, 0)


class Student:
    """network: what is trained. lr: Adam's rate. fits: steps of the student per step of the
    scene; 0 freezes it.

    State: the network's parameters and Adam's moments.
    """

    def __init__(self, network: Network, lr: float = 1e-4, fits: int = 1) -> None:
        self.network, self.lr, self.fits = network, lr, fits
        self.optimizer = self._new_optimizer()
        self.error = float("nan")  # of the last fit: mean squared, in what the network predicts

    def _new_optimizer(self) -> torch.optim.Adam:
        return torch.optim.Adam(list(self.network.parameters().values()), lr=self.lr)

    def __call__(self, teacher: Teacher, noisy: Noisy) -> Tensor:
        """[M,C,h,w], one more pass of M rows, detached."""
        samples = len(noisy.t) // len(noisy.draw.t)
        camera = _cameras(noisy.draw, samples)
        with torch.no_grad():
            return self.network.eps(noisy.z_t, noisy.t, _plain(noisy), camera, samples, teacher)

    def learn(self, teacher: Teacher, asked: Asked) -> None:
        """`fits` steps on the renders of this step."""
        noisy = asked.noisy
        samples = len(noisy.t) // len(noisy.draw.t)
        z, emb = noisy.z[::samples].detach(), _plain(noisy)[::samples]
        camera = _cameras(noisy.draw, 1)
        for k in range(self.fits):
            generator = noisy.draw.generator(STREAM + k)
            t = torch.rand(len(z), generator=generator).to(z.device)
            group = getattr(teacher, "group", 1)  # views that are denoised as one share a time
            t = t[::group].repeat_interleave(group)
            eps = torch.randn(z.shape, generator=generator).to(z)
            dropped = float(torch.rand((), generator=generator)) < CAMERA_DROPOUT
            alpha, sigma = teacher.schedule.alpha_sigma(t, z)
            with torch.enable_grad():
                told = torch.zeros_like(camera) if dropped else camera
                said = self.network.eps(alpha * z + sigma * eps, t, emb, told, 1, teacher)
                error = ((said - eps) * _scale(teacher, alpha, sigma)).square().mean()
                error.backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            self.error = float(error.detach())

    def state_dict(self) -> dict[str, Tensor]:
        state = {f"param.{k}": p.detach() for k, p in self.network.parameters().items()}
        for name, p in self.network.parameters().items():
            for key, value in self.optimizer.state.get(p, {}).items():
                state[f"adam.{name}.{key}"] = value
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.optimizer = self._new_optimizer()
        for name, p in self.network.parameters().items():
            if f"param.{name}" not in state:
                raise ValueError(f"the checkpoint has no state of the student's {name}")
            p.data.copy_(state[f"param.{name}"])
            prefix = f"adam.{name}."
            moments = {
                k.removeprefix(prefix): v.clone() if k.endswith("step") else v.to(p.device).clone()
                for k, v in state.items()
                if k.startswith(prefix)
            }
            if moments:
                self.optimizer.state[p] = moments


def _plain(noisy: Noisy) -> Tensor:
    return noisy.cond.positive if noisy.cond.plain is None else noisy.cond.plain


def _scale(teacher: Teacher, alpha: Tensor, sigma: Tensor) -> Tensor | float:
    """From an error of the noise to one of the network's own prediction: v - v' is
    (e - e') / alpha, x0 - x0' is -sigma (e - e') / alpha."""
    kind = getattr(teacher, "prediction_type", "epsilon")
    return {"epsilon": 1.0, "v_prediction": 1 / alpha, "sample": sigma / alpha}[kind]
