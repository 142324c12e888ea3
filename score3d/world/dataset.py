"""Seeded, cached shards of training renders."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from score3d.cameras import orbit
from score3d.world.families import FAMILIES
from score3d.world.palette import COLOURS
from score3d.world.raster import render_shape, sample_lighting
from score3d.world.shapes import BOUNDING_RADIUS, build

__all__ = ["SHARD_SIZE", "VERSION", "Renders", "load_renders", "render_shard", "sample_background"]

# Part of the cache's name: raise it whenever anything that changes pictures changes.
VERSION = 1
SHARD_SIZE = 8192
VIEWS_PER_SHAPE = 4


@dataclass(frozen=True)
class Renders:
    """N training pictures with what is known of them.

    rgb [N,H,W,3] uint8; noun, colour [N] indices into the sorted names; azimuth, elevation
    [N] degrees.
    """

    rgb: NDArray[np.uint8]
    noun: NDArray[np.int64]
    colour: NDArray[np.int64]
    azimuth: NDArray[np.float32]
    elevation: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.rgb)


def sample_background(rng: np.random.Generator) -> NDArray[np.float64]:
    """A plain background: half the time any gray, else any colour of moderate saturation."""
    gray = rng.uniform(0, 1)
    if rng.random() < 0.5:
        return np.full(3, gray)
    return np.clip(gray + rng.uniform(-0.3, 0.3, 3), 0, 1)


def render_shard(seed: int, count: int = SHARD_SIZE, size: int = 64) -> Renders:
    """`count` pictures; nouns and colours are uniform, four views of each shape."""
    rng = np.random.default_rng([VERSION, seed])
    nouns, colours = sorted(FAMILIES), sorted(COLOURS)
    rgb = np.empty((count, size, size, 3), np.uint8)
    labels = np.empty((4, count), np.float64)
    for start in range(0, count, VIEWS_PER_SHAPE):
        n = min(VIEWS_PER_SHAPE, count - start)
        i, j = rng.integers(len(nouns)), rng.integers(len(colours))
        shape = build(nouns[i], colours[j], rng, BOUNDING_RADIUS * rng.uniform(0.88, 1.0))
        azimuth = rng.uniform(-180, 180, n)
        steep = rng.random(n) < 0.15
        elevation = np.where(steep, rng.uniform(50, 80, n), rng.uniform(-15, 50, n))
        cameras = orbit(
            torch.from_numpy(azimuth),
            torch.from_numpy(elevation),
            rng.uniform(1.85, 2.15),
            40.0,
            size,
            size,
        )
        backgrounds = np.stack([sample_background(rng) for _ in range(n)])
        pictures, _, _ = render_shape(shape, cameras, backgrounds, sample_lighting(rng))
        rgb[start : start + n] = np.round(pictures * 255)
        labels[:, start : start + n] = (np.full(n, i), np.full(n, j), azimuth, elevation)
    return Renders(
        rgb, labels[0].astype(np.int64), labels[1].astype(np.int64), *labels[2:].astype(np.float32)
    )


def load_renders(folder: Path, seeds: range, size: int = 64) -> Renders:
    """The shards of `seeds`, rendered into `folder` on first use, memory-mapped per shard."""
    folder.mkdir(parents=True, exist_ok=True)
    shards = []
    for seed in seeds:
        path = folder / f"renders-v{VERSION}-{size}px-{seed:05d}.npz"
        if not path.exists():
            shard = render_shard(seed, size=size)
            temporary = path.with_suffix(".tmp.npz")
            np.savez(temporary, **shard.__dict__)
            temporary.rename(path)
        with np.load(path) as data:
            shards.append(Renders(**data))
    fields = Renders.__dataclass_fields__
    return Renders(*(np.concatenate([getattr(s, f) for s in shards]) for f in fields))
