"""What a step's views show before the edit."""

from dataclasses import dataclass, replace

import torch

from score3d.draw import Draw
from score3d.prompts import Conditioning, PromptBook
from score3d.scenes.base import Scene
from score3d.teachers.base import Teacher

__all__ = ["Original"]


@dataclass(frozen=True)
class Original:
    """The source of an edit, for the loop (`loop.Source`). scene: what is edited, as it was; it is
    only looked at. prompts: its words."""

    scene: Scene
    prompts: PromptBook

    @torch.no_grad()
    def __call__(self, cond: Conditioning, teacher: Teacher, draw: Draw) -> Conditioning:
        """`cond` with the original's words and latents, from the same cameras and before the
        same backgrounds; for instruct teachers also the picture they are shown."""
        view = self.scene.render(draw.views, draw.background)
        latents = teacher.encode(view.rgb)
        image = None
        if "instruct" in teacher.capabilities:
            image = teacher.condition(view.rgb)  # type: ignore[attr-defined]
        words = self.prompts.at(draw.views).positive
        return replace(cond, source=words, source_latents=latents, image=image)
