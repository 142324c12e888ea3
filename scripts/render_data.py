"""Render training shards ahead of time: `python scripts/render_data.py --shards 24`."""

import argparse
from pathlib import Path

from score3d.world.dataset import load_renders
from score3d.world.instances import RealModels

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(".cache/world"))
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--shards", type=int, default=24, help="of 8192 pictures each")
    parser.add_argument("--real", type=Path, help="a folder of real models, to render instead")
    parser.add_argument("--nouns", type=Path, help="a file of the nouns to render")
    args = parser.parse_args()
    nouns = args.nouns.read_text().split() if args.nouns else None
    models = RealModels(args.real, nouns=nouns) if args.real else None
    for seed in range(args.first, args.first + args.shards):
        load_renders(args.data, range(seed, seed + 1), models=models, nouns=nouns)
        print(f"shard {seed} ready", flush=True)
