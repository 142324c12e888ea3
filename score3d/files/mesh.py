"""From splats or a radiance field to a textured mesh, and meshes to files.

The surface is the level set of the density (`score3d.files.field`). Its level is not a
magic number: it is the one at which the mesh covers as much of the picture as the splats do, seen
along the three axes. A fog too thin to be seen therefore does not become surface, however much of
it there is, and a thin but visible limb does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from score3d.files.atomic import atomic_write
from score3d.files.closed_mesh import closed, solid_parts
from score3d.files.field import Field, GaussianField
from score3d.files.grid_field import GridField
from score3d.files.splats import FloatArray, Splats
from score3d.files.tetrahedra import TetrahedralField
from score3d.files.texture import Colour, bake, surface_colour, unwrap

if TYPE_CHECKING:
    import trimesh

__all__ = [
    "MeshError",
    "grid_to_mesh",
    "splats_to_mesh",
    "surface_of",
    "tetrahedra_to_mesh",
    "write_mesh",
]

MakeField = Callable[[float], Field]  # from a blur, see GaussianField

COVERED = 0.5  # of the greatest alpha of the picture: from there a pixel counts as covered
INVISIBLE = 1 / 255  # opacity below which a splat never reaches an 8-bit picture
COARSE = 48  # samples along the longest side while looking for the object


class MeshError(ValueError):
    """No mesh can be made of these splats, or not in this format; one line that says why."""


def splats_to_mesh(
    splats: Splats,
    resolution: int = 128,
    faces: int = 10_000,
    texture_size: int = 1024,
    threshold: float | None = None,
) -> trimesh.Trimesh:
    """Turn splats into a closed, smooth-shaded mesh with a baked base-colour texture.

    Non-finite splats are dropped, and so are floaters: splats more than four times as far from the
    opacity-weighted median as 95 % of the opacity. Parts whose area is less than 2 % of the
    largest part's are dropped, and so are the walls of cavities, which nothing outside can see.

    Args:
        splats: N splats, our y-up world; the colour is the direction-independent one.
        resolution: samples along the longest side of the object, 16 to 512.
        faces: number of triangles aimed at, >= 16; fewer if the surface has fewer.
        texture_size: side of the texture aimed at, texels, 16 to 8192.
        threshold: density of the surface, > 0; None finds it as described at the top of this file.

    Returns:
        A mesh in the frame of the splats with vertex normals, outward winding, UV and a PBR
        material (metallic 0, roughness 1, sRGB texture). Its metadata holds "threshold",
        "watertight" and "parts" (connected ones; both before it was cut along UV seams),
        "dropped_splats" and "dropped_parts".

    Raises:
        MeshError: no finite visible splats, or no surface at the threshold; one line that names
            the highest density.
        ValueError: an argument is out of range.
    """
    _check(resolution, faces, texture_size)
    kept, dropped = _visible(splats)
    mesh = _field_to_mesh(
        lambda blur: GaussianField(kept, blur), resolution, faces, texture_size, threshold
    )
    mesh.metadata["dropped_splats"] = dropped
    return mesh


def grid_to_mesh(
    field: GridField,
    resolution: int = 128,
    faces: int = 10_000,
    texture_size: int = 1024,
    threshold: float | None = None,
) -> trimesh.Trimesh:
    """`splats_to_mesh` for a radiance field on a grid, with no detour by splats. The same
    arguments, result (without "dropped_splats") and errors."""
    _check(resolution, faces, texture_size)
    _check_field(field)
    return _field_to_mesh(lambda blur: field, resolution, faces, texture_size, threshold)


def tetrahedra_to_mesh(
    field: TetrahedralField, faces: int = 20_000, texture_size: int = 1024
) -> trimesh.Trimesh:
    """The surface of tetrahedra as it is, with no field in between; decimated only if it has more
    than `faces` triangles, and without debris and walls of cavities. The texture is baked as in
    `splats_to_mesh`, and so are the result (without "threshold") and the errors."""
    _check(16, faces, texture_size)
    if not (np.isfinite(field.distance).all() and np.isfinite(field.offset).all()):
        raise MeshError("no mesh: the scene has values that are not finite")
    vertices, triangles, parts = solid_parts(*field.surface())
    if len(triangles) == 0:
        raise MeshError(
            "no mesh: no solid surface; the smallest signed distance is "
            f"{float(field.distance.min()):.3g}"
        )
    plain, parts = closed(vertices, triangles, parts, faces)
    return _textured(plain, field, texture_size, {"dropped_parts": parts})


def surface_of(
    source: Splats | GridField, resolution: int = 96
) -> tuple[NDArray[np.float64], NDArray[np.int64], FloatArray]:
    """Corners [V, 3], outward faces [F, 3] and the corners' colours [V, 3] in [0, 1] of the surface
    that `splats_to_mesh` and `grid_to_mesh` begin with: closed, not yet decimated or unwrapped.
    Raises MeshError."""
    if isinstance(source, GridField):
        _check_field(source)
        make: MakeField = lambda blur: source  # noqa: E731
    else:
        kept, _ = _visible(source)
        make = lambda blur: GaussianField(kept, blur)  # noqa: E731
    volume, _, vertices, triangles, _ = _level_set(make, resolution, None)
    return vertices, triangles, surface_colour(volume.field, vertices)


def _check_field(field: GridField) -> None:
    if not (np.isfinite(field.raw).all() and np.isfinite(field.raw_colour).all()):
        raise MeshError("no mesh: the field has values that are not finite")
    highest = float(np.logaddexp(0, np.float64(field.raw.max()))) / field.cell
    if -np.expm1(-2 * field.bound * highest) < INVISIBLE:  # all of it together, seen through
        raise MeshError(f"no mesh: the field is invisible; its maximum density is {highest:.2g}")


def _check(resolution: int, faces: int, texture_size: int) -> None:
    if not (16 <= resolution <= 512 and 16 <= texture_size <= 8192 and faces >= 16):
        raise ValueError(
            f"mesh: resolution {resolution} not in 16..512, texture_size {texture_size} not in"
            f" 16..8192 or faces {faces} below 16"
        )


def _field_to_mesh(
    field: MakeField, resolution: int, faces: int, texture_size: int, threshold: float | None
) -> trimesh.Trimesh:
    volume, level, vertices, triangles, parts = _level_set(field, resolution, threshold)
    plain, parts = closed(vertices, triangles, parts, faces)
    about = {"threshold": float(level), "dropped_parts": parts}
    return _textured(plain, volume.field, texture_size, about)


def _level_set(
    field: MakeField, resolution: int, threshold: float | None
) -> tuple[_Volume, float, NDArray, NDArray, int]:
    """Where, at which density, corners [V, 3], outward faces [F, 3], and parts left out."""
    low, high = _object_box(field, threshold)
    volume = _Volume(field, low, high, resolution)
    level = volume.level() if threshold is None else threshold
    return volume, level, *_surface(volume, level)


def _textured(
    plain: trimesh.Trimesh, field: Colour, texture_size: int, about: dict[str, float]
) -> trimesh.Trimesh:
    """An unwrapped copy with the field's colours; `about` goes into its metadata."""
    import trimesh
    from trimesh.visual import TextureVisuals
    from trimesh.visual.material import PBRMaterial

    vertices, triangles = np.array(plain.vertices), np.array(plain.faces)
    normals = np.array(plain.vertex_normals)
    source, triangles, uv, shape = unwrap(vertices, normals, triangles, texture_size)
    picture = bake(field, vertices[source], triangles, uv, shape)
    material = PBRMaterial(
        name="score3d",
        baseColorTexture=Image.fromarray(picture),
        metallicFactor=0.0,
        roughnessFactor=1.0,
    )
    return trimesh.Trimesh(
        vertices=vertices[source],
        faces=triangles,
        vertex_normals=normals[source],
        visual=TextureVisuals(uv=uv, material=material),
        metadata={
            "watertight": bool(plain.is_watertight),
            "parts": int(plain.body_count),
            **about,
        },
        process=False,
    )


