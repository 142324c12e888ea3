"""Render pairs before and after an edit: `python scripts/render_pairs.py --shards 24`.

Ahead of time, for `train_instruct.py`, which renders what is not there yet itself.
"""

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from score3d.resources import resource
from score3d.world.edits import instruction, sample_edit
from score3d.world.families import FAMILIES

VERSION = 1  # part of the cache's name: raise it whenever anything that changes pairs changes
SHARD = 1024
CORE = 30  # of the teacher's nouns, the first of its list: those it was trained on most


@dataclass(frozen=True)
class Pairs:
    """rgb [P,2,4,64,64,3] uint8: before and after, four views. labels: (kind, noun, value)."""

    rgb: NDArray[np.uint8]
    labels: list[tuple[str, str, str]]

    def __len__(self) -> int:
        return len(self.labels)

    def instruction(self, i: int, rng: np.random.Generator) -> str:
        """A random way to ask for pair `i`."""
        return instruction(*self.labels[i], rng)


def teacher_nouns(folder: Path | None = None) -> list[str]:
    """The procedural nouns of a shipped teacher, the ones it knows best first."""
    folder = folder or resource("assets", "teacher")
    return [n for n in json.loads((folder / "world.json").read_text())["nouns"] if n in FAMILIES]


def load_pairs(folder: Path, seed: int, count: int = SHARD) -> Pairs:
    """The shard of `seed`, rendered into `folder` on first use: three in five edits are of the
    first CORE nouns."""
    stem = folder / f"pairs-v{VERSION}-{count}-{seed:05d}"
    data, labels = stem.with_suffix(".npy"), stem.with_suffix(".json")
    if not data.exists():
        folder.mkdir(parents=True, exist_ok=True)
        nouns, rng = teacher_nouns(), np.random.default_rng([VERSION, 17, seed])
        rgb, known = np.empty((count, 2, 4, 64, 64, 3), np.uint8), []
        for i in range(count):
            edit = sample_edit(nouns[:CORE] if rng.random() < 0.6 else nouns, rng)
            rgb[i, 0], rgb[i, 1] = edit.before, edit.after
            known.append((edit.kind, edit.noun, edit.value))
        labels.write_text(json.dumps(known))
        partial = data.with_suffix(f".partial{os.getpid()}")  # two processes may be at it
        with partial.open("wb") as file:
            np.save(file, rgb)
        partial.rename(data)
    return Pairs(np.load(data, mmap_mode="r"), [tuple(v) for v in json.loads(labels.read_text())])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(".cache/pairs"))
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--shards", type=int, default=24, help="of 1024 pairs each")
    args = parser.parse_args()
    for seed in range(args.first, args.first + args.shards):
        load_pairs(args.data, seed)
        print(f"shard {seed} ready", flush=True)
