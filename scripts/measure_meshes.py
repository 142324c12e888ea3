"""How good exported meshes are: `measure_meshes.py RUN_OR_PLY ... [--json OUT.json]`, or of scenes
fitted to held-out real models: `measure_meshes.py --real FOLDER [NOUN ...]`.

Each scene is written as a GLB, read back by trimesh and seen by a ray caster that shares nothing
with score3d (Intel Embree through embreex, texture lookup here), from eight sides at 256 pixels,
beside the scene's own pictures. Printed: seconds of processor time of the export, faces,
watertight, connected parts, PSNR in dB of all pixels and of the silhouette's alone, texels that two
faces share. Of real models (a radiance field and Gaussians per noun, fitted as `measure_fit.py`
does), also PSNR of unseen views of the scene itself, and the Chamfer distance of the mesh to what
is visible of the true surface, in radii of the bounding sphere, beside that of two samples of it.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import trimesh
from finished_runs import own_scene
from measure_fit import GRAY, UNSEEN, fitted, psnr, shapes
from trimesh.ray.ray_pyembree import RayMeshIntersector

from score3d.cameras import Cameras, turntable
from score3d.evaluate.geometry import chamfer
from score3d.files.formats import read_splats
from score3d.files.mesh import (
    MeshError,
    grid_to_mesh,
    splats_to_mesh,
    tetrahedra_to_mesh,
    write_mesh,
)
from score3d.scenes.mesh import MeshScene
from score3d.scenes.nerf import NerfScene
from score3d.scenes.photograph import photograph
from score3d.world.clouds import sample_surface, visible_faces
from score3d.world.shapes import BOUNDING_RADIUS, Shape


def look_up(mesh: trimesh.Trimesh, face: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Texture colour [M, 3] in [0, 1], bilinear, at surface points."""
    picture = np.asarray(mesh.visual.material.baseColorTexture.convert("RGB"), float) / 255
    h, w, _ = picture.shape
    share = trimesh.triangles.points_to_barycentric(mesh.triangles[face], points)
    uv = np.einsum("mk,mkd->md", share, mesh.visual.uv[mesh.faces[face]])
    x, y = uv[:, 0] * w - 0.5, (1 - uv[:, 1]) * h - 0.5
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    total = 0
    for dx in (0, 1):
        for dy in (0, 1):
            weight = (1 - np.abs(x - x0 - dx)) * (1 - np.abs(y - y0 - dy))
            at = np.clip(y0 + dy, 0, h - 1), np.clip(x0 + dx, 0, w - 1)
            total = total + weight[:, None] * picture[at]
    return total


def ray_cast(mesh: trimesh.Trimesh, cameras: Cameras) -> tuple[np.ndarray, np.ndarray]:
    """Pictures [B, H, W, 3] on gray, unlit, four rays per pixel, and what they cover [B, H, W]."""
    caster = RayMeshIntersector(mesh)
    pictures, covers = [], []
    for matrix, k in zip(cameras.viewmats.numpy(), cameras.Ks.numpy(), strict=True):
        total, cover = 0, 0
        for sx in (0.25, 0.75):
            for sy in (0.25, 0.75):
                u, v = np.meshgrid(np.arange(cameras.width) + sx, np.arange(cameras.height) + sy)
                local = np.stack(
                    [(u - k[0, 2]) / k[0, 0], (v - k[1, 2]) / k[1, 1], np.ones_like(u)], -1
                ).reshape(-1, 3)
                along = local @ matrix[:3, :3]
                start = np.broadcast_to(-matrix[:3, :3].T @ matrix[:3, 3], along.shape)
                face, ray, points = caster.intersects_id(
                    start, along, multiple_hits=False, return_locations=True
                )
                rgb = np.full((len(along), 3), GRAY)
                rgb[ray] = look_up(mesh, face, points)
                hit = np.zeros(len(along))
                hit[ray] = 1
                total, cover = total + rgb / 4, cover + hit / 4
        pictures.append(total.reshape(cameras.height, cameras.width, 3))
        covers.append(cover.reshape(cameras.height, cameras.width))
    return np.stack(pictures), np.stack(covers)


def shared_texels(mesh: trimesh.Trimesh, side: int = 1024) -> int:
    """Texels of a side x side raster whose centre lies well inside two faces at once."""
    corners = mesh.visual.uv[mesh.faces] * side - 0.5
    count = np.zeros((side, side), int)
    for a, b, c in corners:
        low = np.maximum(np.ceil(np.min([a, b, c], 0)), 0).astype(int)
        high = np.minimum(np.floor(np.max([a, b, c], 0)), side - 1).astype(int)
        if (high < low).any():
            continue
        x, y = np.meshgrid(np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1))
        d = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if abs(d) < 1e-9:
            continue
        s = ((x - a[0]) * (c[1] - a[1]) - (y - a[1]) * (c[0] - a[0])) / d
        t = ((b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])) / d
        inside = (s > 1e-3) & (t > 1e-3) & (s + t < 1 - 1e-3)
        count[y[inside], x[inside]] += 1
    return int((count > 1).sum())


