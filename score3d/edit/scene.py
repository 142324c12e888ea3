"""Editing a scene of Gaussians: what `score3d edit scene` does."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from score3d import build
from score3d.cameras import turntable
from score3d.config import Config, ConfigError, to_toml
from score3d.edit.capture import Capture, captured, one_by_one
from score3d.edit.frame import Frame
from score3d.edit.lifting import coverage
from score3d.edit.moved import Moved
from score3d.edit.original import Original
from score3d.edit.parent import parent_of
from score3d.edit.region import Selection, parse_region, select
from score3d.edit.session import Session, judged, looping, open_session
from score3d.edit.swap import imagined_with
from score3d.edit.word_region import select_words
from score3d.evaluate.edits import outside_psnr, silhouette_iou
from score3d.files.atomic import write_text
from score3d.files.pictures import contact_sheet, write_png, write_turntable
from score3d.files.ply import write_ply
from score3d.files.splats import Splats
from score3d.follow import Clock, Phase, Task, follow, versions
from score3d.loop import StepInfo
from score3d.report.run_report import write_report_or_note
from score3d.runs.checkpoint import Checkpoint
from score3d.runs.folder import RunFolder, write_summary
from score3d.scenes.gaussians import GaussianScene
from score3d.scenes.photograph import photograph

__all__ = ["edit_scene"]

VIEWS = 8
TOUCHED = 1e-3  # of a pixel: from there on the selected Gaussians have a part in it
LOOKED_AT = 64  # side in pixels of the pictures that must move


def edit_scene(
    config: Config,
    original: Splats,
    folder: RunFolder,
    checkpoint: Checkpoint | None = None,
    should_stop: Callable[[], str] = lambda: "",
    watch: Callable[[int, Callable[[], Splats]], object] = lambda step, splats: None,
    notes: tuple[str, ...] = (),
) -> Iterator[Phase | StepInfo]:
    """Edit `original` (file coordinates) as `planned` settings say, in `folder`.

    See `generate` for the other arguments. notes: remarks about the input. Raises ConfigError,
    FileFormatError, PromptError, TeacherError, NothingMoved, Diverged, OSError.
    """
    clock = Clock()
    yield Phase("load", f"teacher {config.teacher.name}")
    config = one_by_one(config) if config.edit.cameras else config
    if len(original) == 0:
        raise ConfigError(f"{config.edit.input}: no Gaussians to edit")
    frame = Frame.of(original)
    start = frame.into(original)
    kind = parse_region(config.edit.region)[0] if config.edit.region else ""
    chosen = None
    if kind and kind != "words":
        chosen = select(original, frame, config.edit.region, config.edit.bias)
    capture = captured(
        Path(config.edit.cameras), frame, start, config.views.resolution
    ) if config.edit.cameras else None  # fmt: skip
    session = open_session(config, angles=True)
    if kind == "words":
        chosen = select_words(config, original, frame, session)
    spec = build.build_spec(config, session.teacher)
    if capture and spec.ring > 1:
        raise ConfigError(
            f"teacher {config.teacher.name} looks at {spec.ring} views laid out around the scene "
            "at once, and edit.cameras gives those of a capture; choose another --teacher"
        )
    spec = replace(spec, cameras=capture.cameras if capture else None)
    frozen = None if chosen is None else torch.from_numpy(~chosen.selected)
    another = config.scene.start == "prior" and chosen is None
    begin = imagined_with(config, start) if another else start
    scene = build.build_edited_scene(config, begin, session.device, frozen)
    still = build.build_edited_scene(config, start, session.device)
    write_text(folder.config, to_toml(config))
    clock.lap("load")
    moved = Moved(scene, lambda: _look(scene, session, capture), config.edit.check_after)
    first = checkpoint.step if checkpoint else 0

    def each(done: int) -> None:
        moved(done - first)
        watch(done, scene.splats)

    went = yield from follow(
        Task(
            scene, session.teacher, session.prompts, session.rule, spec,
            Original(still, session.source), looping(config),
        ),
        config, folder, checkpoint, session.device, should_stop,
        preview=lambda: write_png(folder.preview, _pictures(scene.splats(), config, 1)[0]),
        each=each,
    )  # fmt: skip
    clock.lap("optimise")
    yield Phase("export")
    edited = scene.splats()
    result = frame.back(edited, start, original)
    write_ply(folder.scene, result)
    before, after = _write_pictures(folder, config, start, edited)
    clock.lap("export")
    yield Phase("judge")
    remarks = [*([chosen.note] if chosen else []), *(capture.notes if capture else ())]
    found = judged(config, session.teacher, before, after)
    summary: dict[str, Any] = {
        "prompt": config.run.prompt,
        **went.summary(),
        "gaussians": len(result),
        "seed": config.run.seed,
        "edit": {
            "instruction": config.edit.instruction,
            "source": config.edit.source,
            "method": config.distill.loss,
            "parent": parent_of(Path(config.edit.input)),
            "centre": list(frame.centre),
            "scale": frame.scale,
            **_figures(config, start, edited, before, after, chosen),
            **({"judge": found} if found else {}),
        },
        "seconds": clock.seconds,
        "notes": [*notes, *remarks, *went.notes],
        "versions": versions(),
    }
    clock.lap("judge")
    write_summary(folder.summary, summary)
    write_report_or_note(folder.path, summary)
    yield Phase("done", went.status)


def _look(scene: GaussianScene, session: Session, capture: Capture | None) -> torch.Tensor:
    """Pictures [B,3,H,W] from four sides, and from places of the capture, if there is one."""
    looks = [turntable(4, LOOKED_AT), *([capture.some(4, LOOKED_AT)] if capture else [])]
    gray = torch.full((4, 3), 0.5, device=session.device)
    seen = [scene.render(v.to(session.device), gray[: len(v)]).rgb for v in looks]
    return torch.cat(seen)


def _pictures(splats: Splats, config: Config, count: int = VIEWS) -> NDArray[np.float32]:
    views = turntable(count, config.output.picture_size, fov=config.views.fov)
    return photograph(splats, views, config.output.background)


def _write_pictures(
    folder: RunFolder, config: Config, start: Splats, edited: Splats
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Write contact sheet, preview and turntable, each before and after; returns the views."""
    before, after = _pictures(start, config), _pictures(edited, config)
    angles = [f"{k * 360 // VIEWS} deg" for k in range(VIEWS)]
    labels = [f"before, {a}" for a in angles] + [f"after, {a}" for a in angles]
    title = f"{config.edit.source or 'before'} -> {config.run.prompt}"
    sheet = contact_sheet(np.concatenate([before, after]), VIEWS, labels, title)
    write_png(folder.contact_sheet, sheet)
    write_png(folder.preview, np.concatenate([before[1], after[1]], 1))
    count = config.output.turntable_views
    films = [_pictures(splats, config, count) for splats in (start, edited)]
    write_turntable(folder.turntable, np.concatenate(films, 2), fps=count / 4)
    return before, after


def _figures(
    config: Config,
    start: Splats,
    edited: Splats,
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    chosen: Selection | None,
) -> dict[str, Any]:
    """What is measured of any edit: see docs/editing.md."""
    views = turntable(VIEWS, config.output.picture_size, fov=config.views.fov)
    everything = np.ones(len(start), np.bool_)
    alphas = [coverage(s, everything, views) for s in (start, edited)]
    figures: dict[str, Any] = {
        "silhouette_iou": silhouette_iou(*alphas),
        "mean_change": float(np.abs(after - before).mean()),
    }
    if chosen is not None:
        parts = [coverage(s, chosen.selected, views) for s in (start, edited)]
        inside = np.maximum(*parts) > TOUCHED
        figures["selected"] = int(chosen.selected.sum())
        figures["outside_psnr"] = outside_psnr(before, after, inside)
    return figures
