"""From a prompt to an asset in a run folder: what `score3d generate` does.

A generator of events, so that a terminal, a test or a notebook can follow and stop it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from score3d import build
from score3d.cameras import Cameras, orbit, turntable
from score3d.config import Config, to_toml
from score3d.evaluate.judge import Judge
from score3d.evaluate.verdict import score_views
from score3d.files.atomic import write_text
from score3d.files.floaters import attached
from score3d.files.mesh import (
    MeshError,
    grid_to_mesh,
    splats_to_mesh,
    tetrahedra_to_mesh,
    write_mesh,
)
from score3d.files.pictures import contact_sheet, write_png, write_turntable
from score3d.files.ply import write_ply
from score3d.files.splats import Splats
from score3d.follow import Clock, Phase, Task, follow, versions
from score3d.loop import StepInfo
from score3d.prompts import PromptBook
from score3d.report.run_report import write_report_or_note
from score3d.runs.checkpoint import Checkpoint
from score3d.runs.folder import RunFolder, write_summary
from score3d.scenes.image import ImageScene
from score3d.scenes.mesh import MeshScene
from score3d.scenes.nerf import NerfScene
from score3d.scenes.photograph import photograph
from score3d.teachers.base import Teacher
from score3d.teachers.latent import LatentTeacher

__all__ = ["Phase", "generate"]

JUDGED_VIEWS = 8
FULL_MESH = 96  # output.mesh_resolution below which a mesh has fewer faces and texels, too
OWN_PICTURES = (NerfScene, MeshScene)  # not those of their Gaussians


def generate(
    config: Config,
    folder: RunFolder,
    checkpoint: Checkpoint | None = None,
    should_stop: Callable[[], str] = lambda: "",
    watch: Callable[[int, Callable[[], Splats]], object] = lambda step, splats: None,
) -> Iterator[Phase | StepInfo]:
    """Run `config` in `folder`, from `checkpoint` if there is one.

    should_stop: asked after each step; a non-empty answer ("interrupted", "time limit") ends
    the run early: it is checkpointed, exported and can be resumed. watch: given each step's number
    and what returns the scene, to be looked at. Raises PromptError,
    TeacherError, ConfigError, Diverged, OSError.
    """
    clock = Clock()
    yield Phase("load", f"teacher {config.teacher.name}")
    device = build.build_device(config.run.device)
    found = build.find_checkpoint(config, device)
    if found is not None:
        yield Phase("load", f"memory: {found.estimate(config.views.count).line(device)}")
    teacher = build.build_teacher(config, device)
    prompts = PromptBook(teacher, config.run.prompt, config.run.negative)
    scene = build.build_scene(config, device, teacher)
    rule = build.build_rule(config, teacher, Judge)
    scenes = getattr(scene, "particles", [scene])
    if isinstance(teacher, LatentTeacher) and found is not None:
        prompts.at(_all_sides(), rule.opposites)  # every phrase of the run, then
        teacher.release_text()
    spec = build.build_spec(config, teacher)
    write_text(folder.config, to_toml(config))
    clock.lap("load")

    def look(done: int) -> None:
        if not isinstance(scenes[0], ImageScene):
            watch(done, scenes[0].splats)

    went = yield from follow(
        Task(scene, teacher, prompts, rule, spec),
        config, folder, checkpoint, device, should_stop,
        preview=lambda: _preview(folder, scenes[0], config), each=look,
    )  # fmt: skip
    clock.lap("optimise")
    yield Phase("export")
    scene.prune(config.scene.final_prune)
    exports = [_export(folder.particle(i), s, config) for i, s in enumerate(scenes)]
    clock.lap("export")
    summary: dict[str, Any] = {
        "prompt": config.run.prompt,
        **went.summary(),
        "gaussians": sum(e.gaussians for e in exports),
        "seed": config.run.seed,
        "seconds": clock.seconds,
        "notes": [note for e in exports for note in e.notes] + went.notes,
        "versions": versions(),
    } | ({"resumed_at": checkpoint.step} if checkpoint else {})
    cache = getattr(teacher, "cache", None)
    if cache is not None:
        summary["prompt_cache"] = {"hits": cache.hits, "misses": cache.misses}
    judged = [_judge(teacher, config, e.views) for e in exports]
    if judged[0]:
        yield Phase("judge")
        summary["judge"] = judged[0]
    if len(scenes) > 1:
        summary["particles"] = [
            {"folder": str(folder.particle(i).path.relative_to(folder.path)),
             "gaussians": e.gaussians, "judge": j}
            for i, (e, j) in enumerate(zip(exports, judged, strict=True))
        ]  # fmt: skip
    clock.lap("judge")
    write_summary(folder.summary, summary)
    write_report_or_note(folder.path, summary)
    yield Phase("done", went.status)


def _all_sides() -> Cameras:
    """Cameras that between them see every phrase of a view there is."""
    angles = torch.cartesian_prod(torch.arange(0.0, 360.0, 15.0), torch.arange(-30.0, 91.0, 15.0))
    return orbit(angles[:, 0], angles[:, 1], 2.0, 40.0, 8, 8)


def _preview(folder: RunFolder, scene: Any, config: Config) -> None:
    if isinstance(scene, ImageScene):
        write_png(folder.preview, scene.picture())
        return
    views = turntable(8, config.output.picture_size, fov=config.views.fov)
    write_png(folder.preview, _pictures(scene, views[1:2], config.output.background)[0])


def _pictures(scene: Any, cameras: Cameras, gray: float) -> np.ndarray:
    """[B,H,W,3] in [0,1], by the scene itself if it can, else of its Gaussians."""
    if isinstance(scene, OWN_PICTURES):
        return scene.photograph(cameras, gray)
    return photograph(scene if isinstance(scene, Splats) else scene.splats(), cameras, gray)


@dataclass(frozen=True)
class _Exported:
    """What became of one scene: the views that are judged [V,H,W,3] and remarks."""

    views: np.ndarray
    gaussians: int
    notes: list[str]


def _export(folder: RunFolder, scene: Any, config: Config) -> _Exported:
    """Write one scene's files: splats, mesh and pictures, or a picture alone."""
    folder.path.mkdir(exist_ok=True)
    if isinstance(scene, ImageScene):
        picture = scene.picture()
        write_png(folder.picture, picture)
        write_png(folder.preview, picture)
        return _Exported(picture[None], 0, [])
    splats, dropped = scene.splats().finite()
    if not isinstance(scene, OWN_PICTURES):
        splats = splats.select(attached(splats, config.scene.floaters))
    write_ply(folder.scene, splats)
    if isinstance(scene, NerfScene):
        scene.field().save(folder.field)
    if isinstance(scene, MeshScene):
        scene.field().save(folder.tetrahedra)
    views = _export_pictures(folder, scene if isinstance(scene, OWN_PICTURES) else splats, config)
    notes = [f"{dropped} Gaussians that were not finite were dropped"] if dropped else []
    notes += _export_mesh(folder, scene, splats, config)
    return _Exported(views, len(splats), notes)


