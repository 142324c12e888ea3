"""Rate and distortion of compact splats, SPZ and SOG on scenes given on the command line.

    python scripts/measure_compression.py OUT.json SCENE [SCENE ...]

For each scene: bytes and PSNR (dB, eight views at 192 pixels against the scene's own pictures, on
middle gray) of .spz and .sog, with the PSNR of a .s3z of that size; of .s3z by quantisation alone
at several coarsenesses; and of `compress` (pruned and tuned) at each of the PSNRs in TARGETS.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from score3d.compress import Reference, compress, steps_at
from score3d.files.compact import decode_compact, encode_compact
from score3d.files.formats import read_splats, write_splats

TARGETS = (38.0,)


def measure(path: Path) -> dict:
    """The figures of one scene."""
    splats, _ = read_splats(path).finite()
    judge = Reference(splats)
    found: dict = {"scene": path.parent.name, "gaussians": len(splats)}
    found["ply_bytes"] = len(splats) * 4 * (14 + splats.sh[0].size)
    with tempfile.TemporaryDirectory() as folder:
        for ending in (".spz", ".sog"):
            file = Path(folder) / f"a{ending}"
            write_splats(file, splats)
            size = file.stat().st_size
            ours = compress(splats, size=size, shares=(1.0,), tuning=0)
            found[ending] = [size, judge.psnr(read_splats(file)), ours.psnr]
    found["s3z"] = []
    for logarithm in np.arange(-4, 3.1, 1):
        data = encode_compact(splats, steps_at(2.0**logarithm))
        found["s3z"].append([len(data), judge.psnr(decode_compact(data, "a"))])
    found["compress"] = {}
    for target in TARGETS:
        best = compress(splats, psnr=target)
        found["compress"][f"{target:g} dB"] = [len(best.data), best.psnr, len(best.splats)]
    return found


def main() -> None:
    out, *scenes = map(Path, sys.argv[1:])
    rows = []
    for scene in scenes:
        rows.append(measure(scene / "scene.ply" if scene.is_dir() else scene))
        out.write_text(json.dumps(rows, indent=1))
        print(json.dumps(rows[-1]), flush=True)


if __name__ == "__main__":
    main()
