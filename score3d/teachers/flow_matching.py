"""Flow matching (rectified flow): Stable Diffusion 3 (Esser et al. 2024, arXiv 2403.03206).

    z_t = (1 - t) z + t eps,      the network predicts v = E[eps - z | z_t]
    eps = z_t + (1 - t) v         score = -eps / t

Everything else of score3d asks for the noise, so this file is all that a new family needs; it is
the example to copy for a plug-in (see docs/teachers.md).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from score3d.schedule import NoiseSchedule
from score3d.teachers.latent import LatentTeacher, diffusers_class

__all__ = ["FlowMatchingTeacher", "FlowSchedule"]


@dataclass(frozen=True)
class FlowSchedule(NoiseSchedule):
    """alpha = 1 - t, sigma = t: continuous, and not variance preserving.

    alphas_cumprod: those of equal signal-to-noise, for what only needs the order of noise levels.
    """

    @classmethod
    def of_steps(cls, count: int) -> "FlowSchedule":
        """The schedule of a network whose time runs from 0 to `count`."""
        t = (torch.arange(count, dtype=torch.float64) + 0.5) / count
        return cls((1 - t) ** 2 / ((1 - t) ** 2 + t**2))

    def timesteps(self, t: Tensor) -> Tensor:
        """The network's times [B], float: t of [0,1] stretched to its range."""
        return t * len(self.alphas_cumprod)

    def alpha_sigma(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        shape = (-1,) + (1,) * (like.ndim - 1)
        sigma = t.double().view(shape)
        return (1 - sigma).to(like), sigma.to(like)


class FlowMatchingTeacher(LatentTeacher):
    """Stable Diffusion 3's transformer. An embedding [P,L+1,D] holds the tokens' rows and, as the
    last one, the pooled text vector padded with zeros."""

    network_part = "transformer"
    text_parts = (
        "tokenizer", "text_encoder", "tokenizer_2", "text_encoder_2", "tokenizer_3",
        "text_encoder_3",
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.schedule = FlowSchedule.of_steps(self.scheduler.config.num_train_timesteps)

    def _prediction(self) -> str:
        name = type(self.scheduler).__name__
        self._agree("flow" if name.startswith("FlowMatch") else name, ("flow",))
        return "flow"

    def _texts(self, prompts: list[str]) -> Tensor:
        """By diffusers' own pipeline; a checkpoint without the large third encoder is fine."""
        parts = {p: self.text(p) if self.source.has(p) else None for p in self.text_parts}
        pipeline = diffusers_class("StableDiffusion3Pipeline")(
            transformer=self.network, scheduler=self.scheduler, vae=None, **parts
        )
        emb, _, pooled, _ = pipeline.encode_prompt(
            prompts, prompts, prompts, device=self.device, do_classifier_free_guidance=False
        )
        row = torch.nn.functional.pad(pooled, (0, emb.shape[-1] - pooled.shape[-1]))
        return torch.cat([emb, row[:, None].to(emb)], 1)

    def _predict(
        self, z_t: Tensor, t: Tensor, emb: Tensor, image: Tensor | None, camera: Tensor | None
    ) -> Tensor:
        width = self.network.config.pooled_projection_dim
        return self.network(
            hidden_states=z_t.to(self.dtype),
            timestep=self.schedule.timesteps(t),
            encoder_hidden_states=emb[:, :-1].to(self.dtype),
            pooled_projections=emb[:, -1, :width].to(self.dtype),
        ).sample.float()

    def _noise(self, out: Tensor, z_t: Tensor, t: Tensor) -> Tensor:
        alpha, _ = self.schedule.alpha_sigma(t, z_t)
        return z_t + alpha * out
