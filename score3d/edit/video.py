"""Editing films: what `score3d edit video` does.

A film streams through windows of frames that overlap. Each window is edited by the loop, its
frames coupled, with the same random numbers and as many steps as every other, so that no part of a
film is changed more than another; overlaps are cross-faded. Memory is bounded by the window.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from score3d.config import Config, ConfigError, to_toml
from score3d.edit.moved import Moved
from score3d.edit.picture import canvas_task, looked_at, summary_of
from score3d.edit.session import Session, judged, open_session
from score3d.edit.windows import load_window, save_window
from score3d.evaluate.judge import Judge
from score3d.evaluate.motion import estimated_flow, feature_distance, warp_error
from score3d.evaluate.two_tower import TwoTower
from score3d.files.atomic import write_text
from score3d.files.pictures import contact_sheet, write_png
from score3d.files.video import Film, frames_of, writing_film
from score3d.follow import Clock, Phase, Task
from score3d.loop import StepInfo
from score3d.runs.folder import MetricsLog, RunFolder, write_summary
from score3d.scenes.canvas import CanvasScene

__all__ = ["edit_video"]

PAIRS, PAIR_SIDE = 8, 96  # pairs of frames that are measured, and their longer side in pixels
SHOWN = 6  # frames on the contact sheet
BESIDE = 640  # longest side in pixels of what is kept to be looked at


def edit_video(
    config: Config,
    film: Film,
    ending: str,
    folder: RunFolder,
    should_stop: Callable[[], str] = lambda: "",
) -> Iterator[Phase | StepInfo]:
    """Edit `film` as `planned` settings say into video<ending> in `folder`, beside comparison.mp4,
    the frames before and after side by side. A stop ends the film with the window at hand; windows
    that an earlier run in `folder` finished are not computed again. See `edit_scene`; raises
    FileFormatError for damaged films."""
    clock = Clock()
    yield Phase("load", f"teacher {config.teacher.name}")
    session = open_session(config, angles=False)
    overlap = min(config.edit.overlap, config.edit.window - 1)
    frames = frames_of(film)
    held = list(islice(frames, config.edit.window))
    if len(held) < 2:
        raise ConfigError(f"{film.path}: {len(held)} frame; use `score3d edit image`")
    notes = _domain(config, session, held[0])
    for note in notes:
        yield Phase("load", note)
    write_text(folder.config, to_toml(config))
    clock.lap("load")
    seen, status, number = _Seen(), "complete", 0
    metrics = MetricsLog(folder.metrics)
    tail: list[NDArray[np.float32]] = []  # edited frames that the next window shows again
    height, width = _smaller(held[0], BESIDE).shape[:2]
    both = replace(film, width=2 * width, height=height, sound=False)
    with (
        writing_film(folder.path / f"video{ending}", film) as writer,
        writing_film(folder.path / "comparison.mp4", both) as beside,
    ):
        while True:
            yield Phase("optimise", f"frames {writer.frames} to {writer.frames + len(held) - 1}")
            task, scene = canvas_task(config, session, np.stack(held), "frames")
            change = load_window(folder.checkpoint, number, scene.change.shape)
            if change is not None:
                scene.change.data.copy_(change)
            else:
                yield from _window(config, task, scene, number, session.device, metrics)
                save_window(folder.checkpoint, number, scene.change)
            edited = list(scene.pictures())
            del task, scene  # before the next window is held beside this one
            for k, before in enumerate(tail):  # cross-fade
                share = (k + 1) / (len(tail) + 1)
                edited[k] = (1 - share) * before + share * edited[k]
            seen.add(held, edited)
            more = list(islice(frames, config.edit.window - overlap))
            stop = should_stop() if more else ""
            kept = len(edited) - overlap if more and not stop else len(edited)
            for before, picture in zip(held[:kept], edited[:kept], strict=True):
                writer.write(picture)
                halves = [_smaller(p, BESIDE) for p in (before, picture)]
                beside.write(np.concatenate(halves, 1))
            if stop or not more:
                status = stop or status
                break
            tail = edited[kept:]
            held, number = held[kept:] + more, number + 1
        writer.finish(whole=status == "complete")
        beside.finish()
    clock.lap("optimise")
    yield Phase("judge")
    figures: dict[str, Any] = {
        "frames": writer.frames,
        "size": [film.width, film.height],
        "rate": str(film.rate),
        "sound": film.sound and ending != ".gif",
        **seen.figures(),
    }
    found = judged(config, session.teacher, *(np.stack(p) for p in seen.shown))
    title = f"{config.edit.source or 'before'} -> {config.run.prompt}"
    write_png(
        folder.contact_sheet,
        contact_sheet(np.concatenate([np.stack(p) for p in seen.shown]), SHOWN, title=title)
        if len(seen.shown[0]) == SHOWN
        else contact_sheet(np.stack([p[0] for p in seen.shown]), 2, ["before", "after"], title),
    )
    write_png(folder.preview, np.concatenate([p[0] for p in seen.shown], 1))
    went = {"status": status, "steps": (number + 1) * config.run.steps, "step_seconds": {}}
    summary = summary_of(config, went, figures | ({"judge": found} if found else {}))
    clock.lap("judge")
    summary |= {"seconds": clock.seconds, "notes": notes}
    write_summary(folder.summary, summary)
    yield Phase("done", status)


def _window(
    config: Config,
    task: Task,
    scene: CanvasScene,
    number: int,
    device: torch.device,
    metrics: MetricsLog,
) -> Iterator[StepInfo]:
    """The steps of one window; the first one's must show."""
    moved = Moved(scene, looked_at(scene), config.edit.check_after)
    metrics.truncate(number * config.run.steps)
    for info in task.steps(0, device):
        if number == 0:
            moved(info.step + 1)
        record = {"grad_norm": info.grad_norm, "t": info.t, "window": number}
        metrics.append({"step": number * config.run.steps + info.step} | record)
        yield info