def _export_pictures(folder: RunFolder, scene: Any, config: Config) -> np.ndarray:
    """Write the pictures; returns the judged turntable views [8,H,W,3]."""
    size, fov = config.output.picture_size, config.views.fov
    # not white: a white snowman has to be seen, by people and by the judge
    gray = config.output.background
    views = _pictures(scene, turntable(JUDGED_VIEWS, size, fov=fov), gray)
    labels = [f"{k * 360 // JUDGED_VIEWS} deg" for k in range(JUDGED_VIEWS)]
    sheet = contact_sheet(views, 4, labels, config.run.prompt)
    write_png(folder.contact_sheet, sheet)
    write_png(folder.preview, views[1])
    if isinstance(scene, MeshScene):
        shown = scene.photograph_normals(turntable(JUDGED_VIEWS, size, fov=fov))
        write_png(folder.normals, contact_sheet(shown, 4, labels, "normals"))
    frames = _pictures(scene, turntable(config.output.turntable_views, size, fov=fov), gray)
    write_turntable(folder.turntable, frames, fps=config.output.turntable_views / 4)
    return views


def _export_mesh(folder: RunFolder, scene: Any, splats: Splats, config: Config) -> list[str]:
    """Write mesh.glb; a scene with no surface is a note, not a failed run."""
    try:
        side = config.output.mesh_resolution
        fine = min(1.0, side / FULL_MESH)
        detail = {"faces": round(10_000 * fine**2), "texture_size": max(16, round(1024 * fine))}
        if isinstance(scene, NerfScene):
            mesh = grid_to_mesh(scene.field(), side, **detail)
        elif isinstance(scene, MeshScene):
            mesh = tetrahedra_to_mesh(scene.field())
        else:
            mesh = splats_to_mesh(splats, side, **detail)
        write_mesh(folder.mesh, mesh)
    except MeshError as error:
        return [f"no mesh.glb: {error}"]
    return []


def _judge(teacher: Teacher, config: Config, views: np.ndarray) -> dict[str, Any] | None:
    """The judge knows the embedded teacher's world and no other, and one object at a time."""
    world = getattr(teacher, "world", None)
    thing = world.parse(config.run.prompt) if world else None
    if world is None or thing is None or thing.relation:
        return None
    judge = Judge()
    if thing.noun not in judge.nouns:
        return None
    sided = thing.noun not in world.symmetric
    return score_views(
        views,
        thing.noun,
        thing.colour,
        judge,
        material=thing.material,
        azimuths=np.arange(len(views)) * 360.0 / len(views) if sided else None,
    )
