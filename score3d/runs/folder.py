"""The folder of one run: names, refusals, lock, metrics and summary.

A run folder holds config.toml (always, it is what makes a folder a run), metrics.jsonl,
summary.json, scene.ply, mesh.glb, contact_sheet.png, preview.png, turntable.mp4 or .webp,
checkpoint/; field.npz if the scene is a radiance field, tetrahedra.npz and normals.png if it is a
mesh. A run of n particles holds the first
one's files there and the others' in particle-1/ to particle-<n-1>/; a run of a picture holds
picture.png instead of a scene; edits of panoramas and videos hold panorama.png, or video with the
ending of what was edited and comparison.mp4.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from score3d.files.atomic import TEMPORARY_PREFIX, sync_file, write_text

__all__ = ["MetricsLog", "RunFolder", "RunFolderError", "slug", "write_summary"]

LOCK_NAME = ".lock"
SLUG_BYTES = 64
RUN_FILES = (
    "config.toml",
    "metrics.jsonl",
    "summary.json",
    "report.html",
    "scene.ply",
    "field.npz",
    "tetrahedra.npz",
    "normals.png",
    "mesh.glb",
    "contact_sheet.png",
    "preview.png",
    "turntable.mp4",
    "turntable.webp",
    "picture.png",
    "panorama.png",
    "video.mp4",
    "video.webm",
    "video.gif",
    "comparison.mp4",
)


class RunFolderError(ValueError):
    """A run folder cannot be used; one line that names it, the reason and the remedy."""


def slug(prompt: str) -> str:
    """A folder name for a prompt: lower-case ASCII letters, digits and dashes.

    At most 64 bytes, the last 8 of them a hash of the whole prompt, so that prompts which read
    alike still differ; the hash also keeps names reserved by Windows (con, nul) out of the way.
    """
    digest = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    plain = unicodedata.normalize("NFKD", prompt[:1000]).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    room = SLUG_BYTES - len(digest) - 1
    if len(words) > room:
        # cut between words, unless that would lose most of the name
        whole = words[: room + 1].rpartition("-")[0]
        words = whole if len(whole) > room // 2 else words[:room]
    return f"{words or 'prompt'}-{digest}"


class RunFolder:
    """A run folder that this process holds; a context manager that lets go of it.

    Make one with `create` or `open`. While it is held, another process that tries to hold it gets
    a `RunFolderError`. The lock is the operating system's, so it ends with the process, however
    the process ends.
    """

    def __init__(self, path: Path, lock: BinaryIO | None) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def create(cls, path: str | Path, overwrite: bool = False) -> RunFolder:
        """Make a new run folder, with its parents, and hold it.

        Args:
            path: absent, or an empty folder; with `overwrite` also an earlier run.
            overwrite: remove what the earlier run wrote. Only files a run writes are removed;
                anything else in the folder stays.

        Raises:
            RunFolderError: the folder is not empty, is not a run, is held by another process, or
                cannot be made.
        """
        path = Path(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            occupied = bool(_content(path))
        except (FileExistsError, NotADirectoryError):
            raise RunFolderError(f"{path} is, or lies in, a file; choose another folder") from None
        except OSError as error:
            raise RunFolderError(f"cannot use {path}: {error.strerror or error}") from None
        if occupied and not overwrite:
            raise RunFolderError(
                f"{path} already exists and is not empty; use --overwrite to replace that run,"
                " --resume to continue it, or another folder"
            )
        if occupied and not (path / "config.toml").is_file():
            raise RunFolderError(
                f"{path} does not look like a run (no config.toml), so --overwrite will not"
                " touch it; choose another folder"
            )
        folder = cls(path, _hold(path))
        try:
            if not occupied and _content(path):
                raise RunFolderError(f"{path} was just filled by another process; choose another")
            folder._remove_run()
        except BaseException as error:
            folder.close()
            if isinstance(error, OSError):
                raise RunFolderError(f"cannot clear {path}: {error}") from None
            raise
        return folder

    @classmethod
    def open(cls, path: str | Path, lock: bool = True) -> RunFolder:
        """Open an existing run, to resume it or (with `lock=False`) only to read it.

        Raises:
            RunFolderError: there is no run at `path`, or another process holds it.
        """
        path = Path(path)
        if not path.is_dir():
            raise RunFolderError(f"no run at {path}: there is no such folder")
        if not (path / "config.toml").is_file():
            raise RunFolderError(f"no run at {path}: it has no config.toml")
        return cls(path, _hold(path) if lock else None)

    def close(self) -> None:
        """Let go of the folder; safe to call twice."""
        if self._lock is not None:
            self._lock.close()  # which releases the lock
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def config(self) -> Path:
        """config.toml: the resolved configuration; write it first, it makes the folder a run."""
        return self.path / "config.toml"

    @property
    def metrics(self) -> Path:
        """metrics.jsonl, see `MetricsLog`."""
        return self.path / "metrics.jsonl"

    @property
    def summary(self) -> Path:
        """summary.json, see `write_summary`."""
        return self.path / "summary.json"

    @property
    def scene(self) -> Path:
        """scene.ply: the splats."""
        return self.path / "scene.ply"

    @property
    def field(self) -> Path:
        """field.npz: the radiance field, if the scene is one."""
        return self.path / "field.npz"

    @property
    def tetrahedra(self) -> Path:
        """tetrahedra.npz: the mesh scene, if the scene is one."""
        return self.path / "tetrahedra.npz"

    @property
    def normals(self) -> Path:
        """normals.png: the normals of a mesh scene on one page."""
        return self.path / "normals.png"

    @property
    def mesh(self) -> Path:
        """mesh.glb: the textured mesh."""
        return self.path / "mesh.glb"

    @property
    def contact_sheet(self) -> Path:
        """contact_sheet.png: the views on one page."""
        return self.path / "contact_sheet.png"

    @property
    def preview(self) -> Path:
        """preview.png: one view, rewritten while the run goes on."""
        return self.path / "preview.png"

    @property
    def turntable(self) -> Path:
        """The turntable without its suffix, as `write_turntable` wants it."""
        return self.path / "turntable"

    @property
    def picture(self) -> Path:
        """picture.png: what a run of a picture made."""
        return self.path / "picture.png"

    @property
    def panorama(self) -> Path:
        """panorama.png: what the edit of a panorama made."""
        return self.path / "panorama.png"

    def particle(self, number: int) -> RunFolder:
        """Where the files of particle `number` (from 0) lie; not locked, not created."""
        return RunFolder(self.path / f"particle-{number}", None) if number else self

    @property
    def checkpoint(self) -> Path:
        """checkpoint/: the folder that `save_checkpoint` and `load_checkpoint` take."""
        return self.path / "checkpoint"

    def _remove_run(self) -> None:
        # config.toml goes last: until then the folder is still recognised as a run
        for name in reversed(RUN_FILES):
            (self.path / name).unlink(missing_ok=True)
        for other in self.path.glob("particle-*"):
            if re.fullmatch(r"particle-\d+", other.name) and other.is_dir():
                for name in RUN_FILES:
                    (other / name).unlink(missing_ok=True)
                if not any(other.iterdir()):
                    other.rmdir()
        if self.checkpoint.is_symlink():
            self.checkpoint.unlink()
        elif self.checkpoint.is_dir():
            for entry in self.checkpoint.iterdir():
                if entry.is_dir() and entry.name.startswith(("step-", TEMPORARY_PREFIX)):
                    shutil.rmtree(entry)
                elif re.fullmatch(r"window-\d+\.safetensors", entry.name) or (
                    entry.is_file() and entry.name.startswith(TEMPORARY_PREFIX)
                ):
                    entry.unlink()
            if not any(self.checkpoint.iterdir()):
                self.checkpoint.rmdir()


class MetricsLog:
    """metrics.jsonl: one JSON object per line, each with an integer "step".

    A line is written at once, so that a killed run loses at most the line being written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a line. NaN and infinities become the strings "nan", "inf", "-inf".

        Raises:
            ValueError: no integer "step".
            TypeError: a value is neither JSON nor a NumPy or torch scalar.
            OSError: the file cannot be written.
        """
        if type(record.get("step")) is not int:
            raise ValueError(f"metrics: a record needs an integer 'step', got {dict(record)!r}")
        line = json.dumps(_plain(record), allow_nan=False) + "\n"
        with open(self.path, "ab") as file:
            file.write(line.encode("utf-8"))

    def truncate(self, step: int) -> None:
        """Keep the lines before the first one that is torn or has "step" >= `step`.

        With the step of the checkpoint a run resumes from, the file goes on as if the run had
        never stopped.

        Raises:
            OSError: the file cannot be changed. A file that does not exist is left so.
        """
        if not self.path.exists():
            return
        end = 0
        with open(self.path, "rb") as file:
            for line in file:
                try:
                    found = json.loads(line)["step"]
                except (ValueError, KeyError, TypeError):
                    break
                if not line.endswith(b"\n") or found >= step:
                    break
                end += len(line)
        os.truncate(self.path, end)
        sync_file(self.path)


def write_summary(path: str | Path, summary: Mapping[str, Any]) -> None:
    """Write summary.json atomically, indented; non-finite numbers as in `MetricsLog.append`."""
    write_text(path, json.dumps(_plain(summary), indent=2, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    """JSON types only: JSON has no NaN, and a null would hide which one it was."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):  # a NumPy or torch scalar
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _content(path: Path) -> list[str]:
    """Names in the folder, less what a killed process may leave in an otherwise empty one."""
    return [
        name
        for name in os.listdir(path)
        if name != LOCK_NAME and not name.startswith(TEMPORARY_PREFIX)
    ]


def _hold(path: Path) -> BinaryIO:
    """Lock the folder and clear away what a killed process left in it.

    The lock file is never deleted: a process could then lock a file that no longer has a name.
    """
    try:
        file = open(path / LOCK_NAME, "ab")  # noqa: SIM115 (held until close)
    except OSError as error:
        raise RunFolderError(f"cannot write in {path}: {error.strerror or error}") from None
    try:
        _lock_file(file)
        for entry in path.iterdir():
            if entry.name.startswith(TEMPORARY_PREFIX) and entry.is_file():
                entry.unlink()
    except OSError as error:
        file.close()
        if isinstance(error, BlockingIOError | PermissionError):
            raise RunFolderError(f"{path} is in use by another process") from None
        raise RunFolderError(f"cannot lock {path}: {error.strerror or error}") from None
    return file


if os.name == "nt":
    import msvcrt

    def _lock_file(file: BinaryIO) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock_file(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
