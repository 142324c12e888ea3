"""Twenty edits of ten scenes: recolour, material, part, swap.

    python scripts/benchmark_edits.py --out .cache/edits20 --results docs/results/edits20
    python scripts/benchmark_edits.py --real .cache/real-models --out .cache/edits-real \
        --results docs/results/edits-real

With --real the scenes are those of real_scenes.py. Without it they are held-out instances of the
procedural world as discs (see held_out.py), written as PLY files. They are edited by `edit_scene`
as `score3d edit scene` does. A part is edited by its words and with a region: of procedural scenes
eight masks of the part (`--region mask:`), of real models a box. Fulfilled by the measuring judge
over 8 views: what is asked for seen, and what it is kept, in at least three quarters of them
(`evaluate.edits.fulfilment`), and where a colour is asked for half of the pixels of the old one
have the new one ("pixels"; of a real model without one colour, half of all its pixels); of a part,
the judge is shown its pixels alone, on gray. "Seen" leaves out whether the noun is kept, which says
little where the judge did not see it before the edit either.

Writes <results>.md, .json and .png: four views before, the same four after. Finished edits in OUT
are kept.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from held_out import instance
from real_scenes import REAL_EDITS, part_box, real_scene

from score3d.cameras import turntable
from score3d.config import load_config
from score3d.edit.frame import Frame
from score3d.edit.lifting import coverage
from score3d.edit.region import select, write_views
from score3d.edit.scene import edit_scene
from score3d.edit.session import planned, suited
from score3d.evaluate.edits import HALF, MOST, fulfilment, named_colours
from score3d.evaluate.judge import measuring_judge
from score3d.files.pictures import contact_sheet, write_png
from score3d.files.ply import read_ply, write_ply
from score3d.runs.folder import RunFolder
from score3d.scenes.photograph import photograph
from score3d.world.instances import RealModels

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


@dataclass(frozen=True)
class Scene:
    """path: its file. colour: None if it has no one colour. part: of a part edit, which Gaussians
    it is; region: the same as `--region` takes it."""

    path: Path
    words: str
    noun: str
    colour: str | None
    region: str = ""
    part: np.ndarray | None = None
    second: str = ""
    model: str = ""


def prepare(name, folder):
    """A procedural scene."""
    noun, colour, second, seed = SCENES[name]
    words = f"a {colour} {noun}".replace("a o", "an o")
    made = instance(noun, colour, seed, second)
    folder.mkdir(parents=True, exist_ok=True)
    path, masks = folder / f"{name}.ply", folder / f"{name}-part"
    write_ply(path, made.splats)
    if second is None:
        return Scene(path, words, noun, colour)
    views, frame = turntable(8, 128), Frame.of(made.splats)
    write_views(masks, made.splats, frame, views)
    covered = coverage(frame.into(made.splats), made.part, views)
    for k, mask in enumerate(covered):
        write_png(masks / f"mask_{k:03d}.png", np.repeat((mask > CLEAR)[..., None], 3, 2) * 1.0)
    return Scene(path, words, noun, colour, f"mask:{masks}", made.part, second)


def prepare_real(name, folder, models, kind):
    """A scene of real_scenes.py."""
    path, words, colour, model = real_scene(models, name, folder)
    noun = name.split("-")[0]
    if kind != "part":
        return Scene(path, words, noun, colour, model=model)
    splats = read_ply(path)
    region = part_box(splats, noun)
    part = select(splats, Frame.of(splats), region).selected
    return Scene(path, words, noun, colour, region, part, model=model)


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


def whole_pixels(before, after, start, views, new):
    """Share of the object's pixels that have the colour `new` after."""
    shown = coverage(start, np.ones(len(start), np.bool_), views) > CLEAR
    return float((named_colours(after)[shown] == new).mean())


