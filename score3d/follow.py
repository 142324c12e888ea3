"""The loop inside a run folder: metrics, checkpoints and stops, for everything that has steps."""

import importlib.metadata
import platform
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch

from score3d.config import Config
from score3d.distill.equation import Rule
from score3d.draw import DrawSpec
from score3d.loop import Source, StepInfo, optimise_in_memory
from score3d.prompts import PromptBook
from score3d.runs.checkpoint import Checkpoint, save_checkpoint
from score3d.runs.folder import MetricsLog, RunFolder
from score3d.scenes.base import Scene
from score3d.teachers.base import Teacher

__all__ = ["Clock", "Followed", "Loop", "Phase", "Task", "follow", "versions"]

FIRST_PREVIEW = 4  # a person should see something within seconds


@dataclass(frozen=True)
class Phase:
    """A new phase begins: "load", "optimise", "export", "judge" or "done". note: for people."""

    name: str
    note: str = ""


class Clock:
    """Seconds per phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, phase: str) -> None:
        now = time.perf_counter()
        self.seconds[phase] = round(self.seconds.get(phase, 0.0) + now - self._last, 3)
        self._last = now


@runtime_checkable
class Stateful(Protocol):
    """A loop with state of its own, which goes into the checkpoint."""

    def state_dict(self) -> dict[str, torch.Tensor]: ...

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None: ...


# takes what `optimise_in_memory` takes; may be `Stateful`
Loop = Callable[..., Iterator[StepInfo]]


@dataclass(frozen=True)
class Task:
    """What the loop works on: see `optimise`. source: for edits. loop: what takes the steps."""

    scene: Scene
    teacher: Teacher
    prompts: PromptBook
    rule: Rule
    spec: DrawSpec
    source: Source | None = None
    loop: Loop = optimise_in_memory

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Everything that a bit-identical continuation needs, flat."""
        state = self.scene.state_dict() | self.rule.state_dict()
        return state | (self.loop.state_dict() if isinstance(self.loop, Stateful) else {})

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """The inverse of `state_dict`. Raises ValueError if something is missing."""
        self.scene.load_state_dict(state)
        self.rule.load_state_dict(state)
        if isinstance(self.loop, Stateful):
            self.loop.load_state_dict(state)

    def steps(
        self, start: int, device: torch.device, told: Callable[[str], None] = lambda note: None
    ) -> Iterator[StepInfo]:
        """Take the steps from `start` on; told: see `optimise_in_memory`."""
        return self.loop(
            self.scene, self.teacher, self.prompts, self.rule, self.spec, start, device,
            told, self.source,
        )  # fmt: skip


@dataclass
class Followed:
    """How it went. status: "complete", or why it was stopped. steps: done in all. phases: seconds
    by part of a step. notes: remarks for people."""

    status: str = "complete"
    steps: int = 0
    phases: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Its part of summary.json."""
        return {
            "status": self.status,
            "steps": self.steps,
            "step_seconds": {k: round(v, 3) for k, v in self.phases.items()},
        }


def follow(
    task: Task,
    config: Config,
    folder: RunFolder,
    checkpoint: Checkpoint | None,
    device: torch.device,
    should_stop: Callable[[], str] = lambda: "",
    preview: Callable[[], object] = lambda: None,
    each: Callable[[int], object] = lambda done: None,
) -> Generator[Phase | StepInfo, None, Followed]:
    """Take `task` from its checkpoint, if there is one, to `run.steps`; returns how it went.

    should_stop: asked after each step; a non-empty answer ends the run early, with a checkpoint.
    preview: called now and then, to write a picture. each: called with the number of steps done.
    """
    metrics, went = MetricsLog(folder.metrics), Followed()
    if checkpoint:
        task.load_state_dict(checkpoint.tensors)
        went.steps = checkpoint.step
        metrics.truncate(went.steps)
    start, told = went.steps, 0
    yield Phase("optimise", f"steps {start} to {config.run.steps}")
    for info in task.steps(start, device, went.notes.append):
        while len(went.notes) > told:
            yield Phase("optimise", went.notes[told])
            told += 1
        done = went.steps = info.step + 1
        for name, value in info.seconds.items():
            went.phases[name] = went.phases.get(name, 0.0) + value
        metrics.append(_record(info))
        if done == start + FIRST_PREVIEW or done % config.run.preview_every == 0:
            preview()
        each(done)
        stop = should_stop() if done < config.run.steps else ""
        if done % config.run.checkpoint_every == 0 or stop or done == config.run.steps:
            save_checkpoint(
                folder.checkpoint,
                done,
                task.state_dict(),
                {"prompt": config.run.prompt},
            )
        yield info
        if stop:
            went.status = stop
            break
    return went


def _record(info: StepInfo) -> dict[str, Any]:
    """One line of metrics.jsonl: nothing that depends on the machine's speed, so that a resumed
    run writes the same file as an uninterrupted one."""
    record = {
        "step": info.step,
        "grad_norm": info.grad_norm,
        "t": info.t,
        "gaussians": info.primitives,
    }
    return record | ({"skipped": info.skipped} if info.skipped else {})


def versions() -> dict[str, str]:
    """What a run was made with."""
    names = ("score3d", "torch", "diffusers", "transformers", "gsplat", "numba")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