def write_mesh(path: str | Path, mesh: trimesh.Trimesh) -> list[Path]:
    """Write a textured mesh by suffix, atomically, +y up in every format.

    .glb: binary glTF with the texture embedded as PNG. .obj: with NAME.mtl and
    NAME_colour.png beside it. .ply: with the texture's colour at each vertex. .stl: shape only.

    Returns:
        The files written, `path` last.

    Raises:
        MeshError: another suffix, or a mesh without faces.
        OSError: a file cannot be written.
    """
    from trimesh.exchange.obj import export_obj
    from trimesh.visual import TextureVisuals
    from trimesh.visual.material import PBRMaterial, SimpleMaterial

    path = Path(path)
    suffix = path.suffix.lower()
    copy = mesh.copy()
    textured = copy.visual if isinstance(copy.visual, TextureVisuals) else None
    if len(mesh.faces) == 0:
        raise MeshError(f"{path}: the mesh has no faces")
    files: dict[Path, bytes] = {}
    match suffix:
        case ".glb":
            files[path] = _bytes(mesh.export(file_type="glb", include_normals=True))
        case ".stl":
            files[path] = _bytes(mesh.export(file_type="stl"))
        case ".ply":
            if textured is not None:
                copy.visual = textured.to_color()
            files[path] = _bytes(copy.export(file_type="ply", vertex_normal=True))
        case ".obj":
            # the picture is named after the material; many readers stop at a space in a name
            stem = "_".join(path.stem.split())
            if textured is not None and isinstance(textured.material, PBRMaterial):
                # white and matt: readers multiply the picture by the diffuse colour
                textured.material = SimpleMaterial(
                    image=textured.material.baseColorTexture,
                    diffuse=[255, 255, 255],
                    ambient=[255, 255, 255],
                    specular=[0, 0, 0],
                    name=f"{stem}_colour",
                )
            text, beside = export_obj(
                copy,
                include_normals=True,
                return_texture=True,
                mtl_name=f"{stem}.mtl",
                header="generated by score3d",
            )
            for name, data in beside.items():
                files[path.with_name(name)] = data
            files[path] = text.encode("utf-8")
        case _:
            raise MeshError(f"{path}: unknown mesh format; use .glb, .obj, .ply or .stl")
    for target, data in files.items():
        with atomic_write(target) as temporary:
            temporary.write_bytes(data)
    return list(files)


