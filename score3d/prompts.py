"""View-dependent prompts: the text embeddings of one step's views."""

from dataclasses import dataclass

from torch import Tensor

from score3d.cameras import Cameras
from score3d.teachers.base import Teacher
from score3d.world.captions import view_phrase

__all__ = ["Conditioning", "PromptBook"]


@dataclass(frozen=True)
class Conditioning:
    """Text of B views: positive and negative embeddings, each [B,L,D]. The negative one is
    what takes the unconditional branch's place (the empty prompt unless the user names one)."""

    positive: Tensor
    negative: Tensor


class PromptBook:
    """Embeds "<prompt>, <view phrase>" once per distinct phrase and hands them out by view."""

    def __init__(self, teacher: Teacher, prompt: str, negative: str = "") -> None:
        self.teacher, self.prompt = teacher, prompt
        self._negative = teacher.embed([negative])
        self._known: dict[str, Tensor] = {}
        self._embedding("")  # an unknown word should fail here, not at the first step

    def _embedding(self, phrase: str) -> Tensor:
        if phrase not in self._known:
            text = f"{self.prompt}, {phrase}" if phrase else self.prompt
            self._known[phrase] = self.teacher.embed([text])
        return self._known[phrase]

    def at(self, views: Cameras) -> Conditioning:
        """The conditioning of `views`."""
        from torch import cat

        pairs = zip(views.azimuth.tolist(), views.elevation.tolist(), strict=True)
        style = self.teacher.view_style
        positive = cat([self._embedding(view_phrase(a, e, style)) for a, e in pairs])
        return Conditioning(positive, self._negative.expand(len(views), -1, -1))
