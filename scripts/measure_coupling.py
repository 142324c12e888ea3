"""CSD-Edit's coupling against independent edits: same draws, same w(t), same steps.

    python scripts/measure_coupling.py --out docs/results/coupling

Two nouns and three seeds of each kind; the arms differ in `distill.couple` alone, "svgd" or
"none", so in no time weight and in no random number.

scene: a held-out object as discs, made from red to yellow; 8 views. panorama: a ring of 8 renders
of a noun side by side (64 x 512); 8 windows. video: 16 frames of a turning object, whose motion
is known from its geometry; one window of frames.

spread: standard deviation over the 8 pictures (16 frames) of the object's mean colour, averaged
over channels. warp: of a video, `warp_error` along the known motion between neighbours. noise: of a
video, the same of the change alone, over its root mean square. seams: of the change of a panorama
at the borders of its 8 pictures, as in `evaluate/seams.py`. colour: share of pictures in which
the judge says yellow; p(colour): its mean probability; noun: share in which it says the noun.

Finished rows stay in OUT.json and are not computed again.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from held_out import instance, ring

from score3d import build
from score3d.cameras import orbit, turntable
from score3d.config import edit_preset, load_config
from score3d.distill.couple.independent import independent
from score3d.edit.original import Original
from score3d.edit.picture import canvas_task
from score3d.edit.session import open_session, planned
from score3d.evaluate.judge import measuring_judge
from score3d.evaluate.motion import geometry_flow, warp_error
from score3d.evaluate.seams import seam_energy
from score3d.evaluate.verdict import score_views
from score3d.files.pictures import contact_sheet, write_png
from score3d.follow import Task
from score3d.loop import optimise
from score3d.scenes.photograph import photograph

NOUNS, COLOUR = ("mushroom", "chair"), "yellow"
KINDS = ("scene", "panorama", "video")
STEPS = {"scene": 150, "panorama": 100, "video": 100}
SIDE, FRAMES, TURN = 64, 16, 6.0  # pixels; frames of a video; degrees between them
ARMS = ("csd", "independent")


def settings(kind, noun, seed, overrides, method):
    words = {"source": f"a red {noun}", "instruction": f"make it {COLOUR}"}
    words |= {"task": kind, "input": "-"}
    given = [f"run.seed={seed}", f"run.steps={STEPS[kind]}", *overrides]
    return planned(load_config(edit_preset(kind), method, given, {"edit": words}))


def spread(before, after):
    """Of mean colours [B,3] of what is not background in pictures [B,H,W,3]."""
    means = [a[np.abs(b - 0.8).max(-1) > 0.1].mean(0) for b, a in zip(before, after, strict=True)]
    return float(np.std(means, axis=0).mean())


def between_frames(frames, flows):
    """Root mean square difference along known motions, over all pairs of neighbours."""
    pairs = zip(frames[:-1], frames[1:], flows, strict=True)
    return float(np.sqrt(np.mean([warp_error(a, b, *flow) ** 2 for a, b, flow in pairs])))


def run(kind, noun, seed, arm, overrides, method):
    """Figures of one edit, and pictures before and after [B,64,64,3]."""
    config = settings(kind, noun, seed, overrides, method)
    session = open_session(config, angles=kind == "scene")
    rule = session.rule if arm == "csd" else replace(session.rule, couple=independent)
    session = replace(session, rule=rule)
    flows = []
    if kind == "scene":
        splats = instance(noun, "red", seed).splats
        scene, still = (build.build_edited_scene(config, splats, session.device) for _ in range(2))
        spec = build.build_spec(config, session.teacher)
        original = Original(still, session.source)
        task = Task(scene, session.teacher, session.prompts, rule, spec, original)
        look = lambda: photograph(scene.splats(), turntable(8, SIDE), 0.8)  # noqa: E731
    elif kind == "panorama":
        task, scene = canvas_task(config, session, ring(noun, seed)[None], "ring")
        look = lambda: np.stack(np.split(scene.pictures()[0], 8, 1))  # noqa: E731
    else:
        splats = instance(noun, "red", seed).splats
        azimuth = torch.arange(FRAMES) * TURN
        views = orbit(azimuth, torch.full_like(azimuth, 15.0), 2.0, 40.0, SIDE, SIDE)
        steps = range(FRAMES - 1)
        flows = [geometry_flow(splats, views[k : k + 1], views[k + 1 : k + 2]) for k in steps]
        task, scene = canvas_task(config, session, photograph(splats, views, 0.8), "frames")
        look = scene.pictures
    before, begun = look(), time.perf_counter()
    for _ in optimise(scene, task.teacher, task.prompts, rule, task.spec, source=task.source):
        pass
    after = look()
    judge, judged_by = measuring_judge()
    said = score_views(after, noun, COLOUR, judge)
    rgb = torch.from_numpy(after).permute(0, 3, 1, 2)
    likely = judge(rgb).colour_probabilities[:, judge.colours.index(COLOUR)]
    row = {
        "spread": spread(before, after),
        "colour": said["colour"],
        "p(colour)": float(likely.mean()),
        "noun": said["shape"],
        "change": float(np.abs(after - before).mean()),
    }
    if kind == "panorama":
        strip = np.concatenate(list(after - before), 1)
        row["seams"] = seam_energy(strip, range(0, 8 * SIDE, SIDE))
    if kind == "video":
        row["warp"] = between_frames(after, flows)
        row["warp before"] = between_frames(before, flows)
        change = after - before
        row["noise"] = between_frames(change, flows) / float(np.sqrt(np.mean(change**2)))
    row["seconds"] = time.perf_counter() - begun
    return row | {"judged by": judged_by}, before, after


def interval(gaps):
    """Mean and 95 % bootstrap interval of paired differences."""
    gaps, rng = np.array(gaps), np.random.default_rng(0)
    boots = gaps[rng.integers(len(gaps), size=(10000, len(gaps)))].mean(1)
    return gaps.mean(), *np.percentile(boots, [2.5, 97.5])


def table(rows, kind):
    """Lines of Markdown for one kind."""
    pairs = {}
    for row in rows:
        if row["kind"] == kind:
            pairs.setdefault((row["noun of it"], row["seed"]), {})[row["arm"]] = row
    whole = [p for p in pairs.values() if len(p) == len(ARMS)]
    if not whole:
        return []
    lines = [f"## {kind}: {len(whole)} pairs", ""]
    lines += ["| | csd | independent | difference | 95 % |", "|---|---|---|---|---|"]
    for key in whole[0]["csd"]:
        values = np.array([[p[a][key] for a in ARMS] for p in whole if key in p["csd"]], object)
        if key in ("kind", "noun of it", "seed", "arm", "judged by", "seconds"):
            continue
        a, b = values.astype(float).T
        mean, low, high = interval(a - b)
        lines.append(
            f"| {key} | {a.mean():.4f} | {b.mean():.4f} | {mean:+.4f} | {low:+.4f} to {high:+.4f} |"
        )
    return [*lines, ""]


def report(rows, out):
    out.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")
    lines = ["# Coupled against independent edits", "", *__doc__.splitlines()[4:-2], ""]
    judges = sorted({r["judged by"] for r in rows})
    lines += [f"Judged by the {', '.join(judges)}. Difference: csd less independent, paired.", ""]
    for kind in KINDS:
        lines += table(rows, kind)
    lines += [f"![before, csd, independent]({out.stem}.png)"]
    out.with_suffix(".md").write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", choices=KINDS, nargs="+", default=list(KINDS))
    parser.add_argument("--nouns", nargs="+", default=list(NOUNS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--method", default="csd-edit")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--out", type=Path, default=Path("docs/results/coupling"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    out, strips, labels = arguments.out, [], []
    out.parent.mkdir(parents=True, exist_ok=True)
    kept = out.with_suffix(".json")
    rows = json.loads(kept.read_text()) if kept.exists() else []
    done = {(r["kind"], r["noun of it"], r["seed"], r["arm"]) for r in rows}
    for seed in range(arguments.seeds):  # outermost, so that what was cut short is balanced
        for kind in arguments.what:
            for noun in arguments.nouns:
                for arm in ARMS:
                    key = {"kind": kind, "noun of it": noun, "seed": seed, "arm": arm}
                    if tuple(key.values()) in done:
                        continue
                    row, before, after = run(
                        kind, noun, seed, arm, arguments.overrides, arguments.method
                    )
                    rows.append(key | row)
                    print(*(f"{v:.4f}" if isinstance(v, float) else v for v in rows[-1].values()),
                          flush=True)  # fmt: skip
                    every = max(1, len(after) // 8)
                    if seed == 0 and arm == ARMS[0]:
                        strips.append(np.concatenate(list(before[::every]), 1))
                        labels.append(f"{kind}, {noun}: before")
                    if seed == 0:
                        strips.append(np.concatenate(list(after[::every]), 1))
                        labels.append(
                            f"{arm}: spread {row['spread']:.3f}, {COLOUR} {row['colour']:.0%}"
                        )
                    if strips:
                        sheet = contact_sheet(np.stack(strips), 3, labels)
                        write_png(out.with_suffix(".png"), sheet)
                    report(rows, out)
    report(rows, out)


if __name__ == "__main__":
    main()
