"""`score3d export`: a run or a splat file to another file."""

import json
from pathlib import Path
from typing import Annotated

import typer

from score3d.cli.errors import reported

SPLAT_ENDINGS, MESH_ENDINGS = (".ply",), (".glb", ".obj", ".stl", ".ply")


def export(
    source: Annotated[Path, typer.Argument(help="A run folder or a .ply file of Gaussians.")],
    out: Annotated[Path, typer.Argument(help="The file to write; its ending says the format.")],
    as_: Annotated[str | None, typer.Option("--as", help="splats or mesh.")] = None,
    resolution: Annotated[int, typer.Option(help="Grid cells per side of a mesh.")] = 128,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing file.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """Write a scene as splats (.ply) or as a textured mesh (.glb, .obj, .stl, .ply --as mesh)."""
    with reported(debug):
        ending = out.suffix.lower()
        kind = as_ or ("splats" if ending in SPLAT_ENDINGS else "mesh")
        allowed = {"splats": SPLAT_ENDINGS, "mesh": MESH_ENDINGS}.get(kind)
        if allowed is None:
            raise ValueError(f"--as {kind!r}: known: splats, mesh")
        if ending not in allowed:
            raise ValueError(f"{out}: {kind} can be written as {', '.join(allowed)}")
        if not 16 <= resolution <= 512:
            raise ValueError(f"--resolution {resolution}: from 16 to 512")
        if out.exists() and not overwrite:
            raise ValueError(f"{out} already exists; use --overwrite to replace it")
        from score3d.cli.scene_input import read_scene

        splats = read_scene(source)
        report: dict[str, object] = {"gaussians": len(splats), "as": kind}
        if kind == "splats":
            from score3d.files.ply import write_ply

            write_ply(out, splats)
            written = [out]
        else:
            from score3d.files.mesh import splats_to_mesh, write_mesh

            mesh = splats_to_mesh(splats, resolution)
            written = write_mesh(out, mesh)
            report |= {"faces": len(mesh.faces), "watertight": mesh.metadata["watertight"]}
        report["files"] = {str(p): p.stat().st_size for p in written}
        if json_:
            typer.echo(json.dumps(report, indent=2))
        else:
            for path in written:
                typer.echo(f"{path}  {path.stat().st_size / 1000:.0f} kB")
