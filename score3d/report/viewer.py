"""One HTML file that shows splats: a WebGL 2 renderer and the scene, no network.

The scene is embedded as base64 of gzip of 32-bit words: 8 a splat (3 float positions; colour as
3 x 10 bits of [-0.5, 1.5]; quaternion as 4 x 16 bits; scales and opacity as half floats) and, for
harmonics of degree 1 to 3, another 8, 12 or 24 (half floats, coefficient-major). Both parts are
padded to rows of 512 splats, which is how textures hold them.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from score3d.files.atomic import write_text
from score3d.files.packing import dc_to_colour, require_finite
from score3d.files.splats import Splats

__all__ = ["viewer_page", "write_viewer"]

ROW = 512
TEXELS = (0, 2, 3, 6)  # of four words, per splat, for harmonics of each degree


def write_viewer(
    path: str | Path, splats: Splats, title: str, background: float = 0.5, fov: float = 40.0
) -> None:
    """Write `viewer_page` as a file, atomically. Raises ValueError, OSError."""
    write_text(path, viewer_page(splats, title, background, fov))


def viewer_page(splats: Splats, title: str, background: float = 0.5, fov: float = 40.0) -> str:
    """The page as HTML.

    Args:
        splats: N >= 1 finite splats; the first view is that of the contact sheet (azimuth 0,
            elevation 15) from far enough to see all of the scene, and 2 units for our own.
        title: shown above it; any text.
        background: gray level in [0, 1].
        fov: field of view along the shorter side of the window, degrees.

    Raises:
        ValueError: no splats, or some that are not finite.
    """
    if len(splats) == 0:
        raise ValueError("a viewer needs at least one splat")
    require_finite(splats, "viewer")
    centre, distance = _framing(splats, fov)
    meta = {
        "count": len(splats),
        "degree": splats.sh_degree,
        "texels": TEXELS[splats.sh_degree],
        "centre": centre,
        "distance": distance,
    }
    words = np.concatenate([_geometry(splats).ravel(), _harmonics(splats).ravel()])
    data = base64.b64encode(gzip.compress(words.astype("<u4").tobytes(), 9, mtime=0)).decode()
    page = files("score3d.report").joinpath("viewer.html").read_text(encoding="utf-8")
    values = {
        "title": html.escape(title[:200]),
        "meta": json.dumps(meta),
        "background": json.dumps(background),
        "fov": json.dumps(fov),
        "data": data,
    }
    # in one pass, so that a title cannot name another value
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], page)


def _framing(splats: Splats, fov: float) -> tuple[list[float], float]:
    """Where to look and from how far: our own scenes from 2 units, others so that they fit."""
    visible = splats.opacities > 0.05
    means = splats.means[visible] if visible.any() else splats.means
    low, high = np.quantile(means.astype(np.float64), [0.01, 0.99], axis=0)
    reach = 0.5 * float(np.linalg.norm(high - low))
    if np.abs([low, high]).max() < 0.8 and reach > 0.2:
        return [0.0, 0.0, 0.0], 2.0
    centre = (0.5 * (low + high)).tolist()
    return centre, max(1.2 * reach / float(np.sin(np.radians(fov / 2))), 1e-3)


def _geometry(splats: Splats) -> NDArray[np.uint32]:
    words = np.zeros((_padded(len(splats)), 8), np.uint32)
    n = len(splats)
    words[:n, :3] = splats.means.view(np.uint32)
    colour = np.round((dc_to_colour(splats.sh[:, 0]) + 0.5) / 2 * 1023).clip(0, 1023)
    red, green, blue = colour.astype(np.uint32).T
    words[:n, 3] = red | green << 10 | blue << 20
    quats = splats.quats.astype(np.float64)
    quats[:, 0] += ~quats.any(axis=1)
    quats /= np.linalg.norm(quats, axis=1, keepdims=True)
    words[:n, 4:6] = np.round(quats * 32767).astype("<i2").view("<u4")
    scales = np.exp(np.clip(splats.log_scales, -20, 10))
    halves = np.concatenate([scales, splats.opacities[:, None]], axis=1).astype("<f2")
    words[:n, 6:8] = halves.view("<u4")
    return words


def _harmonics(splats: Splats) -> NDArray[np.uint32]:
    texels, n = TEXELS[splats.sh_degree], len(splats)
    halves = np.zeros((_padded(n), 8 * texels), "<f2")
    rest = splats.sh[:, 1:].reshape(n, -1)
    halves[:n, : rest.shape[1]] = np.clip(rest, -60000, 60000)
    return halves.view("<u4")


def _padded(count: int) -> int:
    return ROW * -(-count // ROW)
