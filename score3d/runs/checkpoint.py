"""Checkpoints that a crash, a full disk or a flipped bit cannot take away.

checkpoint/step-000030/ holds tensors.safetensors and meta.json; meta.json carries the SHA-256 of
the tensors and of its own content. A checkpoint is built under a temporary name and renamed when
all of it is on the disk. The newest is kept together with the newest valid one before it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from score3d.files.atomic import TEMPORARY_PREFIX, sync_file, sync_folder

if TYPE_CHECKING:
    import torch

__all__ = ["Checkpoint", "CheckpointError", "load_checkpoint", "save_checkpoint"]

TENSORS, META = "tensors.safetensors", "meta.json"
FORMAT = 1


class CheckpointError(RuntimeError):
    """A checkpoint cannot be saved or loaded; one line with the path and the reason."""


@dataclass(frozen=True)
class Checkpoint:
    """What `load_checkpoint` found.

    Attributes:
        step: the number of steps done.
        tensors: CPU tensors by name, dtypes and shapes as saved.
        meta: the JSON object saved with them.
        notes: one line for each newer checkpoint that was skipped, saying why.
    """

    step: int
    tensors: dict[str, torch.Tensor]
    meta: dict[str, Any]
    notes: tuple[str, ...] = ()


def save_checkpoint(
    folder: str | Path,
    step: int,
    tensors: Mapping[str, torch.Tensor],
    meta: Mapping[str, Any],
) -> Path:
    """Save a checkpoint, then delete all but it and the newest valid one before it.

    Checkpoints of later steps are deleted too: the run that made them was rewound.

    Args:
        folder: the checkpoint folder (`RunFolder.checkpoint`), made if absent.
        step: the number of steps done, >= 0.
        tensors: any shapes, strides, devices and dtypes that safetensors knows; may share memory.
        meta: anything JSON; floats keep every bit.

    Returns:
        The folder of the new checkpoint.

    Raises:
        CheckpointError: it could not be written (a full disk, say); earlier ones are untouched.
        TypeError: `meta` is not JSON.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    folder = Path(folder)
    # safetensors refuses strided and shared memory
    plain = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    content = {"format": FORMAT, "step": step, "meta": dict(meta)}
    json.dumps(content)
    final = folder / f"step-{step:06d}"
    temporary = folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
            shutil.rmtree(leftover)
        temporary.mkdir()
        save_file(plain, temporary / TENSORS)
        sync_file(temporary / TENSORS)
        content["tensors_sha256"] = _file_digest(temporary / TENSORS)
        content["content_sha256"] = _content_digest(content)
        (temporary / META).write_text(json.dumps(content, indent=1), encoding="utf-8")
        sync_file(temporary / META)
        sync_folder(temporary)
        if final.exists():
            # stays loadable under this name until the new one has taken its place
            replaced = folder / f"{final.name}-replaced"
            shutil.rmtree(replaced, ignore_errors=True)
            os.replace(final, replaced)
        os.replace(temporary, final)
        sync_folder(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        size = sum(tensor.nbytes for tensor in plain.values())
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise CheckpointError(
            f"cannot save checkpoint {final} ({size / 1e6:.1f} MB): {reason};"
            " earlier checkpoints are untouched"
        ) from error
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _prune(folder, step)
    return final


def load_checkpoint(folder: str | Path) -> Checkpoint:
    """Load the newest checkpoint that is whole, on the CPU.

    Args:
        folder: the checkpoint folder (`RunFolder.checkpoint`).

    Raises:
        CheckpointError: there is none; one line.
    """
    folder = Path(folder)
    notes: list[str] = []
    for path in _checkpoints(folder):
        try:
            found = _load(path)
        except CheckpointError as error:
            notes.append(f"skipped checkpoint {path}: {error}")
        else:
            return Checkpoint(found.step, found.tensors, found.meta, tuple(notes))
    if notes:
        raise CheckpointError(f"no usable checkpoint in {folder}: " + "; ".join(notes))
    raise CheckpointError(f"no checkpoint in {folder}")


def _load(path: Path) -> Checkpoint:
    from safetensors.torch import load

    content = _read_meta(path)
    try:
        data = (path / TENSORS).read_bytes()
    except OSError as error:
        raise CheckpointError(f"{TENSORS}: {error.strerror or error}") from None
    if hashlib.sha256(data).hexdigest() != content["tensors_sha256"]:
        raise CheckpointError(f"{TENSORS} is cut short or damaged (SHA-256 differs)")
    # from memory, not mapped: the file may be deleted by the next save
    return Checkpoint(content["step"], load(data), content["meta"])


def _read_meta(path: Path) -> dict[str, Any]:
    try:
        content = json.loads((path / META).read_text(encoding="utf-8"))
        whole = content.pop("content_sha256") == _content_digest(content)
    except OSError as error:
        raise CheckpointError(f"{META}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CheckpointError(f"{META} is cut short or damaged") from None
    if not whole:
        raise CheckpointError(f"{META} is damaged (SHA-256 differs)")
    if content["format"] != FORMAT:
        raise CheckpointError(f"{META} has format {content['format']}, this version reads {FORMAT}")
    return content


def _checkpoints(folder: Path) -> list[Path]:
    """Checkpoints, the newest first; of two of one step, the one that was not replaced."""
    found: list[tuple[int, bool, Path]] = []
    for path in folder.glob("step-*"):
        match = re.fullmatch(r"step-(\d{6,18})(-replaced)?", path.name)
        if match and path.is_dir():
            found.append((int(match[1]), match[2] is None, path))
    return [path for _, _, path in sorted(found, reverse=True)]


def _prune(folder: Path, step: int) -> None:
    """Delete checkpoints other than that of `step` and the newest valid one before it."""
    kept_one_before = False
    for path in _checkpoints(folder):
        number = int(path.name.split("-")[1])
        if number == step and not path.name.endswith("-replaced"):
            continue
        if number < step and not kept_one_before and _is_whole(path):
            kept_one_before = True
            continue
        shutil.rmtree(path, ignore_errors=True)  # tried again at the next save


def _is_whole(path: Path) -> bool:
    try:
        return _file_digest(path / TENSORS) == _read_meta(path)["tensors_sha256"]
    except (OSError, CheckpointError):
        return False


def _file_digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _content_digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8")).hexdigest()
