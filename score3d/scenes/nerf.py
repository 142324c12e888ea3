"""A radiance field on nested grids: a NeRF (Mildenhall et al. 2020, arXiv 2003.08934) whose
network is a table.

Density and colour live on the corners of three cubic grids, each twice as fine as the one before,
that are added up: a grid's corners are corners of the next, so their sum is one grid, and a point
costs one trilinear lookup however many levels there are (multi-resolution as in Mueller et al.
2022, arXiv 2201.05989; activated after interpolation, as in Sun et al. 2022, DVGO, arXiv
2111.11215). On a CPU a dense grid beats hashed and factored ones by far (docs/log.md), and at the
size of the pictures taken here it is no larger than a hash table.
"""

from dataclasses import dataclass

import nerfacc
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import max_pool3d, normalize, softplus

from score3d.cameras import Cameras
from score3d.draw import Draw
from score3d.files.grid_field import GridField
from score3d.files.splats import Splats
from score3d.files.surfels import SurfelError, sample_surface
from score3d.render.volume import Samples, camera_rays, march, weights
from score3d.scenes.base import Render
from score3d.scenes.levels import LEVELS, adam_state, level_side, level_sum, load_adam, look_up

__all__ = ["NerfOptions", "NerfScene"]

CLOSE_TO_OPAQUE = 1e-3  # alpha is kept this far from 0 and 1 in a logarithm


@dataclass(frozen=True)
class NerfOptions:
    """How a field starts, learns and is kept in bounds; lengths in world units.

    resolution: cells along a side of the finest grid, a multiple of 4. bound: half the side of
    the cube. blob_density, blob_radius: at first, the density of a cell before its softplus is
    blob_density - 3 (r / blob_radius)^2 at distance r from the centre, after DreamFusion (arXiv
    2209.14988). lr_*: Adam's rates. empty: a cell whose opacity is below is not sampled. faint:
    what less light than this share reaches is not sampled either.

    The regulariser's weights, relative to the gradient of the distillation. orientation: visible
    surface that faces away (Ref-NeRF, arXiv 2112.03907). sparsity: mean of sqrt(alpha^2 + 0.01)
    (DreamFusion). opaque: the entropy of alpha, low for pictures cut out cleanly. smooth: mean
    squared difference of neighbouring values before activation.

    background: "given" puts the object on what is asked for; "learned" on a sphere of colours,
    spherical harmonics of degree 2, that is optimised too; exports show the object alone.
    """

    resolution: int = 64
    bound: float = 0.62
    blob_density: float = -1.0
    blob_radius: float = 0.35
    lr_density: float = 0.1
    lr_color: float = 0.03
    empty: float = 1e-3
    faint: float = 1e-3
    orientation: float = 0.0
    sparsity: float = 0.0
    opaque: float = 0.0
    smooth: float = 0.0
    background: str = "given"


@dataclass(frozen=True)
class _Traced:
    """What was seen along the rays of B views: samples, weights [M], values there [M,C] (colours,
    then normals if asked for), directions [B,H,W,3] and their cosines with the viewing axis."""

    samples: Samples
    weights: Tensor
    values: Tensor
    directions: Tensor
    cosines: Tensor


