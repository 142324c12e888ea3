"""What every teacher offers."""

from typing import Protocol

from torch import Tensor

from score3d.schedule import NoiseSchedule

__all__ = ["PromptError", "Teacher", "TeacherError"]


class TeacherError(RuntimeError):
    """A teacher cannot be loaded; the message says what is missing and what would work."""


class PromptError(ValueError):
    """A prompt the teacher does not understand; the message lists what it does."""


class Teacher(Protocol):
    """A frozen text-to-image diffusion model.

    schedule: its noise schedule. latent_shape: (C, h, w). resolution: side in pixels of the
    pictures `encode` takes. view_style: how views are put into words (`prompts.view_phrase`).
    capabilities: "instruct" (takes `image`), "multiview" (takes `camera`),
    "grid" (was trained on 2x2 grids of views: `teachers.grid`).
    """

    schedule: NoiseSchedule
    latent_shape: tuple[int, int, int]
    resolution: int
    view_style: str
    capabilities: frozenset[str]

    def embed(self, prompts: list[str]) -> Tensor:
        """Text embeddings [P,L,D] of P prompts; raises PromptError."""
        ...

    def encode(self, rgb: Tensor) -> Tensor:
        """rgb [B,3,H,W] in [0,1] -> latents [B,C,h,w], differentiable."""
        ...

    def decode(self, z: Tensor) -> Tensor:
        """Latents [B,C,h,w] -> rgb [B,3,H,W] in [0,1]; for pictures, not for gradients."""
        ...

    def eps(
        self,
        z_t: Tensor,
        t: Tensor,
        emb: Tensor,
        image: Tensor | None = None,
        camera: Tensor | None = None,
    ) -> Tensor:
        """Predicted noise [B,C,h,w], float32, whatever the network predicts.

        z_t [B,C,h,w], t [B] in (0,1), emb [B,L,D].
        """
        ...
