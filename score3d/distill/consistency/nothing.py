"""No demand on the geometry."""

from torch import Tensor

__all__ = ["nothing"]


def nothing(view: object, g: Tensor) -> Tensor | None:
    """None: there is no consistency term."""
    return None