def _bytes(exported: object) -> bytes:
    assert isinstance(exported, bytes)
    return exported


def _visible(splats: Splats) -> tuple[Splats, int]:
    """The splats that can make a surface, and how many were left out."""
    finite, _ = splats.finite()
    seen = finite.select(finite.opacities >= INVISIBLE)
    if len(seen) == 0:
        raise MeshError(
            f"no mesh: none of {len(splats)} splats is finite with an opacity of 1/255 or more"
            f" ({len(finite)} are finite); the maximum density is 0"
        )
    centre = np.array([_weighted_quantile(seen.means[:, a], seen.opacities, 0.5) for a in range(3)])
    distance = np.linalg.norm(seen.means.astype(np.float64) - centre, axis=1)
    reach = _weighted_quantile(distance, seen.opacities, 0.95)
    # a splat's own size counts, so that one huge splat or a tight cluster is not cut
    size = np.exp(np.clip(seen.log_scales.astype(np.float64), -20, 20)).max(axis=1)
    near = distance <= 4 * reach + 3 * np.median(size)
    return seen.select(near), len(splats) - int(near.sum())


def _weighted_quantile(values: NDArray, weights: NDArray, share: float) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order], dtype=np.float64)
    return float(values[order[np.searchsorted(total, share * total[-1])]])


