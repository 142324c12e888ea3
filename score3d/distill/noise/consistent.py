"""Noise that sticks to the scene: geometry-aware score distillation (Kwak et al. 2024,
arXiv 2406.16695), reconstructed.

No code of the paper is public. This is integral noise (Chang et al. 2024, "How I Warped Your
Noise", arXiv 2504.03072) on points of the scene: each point k carries W_k ~ N(0, I_C), and a latent
pixel p shows the points Omega_p that fall on it,

    G(p) = sum_{k in Omega_p} W_k / sqrt(|Omega_p|).

A point falls on exactly one pixel of a view, so the sums of a view share no term and G is exactly
N(0, I) in every view; over views, corr = |Omega_p n Omega_q| / sqrt(|Omega_p| |Omega_q|). Points
are sampled from the Gaussians and count where they lie on the surface that the view sees, within
a tolerance of the rendered depth: what is hidden must not speak.

The first view keeps the noise x that it was drawn, by conditional upsampling to its points:
W_k = x / sqrt(n) + Z_k - mean_j Z_j, which is again N(0, I) and sums to x sqrt(n). Pixels without
a point take one field of noise that all views share, independent of the rest: equal cameras see
equal noise.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from score3d.cameras import Cameras
from score3d.draw import Draw

__all__ = ["Consistent", "assign", "sample_points"]

POINTS_PER_PIXEL = 16  # sampled per latent pixel; a third or so is seen in a view
STREAM = 0  # of the draw's generators


def sample_points(gaussians: dict[str, Tensor], per: int, generator: torch.Generator) -> Tensor:
    """`per` points of each of N Gaussians (means, quats wxyz, linear scales), [N per, 3]."""
    means, scales = gaussians["means"], gaussians["scales"]
    w, *xyz = torch.nn.functional.normalize(gaussians["quats"], dim=1).unbind(1)
    axis = torch.stack(xyz, 1)[:, None]
    local = torch.randn(len(means), per, 3, generator=generator).to(means) * scales[:, None]
    cross = torch.linalg.cross(axis.expand_as(local), local)
    turned = local + 2 * (
        w[:, None, None] * cross + torch.linalg.cross(axis.expand_as(local), cross)
    )
    return (means[:, None] + turned).flatten(0, 1)


def assign(
    points: Tensor,
    camera: Cameras,
    depth: Tensor,
    alpha: Tensor,
    grid: tuple[int, int],
    slack: float,
) -> Tensor:
    """The latent pixel (row-major number) of each of P points in the one view of `camera`, or -1
    where it is not on the visible surface. depth, alpha [H,W]: as rendered. grid: (h, w)."""
    viewmat, k = camera.viewmats[0], camera.Ks[0]
    x, y, z = (points @ viewmat[:3, :3].T + viewmat[:3, 3]).unbind(1)
    ahead = z > 1e-6
    z = torch.where(ahead, z, torch.ones_like(z))
    u, v = k[0, 0] * x / z + k[0, 2], k[1, 1] * y / z + k[1, 2]
    inside = ahead & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    column, row = u.clamp(0, camera.width - 1).long(), v.clamp(0, camera.height - 1).long()
    seen = inside & (alpha[row, column] > 0.1) & ((z - depth[row, column]).abs() < slack)
    h, w = grid
    # the pixel's corner decides, by whole numbers: no rounding can put a point on two pixels
    pixel = (row * h // camera.height) * w + column * w // camera.width
    return torch.where(seen, pixel, -1)


@dataclass(frozen=True)
class Consistent:
    """slack: how far from the rendered depth a point is still on the surface, world units."""

    slack: float = 0.05

    def __call__(self, draw: Draw, view: Any) -> Tensor:
        """[B,S,C,h,w]. The draw's own noise for a scene without geometry (a picture). Raises
        ValueError for a render without depth."""
        parts = view.parts or (view,)
        b = len(draw.noise) // len(parts)
        generator = draw.generator(STREAM)
        return torch.cat(
            [
                self._of_one_scene(part, draw, slice(i * b, (i + 1) * b), generator)
                for i, part in enumerate(parts)
            ]
        )

    def _of_one_scene(
        self, view: Any, draw: Draw, rows: slice, generator: torch.Generator
    ) -> Tensor:
        own = draw.noise[rows]
        if view.gaussians is None:
            return own
        if view.depth is None:
            raise ValueError("consistent noise needs renders with depth (GaussianScene.geometry)")
        b, s, c, h, w = own.shape
        per = -(-POINTS_PER_PIXEL * h * w // len(view.gaussians["means"]))
        points = sample_points(view.gaussians, per, generator)
        fresh = torch.randn(len(points), s * c, generator=generator).to(own)
        field = torch.randn(h * w, s * c, generator=generator).to(own)
        cameras = draw.views[rows]
        pixels = [
            assign(
                points,
                cameras[i : i + 1],
                view.depth[i, 0].detach(),
                view.alpha[i, 0].detach(),
                (h, w),
                self.slack,
            )
            for i in range(b)
        ]
        carried = _upsample(own[0].flatten(2).permute(2, 0, 1).flatten(1), fresh, pixels[0])
        shown = [_show(carried, pixel, field) for pixel in pixels]
        return torch.stack(shown).view(b, h, w, s, c).permute(0, 3, 4, 1, 2)


def _sums(values: Tensor, pixel: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Sums [size,D] of values [P,D] by pixel [P], and how many [size,1]; -1 counts nowhere."""
    on = pixel >= 0
    total = values.new_zeros(size, values.shape[1]).index_add_(0, pixel[on], values[on])
    count = values.new_zeros(size, 1).index_add_(0, pixel[on], values.new_ones(int(on.sum()), 1))
    return total, count


def _upsample(x: Tensor, fresh: Tensor, pixel: Tensor) -> Tensor:
    """W [P,D] of points: fresh noise where not seen, else such that pixels show x [h w, D]."""
    total, count = _sums(fresh, pixel, len(x))
    n = count.clamp(min=1)
    shift = x / n.sqrt() - total / n
    return fresh + torch.where((pixel >= 0)[:, None], shift[pixel.clamp(min=0)], 0.0)


def _show(carried: Tensor, pixel: Tensor, field: Tensor) -> Tensor:
    """What a view sees of the points' noise [P,D]: [h w, D]."""
    total, count = _sums(carried, pixel, len(field))
    return torch.where(count > 0, total / count.clamp(min=1).sqrt(), field)