class _Seen:
    """What is kept of a film for its figures: a bounded number of frames."""

    def __init__(self) -> None:
        self.shown: tuple[list[Any], list[Any]] = ([], [])
        self.pairs: list[tuple[float, ...]] = []
        self.model = TwoTower()

    def add(self, before: list[NDArray[np.float32]], after: list[NDArray[np.float32]]) -> None:
        for k in (0, len(before) // 2):
            if len(self.shown[0]) < SHOWN:
                self.shown[0].append(_smaller(before[k], BESIDE))
                self.shown[1].append(_smaller(after[k], BESIDE))
        for k in range(0, len(before) - 1, 4):
            if len(self.pairs) < PAIRS:
                a, b, c, d = (
                    _smaller(p, PAIR_SIDE) for p in (*before[k : k + 2], *after[k : k + 2])
                )
                flow, visible = estimated_flow(a, b)
                warps = warp_error(a, b, flow, visible), warp_error(c, d, flow, visible)
                features = feature_distance(a, b, self.model), feature_distance(c, d, self.model)
                self.pairs.append((*warps, *features))

    def figures(self) -> dict[str, Any]:
        names = ("warp_error_before", "warp_error", "feature_distance_before", "feature_distance")
        means = np.nanmean(np.array(self.pairs), 0)
        return {name: float(mean) for name, mean in zip(names, means, strict=True)}


def _smaller(picture: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """The means of square blocks, so that no side is longer than `side`."""
    step = max(1, -(-max(picture.shape[:2]) // side))
    height, width = (n // step * step for n in picture.shape[:2])
    blocks = picture[:height, :width].reshape(height // step, step, width // step, step, 3)
    return blocks.mean((1, 3))


def _domain(config: Config, session: Session, frame: NDArray[np.float32]) -> list[str]:
    """A remark if the embedded teacher's judge does not recognise what the film is said to show."""
    world = getattr(session.teacher, "world", None)
    if world is None:
        return []
    noun = world.parse(config.edit.source).noun if config.edit.source else "nothing"
    said = Judge()(torch.from_numpy(frame).permute(2, 0, 1)[None]).nouns[0]
    if said == noun:
        return []
    return [
        f"the first frame looks like {said}, not {noun}, to the judge: the embedded teacher knows "
        "renders of single objects and is out of its domain here; expect colours at most, or name "
        "another with --teacher"
    ]
