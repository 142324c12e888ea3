"""`score3d export`: a run or a splat file to another file."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from score3d.cli.errors import reported

if TYPE_CHECKING:
    from score3d.files.splats import Splats

MESH_ENDINGS = (".glb", ".obj", ".stl", ".ply")


def export(
    source: Annotated[Path, typer.Argument(help="A run folder, a file of Gaussians or a mesh.")],
    out: Annotated[Path, typer.Argument(help="The file to write; its ending says the format.")],
    as_: Annotated[
        str | None, typer.Option("--as", help="splats or mesh, where an ending can be both.")
    ] = None,
    resolution: Annotated[int, typer.Option(help="Grid cells per side of a mesh.")] = 128,
    size: Annotated[float | None, typer.Option(help="Longest side of a mesh, in metres.")] = None,
    count: Annotated[
        int, typer.Option(help="About how many Gaussians cover a mesh that is read.")
    ] = 10_000,
    spz_version: Annotated[int, typer.Option(help="4, or 3 for older readers.")] = 4,
    spz_axes: Annotated[
        str, typer.Option(help="Axes of .spz files: ply (y down, most converters) or rub (y up).")
    ] = "ply",
    overwrite: Annotated[bool, typer.Option(help="Replace an existing file.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """Convert between splat formats, or make a mesh or a viewer.

    Splats: .ply, .compressed.ply, .splat, .spz, .sog, .s3z, .usd/.usda/.usdc/.usdz and, with --as
    splats, .glb (KHR_gaussian_splatting). Textured mesh: .glb, .obj, .stl and, with --as mesh,
    .ply. Viewer: .html, one file that works without a network. Read, too: .ksplat,
    and meshes (.glb, .obj, .stl, .ply, .off), whose surface is covered with flat Gaussians.
    """
    with reported(debug):
        kind = _kind(out, as_)
        if not 16 <= resolution <= 512:
            raise ValueError(f"--resolution {resolution}: from 16 to 512")
        if not 10 <= count <= 1_000_000:
            raise ValueError(f"--count {count}: from 10 to a million")
        if size is not None and not 0 < size < 1e6:
            raise ValueError(f"--size {size:g}: more than 0 and less than a million metres")
        if size is not None and kind != "mesh":
            raise ValueError("--size is for meshes (.glb, .obj, .stl, or .ply with --as mesh)")
        if spz_version not in (3, 4):
            raise ValueError(f"--spz-version {spz_version}: 3 or 4")
        if spz_axes not in ("ply", "rub"):
            raise ValueError(f"--spz-axes {spz_axes!r}: ply or rub")
        if out.exists() and not overwrite:
            raise ValueError(f"{out} already exists; use --overwrite to replace it")
        if not out.parent.is_dir():
            raise ValueError(f"{out}: there is no folder {out.parent}")
        from score3d.cli.scene_input import read_finite_scene, scene_file

        if out.exists() and scene_file(source).samefile(out):
            raise ValueError(f"{out} is the file that is read; write to another")
        splats, dropped = read_finite_scene(source, spz_axes, count)
        if dropped and not json_:
            sys.stderr.write(
                f"score3d: {source}: {dropped} Gaussians that are not finite were dropped\n"
            )
        report: dict[str, object] = {
            "gaussians": len(splats),
            "dropped": dropped,
            "sh_degree": splats.sh_degree,
            "as": kind,
        }
        written = [out]
        if kind == "splats":
            from score3d.files.formats import write_splats

            write_splats(out, splats, spz_version, spz_axes)
        elif kind == "viewer":
            from score3d.report.viewer import write_viewer

            write_viewer(out, splats, title=_title(source))
        else:
            written = _write_mesh(source, out, splats, resolution, size, report)
        report["files"] = {str(p): p.stat().st_size for p in written}
        if json_:
            typer.echo(json.dumps(report, indent=2))
        else:
            for path in written:
                typer.echo(f"{path}  {path.stat().st_size / 1000:.0f} kB")


def _kind(out: Path, as_: str | None) -> str:
    from score3d.files.formats import WRITABLE, splat_ending

    ending = splat_ending(out)
    if as_ not in (None, "splats", "mesh"):
        raise ValueError(f"--as {as_!r}: known: splats, mesh")
    if ending == ".html":
        if as_ == "mesh":
            raise ValueError(f"{out}: a viewer shows splats, not a mesh")
        return "viewer"
    # glTF is a mesh unless splats are asked for, PLY the reverse
    kind = as_ or ("mesh" if ending in (".glb", ".obj", ".stl") else "splats")
    allowed = {"splats": WRITABLE, "mesh": MESH_ENDINGS}[kind]
    if ending not in allowed:
        known = WRITABLE + MESH_ENDINGS if as_ is None else allowed
        what = "a scene" if as_ is None else kind
        names = ", ".join(dict.fromkeys((*known, *([] if as_ else [".html"]))))
        raise ValueError(f"{out}: {what} can be written as {names}")
    return kind


def _title(source: Path) -> str:
    """The prompt of a run, else the file's name."""
    try:
        return str(json.loads((source / "summary.json").read_text())["prompt"])
    except (OSError, ValueError, KeyError, TypeError):
        return source.name


def _write_mesh(
    source: Path,
    out: Path,
    splats: "Splats",
    resolution: int,
    size: float | None,
    report: dict[str, object],
) -> list[Path]:
    """The mesh that a run's scene is; else of its radiance field; else of the splats."""
    from score3d.files.grid_field import GridField
    from score3d.files.mesh import grid_to_mesh, splats_to_mesh, tetrahedra_to_mesh, write_mesh
    from score3d.files.tetrahedra import TetrahedralField

    field, tetrahedra = source / "field.npz", source / "tetrahedra.npz"
    if tetrahedra.is_file():
        mesh = tetrahedra_to_mesh(TetrahedralField.load(tetrahedra))
    elif field.is_file():
        mesh = grid_to_mesh(GridField.load(field), resolution)
    else:
        mesh = splats_to_mesh(splats, resolution)
    if size is not None:
        mesh.apply_scale(size / float(mesh.extents.max()))
    report |= {
        "faces": len(mesh.faces),
        "watertight": mesh.metadata["watertight"],
        "parts": mesh.metadata["parts"],
        "size": [round(float(v), 6) for v in mesh.extents],
    }
    return write_mesh(out, mesh)