class NerfScene:
    """Grids density.k [1,1,n,n,n] and color.k [1,3,n,n,n], k in 0..2, n = resolution / 2^(2-k) + 1
    corners a side, z slowest; background [9,3] if it is learned. The opacity of a cell is
    1 - exp(-softplus(density)); colours are sigmoids.

    geometry: renders carry depth and Gaussians, for losses that need them. field: where to begin,
    instead of a fog. Raises ValueError.
    """

    def __init__(
        self,
        options: NerfOptions,
        seed: int = 0,
        device: torch.device | str = "cpu",
        geometry: bool = False,
        dtype: torch.dtype = torch.float32,
        field: GridField | None = None,
    ) -> None:
        if options.resolution % 2 ** (LEVELS - 1):
            raise ValueError(f"nerf.resolution {options.resolution}: must be a multiple of 4")
        if options.background not in ("given", "learned"):
            raise ValueError(f"nerf.background {options.background!r}: known: given, learned")
        self.options, self.geometry = options, geometry
        generator = torch.Generator().manual_seed(seed)
        values: dict[str, Tensor] = {}
        for k in range(LEVELS):
            n = self._side(k)
            values[f"density.{k}"] = torch.zeros(1, 1, n, n, n)
            values[f"color.{k}"] = 0.1 * torch.randn(1, 3, n, n, n, generator=generator)
        values[f"density.{LEVELS - 1}"] = _blob(options)
        if field is not None:
            values |= self._sampled(field)
        if options.background == "learned":
            values["background"] = torch.zeros(9, 3)
        self.values = {name: torch.nn.Parameter(v.to(device, dtype)) for name, v in values.items()}
        self.optimizer = self._new_optimizer()

    def _sampled(self, field: GridField) -> dict[str, Tensor]:
        """A field of any resolution and size on the finest grid, and nothing on the coarser."""
        o = self.options
        line = np.linspace(-o.bound, o.bound, o.resolution + 1)
        z, y, x = np.meshgrid(line, line, line, indexing="ij")
        points = np.stack([x, y, z], -1).reshape(-1, 3)
        # density is per world unit: half the cell has half the optical depth
        optical = np.maximum(field.density(points) * self.cell, 1e-12)
        raw = np.where(optical > 20, optical, np.log(np.expm1(np.minimum(optical, 20))))
        colour = field.raw_colour_at(points)
        shape = (o.resolution + 1,) * 3
        values = {f"color.{k}": torch.zeros(1, 3, *(self._side(k),) * 3) for k in range(LEVELS - 1)}
        last = LEVELS - 1
        values[f"density.{last}"] = torch.from_numpy(raw.reshape(1, 1, *shape)).float()
        values[f"color.{last}"] = torch.from_numpy(colour.T.reshape(1, 3, *shape).copy()).float()
        return values

    def _side(self, level: int) -> int:
        return level_side(level, self.options.resolution)

    @property
    def cell(self) -> float:
        """The side of a cell of the finest grid, and the length of a sample, world units."""
        return 2 * self.options.bound / self.options.resolution

    def _new_optimizer(self) -> torch.optim.Adam:
        o = self.options
        groups = [
            {"params": [p], "lr": o.lr_density if name.startswith("density") else o.lr_color}
            for name, p in self.values.items()
        ]
        return torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-15)

    def __len__(self) -> int:
        """The cells that are not empty."""
        with torch.no_grad():
            return int(self._occupied(self._grid("density")).sum())

    def parameters(self) -> dict[str, Tensor]:
        return dict(self.values)

    def _grid(self, name: str) -> Tensor:
        """The levels' sum on the corners of the finest, before activation, [1,C,n,n,n]."""
        return level_sum(self.values, name, self.options.resolution)

    def _occupied(self, density: Tensor) -> Tensor:
        """[Z,Y,X] bool of cells. Interpolation never exceeds the corners, so none is missed."""
        return max_pool3d(softplus(density), 2, stride=1)[0, 0] > self.options.empty

    def _look_up(self, grid: Tensor, points: Tensor) -> Tensor:
        """[M,C] of a grid [1,C,n,n,n] at points [M,3]."""
        return look_up(grid, points, self.options.bound)

    def _trace(self, views: Cameras, normals: bool) -> _Traced:
        density, color = self._grid("density"), self._grid("color")
        viewmats, ks = views.viewmats.to(density), views.Ks.to(density)
        origins, directions, cosines = camera_rays(viewmats, ks, views.width, views.height)
        start = origins[:, None, None].expand_as(directions).reshape(-1, 3)
        along = directions.reshape(-1, 3)
        occupied = self._occupied(density.detach())
        samples = march(start, along, occupied, self.options.bound, self.cell)
        points = start[samples.ray] + samples.t[:, None] * along[samples.ray]
        with torch.no_grad():
            seen = softplus(self._look_up(density.detach(), points)[:, 0]) / self.cell
            kept = weights(samples, seen)[1] > self.options.faint
        samples, points = samples.select(kept), points[kept]
        grids = [density, color, *([_slope(density)] if normals else [])]
        found = self._look_up(torch.cat(grids, 1), points)
        w, _ = weights(samples, softplus(found[:, 0]) / self.cell)
        values = found[:, 1:4].sigmoid()
        if normals:
            values = torch.cat([values, normalize(-found[:, 4:], dim=1, eps=1e-9)], 1)
        return _Traced(samples, w, values, directions, cosines)

    def _accumulate(self, seen: _Traced, values: Tensor | None) -> Tensor:
        """[B,C,H,W] of values [M,C] (ones if None) along the rays."""
        s = seen.samples
        b, h, w, _ = seen.directions.shape
        total = nerfacc.accumulate_along_rays(seen.weights, values, s.ray, s.rays)
        return total.view(b, h, w, -1).permute(0, 3, 1, 2)

    def render(self, views: Cameras, background: Tensor) -> Render:
        seen = self._trace(views, normals=self.options.orientation > 0)
        pictures = self._accumulate(seen, seen.values[:, :3])
        alpha = self._accumulate(seen, None)
        behind = background.to(pictures)[:, :, None, None]
        if "background" in self.values:
            behind = _harmonics(seen.directions, self.values["background"])
        meta = {}
        if self.options.orientation:
            meta["orientation"] = _facing_away(seen)
        rgb = pictures + (1 - alpha) * behind
        if not self.geometry:
            return Render(rgb, alpha, meta)
        along = (seen.samples.t * seen.cosines.reshape(-1)[seen.samples.ray])[:, None]
        depth = self._accumulate(seen, along) / alpha.clamp(min=1e-6)
        return Render(rgb, alpha, meta, depth, self._cells())

    def normals(self, views: Cameras) -> Tensor:
        """[B,3,H,W] in [0,1]: (n + 1) / 2 of the world normals, weighted; on mid-gray."""
        seen = self._trace(views, normals=True)
        return 0.5 + 0.5 * self._accumulate(seen, seen.values[:, 3:])

    @torch.no_grad()
    def _cells(self) -> dict[str, Tensor]:
        """The corners that are more than half as opaque as the most opaque, as Gaussians of a
        cell's size."""
        opacity = -torch.expm1(-softplus(self._grid("density")[0, 0]))
        at = (opacity >= 0.5 * opacity.max()).nonzero()
        means = at.flip(1).to(opacity) * self.cell - self.options.bound
        quats = means.new_tensor([1.0, 0, 0, 0]).expand(len(means), 4)
        scales = torch.full_like(means, 0.5 * self.cell)
        opacities = opacity[tuple(at.T)].clamp(max=0.999)
        return {"means": means, "quats": quats, "scales": scales, "opacities": opacities}

    def regulariser(self, view: Render) -> Tensor:
        o = self.options
        total = view.alpha.new_zeros(())
        if o.orientation:
            total = total + o.orientation * view.meta["orientation"]
        if o.sparsity:
            total = total + o.sparsity * (view.alpha.square() + 0.01).sqrt().mean()
        if o.opaque:
            a = view.alpha.clamp(CLOSE_TO_OPAQUE, 1 - CLOSE_TO_OPAQUE)
            total = total - o.opaque * (a * a.log() + (1 - a) * (1 - a).log()).mean()
        if o.smooth:
            both = torch.cat([self._grid("density"), self._grid("color")], 1)
            total = total + o.smooth * sum(
                both.diff(dim=axis).square().mean() for axis in (2, 3, 4)
            )
        return total

    def step(self, step: int) -> None:
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def adapt(self, draw: Draw, view: Render) -> None:
        """Occupancy follows from the density at every render; there is no state to update."""

    def prune(self, min_opacity: float) -> int:
        return 0

    @torch.no_grad()
    def field(self) -> GridField:
        """Density and colour as numbers, for surfaces."""
        density, color = (
            self._grid(name)[0].float().cpu().numpy() for name in ("density", "color")
        )
        return GridField(density[0], color, self.options.bound)

    def splats(self) -> Splats:
        """Flat Gaussians on the surface; none if there is no surface."""
        try:
            return sample_surface(self.field())
        except SurfelError:
            return Splats.none()

    @torch.no_grad()
    def photograph(self, cameras: Cameras, background: float = 1.0) -> NDArray[np.float32]:
        """Pictures [B,H,W,3] in [0,1] on a gray level, one camera at a time."""
        device = next(iter(self.values.values())).device
        gray = torch.full((1, 3), background, device=device)
        pictures = []
        for i in range(len(cameras)):
            view = self.render(cameras[i : i + 1].to(device), gray)
            if "background" in self.values:
                seen = self._trace(cameras[i : i + 1].to(device), normals=False)
                own = self._accumulate(seen, seen.values[:, :3])
                view = Render(own + (1 - view.alpha) * background, view.alpha, {})
            pictures.append(view.rgb[0].permute(1, 2, 0).float().cpu())
        return torch.stack(pictures).clamp(0, 1).numpy()

    def state_dict(self) -> dict[str, Tensor]:
        return adam_state(self.values, self.optimizer)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.optimizer = self._new_optimizer()
        load_adam(self.values, self.optimizer, state)


