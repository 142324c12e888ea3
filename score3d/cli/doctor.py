"""`score3d doctor`: what is installed, what works, and the fix for what does not."""

import importlib.metadata
import json
import sys
from typing import Annotated

import typer

from score3d.cli.errors import reported

REQUIRED = (
    "torch",
    "diffusers",
    "transformers",
    "safetensors",
    "gsplat",
    "nerfacc",
    "numba",
    "trimesh",
)


def doctor(
    json_: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """Check the installation; exit code 1 if something needed for the main job is broken."""
    with reported(debug):
        checks = [*_packages(), *_backends(), *_hub(), *_assets()]
        if json_:
            rows = [{"what": w, "ok": ok, "needed": need, "detail": d} for w, ok, need, d in checks]
            typer.echo(json.dumps(rows, indent=2))
        else:
            for what, ok, needed, detail in checks:
                mark = "ok  " if ok else ("FAIL" if needed else "--  ")
                typer.echo(f"{mark} {what}: {detail}")
        if any(needed and not ok for _, ok, needed, _ in checks):
            raise typer.Exit(1)


EXTRAS = {  # as in pyproject.toml: the package that is looked for, and what it is for
    "video": ("av", ".mp4 turntables instead of .webp"),
    "vsd": ("peft", "--loss vsd and other losses with a student"),
    "upgrad": ("torchjd", "--loss upgrad"),
    "viewer": ("viser", "score3d view and generate --live"),
    "usd": ("usd-core", ".usd, .usda and .usdz files"),
    "ray": ("ray", "score3d batch --ray"),
}
Check = tuple[str, bool, bool, str]  # what, ok, needed for the main job, detail or fix


def _packages() -> list[Check]:
    rows: list[Check] = [("python", sys.version_info >= (3, 11), True, sys.version.split()[0])]
    for name in REQUIRED:
        try:
            rows.append((name, True, True, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            rows.append((name, False, True, f"not installed; pip install {name}"))
    for extra, (package, purpose) in EXTRAS.items():
        try:
            rows.append((package, True, False, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            fix = f"not installed; pip install 'score3d[{extra}]' for {purpose}"
            rows.append((package, False, False, fix))
    return rows


def _backends() -> list[Check]:
    import time

    import torch

    rows: list[Check] = []
    try:
        from score3d.render import warm_up

        start = time.perf_counter()
        warm_up()
        seconds = time.perf_counter() - start
        detail = f"ready in {seconds:.1f} s on {torch.get_num_threads()} threads"
        rows.append(("rasterizer cpu", True, True, detail))
    except Exception as error:  # whatever a compiler throws, the user needs the line
        rows.append(
            ("rasterizer cpu", False, True, f"{error}; pip install --force-reinstall numba")
        )
    if not torch.cuda.is_available():
        fix = "no CUDA device, or torch is a CPU build (https://pytorch.org/get-started)"
        rows.append(("rasterizer gsplat (CUDA)", False, False, fix))
        return rows
    try:
        import gsplat.cuda._backend as backend

        if backend._C is None:
            raise RuntimeError(
                "its CUDA extension is not built: install the CUDA toolkit and ninja"
            )
        rows.append(("rasterizer gsplat (CUDA)", True, False, torch.cuda.get_device_name()))
    except Exception as error:
        rows.append(("rasterizer gsplat (CUDA)", False, False, str(error)))
    return rows


def _hub() -> list[Check]:
    import os

    from score3d.teachers.embedding_cache import cache_folder

    try:
        from huggingface_hub import constants
    except ImportError:
        return [("model hub", False, False, "not installed; pip install huggingface_hub")]
    state = (
        "offline (HF_HUB_OFFLINE)" if constants.HF_HUB_OFFLINE else "asked when a model is named"
    )
    cache = cache_folder()
    token = bool(os.environ.get("HF_TOKEN")) or os.path.exists(constants.HF_TOKEN_PATH)
    detail = f"{state}; models in {constants.HF_HUB_CACHE}; {'a' if token else 'no'} token"
    return [("model hub", True, False, detail), ("prompt cache", True, False, str(cache))]


def _assets() -> list[Check]:
    from score3d.resources import resource

    rows: list[Check] = []
    for name, file in (("teacher", "model_index.json"), ("judge", "judge.safetensors")):
        folder = resource("assets", name)
        ok = (folder / file).is_file()
        fix = f"missing in {folder}: reinstall score3d"
        rows.append((f"embedded {name}", ok, True, str(folder) if ok else fix))
    return rows
