"""`score3d render`: pictures of a run or of a splat file."""

from pathlib import Path
from typing import Annotated

import typer

from score3d.cli.errors import reported


def render(
    source: Annotated[Path, typer.Argument(help="A run folder or a file of Gaussians.")],
    out: Annotated[Path, typer.Argument(help=".png for one view, .mp4 or .webp for a turntable.")],
    azimuth: Annotated[
        float, typer.Option(help="Degrees; 0 looks at the front, 90 from +x.")
    ] = 0.0,
    elevation: Annotated[float, typer.Option(help="Degrees, positive from above.")] = 15.0,
    distance: Annotated[float, typer.Option(help="From the origin, in world units.")] = 2.0,
    fov: Annotated[float, typer.Option(help="Vertical field of view in degrees.")] = 40.0,
    size: Annotated[int, typer.Option(help="Side of the picture in pixels.")] = 512,
    views: Annotated[int, typer.Option(help="Pictures of a turntable.")] = 72,
    background: Annotated[float, typer.Option(help="Gray level, 0 black to 1 white.")] = 1.0,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing file.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """Render one view (.png) or a turntable (.mp4, .webp)."""
    with reported(debug):
        ending = out.suffix.lower()
        if ending not in (".png", ".mp4", ".webp"):
            raise ValueError(f"{out}: write .png for one view, .mp4 or .webp for a turntable")
        if not (8 <= size <= 4096 and 1 <= views <= 3600 and 0 <= background <= 1):
            raise ValueError("--size is 8 to 4096, --views 1 to 3600, --background 0 to 1")
        if not (1 < fov < 170 and distance > 0 and -90 <= elevation <= 90):
            raise ValueError("--fov is 1 to 170, --distance positive, --elevation -90 to 90")
        if out.exists() and not overwrite:
            raise ValueError(f"{out} already exists; use --overwrite to replace it")
        from score3d.cli.scene_input import read_scene

        splats = read_scene(source)
        import torch

        from score3d.cameras import orbit, turntable
        from score3d.files.pictures import write_png, write_turntable
        from score3d.scenes.photograph import photograph

        if ending == ".png":
            angle = torch.tensor([azimuth]), torch.tensor([elevation])
            camera = orbit(*angle, distance, fov, size, size)
            write_png(out, photograph(splats, camera, background)[0])
        else:
            cameras = turntable(views, size, elevation, distance, fov)
            frames = photograph(splats, cameras, background)
            stem, film = out.with_suffix(""), ending == ".mp4"
            written = write_turntable(stem, frames, fps=views / 4, film=film)
            if written != out:
                typer.echo(
                    f"no video encoder (pip install 'score3d[video]'): wrote {written}", err=True
                )
                out = written
        typer.echo(str(out))
