"""The one equation of score distillation, and the six slots of a rule.

For views i = 1..B with latents z_i, times t_i and S noises each:

    eps_is  = noise(draw, view)                              how noise is drawn
    z_t     = alpha_t z_i + sigma_t eps_is
    e_is    = guide(teacher, z_t, t, cond)                   what the teacher says
    r_is    = w(t) (e_is - baseline(teacher, noisy))         what is subtracted
    r_i     = weight(teacher, asked)                         which samples count
    g_i     = couple(r_1..r_B, asked)                        how views talk to each other

`distill` returns g [B,C,h,w], a gradient on the latents and never a number: a "loss" whose
gradient is g would only print ||g||^2 in disguise. Gradients are per view; the loop divides by
B. Nothing here is differentiated: the teacher's Jacobian is dropped by definition (Poole et
al. 2022, arXiv 2209.14988, eq. 3).
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from score3d.draw import Draw
from score3d.prompts import Conditioning
from score3d.schedule import NoiseSchedule
from score3d.teachers.base import Teacher

__all__ = ["Asked", "Learner", "Noisy", "Rule", "ask", "combine", "distill"]


@dataclass(frozen=True)
class Noisy:
    """What the teacher is asked about: M = B S noisy latents, the S of a view side by side.

    z_t, eps, z [M,C,h,w] (z clean); t [M] in (0,1); cond of M rows; draw and view are the
    step's, of B views, for fillers that need cameras or geometry.
    """

    z_t: Tensor
    eps: Tensor
    z: Tensor
    t: Tensor
    cond: Conditioning
    draw: Draw
    view: object


@dataclass(frozen=True)
class Asked:
    """What the teacher said [M,C,h,w], w(t) [M,1,1,1], and the residual r [B,S,C,h,w].

    rows: for couplings that look at the scene's parameters, the loop's function from gradients
    g [B,C,h,w] to each view's own pull on all P of them, [B,P].
    """

    noisy: Noisy
    said: Tensor
    w: Tensor
    r: Tensor
    rows: Callable[[Tensor], Tensor] | None = None


# noise(draw, view) -> [B,S,C,h,w]; `view` is the render, for noise that lives on geometry
Noise = Callable[[Draw, object], Tensor]
# guide(teacher, z_t [M,C,h,w], t [M], cond of M rows) -> [M,C,h,w]
Guide = Callable[[Teacher, Tensor, Tensor, Conditioning], Tensor]
# baseline(teacher, noisy) -> [M,C,h,w]
Baseline = Callable[[Teacher, Noisy], Tensor]
# weight(teacher, asked) -> [B,C,h,w]
Weight = Callable[[Teacher, Asked], Tensor]
# couple(r [B,C,h,w], asked) -> [B,C,h,w]
Couple = Callable[[Tensor, Asked], Tensor]
# consistency(view, g [B,C,h,w], draw) -> a scalar on the render's graph, or None
Consistency = Callable[[object, Tensor, Draw], Tensor | None]
# w(schedule, t [M], z_t [M,C,h,w]) -> [M,1,1,1], with the dtype and device of z_t
TimeWeight = Callable[[NoiseSchedule, Tensor, Tensor], Tensor]


@runtime_checkable
class Learner(Protocol):
    """A filler with state: it learns after each applied step and goes into the checkpoint."""

    def learn(self, teacher: Teacher, asked: Asked) -> None:
        """One step on what was asked; draws nothing that does not come from `asked`."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Everything that a bit-identical continuation needs, flat."""
        ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state_dict`. Raises ValueError if something is missing."""
        ...


@dataclass(frozen=True)
class Rule:
    """One row of the table of methods: a filler for each slot, and w(t)."""

    noise: Noise
    guide: Guide
    baseline: Baseline
    weight: Weight
    couple: Couple
    consistency: Consistency
    time_weight: TimeWeight

    @property
    def opposites(self) -> bool:
        """Whether the guide steers away from the object's other sides."""
        return getattr(self.guide, "opposites", False)

    def learn(self, teacher: Teacher, asked: Asked) -> None:
        """Let the fillers that have state learn from a step; nothing for most rules."""
        for filler in self._learners().values():
            filler.learn(teacher, asked)

    def state_dict(self) -> dict[str, Tensor]:
        """The fillers' state as "rule.<slot>.<name>"; empty for most rules."""
        return {
            f"rule.{slot}.{name}": value
            for slot, filler in self._learners().items()
            for name, value in filler.state_dict().items()
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse; other names (the scene's) are passed over. Raises ValueError."""
        for slot, filler in self._learners().items():
            prefix = f"rule.{slot}."
            filler.load_state_dict(
                {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            )

    def _learners(self) -> dict[str, Learner]:
        slots = {f.name: getattr(self, f.name) for f in fields(self)}
        return {slot: filler for slot, filler in slots.items() if isinstance(filler, Learner)}


@torch.no_grad()
def ask(
    teacher: Teacher, z: Tensor, cond: Conditioning, draw: Draw, view: object, rule: Rule
) -> Asked:
    """The first half: noise, guide, baseline and w(t), at latents z [B,C,h,w]."""
    eps = rule.noise(draw, view)
    b, s = eps.shape[:2]
    flat, clean, t = eps.flatten(0, 1), z.repeat_interleave(s, 0), draw.t.repeat_interleave(s)
    alpha, sigma = teacher.schedule.alpha_sigma(t, z)
    z_t = alpha * clean + sigma * flat
    noisy = Noisy(z_t, flat, clean, t, cond.repeat(s), draw, view)
    said = rule.guide(teacher, z_t, t, noisy.cond)
    w = rule.time_weight(teacher.schedule, t, z_t)
    r = w * (said - rule.baseline(teacher, noisy))
    return Asked(noisy, said, w, r.unflatten(0, (b, s)))


@torch.no_grad()
def combine(teacher: Teacher, asked: Asked, rule: Rule) -> Tensor:
    """The second half: weight and couple. The gradient [B,C,h,w]."""
    return rule.couple(rule.weight(teacher, asked), asked)


def distill(
    teacher: Teacher, z: Tensor, cond: Conditioning, draw: Draw, view: object, rule: Rule
) -> Tensor:
    """The gradient [B,C,h,w], float32, of `rule` at latents z [B,C,h,w]."""
    return combine(teacher, ask(teacher, z, cond, draw, view, rule), rule)
