"""Editing pictures and panoramas: what `score3d edit image` and `edit panorama` do."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from score3d import build
from score3d.cameras import Cameras, orbit
from score3d.config import Config, ConfigError, to_toml
from score3d.edit.frame import Frame
from score3d.edit.moved import Moved
from score3d.edit.original import Original
from score3d.edit.parent import parent_of
from score3d.edit.session import Session, judged, looping, open_session
from score3d.edit.where import disagreement
from score3d.evaluate.edits import psnr
from score3d.evaluate.seams import seam_energy
from score3d.files.atomic import write_text
from score3d.files.pictures import contact_sheet, write_png
from score3d.files.splats import Splats
from score3d.follow import Clock, Phase, Task, follow, versions
from score3d.loop import StepInfo
from score3d.runs.checkpoint import Checkpoint
from score3d.runs.folder import RunFolder, write_summary
from score3d.scenes.canvas import CanvasScene, Layout
from score3d.scenes.photograph import photograph

__all__ = ["canvas_task", "edit_picture", "preview_edit", "read_picture", "windows"]

PREVIEW_AZIMUTH, PREVIEW_ELEVATION = 30.0, 15.0


def read_picture(path: Path) -> NDArray[np.float32]:
    """[H,W,3] in [0,1] of a picture file or of the folder of an edit of one; transparency is put
    on white. Raises ConfigError for what is no still picture."""
    if path.is_dir():
        found = [path / n for n in ("panorama.png", "picture.png") if (path / n).is_file()]
        if not found:
            raise ConfigError(f"{path}: a folder without picture.png or panorama.png")
        path = found[0]
    if not path.exists():
        raise ConfigError(f"{path}: no such file")
    try:
        with Image.open(path) as image:
            frames = getattr(image, "n_frames", 1)
            if frames > 1:
                raise ConfigError(f"{path}: {frames} frames; use `score3d edit video`")
            rgba = image.convert("RGBA")
    except (OSError, Image.DecompressionBombError) as error:
        raise ConfigError(f"{path}: not a picture that can be read ({error})") from error
    paper = Image.new("RGBA", rgba.size, "white")
    rgb = np.asarray(Image.alpha_composite(paper, rgba).convert("RGB"), np.float32) / np.float32(
        255
    )
    if min(rgb.shape[:2]) < 8:
        raise ConfigError(f"{path}: {rgb.shape[1]} x {rgb.shape[0]} pixels are too few to edit")
    return rgb


def windows(count: int, side: int) -> Cameras:
    """`count` views of a canvas, evenly over it."""
    azimuth = torch.arange(count) * (360.0 / count)
    return orbit(azimuth, torch.zeros(count), 2.0, 40.0, side, side)


def _batch(pictures: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).contiguous()


def canvas_task(
    config: Config, session: Session, source: NDArray[np.float32], layout: Layout
) -> tuple[Task, CanvasScene]:
    """What the loop needs to edit pictures [F,H,W,3], and the scene they are."""
    side, device = session.teacher.resolution, session.device
    batch = _batch(source)  # held once: neither scene changes it
    scene, still = (
        CanvasScene(batch, side, config.scene.image_lr, layout, device) for _ in range(2)
    )
    told = "instruct" in session.teacher.capabilities
    if config.edit.where == "words" or (config.edit.where == "auto" and not told):
        scene.where = disagreement(
            still, session.teacher, session.prompts, session.source, config.run.seed
        )
    spec = build.build_spec(config, session.teacher)
    task = Task(
        scene, session.teacher, session.prompts, session.rule, spec,
        Original(still, session.source), looping(config),
    )  # fmt: skip
    return task, scene


def looked_at(scene: CanvasScene) -> Callable[[], torch.Tensor]:
    """The pictures that must move."""
    views = windows(4, scene.side)
    return lambda: scene.render(views, torch.zeros(4, 3)).rgb


def edit_picture(
    config: Config,
    source: NDArray[np.float32],
    layout: Layout,
    folder: RunFolder,
    checkpoint: Checkpoint | None = None,
    should_stop: Callable[[], str] = lambda: "",
) -> Iterator[Phase | StepInfo]:
    """Edit `source` [H,W,3] in [0,1] as `planned` settings say, in `folder`; a panorama if the
    layout is "strip" or "ring". See `edit_scene`."""
    clock = Clock()
    yield Phase("load", f"teacher {config.teacher.name}")
    session = open_session(config, angles=False)
    task, scene = canvas_task(config, session, source[None], layout)
    write_text(folder.config, to_toml(config))
    clock.lap("load")
    target = folder.picture if layout == "frames" else folder.panorama
    moved = Moved(scene, looked_at(scene), config.edit.check_after)
    first = checkpoint.step if checkpoint else 0
    went = yield from follow(
        task, config, folder, checkpoint, session.device, should_stop,
        preview=lambda: write_png(folder.preview, scene.pictures()[0]),
        each=lambda done: moved(done - first),
    )  # fmt: skip
    clock.lap("optimise")
    yield Phase("export")
    result = scene.pictures()[0]
    write_png(target, result)
    write_png(folder.preview, result)
    columns = 2 if layout == "frames" else 1
    title = f"{config.edit.source or 'before'} -> {config.run.prompt}"
    sheet = contact_sheet(np.stack([source, result]), columns, ["before", "after"], title)
    write_png(folder.contact_sheet, sheet)
    clock.lap("export")
    yield Phase("judge")
    before, after = (_windows_of(p, layout) for p in (source, result))
    found = judged(config, session.teacher, before, after)
    figures: dict[str, Any] = {"psnr_to_source": psnr(source, result)}
    if layout != "frames":
        height, width = source.shape[:2]
        borders = list(range(0, width, height))
        figures["seam_energy"] = seam_energy(result, borders, layout == "ring")
        figures["seam_energy_before"] = seam_energy(source, borders, layout == "ring")
    summary = summary_of(config, went.summary(), figures | ({"judge": found} if found else {}))
    summary |= {"seconds": clock.seconds, "notes": went.notes}
    write_summary(folder.summary, summary)
    yield Phase("done", went.status)


def summary_of(config: Config, went: dict[str, Any], figures: dict[str, Any]) -> dict[str, Any]:
    """What summary.json says of an edit that has no Gaussians."""
    return {
        "prompt": config.run.prompt,
        **went,
        "gaussians": 0,
        "seed": config.run.seed,
        "edit": {
            "instruction": config.edit.instruction,
            "source": config.edit.source,
            "method": config.distill.loss,
            "parent": parent_of(Path(config.edit.input)),
            **figures,
        },
        "versions": versions(),
    }


def _windows_of(picture: NDArray[np.float32], layout: Layout) -> NDArray[np.float32]:
    """The squares [B,H,H,3] that lie side by side in a panorama; the picture itself else."""
    height, width = picture.shape[:2]
    if layout == "frames" or width < 2 * height:
        return picture[None]
    return np.stack([picture[:, x : x + height] for x in range(0, width - height + 1, height)])


def preview_edit(config: Config, splats: Splats) -> NDArray[np.float32]:
    """One view of a scene before and after its edit as a picture, side by side [H,2H,3]."""
    views = config.views.model_copy(update={"layout": "single"})
    config = config.model_copy(update={"views": views})
    session = open_session(config, angles=False)
    side = session.teacher.resolution
    camera = orbit(
        torch.tensor([PREVIEW_AZIMUTH]), torch.tensor([PREVIEW_ELEVATION]), 2.0,
        config.views.fov, side, side,
    )  # fmt: skip
    source = photograph(Frame.of(splats).into(splats), camera, config.output.background)
    task, scene = canvas_task(config, session, source, "frames")
    moved = Moved(scene, looked_at(scene), config.edit.check_after)
    for info in task.steps(0, session.device):
        moved(info.step + 1)
    return np.concatenate([source[0], scene.pictures()[0]], 1)