class _Volume:
    """The density on a grid of cubes that spans a box, with a border of zeros so it closes."""

    def __init__(self, field: MakeField, low: NDArray, high: NDArray, resolution: int) -> None:
        self.voxel = float((high - low).max()) / (resolution - 3)
        self.field = field(0.5 * self.voxel)
        counts = np.ceil((high - low) / self.voxel - 1e-6).astype(int) + 1
        start = 0.5 * (low + high) - 0.5 * (counts - 1) * self.voxel
        self.axes = [start[a] + self.voxel * np.arange(counts[a]) for a in range(3)]
        points = np.stack(np.meshgrid(*self.axes, indexing="ij"), axis=-1).reshape(-1, 3)
        self.density = np.pad(self.field.density(points).reshape(counts), 1)
        self.origin = start - self.voxel

    def level(self) -> float:
        """The density at which the level set covers as many pixels as the splats seem to."""
        seen = [
            self.field.opacity_seen_along(axis, *(self.axes[a] for a in range(3) if a != axis))
            for axis in range(3)
        ]
        clearest = max(float(alpha.max()) for alpha in seen)
        # relative to the clearest pixel, since splats that are all faint have a shape too
        covered = sum(int((alpha >= COVERED * clearest).sum()) for alpha in seen)
        peaks = np.concatenate([self.density.max(axis=axis).ravel() for axis in range(3)])
        peaks = np.sort(peaks)[::-1]
        # never so high that only a voxel or two is left, never in the zeros around the splats
        return float(np.clip(peaks[min(covered, len(peaks) - 1)], 0.01 * peaks[0], 0.9 * peaks[0]))


def _object_box(field: MakeField, threshold: float | None) -> tuple[NDArray, NDArray]:
    """Corners of a box around the surface, found on coarse grids.

    The field's own box may be far larger than the surface (fog, big faint splats), and would waste
    the grid; each pass looks again inside the box of the surface found by the one before.
    """
    low, high = field(0.0).box()
    for _ in range(6):
        volume = _Volume(field, low, high, COARSE)
        level = volume.level() if threshold is None else threshold
        vertices, _, _ = _surface(volume, level)
        margin = 2 * volume.voxel
        inner_low = np.maximum(vertices.min(axis=0) - margin, low)
        inner_high = np.minimum(vertices.max(axis=0) + margin, high)
        shrunk = (inner_high - inner_low).max() < 0.8 * (high - low).max()
        low, high = inner_low, inner_high
        if not shrunk:
            break
    return low, high


def _surface(volume: _Volume, level: float) -> tuple[NDArray, NDArray, int]:
    """Vertices [V, 3] and outward triangles [F, 3] of the level set, and parts left out."""
    from skimage.measure import marching_cubes

    highest = float(volume.density.max())
    if not 0 < level < highest:
        raise MeshError(
            f"no surface at density {level:.4g}: the maximum density is {highest:.4g};"
            " use a threshold between 0 and that"
        )
    # the density falls like a Gaussian, so its logarithm is closer to linear between two samples
    steepest = 4.0
    ratio = np.log(np.maximum(volume.density, level * np.exp(-steepest)) / level)
    # a sample on the surface itself would give triangles without area
    ratio = np.where(np.abs(ratio) < 1e-3, 1e-3, np.minimum(ratio, steepest))
    vertices, triangles, _, _ = marching_cubes(ratio, 0.0, gradient_direction="ascent")
    vertices, triangles, parts = solid_parts(vertices, triangles.astype(np.int64))
    if len(triangles) == 0:
        raise MeshError(
            f"no solid surface at density {level:.4g}; the maximum density is {highest:.4g}"
        )
    return volume.origin + volume.voxel * vertices.astype(np.float64), triangles, parts
