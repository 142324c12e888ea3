"""Pictures that exist, to be edited: one, the windows of a panorama, or the frames of a film.

What is optimised is a change on the logits of the colours, as coarse as the teacher sees: detail
finer than that stays the original's, and where the change is 0 so does every bit.
"""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from score3d.cameras import Cameras, orbit
from score3d.draw import Draw
from score3d.files.splats import Splats
from score3d.scenes.base import Render

__all__ = ["CanvasScene", "Layout"]

Layout = Literal["frames", "strip", "ring"]
EDGE = 0.5 / 255  # colours nearer to 0 and 1 than half a level have no useful logit


class CanvasScene:
    """F pictures of one size. source [F,3,H,W] in [0,1]; side: of what the teacher sees, pixels.

    layout "frames": a view is a whole picture, made square by repeating its edge; azimuth a shows
    number floor(a F / 360). "strip", "ring": F = 1, a view is a square window of full height that
    starts at the share a / 360 of the width; a ring goes on where it ends.
    Raises ValueError for a strip or ring that is not at least as wide as high.
    """

    def __init__(
        self,
        source: Tensor,
        side: int,
        lr: float,
        layout: Layout = "frames",
        device: torch.device | str = "cpu",
    ) -> None:
        height, width = source.shape[-2:]
        if layout != "frames" and width < height:
            raise ValueError(f"a panorama is wider than high, not {width} x {height}")
        scale = side / (max(height, width) if layout == "frames" else height)
        self.size = max(1, round(height * scale)), max(1, round(width * scale))
        self.source, self.side, self.layout, self.lr = source.to(device), side, layout, lr
        small = functional.interpolate(self.source, self.size, mode="area")
        self.seen = small if scale < 1 else self._resized(self.source, self.size)
        self.change = torch.nn.Parameter(torch.zeros_like(self.seen))
        self.where: Tensor | None = None  # [F,1,h,w] in [0,1]: the share of the change that shows
        self.optimizer = self._new_optimizer()

    def _new_optimizer(self) -> torch.optim.Adam:
        return torch.optim.Adam([self.change], lr=self.lr, betas=(0.9, 0.99), eps=1e-15)

    def __len__(self) -> int:
        return len(self.source)

    def _resized(self, pictures: Tensor, size: tuple[int, int]) -> Tensor:
        """[F,3,h,w] at another size; a ring has no end to be smoothed at."""
        if pictures.shape[-2:] == size:
            return pictures
        if self.layout != "ring":
            return functional.interpolate(pictures, size, mode="bilinear", align_corners=False)
        pad, times = 2, size[1] / pictures.shape[-1]
        padded = functional.pad(pictures, (pad, pad, 0, 0), mode="circular")
        # sample positions of the unpadded resize, shifted by the padding
        x = (torch.arange(size[1]) + 0.5) / times - 0.5 + pad
        y = (torch.arange(size[0]) + 0.5) * pictures.shape[-2] / size[0] - 0.5
        x = 2 * (x + 0.5) / padded.shape[-1] - 1
        y = 2 * (y + 0.5) / pictures.shape[-2] - 1
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None].to(pictures)
        return functional.grid_sample(
            padded, grid.expand(len(pictures), -1, -1, -1), padding_mode="border",
            align_corners=False,
        )  # fmt: skip

    def offset(self, azimuth: float) -> int:
        """The first column, of the small canvas, of the window at `azimuth` degrees."""
        width = self.size[1]
        room = width if self.layout == "ring" else width - self.side + 1
        return int(azimuth % 360.0 / 360.0 * room)

    def render(self, views: Cameras, background: Tensor) -> Render:
        """[B,3,side,side]; opaque, so the background does not matter."""
        edited = _changed(self.seen, self._shown())
        rows = []
        for azimuth in views.azimuth.tolist():
            if self.layout == "frames":
                picture = edited[self._frame(azimuth)]
                left, top = self._margins()
                right, down = self.side - self.size[1] - left, self.side - self.size[0] - top
                around = (left, right, top, down)
                rows.append(functional.pad(picture[None], around, mode="replicate")[0])
            else:
                rows.append(edited[0, :, :, self._columns(azimuth).to(edited.device)])
        rgb = torch.stack(rows)
        return Render(rgb, torch.ones_like(rgb[:, :1]), {})

    def _shown(self) -> Tensor:
        """The change [F,3,h,w] that pictures get: without what only single pixels have, because
        encoders of patches have no opinion of that and leave fringes and grids in it."""
        row = functional.pad(
            self.change, (1, 1, 0, 0), "circular" if self.layout == "ring" else "replicate"
        )
        row = (row[..., :-2] + row[..., 2:]) / 4 + row[..., 1:-1] / 2
        both = functional.pad(row, (0, 0, 1, 1), "replicate")
        smooth = (both[..., :-2, :] + both[..., 2:, :]) / 4 + both[..., 1:-1, :] / 2
        return smooth if self.where is None else smooth * self.where

    def _frame(self, azimuth: float) -> int:
        return int(azimuth % 360.0 / 360.0 * len(self.source))

    def _margins(self) -> tuple[int, int]:
        """Columns on the left and rows on top that make a frame square."""
        return (self.side - self.size[1]) // 2, (self.side - self.size[0]) // 2

    def _columns(self, azimuth: float) -> Tensor:
        return (self.offset(azimuth) + torch.arange(self.side)) % self.size[1]

    def cover(self) -> Cameras:
        """Views that between them show everything: each frame once, a panorama about twice."""
        if self.layout == "frames":
            azimuth = (torch.arange(len(self)) + 0.5) * (360.0 / len(self))
        else:
            count = max(2, -(-2 * self.size[1] // self.side))
            # of a strip also the very end, which a ring does not have
            step = 360.0 / count if self.layout == "ring" else 359.99 / (count - 1)
            azimuth = torch.arange(count) * step
        return orbit(azimuth, torch.zeros(len(azimuth)), 2.0, 40.0, self.side, self.side)

    def laid_back(self, views: Cameras, maps: Tensor) -> Tensor:
        """[F,C,h,w]: at each pixel the mean of what `maps` [B,C,side,side] have for it, where
        map i belongs to what view i shows; 0 where no view looks."""
        total = maps.new_zeros(len(self), maps.shape[1], *self.size)
        seen = maps.new_zeros(len(self), 1, *self.size)
        left, top = self._margins()
        for azimuth, one in zip(views.azimuth.tolist(), maps, strict=True):
            if self.layout == "frames":
                k = self._frame(azimuth)
                total[k] += one[:, top : top + self.size[0], left : left + self.size[1]]
                seen[k] += 1
            else:
                columns = self._columns(azimuth).to(maps.device)
                total[0, :, :, columns] += one
                seen[0, :, :, columns] += 1
        return total / seen.clamp(min=1)

    def regulariser(self, view: Render) -> Tensor:
        return self.change.new_zeros(())

    def step(self, step: int) -> None:
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def adapt(self, draw: Draw, view: Render) -> None:
        """A picture does not grow."""

    def parameters(self) -> dict[str, Tensor]:
        return {"change": self.change}

    def state_dict(self) -> dict[str, Tensor]:
        moments = self.optimizer.state.get(self.change, {})
        return {"param.change": self.change.detach()} | {f"adam.{k}": v for k, v in moments.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.change.data.copy_(state["param.change"])
        self.optimizer = self._new_optimizer()
        moments = {
            k.removeprefix("adam."): v.clone() for k, v in state.items() if k.startswith("adam.")
        }
        if moments:
            self.optimizer.state[self.change] = moments

    def prune(self, min_opacity: float) -> int:
        return 0

    def splats(self) -> Splats:
        raise ValueError("a picture has no Gaussians")

    @torch.no_grad()
    def pictures(self) -> NDArray[np.float32]:
        """The edited pictures [F,H,W,3] in [0,1], at the size of the source."""
        count, _, height, width = self.source.shape
        shown = self._shown()
        found = np.empty((count, height, width, 3), np.float32)
        for k in range(count):  # one at a time: frames can be large
            source = self.source[k : k + 1]
            change = self._resized(shown[k : k + 1], (height, width))
            rgb = torch.where(change == 0, source, _changed(source, change))
            found[k] = rgb[0].permute(1, 2, 0).float().cpu().numpy()
        return found


def _changed(rgb: Tensor, change: Tensor) -> Tensor:
    return torch.sigmoid(torch.logit(rgb, EDGE) + change)
