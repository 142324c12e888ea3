"""Where an edit comes from, so that a chain of edits can be followed back."""

import hashlib
import json
from pathlib import Path
from typing import Any

__all__ = ["parent_of"]


def _digest(path: Path) -> str:
    sha = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            sha.update(block)
    return sha.hexdigest()


def parent_of(path: Path) -> dict[str, Any]:
    """The input's path and the SHA-256 of the file that was read; of a run folder also what it was
    asked for and, if it is an edit itself, its own parent."""
    if not path.is_dir():
        return {"path": str(path.resolve()), "sha256": _digest(path)}
    names = ("scene.ply", "picture.png", "panorama.png", "video.mp4")
    file = next((path / n for n in names if (path / n).is_file()), None)
    found: dict[str, Any] = {"path": str(path.resolve())}
    if file is not None:
        found["sha256"] = _digest(file)
    try:
        summary = json.loads((path / "summary.json").read_text(encoding="utf-8"))
        found["prompt"] = summary["prompt"]
        found["parent"] = summary["edit"]["parent"]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # a damaged summary is no reason not to edit what is there
    return found
