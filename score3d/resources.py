"""Where the data files that ship with the package lie."""

from pathlib import Path

__all__ = ["resource"]

_PACKAGE = Path(__file__).parent


def resource(*parts: str) -> Path:
    """The path of `assets/...` or `configs/...`: inside an installed wheel, or in a checkout."""
    inside = _PACKAGE.joinpath(*parts)
    return inside if inside.exists() else _PACKAGE.parent.joinpath(*parts)
