"""Files that are either the old one or the new one, whatever interrupts the write."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["TEMPORARY_PREFIX", "atomic_write", "sync_file", "sync_folder", "write_text"]

# A killed process leaves a file with this prefix behind; whoever owns the folder may delete it.
TEMPORARY_PREFIX = ".tmp-"


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Give a temporary path to write to; on success it becomes `path`, on failure it is removed.

    The temporary file lies in the folder of `path` and has its suffix, so that writers which
    choose the format by suffix work. The data reach the disk before the name changes, and the
    rename reaches it before this returns.

    Raises:
        OSError: the folder is missing or not writable, or the disk is full; `path` is unchanged.
    """
    path = Path(path)
    # a short name: the final one may already be as long as the file system allows
    temporary = path.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}{path.suffix}"
    try:
        yield temporary
        sync_file(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 with newlines as they are, atomically. Raises OSError."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def sync_file(path: Path) -> None:
    """Wait until the content of the file is on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Wait until the names in the folder are on the disk. Raises OSError."""
    if os.name == "nt":  # Windows cannot open a folder for this
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
