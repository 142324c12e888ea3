"""A z-buffer renderer for training pictures: flat-shaded triangles, supersampled.

Not differentiable; hundreds of pictures per second and core.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from score3d.cameras import Cameras
from score3d.world.shapes import Shape

__all__ = ["Lighting", "render_shape", "sample_lighting"]

# ambient, key and headlight strengths, then the key light's direction (world, unit length)
Lighting = tuple[float, float, float, NDArray[np.float64]]


def sample_lighting(rng: np.random.Generator) -> Lighting:
    """A key light from above and in front, fixed in the world, plus ambient and headlight."""
    azimuth, elevation = np.radians(rng.uniform(-60, 60)), np.radians(rng.uniform(35, 70))
    direction = np.array(
        [
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
            np.cos(elevation) * np.cos(azimuth),
        ]
    )
    return rng.uniform(0.5, 0.58), rng.uniform(0.22, 0.32), rng.uniform(0.18, 0.26), direction


@njit(cache=True, nogil=True)
def _fill(px, depth, faces, shade, image, zbuffer):
    h, w = zbuffer.shape
    for k in range(faces.shape[0]):
        a, b, c = faces[k, 0], faces[k, 1], faces[k, 2]
        x0, y0, x1, y1, x2, y2 = px[a, 0], px[a, 1], px[b, 0], px[b, 1], px[c, 0], px[c, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 1e-9 or depth[a] <= 0 or depth[b] <= 0 or depth[c] <= 0:
            continue
        left = max(int(np.floor(min(x0, x1, x2) - 0.5)), 0)
        right = min(int(np.ceil(max(x0, x1, x2) + 0.5)), w)
        top = max(int(np.floor(min(y0, y1, y2) - 0.5)), 0)
        bottom = min(int(np.ceil(max(y0, y1, y2) + 0.5)), h)
        inv = 1.0 / area
        za, zb, zc = 1.0 / depth[a], 1.0 / depth[b], 1.0 / depth[c]
        for y in range(top, bottom):
            for x in range(left, right):
                u, v = x + 0.5, y + 0.5
                w1 = ((u - x0) * (y2 - y0) - (x2 - x0) * (v - y0)) * inv
                w2 = ((x1 - x0) * (v - y0) - (u - x0) * (y1 - y0)) * inv
                w0 = 1.0 - w1 - w2
                if w0 >= 0 and w1 >= 0 and w2 >= 0:
                    z = w0 * za + w1 * zb + w2 * zc
                    if z > zbuffer[y, x]:
                        zbuffer[y, x] = z
                        image[y, x, 0] = shade[k, 0]
                        image[y, x, 1] = shade[k, 1]
                        image[y, x, 2] = shade[k, 2]


def render_shape(
    shape: Shape,
    cameras: Cameras,
    backgrounds: NDArray[np.float64],
    lighting: Lighting,
    supersample: int = 2,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Pictures of `shape` from B cameras.

    backgrounds [B,3] in [0,1]. Returns rgb [B,H,W,3] in [0,1], alpha [B,H,W] coverage, and
    depth [B,H,W] along the viewing axis in world units (0 where nothing is hit).
    """
    s = supersample
    h, w = cameras.height * s, cameras.width * s
    corners = shape.vertices[shape.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    centres = corners.mean(1)
    ambient, key, head, direction = lighting
    views = cameras.viewmats.numpy().astype(np.float64)
    focal = cameras.Ks.numpy().astype(np.float64)
    rgb = np.empty((len(views), cameras.height, cameras.width, 3), np.float32)
    alpha = np.empty(rgb.shape[:3], np.float32)
    depth = np.empty(rgb.shape[:3], np.float32)
    for i, (view, K) in enumerate(zip(views, focal, strict=True)):
        eye = -view[:3, :3].T @ view[:3, 3]
        to_eye = eye - centres
        to_eye /= np.linalg.norm(to_eye, axis=1, keepdims=True)
        facing = (normals * to_eye).sum(1)
        # Faces are lit on the side one sees, so that thin open surfaces need no second copy.
        n = normals * np.where(facing < 0, -1.0, 1.0)[:, None]
        light = ambient + key * np.maximum(n @ direction, 0) + head * np.abs(facing)
        shade = np.clip(shape.face_colours * light[:, None], 0, 1)
        local = shape.vertices @ view[:3, :3].T + view[:3, 3]
        z = local[:, 2]
        safe = np.where(z > 1e-6, z, 1e-6)
        px = np.stack(
            [local[:, 0] / safe * K[0, 0] + K[0, 2], local[:, 1] / safe * K[1, 1] + K[1, 2]], 1
        )
        image = np.empty((h, w, 3))
        image[:] = backgrounds[i]
        zbuffer = np.zeros((h, w))
        _fill(px * s, z, shape.faces, shade, image, zbuffer)
        hit = zbuffer > 0
        hits = hit.reshape(h // s, s, w // s, s)
        rgb[i] = image.reshape(h // s, s, w // s, s, 3).mean((1, 3))
        alpha[i] = hits.mean((1, 3))
        total = (
            np.where(hit, 1 / np.where(hit, zbuffer, 1), 0)
            .reshape(h // s, s, w // s, s)
            .sum((1, 3))
        )
        depth[i] = total / np.maximum(hits.sum((1, 3)), 1)
    return rgb, alpha, depth
