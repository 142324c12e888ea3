"""A picture instead of a scene: the flat land where losses are compared without geometry.

Every view is the same picture. Optimised as pixels through the teacher's encoder, or as the
latents themselves, as the 2D experiments of ProlificDreamer (arXiv 2305.16213) and RewardSDS
(arXiv 2503.09601) do.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from score3d.cameras import Cameras
from score3d.draw import Draw
from score3d.files.splats import Splats
from score3d.scenes.base import Render

__all__ = ["ImageOptions", "ImageScene"]


@dataclass(frozen=True)
class ImageOptions:
    """size: side in pixels. lr: Adam's rate on what is optimised (logits of pixels, or
    latents). latents: optimise those, not pixels."""

    size: int = 64
    lr: float = 0.05
    latents: bool = False


class ImageScene:
    """One picture [1,3,H,W], kept in [0,1] by a sigmoid, or one set of latents [1,C,h,w].

    decode, latent_shape: the teacher's, needed for latents. Raises ValueError without.
    """

    def __init__(
        self,
        options: ImageOptions,
        seed: int = 0,
        device: torch.device | str = "cpu",
        latent_shape: tuple[int, int, int] | None = None,
        decode: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        if options.latents and (latent_shape is None or decode is None):
            raise ValueError("a picture of latents needs a teacher that decodes them")
        self.options, self.decode = options, decode
        shape = (
            latent_shape if options.latents and latent_shape else (3, options.size, options.size)
        )
        start = torch.randn(1, *shape, generator=torch.Generator().manual_seed(seed))
        start = start if options.latents else 0.2 * start
        self.values = torch.nn.Parameter(start.to(device))
        self.optimizer = self._new_optimizer()

    def _new_optimizer(self) -> torch.optim.Adam:
        return torch.optim.Adam([self.values], lr=self.options.lr, betas=(0.9, 0.99), eps=1e-15)

    def __len__(self) -> int:
        return 1

    def render(self, views: Cameras, background: Tensor) -> Render:
        """The picture, once per view; opaque, so the background does not matter."""
        b = len(views)
        values = self.values.expand(b, -1, -1, -1)
        if self.options.latents:
            assert self.decode is not None  # the constructor has raised
            rgb = self.decode(self.values.detach()).expand(b, -1, -1, -1)
            return Render(rgb, torch.ones_like(rgb[:, :1]), {}, latents=values)
        rgb = values.sigmoid()
        return Render(rgb, torch.ones_like(rgb[:, :1]), {})

    def regulariser(self, view: Render) -> Tensor:
        return self.values.new_zeros(())

    def step(self, step: int) -> None:
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def adapt(self, draw: Draw, view: Render) -> None:
        """A picture does not grow."""

    def parameters(self) -> dict[str, Tensor]:
        return {"values": self.values}

    def state_dict(self) -> dict[str, Tensor]:
        moments = self.optimizer.state.get(self.values, {})
        return {"param.values": self.values.detach()} | {f"adam.{k}": v for k, v in moments.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.values.data.copy_(state["param.values"])
        self.optimizer = self._new_optimizer()
        moments = {
            k.removeprefix("adam."): v.clone() for k, v in state.items() if k.startswith("adam.")
        }
        if moments:
            self.optimizer.state[self.values] = moments

    def prune(self, min_opacity: float) -> int:
        return 0

    def splats(self) -> Splats:
        raise ValueError("a picture has no Gaussians")

    @torch.no_grad()
    def picture(self) -> NDArray[np.float32]:
        """[H,W,3] in [0,1]."""
        if self.options.latents:
            assert self.decode is not None
            rgb = self.decode(self.values)
        else:
            rgb = self.values.sigmoid()
        return rgb[0].permute(1, 2, 0).float().cpu().numpy()
