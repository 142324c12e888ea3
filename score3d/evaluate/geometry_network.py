"""Depth, normals and silhouette from one small picture: the network that ships in `assets/depth`.

Trained by `scripts/train_depth.py` on renders of the procedural world, clean and with the noise
of a diffusion's times on them, because SteinDreamer's control variate (arXiv 2401.00604) asks
about noisy pictures. Smooth in the picture, so that the variate's gradient exists everywhere.
"""

import json
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from score3d.resources import resource

__all__ = ["SIDE", "GeometryNetwork", "SmallGeometry"]

SIDE = 64
# what the network's range of depth is of: the default camera's distance and an object's radius
NEAREST, FARTHEST = 1.5, 2.5


class _Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.enter = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.enter_norm = nn.BatchNorm2d(outputs)
        self.body = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.body_norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.silu(self.enter_norm(self.enter(x)))
        return nn.functional.silu(x + self.body_norm(self.body(x)))


class GeometryNetwork(nn.Module):
    """A U-Net (Ronneberger et al. 2015, arXiv 1505.04597) that works at half the resolution.

    rgb [B,3,64,64], about in [0,1] -> nearness [B,64,64] in (0,1), from the object's farthest to
    its nearest point; unit normals [B,3,64,64] in the camera's axes (x right, y down, z forward:
    a surface that faces the camera has z = -1); logits [B,64,64] of the object's silhouette.
    """

    def __init__(self, widths: tuple[int, ...] = (24, 48, 96, 128)) -> None:
        super().__init__()
        self.stem = _Block(12, widths[0])
        self.down = nn.ModuleList(_Block(a, b, stride=2) for a, b in pairwise(widths))
        self.middle = _Block(widths[-1], widths[-1])
        self.up = nn.ModuleList(_Block(a + b, a) for a, b in reversed(list(pairwise(widths))))
        self.head = nn.Conv2d(widths[0], 5 * 4, 3, padding=1)

    def forward(self, rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.stem(nn.functional.pixel_unshuffle(2 * rgb - 1, 2))
        skips = [x]
        for block in self.down:
            skips.append(block(skips[-1]))
        x = self.middle(skips.pop())
        for block in self.up:
            skip = skips.pop()
            x = nn.functional.interpolate(x, skip.shape[-2:], mode="nearest")
            x = block(torch.cat([skip, x], 1))
        out = nn.functional.pixel_shuffle(self.head(x), 2)
        # the norm is smoothed: a normal of length zero has a gradient too
        long = (out[:, 1:4].square().sum(1, keepdim=True) + 1e-6).sqrt()
        return out[:, 0].sigmoid(), out[:, 1:4] / long, out[:, 4]


class SmallGeometry:
    """The frozen network. folder: `geometry.safetensors` and `geometry.json`, by default those
    that ship. Raises ValueError, naming the folder."""

    def __init__(self, folder: Path | None = None, device: torch.device | str = "cpu") -> None:
        folder = folder or resource("assets", "depth")
        try:
            about = json.loads((folder / "geometry.json").read_text())
            weights = load_file(folder / "geometry.safetensors")
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{folder}: no depth network there (geometry.json, geometry.safetensors); "
                "scripts/train_depth.py makes one"
            ) from error
        self.net = GeometryNetwork(tuple(about["widths"])).eval().requires_grad_(False)
        self.net.load_state_dict(
            {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}
        )
        self.net.to(device)

    def _seen(self, rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if rgb.shape[-2:] != (SIDE, SIDE):
            rgb = nn.functional.interpolate(rgb, (SIDE, SIDE), mode="bilinear", antialias=True)
        near, normals, logits = self.net(rgb.float())
        return near, normals, logits.sigmoid()

    def depth(self, rgb: Tensor) -> Tensor:
        """rgb [M,3,H,W] -> inverse depth [M,64,64] in about [0.4,0.67], times the silhouette: 0
        beside the object. The range is that of the default camera, since one picture of an object
        tells its depth up to scale and shift."""
        near, _, inside = self._seen(rgb)
        return inside / (FARTHEST - (FARTHEST - NEAREST) * near)

    def normals(self, rgb: Tensor) -> Tensor:
        """rgb [M,3,H,W] -> camera-space unit normals times the silhouette, [M,3,64,64]."""
        _, normals, inside = self._seen(rgb)
        return normals * inside[:, None]
