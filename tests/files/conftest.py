"""Scenes made of Gaussians, and pictures of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from score3d.cameras import turntable
from score3d.files.splats import SH_C0, Splats
from score3d.scenes.photograph import photograph

Render = Callable[..., np.ndarray]


def _letter_f() -> Splats:
    """The letter F, upright, in front of the plane z = 0, facing +z: stem red, upper bar green,
    lower and shorter bar blue, a yellow knob sticking out in front of the foot."""
    rng = np.random.default_rng(0)
    parts = [  # low corner, high corner, colour
        ((-0.25, -0.45, -0.05), (-0.1, 0.45, 0.05), (0.9, 0.1, 0.1)),
        ((-0.1, 0.3, -0.05), (0.3, 0.45, 0.05), (0.1, 0.8, 0.1)),
        ((-0.1, -0.02, -0.05), (0.15, 0.12, 0.05), (0.1, 0.1, 0.9)),
        ((-0.22, -0.42, 0.05), (-0.13, -0.33, 0.35), (0.9, 0.9, 0.1)),
    ]
    means, rgb = [], []
    for low, high, colour in parts:
        volume = np.prod(np.subtract(high, low))
        n = int(60_000 * volume)
        means.append(rng.uniform(low, high, size=(n, 3)))
        rgb.append(np.tile(colour, (n, 1)))
    points, n = np.concatenate(means), sum(map(len, means))
    dc = (np.concatenate(rgb) - 0.5) / SH_C0
    # long in one direction, so that a rotation stored wrongly shows
    scales = np.log(0.02) + rng.normal(size=(n, 3)) * 0.4
    return Splats(points, rng.normal(size=(n, 4)), scales, rng.normal(1.5, 1, n), dc[:, None])


def _ornament(degree: int, n: int = 4000) -> Splats:
    """A lumpy ball with fine coloured stripes, small flat splats, and glints of SH `degree`."""
    rng = np.random.default_rng(1)
    direction = rng.normal(size=(n, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    x, y, z = direction.T
    radius = 0.4 + 0.08 * np.sin(7 * x) * np.sin(5 * y + 1)
    rgb = 0.5 + 0.45 * np.sin(np.stack([25 * x + y, 23 * y + z, 21 * z + x], axis=1))
    sh = np.concatenate(
        [((rgb - 0.5) / SH_C0)[:, None], rng.normal(size=(n, (degree + 1) ** 2 - 1, 3)) * 0.1],
        axis=1,
    )
    return Splats(
        direction * radius[:, None],
        rng.normal(size=(n, 4)),
        rng.normal(size=(n, 3)) * 0.5 + np.log(0.012),
        rng.normal(1.0, 1.5, n),
        sh,
    )


@pytest.fixture(scope="session")
def letter_f() -> Splats:
    return _letter_f()


@pytest.fixture(scope="session")
def ornament() -> Callable[[int], Splats]:
    return _ornament


@pytest.fixture(scope="session")
def render() -> Render:
    """Pictures [views, size, size, 3] in [0, 1] from around and 15 degrees above, on gray."""

    def pictures(splats: Splats, views: int = 4, size: int = 192) -> np.ndarray:
        return photograph(splats, turntable(views, size), 0.4)

    return pictures


@pytest.fixture(scope="session")
def psnr() -> Callable[[np.ndarray, np.ndarray], float]:
    def measure(a: np.ndarray, b: np.ndarray) -> float:
        return float(-10 * np.log10(max(float(((a - b) ** 2).mean()), 1e-12)))

    return measure
