"""`score3d segment`: a part of a scene by itself, or the scene without it."""

from pathlib import Path
from typing import Annotated

import typer

from score3d.cli.errors import reported


def segment(
    scene: Annotated[Path, typer.Argument(help="A run folder or a file of Gaussians.")],
    out: Annotated[
        Path | None, typer.Argument(help="Where the selection goes: .ply, .spz, ...")
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(help="A folder with transforms.json and the masks that it names."),
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="box:x0,y0,z0,x1,y1,z1 or sphere:x,y,z,radius.")
    ] = None,
    delete: Annotated[bool, typer.Option(help="Write everything but the selection.")] = False,
    bias: Annotated[
        float, typer.Option(help="Of masks, -1 to 1: above 0 selects less, below more.")
    ] = 0.0,
    write_views: Annotated[
        Path | None, typer.Option(help="Write views to paint masks for, into this folder.")
    ] = None,
    views: Annotated[int, typer.Option(help="How many of them.")] = 12,
    size: Annotated[int, typer.Option(help="Their side in pixels.")] = 256,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing file.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """Select Gaussians by 2D masks, a box or a sphere; extract or delete them."""
    with reported(debug):
        if not -1 <= bias <= 1:
            raise ValueError(f"--bias {bias}: expected -1 to 1")
        if sum(v is not None for v in (masks, region, write_views)) != 1:
            raise ValueError("give one of --masks, --region and --write-views")
        from score3d.cli.scene_input import read_scene

        splats = read_scene(scene)
        if len(splats) == 0:
            raise ValueError(f"{scene}: no Gaussians to select from")
        from score3d.edit.frame import Frame
        from score3d.edit.region import select
        from score3d.edit.region import write_views as write

        frame = Frame.of(splats)
        if write_views is not None:
            from score3d.cameras import sphere

            if views < 1 or not 16 <= size <= 4096:
                raise ValueError("--views must be at least 1 and --size in 16..4096")
            if write_views.exists() and (not write_views.is_dir() or any(write_views.iterdir())):
                raise ValueError(f"{write_views} is there already and not an empty folder")
            write(write_views, splats, frame, sphere(views, size))
            typer.echo(
                f"{write_views}: paint view_N.png's object white in mask_N.png, then --masks"
            )
            return
        if out is None:
            raise ValueError("say where the selection goes: score3d segment SCENE OUT.ply ...")
        if out.exists() and not overwrite:
            raise ValueError(f"{out} exists; use --overwrite to replace it")
        from score3d.files.formats import WRITABLE, splat_ending, write_splats

        if splat_ending(out) not in WRITABLE:
            raise ValueError(f"{out}: splats can be written as {', '.join(WRITABLE)}")
        chosen = select(splats, frame, region or f"mask:{masks}", bias)
        keep = ~chosen.selected if delete else chosen.selected
        if not keep.any():
            raise ValueError(f"{scene}: --delete would leave nothing; {chosen.note}")
        write_splats(out, splats.select(keep))
        typer.echo(f"{out}: {int(keep.sum())} Gaussians; {chosen.note}")
