"""A triangle mesh: the surface of a signed distance on tetrahedra whose corners move.

Shen et al. 2021 (DMTet, arXiv 2111.04276), as in the second and third stage of ProlificDreamer
(Wang et al. 2023, arXiv 2305.16213). The distance at a corner is a value of its own plus those of
two coarser grids: a pixel's gradient then moves a region, not a bump. Colours are those of a grid,
looked up where the surface is.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

from score3d.cameras import Cameras
from score3d.draw import Draw
from score3d.files.splats import Splats
from score3d.files.surfels import SurfelError, sample_mesh
from score3d.files.tetrahedra import TetrahedralField, lattice, march_tetrahedra
from score3d.render.mesh_raster import MeshRaster, face_neighbours, rasterize_mesh, rows
from score3d.scenes.base import Render
from score3d.scenes.levels import LEVELS, adam_state, level_side, level_sum, load_adam, look_up

__all__ = ["MeshOptions", "MeshScene"]

TRAINED = {"all": ("sdf", "offset", "color"), "geometry": ("sdf", "offset"), "colour": ("color",)}
# the light of the pictures that the embedded teacher learned from, in the middle of its ranges:
# ambient, a key light from above and in front, a headlight; and what a surface gets on the average
AMBIENT, KEY, HEAD = 0.54, 0.27, 0.22
KEY_DIRECTION = (0.0, 0.79, 0.61)
MEAN_LIGHT = 0.8


@dataclass(frozen=True)
class MeshOptions:
    """How a mesh starts, learns and is kept in bounds; lengths in world units.

    cells: cubes along a side of the lattice, a multiple of 4. bound: half the side of the cube, in
    which the mesh stays. radii: of the ellipsoid it starts as. texture: cells along a side of the
    grid of colours, a multiple of 4. reach: how far a corner can move, in cells.
    lr_*: Adam's rates; distances in world units, offsets before a tanh. samples: per pixel and
    axis. train: "all", "geometry" or "colour"; the rest keeps every bit.

    shading: "colour" shows colours as they are; "normals" lights them by the surface's normals, so
    that a teacher of coloured pictures has a say in those. light: how strongly, from 0 to 1.

    The regulariser's weights, relative to the gradient of the distillation. smooth: mean of
    1 - cos between the normals of neighbouring faces. laplacian: mean squared distance of a corner
    from the mean of its neighbours, in cells.
    """

    cells: int = 32
    bound: float = 0.62
    radii: tuple[float, float, float] = (0.35, 0.35, 0.35)
    texture: int = 64
    reach: float = 0.3
    lr_sdf: float = 0.002
    lr_offset: float = 0.01
    lr_color: float = 0.03
    samples: int = 2
    train: str = "all"
    shading: str = "colour"
    light: float = 1.0
    smooth: float = 0.0
    laplacian: float = 0.0


@dataclass(frozen=True)
class _Surface:
    """vertices [V,3], on the graph; faces [F,3] and the faces across their edges; normals [V,3]."""

    vertices: Tensor
    faces: Tensor
    neighbours: NDArray[np.int64]
    normals: Tensor


class MeshScene:
    """sdf.0, sdf.1 [1,1,n,n,n] and sdf.2 [V], whose sum is the signed distance, negative inside;
    offset [V,3], a tanh of which moves the lattice's corners; color.k [1,3,n,n,n], k in 0..2,
    before a sigmoid.

    geometry: renders carry depth and Gaussians, for losses that need them. field: where to begin,
    instead of an ellipsoid; of the same cells, bound and texture. Raises ValueError.
    """

    def __init__(
        self,
        options: MeshOptions,
        seed: int = 0,
        device: torch.device | str = "cpu",
        geometry: bool = False,
        dtype: torch.dtype = torch.float32,
        field: TetrahedralField | None = None,
    ) -> None:
        for name in ("cells", "texture"):
            if getattr(options, name) % 2 ** (LEVELS - 1):
                raise ValueError(f"mesh.{name} {getattr(options, name)}: must be a multiple of 4")
        if options.train not in TRAINED:
            raise ValueError(f"mesh.train {options.train!r}: known: {', '.join(TRAINED)}")
        if options.shading not in ("colour", "normals"):
            raise ValueError(f"mesh.shading {options.shading!r}: known: colour, normals")
        self.options, self.geometry = options, geometry
        grid = lattice(options.cells)
        self.points = torch.from_numpy(grid.points).to(device, dtype) * options.bound
        self.border = torch.from_numpy(grid.border).to(device)
        self._tetrahedra = grid.tetrahedra
        values = self._start(torch.Generator().manual_seed(seed), field)
        trained = TRAINED[options.train]
        self.values = {
            name: torch.nn.Parameter(v.to(device, dtype), name.split(".")[0] in trained)
            for name, v in values.items()
        }
        self.optimizer = self._new_optimizer()
        self._inside: NDArray[np.bool_] | None = None
        self._topology: tuple[Tensor, Tensor, NDArray[np.int64]]
        self._kept: _Surface | None = None

    @property
    def cell(self) -> float:
        """The side of a cube of the lattice, world units."""
        return 2 * self.options.bound / self.options.cells

    def _start(self, g: torch.Generator, field: TetrahedralField | None) -> dict[str, Tensor]:
        o, last = self.options, LEVELS - 1
        values: dict[str, Tensor] = {}
        for k in range(LEVELS):
            n, m = level_side(k, o.cells), level_side(k, o.texture)
            if k < last:
                values[f"sdf.{k}"] = torch.zeros(1, 1, n, n, n)
            values[f"color.{k}"] = 0.1 * torch.randn(1, 3, m, m, m, generator=g)
        values["offset"] = torch.zeros(len(self.points), 3)
        if field is None:
            radii = torch.tensor(o.radii)
            scaled = (self.points.cpu().float() / radii).norm(dim=1)
            values[f"sdf.{last}"] = (scaled - 1) * radii.min()
            return values
        values[f"sdf.{last}"] = torch.from_numpy(field.distance.copy())
        moved = torch.from_numpy(field.offset) / (o.reach * self.cell)
        values["offset"] = moved.clamp(-0.999, 0.999).atanh()
        for k in range(last):
            values[f"color.{k}"].zero_()
        values[f"color.{last}"] = torch.from_numpy(field.colours.raw_colour.copy())[None]
        return values

    def _new_optimizer(self) -> torch.optim.Adam:
        o = self.options
        rates = {"sdf": o.lr_sdf, "offset": o.lr_offset, "color": o.lr_color}
        groups = [
            {"params": [p], "lr": rates[name.split(".")[0]]}
            for name, p in self.values.items()
            if p.requires_grad
        ]
        return torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-15)

    def __len__(self) -> int:
        """The faces."""
        with torch.no_grad():
            return len(self.surface().faces)

    def parameters(self) -> dict[str, Tensor]:
        return {name: p for name, p in self.values.items() if p.requires_grad}

    def distance(self) -> Tensor:
        """Signed distance [V] at the lattice's corners; its border is always outside."""
        total = self.values[f"sdf.{LEVELS - 1}"]
        for k in range(LEVELS - 1):
            grid = self.values[f"sdf.{k}"]
            total = total + look_up(grid, self.points, self.options.bound)[:, 0]
        return torch.where(self.border, total.abs().clamp(min=0.1 * self.cell), total)

    def _moved(self) -> Tensor:
        """The displacement of the lattice's corners [V,3], world units."""
        return self.options.reach * self.cell * self.values["offset"].tanh()

    def surface(self) -> _Surface:
        """The mesh as it is now."""
        if self._kept is not None:
            return self._kept
        distance = self.distance()
        inside = (distance < 0).cpu().numpy()
        if self._inside is None or not np.array_equal(inside, self._inside):
            edges, faces = march_tetrahedra(inside, self._tetrahedra)
            device = self.points.device
            self._topology = (
                torch.from_numpy(edges).to(device),
                torch.from_numpy(faces).to(device),
                face_neighbours(faces),
            )
            self._inside = inside
        edges, faces, neighbours = self._topology
        a, b = edges.unbind(1)
        points = self.points + self._moved()
        near, far = rows(distance, a)[:, None], rows(distance, b)[:, None]
        vertices = (rows(points, a) * far - rows(points, b) * near) / (far - near).clamp(min=1e-12)
        surface = _Surface(vertices, faces, neighbours, _normals(vertices, faces))
        if "sdf.2" not in self.parameters():
            self._kept = surface  # nothing will move it
        return surface

    def _raster(self, views: Cameras, surface: _Surface) -> MeshRaster:
        s = self.options.samples
        scale = torch.tensor([[float(s)], [float(s)], [1.0]]).to(views.Ks)
        return rasterize_mesh(
            surface.vertices, surface.faces, surface.neighbours,
            views.viewmats, views.Ks * scale, views.width * s, views.height * s,
        )  # fmt: skip

    def render(self, views: Cameras, background: Tensor) -> Render:
        return self._render(views, background, self.options.shading)

    def _render(self, views: Cameras, background: Tensor, shading: str) -> Render:
        surface = self.surface()
        raster = self._raster(views, surface)
        points = raster.interpolate(surface.vertices)
        grid = level_sum(self.values, "color", self.options.texture)
        rgb = look_up(grid, points, self.options.bound).sigmoid()
        if shading == "normals":
            light = self._light(views, raster, points, surface)
            rgb = (rgb * light[:, None]).clamp(0, 1)
        ones = torch.ones_like(rgb[:, :1])
        shown = torch.cat([rgb, ones, raster.depth[:, None]], 1)
        picture = avg_pool2d(raster.picture(shown), self.options.samples)
        colour, alpha, depth = picture.split([3, 1, 1], 1)
        shown_rgb = colour + (1 - alpha) * background.to(colour)[:, :, None, None]
        # an empty mesh is on the graph too, with no gradient
        shown_rgb = shown_rgb + 0 * sum(p.flatten()[0] for p in self.parameters().values())
        if not self.geometry:
            return Render(shown_rgb, alpha, {})
        depth = depth / alpha.clamp(min=1e-6)
        return Render(shown_rgb, alpha, {}, depth, self._gaussians(surface))

    def _light(
        self, views: Cameras, raster: MeshRaster, points: Tensor, surface: _Surface
    ) -> Tensor:
        """[P] over its mean: 1 where `light` is 0."""
        normals = normalize(raster.interpolate(surface.normals), dim=1, eps=1e-9)
        rotation = views.viewmats[:, :3, :3].to(points)
        eyes = -(rotation.transpose(1, 2) @ views.viewmats[:, :3, 3:].to(points)).squeeze(-1)
        view = raster.sample // (raster.width * raster.height)
        towards = normalize(eyes[view] - points, dim=1)
        key = (normals @ points.new_tensor(KEY_DIRECTION)).clamp(min=0)
        light = AMBIENT + KEY * key + HEAD * (normals * towards).sum(1).abs()
        return 1 + self.options.light * (light / MEAN_LIGHT - 1)

    def normals(self, views: Cameras) -> Tensor:
        """[B,3,H,W] in [0,1]: (n + 1) / 2 of the world normals; on mid-gray."""
        surface = self.surface()
        raster = self._raster(views, surface)
        n = normalize(raster.interpolate(surface.normals), dim=1, eps=1e-9)
        return 0.5 + 0.5 * avg_pool2d(raster.picture(n), self.options.samples)

    def _gaussians(self, surface: _Surface) -> dict[str, Tensor]:
        """A Gaussian of half a cell at each corner of the mesh."""
        means = surface.vertices.detach()
        quats = means.new_tensor([1.0, 0, 0, 0]).expand(len(means), 4)
        scales = torch.full_like(means, 0.5 * self.cell)
        return {"means": means, "quats": quats, "scales": scales,
                "opacities": torch.full_like(means[:, 0], 0.999)}  # fmt: skip

    def regulariser(self, view: Render) -> Tensor:
        o = self.options
        total = view.alpha.new_zeros(())
        if not (o.smooth or o.laplacian) or o.train == "colour":
            return total
        surface = self.surface()
        if len(surface.faces) == 0:
            return total
        vertices, faces = surface.vertices, surface.faces
        if o.smooth:
            across = torch.from_numpy(surface.neighbours).to(faces)
            n = normalize(_crosses(vertices, faces), dim=1, eps=1e-12)
            cosine = (n[:, None] * rows(n, across.clamp(min=0))).sum(2)
            total = total + o.smooth * (1 - cosine)[across >= 0].mean()
        if o.laplacian:
            around = torch.zeros_like(vertices)
            number = torch.zeros_like(vertices[:, :1])
            for k in range(3):  # each edge belongs to two faces, in opposite directions
                at, to = faces[:, k], faces[:, (k + 1) % 3]
                around = around.index_add(0, at, rows(vertices, to))
                number = number.index_add(0, at, torch.ones_like(number[:1]).expand(len(at), 1))
            away = (around / number.clamp(min=1) - vertices) / self.cell
            total = total + o.laplacian * away.square().sum(1).mean()
        return total

    def step(self, step: int) -> None:
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def adapt(self, draw: Draw, view: Render) -> None:
        """The mesh follows from the distances at every render; there is no state to update."""

    def prune(self, min_opacity: float) -> int:
        return 0

    @torch.no_grad()
    def field(self) -> TetrahedralField:
        """Distances, offsets and colours as numbers, for files."""
        colour = level_sum(self.values, "color", self.options.texture)[0]
        arrays = (v.float().cpu().numpy() for v in (self.distance(), self._moved(), colour))
        return TetrahedralField(self.options.cells, self.options.bound, *arrays)

    def splats(self) -> Splats:
        """Flat Gaussians on the surface; none if there is no surface."""
        import trimesh

        field = self.field()
        try:
            mesh = trimesh.Trimesh(*field.surface(), process=False)
            return sample_mesh(mesh, colour_at=field.nearest_colour)
        except SurfelError:
            return Splats.none()

    @torch.no_grad()
    def photograph(self, cameras: Cameras, background: float = 1.0) -> NDArray[np.float32]:
        """Pictures [B,H,W,3] in [0,1] of the colours on a gray level, one camera at a time."""
        gray = torch.full((1, 3), background, device=self.points.device)
        return self._one_by_one(cameras, lambda c: self._render(c, gray, "colour").rgb)

    @torch.no_grad()
    def photograph_normals(self, cameras: Cameras) -> NDArray[np.float32]:
        """`normals` [B,H,W,3], one camera at a time."""
        return self._one_by_one(cameras, self.normals)

    def _one_by_one(self, cameras: Cameras, show: Any) -> NDArray[np.float32]:
        device = self.points.device
        shown = [show(cameras[i : i + 1].to(device)) for i in range(len(cameras))]
        return torch.cat(shown).permute(0, 2, 3, 1).float().cpu().clamp(0, 1).numpy()

    def state_dict(self) -> dict[str, Tensor]:
        return adam_state(self.values, self.optimizer)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.optimizer = self._new_optimizer()
        load_adam(self.values, self.optimizer, state)
        self._kept = None


def _crosses(vertices: Tensor, faces: Tensor) -> Tensor:
    """Outward normals of faces [F,3], twice as long as the faces' areas."""
    a, b, c = rows(vertices, faces).unbind(1)
    return torch.linalg.cross(b - a, c - a)


def _normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Unit normals of corners [V,3]: of their faces, weighted by area."""
    cross = _crosses(vertices, faces)
    total = torch.zeros_like(vertices)
    for k in range(3):
        total = total.index_add(0, faces[:, k], cross)
    return normalize(total, dim=1, eps=1e-12)
