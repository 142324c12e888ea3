"""Twenty edits of ten scenes: recolour, material, part, swap.

    python scripts/benchmark_edits.py --out .cache/edits20 --results docs/results/edits20

The scenes are held-out instances of the procedural world as discs (see held_out.py), written as
PLY files and edited by `edit_scene` as `score3d edit scene` does. A part is edited by its words and
with a region, from eight masks of the part (`--region mask:`). Fulfilled by the measuring judge
over 8 views: what is asked for seen, and what it is kept, in at least three quarters of them
(`evaluate.edits.fulfilment`), and where a colour is asked for half of the pixels of the old one
have the new one ("pixels"); of a part, the judge is shown its pixels alone, on gray.

Writes <results>.md, .json and .png: four views before, the same four after. Finished edits in OUT
are kept.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from held_out import instance

from score3d.cameras import turntable
from score3d.config import edit_preset, load_config
from score3d.edit.frame import Frame
from score3d.edit.lifting import coverage
from score3d.edit.region import write_views
from score3d.edit.scene import edit_scene
from score3d.edit.session import planned
from score3d.evaluate.edits import MOST, fulfilment
from score3d.evaluate.judge import measuring_judge
from score3d.files.pictures import contact_sheet, write_png
from score3d.files.ply import read_ply, write_ply
from score3d.runs.folder import RunFolder
from score3d.scenes.photograph import photograph

# noun, colour, colour of the second part or None, seed
SCENES = {
    "mushroom": ("mushroom", "red", None, 0),
    "chair": ("chair", "green", "black", 1),
    "car": ("car", "red", None, 2),
    "robot": ("robot", "yellow", "gray", 3),
    "mug": ("mug", "orange", None, 4),
    "vase": ("vase", "purple", None, 5),
    "duck": ("duck", "yellow", "orange", 6),
    "table": ("table", "brown", "black", 7),
    "house": ("house", "pink", "gray", 8),
    "hat": ("hat", "blue", None, 9),
}
# kind, scene, instruction
EDITS = (
    ("recolour", "mushroom", "make it blue"),
    ("recolour", "chair", "make it red"),
    ("recolour", "car", "make it yellow"),
    ("recolour", "robot", "make it green"),
    ("recolour", "mug", "make it pink"),
    ("recolour", "vase", "make it white"),
    ("recolour", "table", "make it blue"),
    ("recolour", "hat", "make it red"),
    ("material", "mushroom", "make it metallic"),
    ("material", "car", "make it striped"),
    ("material", "vase", "make it spotted"),
    ("material", "hat", "make it checkered"),
    ("part", "chair", "give it blue legs"),
    ("part", "table", "give it red legs"),
    ("part", "house", "give it blue roof"),
    ("part", "robot", "give it red arms"),
    ("swap", "duck", "turn it into a yellow bird"),
    ("swap", "mug", "turn it into an orange vase"),
    ("swap", "duck", "turn it into a yellow pig"),
    ("swap", "house", "turn it into a pink castle"),
)
SHOWN, SIDE, CLEAR, FEW = (0, 2, 4, 6), 96, 0.5, 12


def prepare(name, folder):
    """The scene's file, its words and the mask folder of its second part (None: it has none)."""
    noun, colour, second, seed = SCENES[name]
    words = f"a {colour} {noun}".replace("a o", "an o")
    made = instance(noun, colour, seed, second)
    folder.mkdir(parents=True, exist_ok=True)
    path, masks = folder / f"{name}.ply", folder / f"{name}-part"
    write_ply(path, made.splats)
    if second is None:
        return path, words, None
    views, frame = turntable(8, 128), Frame.of(made.splats)
    write_views(masks, made.splats, frame, views)
    covered = coverage(frame.into(made.splats), made.part, views)
    for k, mask in enumerate(covered):
        write_png(masks / f"mask_{k:03d}.png", np.repeat((mask > CLEAR)[..., None], 3, 2) * 1.0)
    return path, words, (masks, made.part, second)


def judged_part(start, edited, part, noun, colour, judge):
    """Shares of 8 views in which the noun is said, and the colour of the part alone."""
    views = turntable(8, SIDE)
    pictures = [photograph(s, views, 0.8) for s in (start, edited)]
    shares = {}
    for key, picture, splats in zip(("before", "after"), pictures, (start, edited), strict=True):
        clear = coverage(splats, part, views) > CLEAR
        large = clear.sum((1, 2)) >= FEW  # views that show enough of the part
        alone = np.where(clear[..., None], picture, np.float32(0.8))[large]
        if not len(alone):
            return None
        said = judge(torch.from_numpy(alone).permute(0, 3, 1, 2)).colours
        whole = judge(torch.from_numpy(picture).permute(0, 3, 1, 2)).nouns
        shares.setdefault("noun", {})[key] = float(np.mean([n == noun for n in whole]))
        shares.setdefault("part", {})[key] = float(np.mean([c == colour for c in said]))
    done = all(s["after"] >= MOST for s in shares.values())
    return {"asked": {"part": colour}, "shares": shares, "fulfilled": done}


