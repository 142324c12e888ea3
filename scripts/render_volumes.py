"""Shapes of the world as volumes, in seeded, cached shards: what the 3D prior is trained on.

python scripts/render_volumes.py --shards 20
python scripts/render_volumes.py --real .cache/real-models --shards 8
python scripts/render_volumes.py --fine --shards 24

With --fine each shape also with cells of half the side: what the prior's detail is trained on.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from score3d.world.dataset import sample_shape
from score3d.world.instances import RealModels
from score3d.world.nouns import NOUNS
from score3d.world.volumes import SIDE, volume_of

SHARD, VERSION = 512, 1
FINE_SHARD = 128  # a shape with fine cells is 1.5 MB
HELD_OUT = 90000


@dataclass(frozen=True)
class Volumes:
    """cells [N,4,S,S,S] uint8: fullness, and colours less 0.5, of 0 .. 255 for 0 .. 1 and -0.5 ..
    0.5; noun, colour, material, second [N] as of `Renders`, -1 for none or not known; fine
    [N,4,2S,2S,2S] uint8 as cells, if it was asked for."""

    cells: np.ndarray
    noun: np.ndarray
    colour: np.ndarray
    material: np.ndarray
    second: np.ndarray
    fine: np.ndarray | None = None


def _packed(volume: np.ndarray) -> np.ndarray:
    return np.round((volume + np.array([0, 0.5, 0.5, 0.5])[:, None, None, None]).clip(0, 1) * 255)


def words_of(shapes: Volumes, nouns: list[str]) -> np.ndarray:
    """[N,4]: noun (as numbered in `nouns`, from 1), colour, material, second colour; 0 for what is
    not said."""
    place = {NOUNS.index(n): k + 1 for k, n in enumerate(nouns)}
    noun = np.array([place[n] for n in shapes.noun])
    return np.stack([noun, shapes.colour + 1, shapes.material + 1, shapes.second + 1], 1)


def load_volumes(
    folder: Path, seed: int, nouns: list[str], real: RealModels | None = None, fine: bool = False
) -> Volumes:
    """The shard of a seed, made on first use; of real models if they are given."""
    kind = "procedural" if real is None else f"real-{real.digest}"
    name = "fine" if fine else "volumes"
    path = folder / f"{name}-v{VERSION}-{kind}-{len(nouns)}-{seed:05d}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        rng, cells, fines, labels = np.random.default_rng([47 if fine else 43, seed]), [], [], []
        while len(cells) < (FINE_SHARD if fine else SHARD):
            shape, known = sample_shape(rng, nouns) if real is None else real.sample(rng)
            noun, colour, material, second, relation, _ = known
            if relation < 0:
                cells.append(_packed(volume_of(shape)).astype(np.uint8))
                if fine:
                    fines.append(_packed(volume_of(shape, 2 * SIDE)).astype(np.uint8))
                labels.append((noun, colour, material, second))
        partial = path.with_suffix(".partial.npz")
        names = ("noun", "colour", "material", "second")
        columns = dict(zip(names, np.array(labels).T, strict=True))
        if fine:
            columns["fine"] = np.stack(fines)
        np.savez_compressed(partial, cells=np.stack(cells), **columns)
        partial.replace(path)
    with np.load(path) as data:
        return Volumes(**data)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(".cache/volumes"))
    parser.add_argument("--nouns", type=Path, default=Path("scripts/teacher_nouns.txt"))
    parser.add_argument("--real", type=Path, help="a folder of real models, in place of families")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--shards", type=int, default=20)
    parser.add_argument("--fine", action="store_true")
    args = parser.parse_args()
    names = args.nouns.read_text().split()
    models = RealModels(args.real, nouns=names) if args.real else None
    for shard in range(args.first, args.first + args.shards):
        load_volumes(args.data, shard, names, models, args.fine)
        print(f"shard {shard} ready", flush=True)