Mesher = Callable[[int], trimesh.Trimesh]
Photographer = Callable[[Cameras, float], np.ndarray]


def of_source(source: Path) -> tuple[str, Mesher, Photographer]:
    """The name of a run or file of splats, what makes a mesh of it, and its own pictures."""
    name = source.stem if source.is_file() else source.name
    scene = own_scene(source)
    if isinstance(scene, NerfScene):
        field = scene.field()
        return name, lambda n: grid_to_mesh(field, n), scene.photograph
    if isinstance(scene, MeshScene):
        made = scene.field()
        return name, lambda _: tetrahedra_to_mesh(made), scene.photograph
    splats = read_splats(source / "scene.ply" if source.is_dir() else source)
    return name, lambda n: splats_to_mesh(splats, n), lambda *at: photograph(splats, *at)


def distances(shape: Shape, mesh: trimesh.Trimesh, points: int = 8192) -> dict[str, float]:
    """Chamfer distance of a mesh to a shape, and of the shape to itself."""
    rng = np.random.default_rng(0)
    faces = shape.faces[visible_faces(shape)]
    truth, again, made = (
        sample_surface(v, f, points, rng).astype(np.float32) / BOUNDING_RADIUS
        for v, f in ((shape.vertices, faces), (shape.vertices, faces), (mesh.vertices, mesh.faces))
    )
    return {
        "chamfer": round(chamfer(made, truth), 4),
        "chamfer_of_truth": round(chamfer(again, truth), 4),
    }


def measure(
    name: str, mesher: Mesher, pictures: Photographer, folder: Path, resolution: int
) -> dict[str, object]:
    begun = time.process_time()
    mesh = mesher(resolution)
    path = folder / f"{name.replace('/', '-')}.glb"
    write_mesh(path, mesh)
    seconds = time.process_time() - begun
    again = trimesh.load_mesh(path, process=False)
    again = again.to_mesh() if isinstance(again, trimesh.Scene) else again
    cameras = turntable(8, 256)
    truth = pictures(cameras, GRAY)
    seen, cover = ray_cast(again, cameras)
    error = np.square(truth - seen).mean(-1)
    on = cover > 0
    return {
        "scene": path.stem,
        "cpu_seconds": round(seconds, 1),
        "faces": len(again.faces),
        "watertight": mesh.metadata["watertight"],
        "parts": mesh.metadata["parts"],
        "psnr": round(float(-10 * np.log10(error.mean())), 2),
        "psnr_inside": round(float(-10 * np.log10(error[on].mean())), 2),
        "shared_texels": shared_texels(again),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sources", nargs="*", help="runs and files, or nouns with --real")
    parser.add_argument("--real", type=Path, help="a folder of real models")
    parser.add_argument("--steps", type=int, default=200, help="of fitting real models")
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--folder", type=Path, default=Path("runs/meshes"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    rows = []

    def add(name: str, mesher: Mesher, pictures: Photographer, shape: Shape | None = None) -> None:
        try:
            row = measure(name, mesher, pictures, options.folder, options.resolution)
            if shape is not None:
                made = trimesh.load_mesh(options.folder / f"{row['scene']}.glb", process=False)
                made = made.to_mesh() if isinstance(made, trimesh.Scene) else made
                row |= distances(shape, made)
                row["psnr_unseen"] = round(psnr(shape, pictures(UNSEEN, GRAY)), 2)
        except MeshError as error:
            row = {"scene": name, "error": str(error)}
        rows.append(row)
        print(json.dumps(row), flush=True)

    if options.real:
        for name, shape in shapes(options.sources, options.real):
            field, gaussians, _ = fitted(shape, options.steps)
            grid, splats = field.field(), gaussians.splats()
            add(f"{name}-field", lambda n, g=grid: grid_to_mesh(g, n), field.photograph, shape)
            add(
                f"{name}-gaussians",
                lambda n, s=splats: splats_to_mesh(s, n),
                lambda *at, s=splats: photograph(s, *at),
                shape,
            )
    else:
        for source in options.sources:
            add(*of_source(Path(source)))
    good = [r for r in rows if "error" not in r]
    if good:
        share = np.mean([bool(r["watertight"]) for r in good])
        decibels = [r["psnr"] for r in good]
        print(f"{len(good)} of {len(rows)}: watertight {share:.0%}, "
              f"PSNR median {np.median(decibels):.2f}, lowest {min(decibels):.2f}")  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