def run(number, kind, name, instruction, arguments):
    """One edit: its row, and the strip of pictures."""
    path, words, part = prepare(name, arguments.out / "scenes")
    edit = {"task": "scene", "input": str(path), "instruction": instruction, "source": words}
    if kind == "part":
        edit["region"] = f"mask:{part[0]}"
        edit["source"] = f"{words} with {part[2]} {instruction.split()[-1]}"
    config = planned(
        load_config(edit_preset("scene"), arguments.method, arguments.overrides, {"edit": edit})
    )
    out = arguments.out / f"{number:02d}-{name}"
    if not (out / "summary.json").exists():
        with RunFolder.create(out, overwrite=True) as folder:
            for _ in edit_scene(config, read_ply(path), folder):
                pass
    summary = json.loads((out / "summary.json").read_text())
    frame = Frame.of(read_ply(path))
    start, edited = (frame.into(read_ply(p)) for p in (path, out / "scene.ply"))
    judge, judged_by = measuring_judge()
    noun = SCENES[name][0]
    views = turntable(8, SIDE)
    before, after = (photograph(s, views, 0.8) for s in (start, edited))
    if kind == "part":
        colour = instruction.split()[-2]
        found = judged_part(start, edited, part[1], noun, colour, judge)
    else:
        asked = summary["edit"]["judge"]["asked"]
        found = fulfilment(before, after, asked.get("noun", noun), asked, judge, SCENES[name][1])
    row = {
        "kind": kind,
        "edit": f"{words}: {instruction}",
        "fulfilled": bool(found and found["fulfilled"]),
        "shares": found["shares"] if found else {},
        "pixels": found.get("pixels") if found else None,
        "outside_psnr": summary["edit"].get("outside_psnr"),
        "silhouette_iou": summary["edit"]["silhouette_iou"],
        "seconds": sum(summary["seconds"].values()),
        "judged by": judged_by,
    }
    strip = [p[k] for p in (before, after) for k in SHOWN]
    return row, np.concatenate(strip, 1)


def report(rows, strips, results):
    results.parent.mkdir(parents=True, exist_ok=True)
    results.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")
    labels = [f"{'yes' if r['fulfilled'] else 'no'}: {r['edit']}" for r in rows]
    write_png(results.with_suffix(".png"), contact_sheet(np.stack(strips), 2, labels))
    lines = ["# Edits of held-out instances", "", f"Judged by the {rows[0]['judged by']}.", ""]
    kinds = dict.fromkeys(r["kind"] for r in rows)
    for kind in (*kinds, "all"):
        some = [r for r in rows if kind in (r["kind"], "all")]
        lines.append(f"- {kind}: {sum(r['fulfilled'] for r in some)} of {len(some)} fulfilled")
    lines += ["", "| edit | fulfilled | seen before -> after | pixels | dB outside | outline | s |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for r in rows:
        shares = ", ".join(f"{k} {v['before']:.0%} -> {v['after']:.0%}" for k, v in
                           r["shares"].items())  # fmt: skip
        outside = r["outside_psnr"]
        shown = "" if outside is None else outside if isinstance(outside, str) else f"{outside:.1f}"
        pixels = "" if r["pixels"] is None else f"{r['pixels']:.0%}"
        done = "yes" if r["fulfilled"] else "no"
        cells = (r["edit"], done, shares, pixels, shown, f"{r['silhouette_iou']:.2f}")
        lines.append(f"| {' | '.join(cells)} | {r['seconds']:.0f} |")
    lines += ["", f"![four views before, the same after]({results.stem}.png)"]
    results.with_suffix(".md").write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", default="csd-edit")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--only", type=int, nargs="+", help="numbers of edits, from 0")
    parser.add_argument("--out", type=Path, default=Path(".cache/edits20"))
    parser.add_argument("--results", type=Path, default=Path("docs/results/edits20"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows, strips = [], []
    order = sorted(range(len(EDITS)), key=lambda k: (k % 4, k))  # all kinds early
    for number in arguments.only or order:
        row, strip = run(number, *EDITS[number], arguments)
        rows.append(row)
        strips.append(strip)
        print(json.dumps(row), flush=True)
        report(rows, strips, arguments.results)


if __name__ == "__main__":
    main()
