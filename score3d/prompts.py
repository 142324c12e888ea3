"""View-dependent prompts: the text embeddings of one step's views."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from score3d.cameras import Cameras, wrap_degrees
from score3d.teachers.base import Teacher
from score3d.world.captions import grid_phrase, view_phrase

__all__ = ["Conditioning", "PromptBook", "opposite_weights"]


@dataclass(frozen=True)
class Conditioning:
    """What the teacher is told of B views.

    positive, negative [B,L,D]: text embeddings. The negative one is what takes the
    unconditional branch's place (the empty prompt unless the user names one).
    opposites [B,K,L,D], opposite_weights [B,K] (<= 0): the object seen from other sides, to
    be steered away from (Perp-Neg). image [B,...]: what an instruct teacher edits.
    source [B,L,D], source_latents [B,C,h,w]: what is being edited, and its text.
    plain [B,L,D]: the prompt without angles. All but the first two may be None.
    """

    positive: Tensor
    negative: Tensor
    opposites: Tensor | None = None
    opposite_weights: Tensor | None = None
    image: Tensor | None = None
    source: Tensor | None = None
    source_latents: Tensor | None = None
    plain: Tensor | None = None

    def repeat(self, samples: int) -> "Conditioning":
        """Each view `samples` times, copies next to each other: B * samples rows."""
        return self._map(lambda v: v.repeat_interleave(samples, 0))

    def rows(self, index: Tensor) -> "Conditioning":
        """The rows of `index` (a mask or numbers)."""
        return self._map(lambda v: v[index])

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Conditioning":
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return Conditioning(**{k: change(v) for k, v in values.items() if v is not None})


def opposite_weights(azimuth: float) -> tuple[float, float]:
    """Perp-Neg's weights (<= 0) of the negatives "front view" and "side view" at an azimuth in
    degrees: -(a exp(-b r) + c), with threestudio's constants.

    r falls from 1 to 0 from the front to the side, and again from the side to the back. Which
    constants belong to which pair is reconstructed: the one assignment that leaves a view alone
    at its own angle (front at 0, side at 90) and is continuous between the two quarters.
    """
    a = abs(wrap_degrees(azimuth))
    r = 1 - a / 90 if a <= 90 else 2 - a / 90
    if a <= 90:
        front = 4 * math.exp(-0.5 * r) - 2.426
        side = 4 * math.exp(-0.5 * (1 - r)) - 2.426
    else:
        front = math.exp(-0.5 * r) + 0.967
        side = math.exp(-0.5 * r) - 0.606
    return min(-front, 0.0), min(-side, 0.0)


class PromptBook:
    """Embeds "<prompt>, <view phrase>" once per distinct phrase and hands them out by view."""

    def __init__(
        self, teacher: Teacher, prompt: str, negative: str = "", angles: bool = True
    ) -> None:
        """angles: False leaves the view phrases out, for pictures that are no views of an object
        and for instructions."""
        self.teacher, self.prompt, self.angles = teacher, prompt, angles
        self._negative = teacher.embed([negative])
        self._known: dict[str, Tensor] = {}
        self._embedding("")  # an unknown word should fail here, not at the first step

    def _embedding(self, phrase: str) -> Tensor:
        if phrase not in self._known:
            text = f"{self.prompt}, {phrase}" if phrase else self.prompt
            self._known[phrase] = self.teacher.embed([text])
        return self._known[phrase]

    def at(self, views: Cameras, opposites: bool = False) -> Conditioning:
        """The conditioning of `views`; in the style "grid" four views in a row share the words of
        their first. opposites: also what Perp-Neg steers away from, the same
        object seen from the front and from the view's own flank, at the view's elevation."""
        angles = list(zip(views.azimuth.tolist(), views.elevation.tolist(), strict=True))
        style = self.teacher.view_style
        if not self.angles:
            phrases = [""] * len(angles)
        elif style == "grid":
            phrases = [grid_phrase(*angles[i - i % 4]) for i in range(len(angles))]
        else:
            phrases = [view_phrase(a, e, style) for a, e in angles]
        positive = torch.cat([self._embedding(p) for p in phrases])
        negative = self._negative.expand(len(views), -1, -1)
        plain = self._embedding("four views" if style == "grid" else "")
        plain = plain.expand(len(views), -1, -1)
        if not opposites:
            return Conditioning(positive, negative, plain=plain)
        flanks = [90.0 if wrap_degrees(a) >= 0 else -90.0 for a, _ in angles]
        front = torch.cat([self._embedding(view_phrase(0.0, e, style)) for _, e in angles])
        side = torch.cat(
            [
                self._embedding(view_phrase(f, e, style))
                for f, (_, e) in zip(flanks, angles, strict=True)
            ]
        )
        weights = torch.tensor([opposite_weights(a) for a, _ in angles], device=positive.device)
        sides = torch.stack([front, side], 1)
        return Conditioning(positive, negative, sides, weights, plain=plain)
