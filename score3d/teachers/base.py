"""What every teacher offers."""

from typing import Protocol

from torch import Tensor

from score3d.cameras import Cameras
from score3d.schedule import NoiseSchedule
from score3d.teachers.errors import PromptError, TeacherError

__all__ = ["PromptError", "Teacher", "TeacherError", "at_step"]


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
        """Text embeddings [P,L,D] of P prompts; raises PromptError. What else a network wants to
        know of the text (pooled vectors) is in further rows: only the teacher looks inside."""
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

        z_t [B,C,h,w], t [B] in (0,1), emb [B,L,D]. image [B,C,h,w]: latents of the picture an
        instruct teacher edits. camera [B,16]: the cameras of a multi-view teacher.
        """
        ...


def at_step(teacher: Teacher, views: Cameras, samples: int, progress: float) -> Teacher:
    """The teacher as one step sees it: a multi-view one is told the cameras, one that starts in
    latent space encodes by its shortcut while `progress` (share of the run, in [0,1)) is low.

    views: B cameras. samples: noises per view; rows asked about come as K x B x samples. Teachers
    that depend on neither have no method `at` and are returned as they are.
    """
    at = getattr(teacher, "at", None)
    return at(views, samples, progress) if at else teacher
