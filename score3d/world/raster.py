"""A z-buffer renderer for training pictures: flat-shaded triangles, supersampled.

Not differentiable; hundreds of pictures per second and core. Visibility comes first and
shading after it, once per sample: the position under a sample follows from its depth, so
patterns and highlights cost nothing where another face covers them.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from score3d.cameras import Cameras
from score3d.render.visibility import fill_nearest
from score3d.world.finish import MATERIALS
from score3d.world.shapes import Shape

__all__ = [
    "Lighting",
    "face_owners",
    "render_shape",
    "sample_lighting",
    "seen_texels",
    "surface_normals",
]

# ambient, key and headlight strengths, then the key light's direction (world, unit length)
Lighting = tuple[float, float, float, NDArray[np.float64]]

SHINY, METALLIC, WOODEN, STRIPED, CHECKERED, SPOTTED = range(1, len(MATERIALS))
# cosine of the largest turn across an edge that is shaded as a smooth surface
CREASE = 0.85


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
def _normals(vertices, faces, smoothly):
    """Unit normals of faces [F,3] and, if asked for, of vertices [V,3].

    A vertex weighs its faces by their angles there: by area, the rim of a thin plate would
    look like a curved surface.
    """
    flat = np.zeros((faces.shape[0], 3))
    smooth = np.zeros(vertices.shape)
    for k in range(faces.shape[0]):
        a, b, c = vertices[faces[k, 0]], vertices[faces[k, 1]], vertices[faces[k, 2]]
        n = np.cross(b - a, c - a)
        flat[k] = n / max(np.sqrt((n * n).sum()), 1e-12)
        if not smoothly:
            continue
        for m in range(3):
            corner = vertices[faces[k, m]]
            d = vertices[faces[k, (m + 1) % 3]] - corner
            e = vertices[faces[k, (m + 2) % 3]] - corner
            size = np.sqrt((d * d).sum() * (e * e).sum())
            cosine = (d * e).sum() / size if size > 1e-18 else 1.0
            smooth[faces[k, m]] += flat[k] * np.arccos(min(max(cosine, -1.0), 1.0))
    if smoothly:
        for i in range(len(smooth)):
            smooth[i] /= max(np.sqrt((smooth[i] * smooth[i]).sum()), 1e-12)
    return flat, smooth


@njit(cache=True, nogil=True)
def _light(vertices, faces, flat, eye, ambient, key, head, direction):
    """Diffuse light of each face [F].

    Faces are lit on the side one sees, so that thin open surfaces need no second copy.
    """
    light = np.empty(faces.shape[0])
    for k in range(faces.shape[0]):
        a, b, c = faces[k, 0], faces[k, 1], faces[k, 2]
        lit = facing = length = 0.0
        for j in range(3):
            d = eye[j] - (vertices[a, j] + vertices[b, j] + vertices[c, j]) / 3
            facing += flat[k, j] * d
            length += d * d
            lit += flat[k, j] * direction[j]
        if facing < 0:
            lit = -lit
        light[k] = ambient + key * max(lit, 0.0) + head * abs(facing) / np.sqrt(length)
    return light


@njit(cache=True, nogil=True)
def _pattern(kind, q):
    """0 for the object's own colour, 1 for the pattern's; for grain, how dark it is."""
    if kind == STRIPED:
        return 1.0 if q[0] - np.floor(q[0]) < 0.5 else 0.0
    if kind == CHECKERED:
        return float(int(np.floor(q[0]) + np.floor(q[1]) + np.floor(q[2])) & 1)
    if kind == SPOTTED:
        d = 0.0
        for j in range(3):
            d += (q[j] - np.floor(q[j]) - 0.5) ** 2
        return 1.0 if d < 0.145 else 0.0
    ring = np.sqrt(q[0] * q[0] + q[1] * q[1]) + 0.25 * np.sin(0.9 * q[2]) + 0.2 * np.sin(q[0])
    ring -= np.floor(ring)
    return 0.15 + 0.85 * ring * ring


@njit(cache=True, nogil=True)
def _smooth_normal(p, face, vertices, flat, smooth):
    """The normal at p, interpolated over the corners whose surface is not creased, and whether
    the face is part of a curved surface at all."""
    a, b, c = vertices[face[0]], vertices[face[1]], vertices[face[2]]
    n = np.cross(b - a, c - a)
    area = max((n * n).sum(), 1e-18)
    w1 = (np.cross(p - a, c - a) * n).sum() / area
    w2 = (np.cross(b - a, p - a) * n).sum() / area
    out, curved = np.zeros(3), False
    for m, weight in ((0, 1 - w1 - w2), (1, w1), (2, w2)):
        s = smooth[face[m]]
        turn = (s * flat).sum()
        out += weight * (s if turn > CREASE else flat)
        curved |= CREASE < turn < 0.9999
    return out / max(np.sqrt((out * out).sum()), 1e-12), curved


@njit(cache=True, nogil=True)
def _gloss(kind, n, curved, to_eye, direction, base, light, out):
    """Shiny: plastic with highlights. Metallic: a tinted mirror of a bright sky."""
    facing = (n * to_eye).sum()
    if facing < 0:
        n, facing = -n, -facing
    mirror = 2 * facing * n - to_eye
    # The second highlight comes from above the camera: the key light never reaches the back.
    over = to_eye + np.array([0.0, 0.7, 0.0])
    over /= np.sqrt((over * over).sum())
    gleam = max((mirror * direction).sum(), 0.0)
    second = max((mirror * over).sum(), 0.0)
    # A flat face, on which a highlight is everywhere or nowhere, reflects strip lights.
    strip = 3.2 * (0.55 * mirror[0] + 0.5 * mirror[1] + 0.67 * mirror[2])
    strip = 1.0 if not curved and strip - np.floor(strip) < 0.22 else 0.0
    if kind == SHINY:
        white = 0.85 * gleam**24 + 0.6 * second**30 + 0.25 * (1 - facing) ** 4 + 0.22 * strip
        for j in range(3):
            out[j] = base[j] * light + white
    else:
        t = min(max((mirror[1] + 0.25) / 0.4, 0.0), 1.0)
        sky = 0.36 + 0.54 * t * t * (3 - 2 * t) + 0.2 * mirror[1] + 0.3 * strip
        white = 0.8 * gleam**12 + 0.35 * second**16 + 0.3 * (1 - facing) ** 4
        for j in range(3):
            # metal tints what it reflects
            out[j] = base[j] * (sky + 0.1) + (0.35 + 0.65 * base[j]) * white


@njit(cache=True, nogil=True)
def _paint(
    owner, zbuffer, s, vertices, faces, uv, image, texels, sizes, rotation, eye, fx, fy, cx, cy
):
    """Colours [Hs,Ws,3] of the samples from the pictures on their faces, bilinear."""
    h, w = zbuffer.shape
    painted = np.zeros((h, w, 3))
    p = np.empty(3)
    for y in range(h):
        for x in range(w):
            if zbuffer[y, x] <= 0:
                continue
            k, z = owner[y, x], 1 / zbuffer[y, x]
            first, width, height = sizes[image[k]]
            if width * height == 1:
                painted[y, x] = texels[first]
                continue
            lx, ly = ((x + 0.5) / s - cx) / fx * z, ((y + 0.5) / s - cy) / fy * z
            for j in range(3):
                p[j] = eye[j] + rotation[0, j] * lx + rotation[1, j] * ly + rotation[2, j] * z
            a, b, c = vertices[faces[k, 0]], vertices[faces[k, 1]], vertices[faces[k, 2]]
            n = np.cross(b - a, c - a)
            area = max((n * n).sum(), 1e-18)
            w1 = (np.cross(p - a, c - a) * n).sum() / area
            w2 = (np.cross(b - a, p - a) * n).sum() / area
            u = (1 - w1 - w2) * uv[k, 0, 0] + w1 * uv[k, 1, 0] + w2 * uv[k, 2, 0]
            v = (1 - w1 - w2) * uv[k, 0, 1] + w1 * uv[k, 1, 1] + w2 * uv[k, 2, 1]
            tx, ty = (u - np.floor(u)) * width - 0.5, (np.ceil(v) - v) * height - 0.5
            x0, y0 = int(np.floor(tx)), int(np.floor(ty))
            for dy in range(2):
                for dx in range(2):
                    weight = (1 - abs(tx - x0 - dx)) * (1 - abs(ty - y0 - dy))
                    at = first + (y0 + dy) % height * width + (x0 + dx) % width
                    for j in range(3):
                        painted[y, x, j] += weight * texels[at, j]
    return painted


@njit(cache=True, nogil=True)
def _resolve(
    owner, zbuffer, s, background, colours, painted, light, kind, finished, frame, offset, other,
    vertices, faces, flat, smooth, rotation, eye, fx, fy, cx, cy, direction, rgb, alpha, depth,
):  # fmt: skip
    """Shade the samples and average s x s of them per pixel."""
    colour, p, q, to_eye = np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    for y in range(rgb.shape[0]):
        for x in range(rgb.shape[1]):
            total = np.zeros(3)
            hits, sum_z = 0, 0.0
            for sy in range(y * s, y * s + s):
                for sx in range(x * s, x * s + s):
                    if zbuffer[sy, sx] <= 0:
                        total += background
                        continue
                    k, z = owner[sy, sx], 1 / zbuffer[sy, sx]
                    hits += 1
                    sum_z += z
                    for j in range(3):
                        base = painted[sy, sx, j] if painted.size else colours[k, j]
                        colour[j] = base * light[k]
                    if kind > 0 and finished[k]:
                        lx, ly = ((sx + 0.5) / s - cx) / fx * z, ((sy + 0.5) / s - cy) / fy * z
                        for j in range(3):
                            p[j] = rotation[0, j] * lx + rotation[1, j] * ly + rotation[2, j] * z
                            to_eye[j] = -p[j]
                            p[j] += eye[j]
                        if kind <= METALLIC:
                            n, curved = _smooth_normal(p, faces[k], vertices, flat[k], smooth)
                            unit = to_eye / np.sqrt((to_eye * to_eye).sum())
                            _gloss(kind, n, curved, unit, direction, colours[k], light[k], colour)
                        else:
                            for j in range(3):
                                q[j] = offset[j]
                                for m in range(3):
                                    q[j] += frame[j, m] * p[m]
                            t = _pattern(kind, q)
                            for j in range(3):
                                if kind == WOODEN:
                                    # the lift shows the grain of black wood too
                                    colour[j] = colour[j] * (1.05 - 0.5 * t) + 0.07 * (1 - t)
                                elif t > 0:
                                    colour[j] = other[j] * light[k]
                    for j in range(3):
                        total[j] += min(max(colour[j], 0.0), 1.0)
            for j in range(3):
                rgb[y, x, j] = total[j] / (s * s)
            alpha[y, x] = hits / (s * s)
            depth[y, x] = sum_z / max(hits, 1)


def _visibility(vertices, faces, view, K, s: int, height: int, width: int):
    """Owner and inverse depth [H s,W s] of the samples of one camera."""
    local = vertices @ view[:3, :3].T + view[:3, 3]
    z = np.ascontiguousarray(local[:, 2])
    px = local[:, :2] / np.maximum(z, 1e-6)[:, None] * (K[0, 0], K[1, 1]) + K[:2, 2]
    zbuffer = np.zeros((height * s, width * s))
    owner = np.zeros((height * s, width * s), np.int64)
    fill_nearest(px * s, z, faces, owner, zbuffer)
    return owner, zbuffer


def face_owners(shape: Shape, cameras: Cameras) -> NDArray[np.int64]:
    """Sorted indices of the faces of which any camera shows at least one pixel centre."""
    found = []
    for view, K in zip(cameras.viewmats.numpy(), cameras.Ks.numpy(), strict=True):
        owner, zbuffer = _visibility(
            shape.vertices,
            shape.faces,
            view.astype(np.float64),
            K.astype(np.float64),
            1,
            cameras.height,
            cameras.width,
        )
        found.append(np.unique(owner[zbuffer > 0]))
    return np.unique(np.concatenate(found))


def _painted(shape: Shape, owner, zbuffer, s: int, view, K) -> NDArray[np.float64]:
    """`_paint` for a shape with a skin, empty for one without."""
    if shape.skin is None:
        return np.zeros((0, 0, 3))
    skin, rotation = shape.skin, np.ascontiguousarray(view[:3, :3])
    return _paint(
        owner, zbuffer, s, shape.vertices, shape.faces, skin.uv, skin.image, skin.texels,
        skin.sizes, rotation, -rotation.T @ view[:3, 3], K[0, 0], K[1, 1], K[0, 2], K[1, 2],
    )  # fmt: skip


def seen_texels(
    shape: Shape, cameras: Cameras
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Unlit colours [N,3] at the pixel centres that show a shape with a skin, the pictures [N]
    they are from and the views [N]. Raises ValueError for a shape without a skin."""
    if shape.skin is None:
        raise ValueError("the shape has no skin")
    colours, images = [], []
    for view, K in zip(cameras.viewmats.numpy(), cameras.Ks.numpy(), strict=True):
        view, K = view.astype(np.float64), K.astype(np.float64)
        owner, zbuffer = _visibility(
            shape.vertices, shape.faces, view, K, 1, cameras.height, cameras.width
        )
        hit = zbuffer > 0
        colours.append(_painted(shape, owner, zbuffer, 1, view, K)[hit])
        images.append(shape.skin.image[owner[hit]])
    views = np.repeat(np.arange(len(images)), [len(i) for i in images])
    return np.concatenate(colours), np.concatenate(images), views


