"""The complaint about edits is that they silently do nothing: look after a few steps."""

from collections.abc import Callable

import torch
from torch import Tensor

from score3d.scenes.base import Scene

__all__ = ["Moved", "NothingMoved"]

SEEN = 0.25 / 255  # of the range of a channel: a quarter of a level of an 8-bit picture


class NothingMoved(RuntimeError):
    """An edit that does nothing; one line that says why."""


class Moved:
    """Compares parameters and pictures with those at the start, once, after `after` steps.

    look: the pictures of the scene as it is. Raises NothingMoved when called.
    """

    def __init__(self, scene: Scene, look: Callable[[], Tensor], after: int) -> None:
        self.scene, self.look, self.after = scene, look, after
        self.parameters = {k: v.detach().clone() for k, v in scene.parameters().items()}
        self.pictures = self._pictures()

    @torch.no_grad()
    def _pictures(self) -> Tensor:
        return self.look().detach().clone()

    def __call__(self, done: int) -> None:
        """To be called with the number of steps done since the start."""
        if done != self.after:
            return
        moved = {
            k: float((v.detach() - self.parameters[k]).abs().max())
            for k, v in self.scene.parameters().items()
            if v.shape == self.parameters[k].shape and v.numel()
        }
        if not any(moved.values()):
            raise NothingMoved(
                f"the edit does nothing: after {done} steps no parameter has moved. Either the "
                "teacher asks for no change (source and prompt mean the same to it), or nothing "
                "that may change is in view (--region)"
            )
        change = float((self._pictures() - self.pictures).abs().max())
        if change < SEEN:
            most = max(moved, key=lambda k: moved[k])
            raise NothingMoved(
                f"the edit cannot be seen: after {done} steps parameters have moved ({most} by "
                f"{moved[most]:.2g}) but no picture by {SEEN:.1g}. The learning rates are too "
                "small, or what may change is hidden or transparent"
            )
