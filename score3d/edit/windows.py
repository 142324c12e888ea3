"""What a film's finished windows are kept as, so that a run that was stopped can go on.

checkpoint/window-000003.safetensors holds the change that the loop found for the frames of one
window, at the resolution the teacher sees; with the film itself it gives the edited frames again.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from score3d.config import ConfigError
from score3d.files.atomic import atomic_write

__all__ = ["load_window", "save_window"]


def _path(folder: Path, number: int) -> Path:
    return folder / f"window-{number:06d}.safetensors"


def save_window(folder: Path, number: int, change: torch.Tensor) -> None:
    """Keep the change [F,3,h,w] of a window. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(_path(folder, number)) as temporary:
        save_file({"change": change.detach().cpu().contiguous()}, temporary)


def load_window(folder: Path, number: int, shape: torch.Size) -> torch.Tensor | None:
    """The change of a window; None if it was not finished or its file is damaged. Raises
    ConfigError for one of another shape: the film is another one now."""
    path = _path(folder, number)
    if not path.is_file():
        return None
    try:
        change = load_file(path)["change"]
    except (OSError, SafetensorError, KeyError):
        return None
    if change.shape != shape:
        raise ConfigError(f"{path}: of a film with other frames; the input has changed since")
    return change
