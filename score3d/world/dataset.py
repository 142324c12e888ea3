"""Seeded, cached shards of training renders."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from score3d.cameras import orbit
from score3d.world.captions import caption
from score3d.world.families import FAMILIES, SECOND_PARTS
from score3d.world.finish import MATERIALS
from score3d.world.instances import RealModels
from score3d.world.nouns import NOUNS
from score3d.world.palette import COLOURS
from score3d.world.raster import render_shape, sample_lighting
from score3d.world.shapes import (
    BOUNDING_RADIUS,
    RELATIONS,
    SIMPLE,
    STANDS,
    Shape,
    build,
    build_pair,
)

__all__ = [
    "SHARD_SIZE",
    "VERSION",
    "Renders",
    "load_renders",
    "render_shard",
    "sample_background",
    "sample_shape",
]

# Part of the cache's name: raise it whenever anything that changes pictures changes.
VERSION = 3
SHARD_SIZE = 8192
VIEWS_PER_SHAPE = 4  # a quarter turn apart: four in a row also make a grid of views


# Shares of shapes with a relation, a material other than matte, and (where the noun has second
# parts) a second colour; the rest is plain.
SHARES = {"relation": 0.06, "material": 0.28, "second": 0.22}


@dataclass(frozen=True)
class Renders:
    """N training pictures with what is known of them.

    rgb [N,H,W,3] uint8; noun [N] index into NOUNS, colour [N] into the sorted colours; azimuth,
    elevation [N] degrees; material [N] index into MATERIALS. second_colour [N]: index into the
    sorted colours, of the second parts or of the second object, -1 for none. relation [N] index
    into RELATIONS and second_noun [N] into NOUNS, -1 for none. Real models: colour -1 where no
    colour covers most of what is seen, material always -1 (not known).
    """

    rgb: NDArray[np.uint8]
    noun: NDArray[np.int64]
    colour: NDArray[np.int64]
    azimuth: NDArray[np.float32]
    elevation: NDArray[np.float32]
    material: NDArray[np.int64]
    second_colour: NDArray[np.int64]
    relation: NDArray[np.int64]
    second_noun: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rgb)

    def where(self, keep: NDArray[np.bool_]) -> "Renders":
        """The pictures that `keep` [N] marks."""
        return Renders(**{f: getattr(self, f)[keep] for f in self.__dataclass_fields__})

    @classmethod
    def joined(cls, parts: list["Renders"]) -> "Renders":
        """All pictures of `parts`, in order."""
        fields = cls.__dataclass_fields__
        return cls(*(np.concatenate([getattr(p, f) for p in parts]) for f in fields))

    def caption(self, i: int, rng: np.random.Generator, grid: bool = False) -> str:
        """A random caption of picture `i`; grid: of the four views that start with it."""
        colour, material = int(self.colour[i]), int(self.material[i])
        second, relation = int(self.second_colour[i]), int(self.relation[i])
        return caption(
            NOUNS[self.noun[i]],
            "" if colour < 0 else _COLOURS[colour],
            float(self.azimuth[i]),
            float(self.elevation[i]),
            rng,
            material="" if material < 0 else MATERIALS[material],
            second_colour=None if second < 0 else _COLOURS[second],
            relation=None if relation < 0 else RELATIONS[relation],
            second_noun=None if relation < 0 else NOUNS[self.second_noun[i]],
            grid=grid,
        )


_COLOURS = sorted(COLOURS)


def sample_background(rng: np.random.Generator) -> NDArray[np.float64]:
    """A plain background: half the time any gray, else any colour of moderate saturation."""
    gray = rng.uniform(0, 1)
    if rng.random() < 0.5:
        return np.full(3, gray)
    return np.clip(gray + rng.uniform(-0.3, 0.3, 3), 0, 1)


def sample_shape(
    rng: np.random.Generator, nouns: list[str] | None = None
) -> tuple[Shape, tuple[int, ...]]:
    """A random shape and its labels: noun, colour, material, second colour, relation, second
    noun, with -1 for what it has not. nouns: of these families alone (pairs are of any)."""
    families = [n for n in FAMILIES if nouns is None or n in nouns]
    noun, j = families[rng.integers(len(families))], int(rng.integers(len(_COLOURS)))
    second = int((j + rng.integers(1, len(_COLOURS))) % len(_COLOURS))  # never the first colour
    radius = BOUNDING_RADIUS * rng.uniform(0.88, 1.0)
    draw = rng.random()
    if draw < SHARES["relation"]:
        k = int(rng.integers(len(RELATIONS)))
        others = STANDS if RELATIONS[k] == "on top of" else SIMPLE
        first, other = SIMPLE[rng.integers(len(SIMPLE))], others[rng.integers(len(others))]
        pair = build_pair(first, _COLOURS[j], RELATIONS[k], other, _COLOURS[second], rng, radius)
        return pair, (NOUNS.index(first), j, 0, second, k, NOUNS.index(other))
    material = 0
    if draw < SHARES["relation"] + SHARES["material"]:
        material = int(rng.integers(1, len(MATERIALS)))
        second = -1
    elif noun not in SECOND_PARTS or draw >= sum(SHARES.values()):
        second = -1
    shape = build(
        noun,
        _COLOURS[j],
        rng,
        radius,
        material=MATERIALS[material],
        second_colour=None if second < 0 else _COLOURS[second],
    )
    return shape, (NOUNS.index(noun), j, material, second, -1, -1)


def render_shard(
    seed: int,
    count: int = SHARD_SIZE,
    size: int = 64,
    models: RealModels | None = None,
    nouns: list[str] | None = None,
) -> Renders:
    """`count` pictures (a multiple of 4), four views of each shape; nouns and colours are
    uniform outside relations. models: of these instead of procedural shapes; nouns: of these
    families alone.

    The four share elevation, distance, background and light and stand a quarter turn apart,
    counter-clockwise from above; the first is within 45 degrees of the front.
    """
    rng = np.random.default_rng([VERSION, seed])
    if count % VIEWS_PER_SHAPE:
        raise ValueError(f"count must be a multiple of {VIEWS_PER_SHAPE}, got {count}")
    rgb = np.empty((count, size, size, 3), np.uint8)
    angles = np.empty((2, count), np.float32)
    labels = np.empty((6, count), np.int64)
    for start in range(0, count, VIEWS_PER_SHAPE):
        row = slice(start, start + VIEWS_PER_SHAPE)
        shape, known = sample_shape(rng, nouns) if models is None else models.sample(rng)
        azimuth = rng.uniform(-45, 45) + 90 * np.arange(VIEWS_PER_SHAPE)
        steep = rng.random() < 0.15
        elevation = np.full(VIEWS_PER_SHAPE, rng.uniform(50, 80) if steep else rng.uniform(-15, 50))
        cameras = orbit(
            torch.from_numpy(azimuth),
            torch.from_numpy(elevation),
            rng.uniform(1.85, 2.15),
            40.0,
            size,
            size,
        )
        backgrounds = np.tile(sample_background(rng), (VIEWS_PER_SHAPE, 1))
        pictures, _, _ = render_shape(shape, cameras, backgrounds, sample_lighting(rng))
        rgb[row] = np.round(pictures * 255)
        angles[:, row] = (azimuth + 180) % 360 - 180, elevation
        labels[:, row] = np.array(known)[:, None]
    return Renders(rgb, labels[0], labels[1], angles[0], angles[1], *labels[2:])


def load_renders(
    folder: Path,
    seeds: range,
    size: int = 64,
    models: RealModels | None = None,
    nouns: list[str] | None = None,
) -> Renders:
    """The shards of `seeds`, rendered into `folder` on first use; of `models` if there are any,
    else of the families that `nouns` names."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = f"renders-v{VERSION}" if models is None else f"real-v{VERSION}-{models.digest}"
    if models is None and nouns is not None:
        known = " ".join(n for n in FAMILIES if n in nouns)
        kind += f"-{hashlib.sha256(known.encode()).hexdigest()[:8]}"
    shards = []
    for seed in seeds:
        path = folder / f"{kind}-{size}px-{seed:05d}.npz"
        if not path.exists():
            shard = render_shard(seed, size=size, models=models, nouns=nouns)
            temporary = path.with_suffix(".tmp.npz")
            np.savez(temporary, **shard.__dict__)
            temporary.rename(path)
        with np.load(path) as data:
            shards.append(Renders(**data))
    return Renders.joined(shards)
