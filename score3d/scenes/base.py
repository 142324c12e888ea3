"""What every scene offers: something that renders views and owns its parameters."""

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from score3d.cameras import Cameras
from score3d.draw import Draw
from score3d.files.splats import Splats

__all__ = ["Render", "Scene"]


@dataclass(frozen=True)
class Render:
    """rgb [B,3,H,W] in [0,1] on the background, alpha [B,1,H,W] in [0,1], and what the
    renderer says of the Gaussians it drew (`meta`, as gsplat names it).

    For losses that need geometry, if the scene was asked for it: depth [B,1,H,W], the expected
    depth along the view (world units, on the graph, 0 where nothing is), and gaussians, detached:
    means [N,3], quats [N,4], scales [N,3] (linear), opacities [N] in (0,1). latents [B,C,h,w]:
    what the teacher would make of rgb, when the scene holds that instead. parts: the renders of
    the particles that this one is made of.
    """

    rgb: Tensor
    alpha: Tensor
    meta: dict[str, Any]
    depth: Tensor | None = None
    gaussians: dict[str, Tensor] | None = None
    latents: Tensor | None = None
    parts: tuple["Render", ...] = ()


class Scene(Protocol):
    """Owns parameters, their optimisers and the adaptation's state."""

    def render(self, views: Cameras, background: Tensor) -> Render:
        """Differentiable pictures of B views on backgrounds [B,3] in [0,1]."""
        ...

    def regulariser(self, view: Render) -> Tensor:
        """A scalar on the graph that keeps the scene well-behaved."""
        ...

    def step(self, step: int) -> None:
        """One optimiser step with the gradients at hand, which are then cleared."""
        ...

    def adapt(self, draw: Draw, view: Render) -> None:
        """Densify, prune or relocate after a step; the optimisers follow."""
        ...

    def parameters(self) -> dict[str, Tensor]:
        """The trainable tensors by name."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Everything that a bit-identical continuation needs, flat."""
        ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state_dict`."""
        ...

    def prune(self, min_opacity: float) -> int:
        """Drop what is fainter than `min_opacity` for good; returns how much."""
        ...

    def splats(self) -> Splats:
        """The scene as Gaussians, for pictures and files."""
        ...

    def __len__(self) -> int:
        """The number of primitives (Gaussians)."""
        ...