@njit(cache=True, nogil=True)
def _resolve_normals(
    owner, zbuffer, s, vertices, faces, flat, smooth, rotation, eye, fx, fy, cx, cy, out
):
    """Average the samples' normals, turned towards the eye, in the camera's axes."""
    p = np.empty(3)
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            total = np.zeros(3)
            for sy in range(y * s, y * s + s):
                for sx in range(x * s, x * s + s):
                    if zbuffer[sy, sx] <= 0:
                        continue
                    k, z = owner[sy, sx], 1 / zbuffer[sy, sx]
                    lx, ly = ((sx + 0.5) / s - cx) / fx * z, ((sy + 0.5) / s - cy) / fy * z
                    for j in range(3):
                        p[j] = rotation[0, j] * lx + rotation[1, j] * ly + rotation[2, j] * z
                        p[j] += eye[j]
                    n, _ = _smooth_normal(p, faces[k], vertices, flat[k], smooth)
                    total += -n if (n * (eye - p)).sum() < 0 else n
            total = rotation @ total
            out[y, x] = total / max(np.sqrt((total * total).sum()), 1e-12)


def surface_normals(shape: Shape, cameras: Cameras, supersample: int = 2) -> NDArray[np.float32]:
    """Unit normals [B,H,W,3] of what the cameras see, on the side one sees, in each camera's axes
    (x right, y down, z forward, so that z is negative); 0 where nothing is hit."""
    s = supersample
    flat, smooth = _normals(shape.vertices, shape.faces, True)
    views = cameras.viewmats.numpy().astype(np.float64)
    focal = cameras.Ks.numpy().astype(np.float64)
    found = np.empty((len(views), cameras.height, cameras.width, 3), np.float32)
    for i, (view, K) in enumerate(zip(views, focal, strict=True)):
        rotation = np.ascontiguousarray(view[:3, :3])
        owner, zbuffer = _visibility(
            shape.vertices, shape.faces, view, K, s, cameras.height, cameras.width
        )
        _resolve_normals(
            owner, zbuffer, s, shape.vertices, shape.faces, flat, smooth, rotation,
            -rotation.T @ view[:3, 3], K[0, 0], K[1, 1], K[0, 2], K[1, 2], found[i],
        )  # fmt: skip
    return found


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
    h, w = cameras.height, cameras.width
    ambient, key, head, direction = lighting
    vertices, faces, finish = shape.vertices, shape.faces, shape.finish
    finished = np.zeros(len(faces), np.bool_) if shape.finished is None else shape.finished
    flat, smooth = _normals(vertices, faces, finish.kind in (SHINY, METALLIC))
    colours = np.ascontiguousarray(shape.face_colours, dtype=np.float64)
    views = cameras.viewmats.numpy().astype(np.float64)
    focal = cameras.Ks.numpy().astype(np.float64)
    rgb = np.empty((len(views), h, w, 3), np.float32)
    alpha = np.empty(rgb.shape[:3], np.float32)
    depth = np.empty(rgb.shape[:3], np.float32)
    for i, (view, K) in enumerate(zip(views, focal, strict=True)):
        rotation = np.ascontiguousarray(view[:3, :3])
        eye = -rotation.T @ view[:3, 3]
        light = _light(vertices, faces, flat, eye, ambient, key, head, direction)
        owner, zbuffer = _visibility(vertices, faces, view, K, s, h, w)
        _resolve(
            owner, zbuffer, s, np.asarray(backgrounds[i], np.float64), colours,
            _painted(shape, owner, zbuffer, s, view, K), light,
            finish.kind, finished, finish.frame, finish.offset, finish.colour,
            vertices, faces, flat, smooth, rotation, eye,
            K[0, 0], K[1, 1], K[0, 2], K[1, 2], direction, rgb[i], alpha[i], depth[i],
        )  # fmt: skip
    return rgb, alpha, depth
