"""The loop: render, ask the teacher, turn its answer into a gradient, step, adapt.

A generator: the command line, tests, a viewer and a notebook all consume this one.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from score3d.distill.equation import Rule, ask, combine
from score3d.draw import Draw, DrawSpec, draw_at
from score3d.prompts import Conditioning, PromptBook
from score3d.scenes.base import Render, Scene
from score3d.teachers.base import Teacher, at_step

__all__ = ["Diverged", "Source", "StepInfo", "optimise", "optimise_in_memory"]

# source(cond, teacher, draw) -> cond that also says what these views show before the edit
Source = Callable[[Conditioning, Teacher, Draw], Conditioning]


class Diverged(RuntimeError):
    """Too many steps in a row produced values that are not finite."""


@dataclass(frozen=True)
class StepInfo:
    """What one step did. grad_norm: ||g|| of the latents' gradient, averaged over views (there
    is no loss value). seconds: per phase. skipped: why the step was not applied, or ""."""

    step: int
    grad_norm: float
    t: float
    primitives: int
    seconds: dict[str, float]
    view: Render
    skipped: str = ""


def _not_finite(scene: Scene, named: dict[str, Tensor]) -> str:
    """The name of the first tensor, or parameter gradient, that is not finite, or ""."""
    for name, value in named.items():
        if not torch.isfinite(value).all():
            return name
    for name, p in scene.parameters().items():
        if p.grad is not None and not torch.isfinite(p.grad).all():
            return f"gradient of {name}"
    return ""


def view_rows(z: Tensor, parameters: list[Tensor], g: Tensor) -> Tensor:
    """Each view's own gradient [B,P] on all P elements of `parameters`, for gradients g on
    latents z, both [B,C,h,w]. One backward pass per view; the graph stays."""
    rows = []
    for i in range(len(z)):
        alone = torch.zeros_like(g)
        alone[i] = g[i]
        found = torch.autograd.grad(z, parameters, alone, retain_graph=True, allow_unused=True)
        pieces = [
            torch.zeros_like(p) if f is None else f for p, f in zip(parameters, found, strict=True)
        ]
        rows.append(torch.cat([v.flatten() for v in pieces]))
    return torch.stack(rows)


def _rows(view: Render, z: Tensor, parameters: list[Tensor], g: Tensor) -> Tensor:
    """`view_rows`, which leaves nothing in the gradients that the adaptation is to read."""
    rows = view_rows(z, parameters, g)
    for part in view.parts or (view,):
        means = part.meta.get("means2d")
        if means is not None and means.retains_grad:
            means.grad = None
    return rows


def optimise(
    scene: Scene,
    teacher: Teacher,
    prompts: PromptBook,
    rule: Rule,
    spec: DrawSpec,
    start: int = 0,
    device: torch.device | str = "cpu",
    patience: int = 5,
    source: Source | None = None,
) -> Iterator[StepInfo]:
    """Optimise `scene` from step `start` to `spec.steps`, yielding after each step.

    source: for edits, adds to each step's conditioning what is being edited.

    A step with a value that is not finite is not applied: the parameters stay as the last good
    step left them. After `patience` such steps in a row, raises Diverged with the step, the
    tensor, t and the views.
    """
    bad = 0
    for step in range(start, spec.steps):
        clock = [time.perf_counter()]
        draw = draw_at(spec, step).to(device)
        view = scene.render(draw.views, draw.background)
        clock.append(time.perf_counter())
        seen = at_step(teacher, draw.views, draw.noise.shape[1], step / spec.steps)
        z = seen.encode(view.rgb) if view.latents is None else view.latents
        clock.append(time.perf_counter())
        cond = prompts.at(draw.views, rule.opposites)
        if source is not None:
            cond = source(cond, seen, draw)
        asked = ask(seen, z.detach(), cond, draw, view, rule)
        asked = replace(asked, rows=partial(_rows, view, z, list(scene.parameters().values())))
        grad = combine(seen, asked, rule)
        clock.append(time.perf_counter())
        reg = scene.regulariser(view)
        demand = rule.consistency(view, grad, draw)
        if demand is not None:
            reg = reg + demand
        torch.autograd.backward(
            [z, reg] if reg.requires_grad else [z],
            [grad / len(z), None] if reg.requires_grad else [grad / len(z)],
        )
        clock.append(time.perf_counter())
        what = _not_finite(scene, {"render": view.rgb, "latents": z, "gradient": grad})
        if what:
            for p in scene.parameters().values():
                p.grad = None
            bad += 1
            if bad >= patience:
                angles = ", ".join(f"{a:.0f}" for a in draw.views.azimuth.tolist())
                raise Diverged(
                    f"step {step}: {what} is not finite, {bad} steps in a row "
                    f"(t = {draw.t.tolist()}, azimuths {angles})"
                )
        else:
            bad = 0
            scene.step(step)
            scene.adapt(draw, view)
            rule.learn(seen, asked)
        clock.append(time.perf_counter())
        phases = ("render", "encode", "teacher", "backward", "adapt")
        seconds = {p: b - a for p, a, b in zip(phases, clock[:-1], clock[1:], strict=True)}
        norm = float(grad.flatten(1).norm(dim=1).mean())
        yield StepInfo(step, norm, float(draw.t.mean()), len(scene), seconds, view, what)


def optimise_in_memory(
    scene: Scene,
    teacher: Teacher,
    prompts: PromptBook,
    rule: Rule,
    spec: DrawSpec,
    start: int = 0,
    device: torch.device | str = "cpu",
    told: Callable[[str], None] = lambda note: None,
    source: Source | None = None,
) -> Iterator[StepInfo]:
    """`optimise`, but a step for which the device's memory is too small is taken again, with its
    own random numbers, after the teacher has found a way to use less (`use_less_memory`).

    told: is given one line about each such change. Raises RuntimeError when none is left.
    """
    step = start
    while True:
        try:
            steps = optimise(scene, teacher, prompts, rule, spec, step, device, source=source)
            for info in steps:
                step = info.step + 1
                yield info
            return
        except torch.OutOfMemoryError as error:
            less = getattr(teacher, "use_less_memory", str)()
            if not less:
                reason = str(error).split(". ")[0]
                raise RuntimeError(
                    f"step {step}: out of memory ({reason}) although the teacher already uses as "
                    "little as it can; fewer views (--set views.count=1), a lower views.resolution "
                    "or teacher.resolution need less"
                ) from error
        # out of the handler, whose traceback would keep the step's tensors alive
        for parameter in scene.parameters().values():
            parameter.grad = None
        if torch.device(device).type == "cuda":
            torch.cuda.empty_cache()
        told(f"step {step}: out of memory; continuing with {less}")
