"""Render training shards ahead of time: `python scripts/render_data.py --shards 24`."""

import argparse
from pathlib import Path

from score3d.world.dataset import load_renders

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(".cache/world"))
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--shards", type=int, default=24, help="of 8192 pictures each")
    args = parser.parse_args()
    for seed in range(args.first, args.first + args.shards):
        load_renders(args.data, range(seed, seed + 1))
        print(f"shard {seed} ready", flush=True)