def run(number, kind, name, instruction, arguments, models):
    """One edit: its row, and the strip of pictures."""
    folder = arguments.out / "scenes"
    made = prepare_real(name, folder, models, kind) if models else prepare(name, folder)
    source = made.words
    edit = {"task": "scene", "input": str(made.path), "instruction": instruction}
    if kind == "part":
        edit["region"] = made.region
        if made.second:
            source = f"{source} with {made.second} {instruction.split()[-1]}"
    edit["source"] = source
    usual = suited("scene", instruction, source, arguments.teacher, "auto")
    chosen = {"edit": edit, "teacher": {"name": usual.teacher}}
    method = arguments.method or usual.method
    config = planned(load_config(usual.file, method, arguments.overrides, chosen))
    out = arguments.out / f"{number:02d}-{name}"
    if not (out / "processor.json").exists():
        begun = time.process_time()
        with RunFolder.create(out, overwrite=True) as run_folder:
            for _ in edit_scene(config, read_ply(made.path), run_folder):
                pass
        (out / "processor.json").write_text(json.dumps(time.process_time() - begun))
    summary = json.loads((out / "summary.json").read_text())
    frame = Frame.of(read_ply(made.path))
    start, edited = (frame.into(read_ply(p)) for p in (made.path, out / "scene.ply"))
    judge, judged_by = measuring_judge()
    views = turntable(8, SIDE)
    before, after = (photograph(s, views, 0.8) for s in (start, edited))
    if kind == "part":
        colour = instruction.split()[-2]
        found = judged_part(start, edited, made.part, made.noun, colour, judge)
    else:
        asked = summary["edit"]["judge"]["asked"]
        noun = asked.get("noun", made.noun)
        found = fulfilment(before, after, noun, asked, judge, made.colour, 0.8)
        if kind == "recolour" and "pixels" not in found:
            pixels = whole_pixels(before, after, start, views, asked["colour"])
            found |= {"pixels": pixels, "fulfilled": found["fulfilled"] and pixels >= HALF}
    shares = found["shares"] if found else {}
    pixels = found.get("pixels") if found else None
    wanted = [v["after"] for k, v in shares.items() if kind == "swap" or k != "noun"]
    row = {
        "kind": kind,
        "edit": f"{made.words}: {instruction}",
        **({"model": made.model, "file": name} if models else {}),
        "fulfilled": bool(found and found["fulfilled"]),
        "seen": bool(wanted) and min(wanted) >= MOST and (pixels is None or pixels >= HALF),
        "shares": shares,
        "pixels": pixels,
        "outside_psnr": summary["edit"].get("outside_psnr"),
        "silhouette_iou": summary["edit"]["silhouette_iou"],
        "seconds": sum(summary["seconds"].values()),
        "processor seconds": json.loads((out / "processor.json").read_text()),
        "judged by": judged_by,
    }
    strip = [p[k] for p in (before, after) for k in SHOWN]
    return row, np.concatenate(strip, 1)


def report(rows, strips, results):
    results.parent.mkdir(parents=True, exist_ok=True)
    results.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")
    labels = [f"{'yes' if r['fulfilled'] else 'no'}: {r['edit']}" for r in rows]
    write_png(results.with_suffix(".png"), contact_sheet(np.stack(strips), 2, labels))
    of = "real models" if "model" in rows[0] else "instances"
    lines = [f"# Edits of held-out {of}", "", f"Judged by the {rows[0]['judged by']}.", ""]
    kinds = dict.fromkeys(r["kind"] for r in rows)
    for kind in (*kinds, "all"):
        some = [r for r in rows if kind in (r["kind"], "all")]
        done, seen = (sum(r[key] for r in some) for key in ("fulfilled", "seen"))
        lines.append(f"- {kind}: {done} of {len(some)} fulfilled ({seen} seen)")
    spent = [r["processor seconds"] for r in rows]
    lines += ["", f"Processor time of an edit, one thread: {min(spent):.0f} to {max(spent):.0f} s."]
    lines += ["", "| edit | fulfilled | seen | judge, before -> after | pixels | dB outside |"
              " outline | processor s |"]  # fmt: skip
    lines += ["|---|---|---|---|---|---|---|---|"]
    for r in rows:
        shares = ", ".join(f"{k} {v['before']:.0%} -> {v['after']:.0%}" for k, v in
                           r["shares"].items())  # fmt: skip
        outside = r["outside_psnr"]
        shown = "" if outside is None else outside if isinstance(outside, str) else f"{outside:.1f}"
        pixels = "" if r["pixels"] is None else f"{r['pixels']:.0%}"
        done = "yes" if r["fulfilled"] else "no"
        seen = "yes" if r["seen"] else "no"
        cells = (r["edit"], done, seen, shares, pixels, shown, f"{r['silhouette_iou']:.2f}")
        lines.append(f"| {' | '.join(cells)} | {r['processor seconds']:.0f} |")
    lines += ["", f"![four views before, the same after]({results.stem}.png)"]
    results.with_suffix(".md").write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", help="default: as `score3d edit scene`")
    parser.add_argument("--teacher", help="default: as `score3d edit scene`")
    parser.add_argument("--real", type=Path, help="a folder of real models")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--only", type=int, nargs="+", help="numbers of edits, from 0")
    parser.add_argument("--out", type=Path, default=Path(".cache/edits20"))
    parser.add_argument("--results", type=Path, default=Path("docs/results/edits20"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    models = RealModels(arguments.real, "held-out") if arguments.real else None
    edits = REAL_EDITS if models else EDITS
    rows, strips = [], []
    order = sorted(range(len(edits)), key=lambda k: (k % 4, k))  # all kinds early
    for number in arguments.only or order:
        row, strip = run(number, *edits[number], arguments, models)
        rows.append(row)
        strips.append(strip)
        print(json.dumps(row), flush=True)
        report(rows, strips, arguments.results)


if __name__ == "__main__":
    main()