def _blob(o: NerfOptions) -> Tensor:
    line = torch.linspace(-o.bound, o.bound, o.resolution + 1, dtype=torch.float64).square()
    squares = line[:, None, None] + line[:, None] + line
    return (o.blob_density - 3 * squares / o.blob_radius**2)[None, None].float()


def _slope(grid: Tensor) -> Tensor:
    """Central differences of [1,1,n,n,n] along x, y, z, up to a common factor, [1,3,n,n,n]; at
    the border the value beyond is that of the border."""
    padded = torch.nn.functional.pad(grid, (1,) * 6, mode="replicate")
    inner = slice(1, -1)
    x = padded[:, :, inner, inner, 2:] - padded[:, :, inner, inner, :-2]
    y = padded[:, :, inner, 2:, inner] - padded[:, :, inner, :-2, inner]
    z = padded[:, :, 2:, inner, inner] - padded[:, :, :-2, inner, inner]
    return torch.cat([x, y, z], 1)


def _facing_away(seen: _Traced) -> Tensor:
    """Mean over the rays of sum_i w_i max(0, n_i . d)^2; the weights are not pushed."""
    along = seen.directions.reshape(-1, 3)[seen.samples.ray]
    away = (seen.values[:, 3:] * along).sum(1).clamp(min=0).square()
    return (seen.weights.detach() * away).sum() / seen.samples.rays


def _harmonics(directions: Tensor, coefficients: Tensor) -> Tensor:
    """[B,3,H,W] in (0,1): sigmoid of real spherical harmonics of degree 2, not normalised."""
    x, y, z = directions.unbind(-1)
    basis = [torch.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y]
    return (torch.stack(basis, -1) @ coefficients).sigmoid().permute(0, 3, 1, 2)
