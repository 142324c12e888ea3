"""`score3d compress`: a scene at a size or a quality."""

import json
import re
import time
from pathlib import Path
from typing import Annotated

import typer

from score3d.cli.errors import reported

UNITS = {"": 1, "b": 1, "kb": 1000, "mb": 1_000_000, "kib": 1024, "mib": 1 << 20}
DEFAULT_PSNR = 38.0


def compress(
    source: Annotated[Path, typer.Argument(help="A run folder or a file of Gaussians.")],
    out: Annotated[Path, typer.Argument(help="The .s3z file to write.")],
    psnr: Annotated[
        float | None,
        typer.Option(help="As small as may be with this PSNR (dB) against the scene. Default: 38."),
    ] = None,
    target_size: Annotated[
        str | None, typer.Option(help="As good as may be within this size, like 20kB or 1.5MB.")
    ] = None,
    refine: Annotated[
        int,
        typer.Option(
            "--refine",
            min=0,
            help="Optimisation steps that refit the splats to what the scene showed; 0: none.",
        ),
    ] = 400,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing file.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """Compress a scene: drop splats that hardly show, refit the others, quantise, code.

    score3d reads .s3z wherever it reads splats; score3d export turns it into .sog or .spz for
    other programs.
    """
    with reported(debug):
        if psnr is not None and target_size is not None:
            raise ValueError("--psnr or --target-size, not both")
        if psnr is not None and not 10 <= psnr <= 70:
            raise ValueError(f"--psnr {psnr:g}: 10 to 70 dB")
        size = _size(target_size) if target_size is not None else None
        if out.suffix.lower() != ".s3z":
            raise ValueError(f"{out}: compact splats are .s3z files")
        if out.exists() and not overwrite:
            raise ValueError(f"{out} already exists; use --overwrite to replace it")
        if not out.parent.is_dir():
            raise ValueError(f"{out}: there is no folder {out.parent}")
        from score3d.cli.scene_input import read_scene

        splats = read_scene(source)
        from score3d import compress as compression
        from score3d.files.atomic import atomic_write

        began = time.monotonic()
        target = psnr if psnr is not None or size is not None else DEFAULT_PSNR
        found = compression.compress(
            splats,
            target,
            size,
            lambda text: None if json_ else typer.echo(text, err=True),
            refine,
        )
        seconds = time.monotonic() - began
        with atomic_write(out) as temporary:
            temporary.write_bytes(found.data)
        floats = len(splats) * 4 * (14 + splats.sh[0].size)
        report = {
            "file": str(out),
            "bytes": len(found.data),
            "psnr": round(found.psnr, 2),
            "gaussians": len(found.splats),
            "of": len(splats),
            "seconds": round(seconds, 1),
            "times_smaller_than_ply": round(floats / len(found.data), 1),
        }
        if json_:
            typer.echo(json.dumps(report, indent=2))
        else:
            typer.echo(
                f"{out}  {len(found.data) / 1000:.1f} kB, {found.psnr:.1f} dB, {len(found.splats)}"
                f" of {len(splats)} Gaussians, {report['times_smaller_than_ply']} times smaller,"
                f" in {seconds:.0f} s"
            )


def _size(text: str) -> int:
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-zA-Z]*)\s*", text)
    if not match or match[2].lower() not in UNITS or float(match[1]) <= 0:
        raise ValueError(f"--target-size {text!r}: a size like 20kB or 1.5MB")
    return int(float(match[1]) * UNITS[match[2].lower()])
