"""Whole runs of the losses side by side, and the claims of their papers put to the test.

    python scripts/benchmark_runs.py run                       # hours; may be stopped and repeated
    python scripts/benchmark_runs.py report --results docs/results/losses-runs

An arm is a loss preset with settings. Every arm makes the same prompts from the same seeds (equal
cameras, times and noise) under two budgets: "steps" is the preset's number of steps, "seconds" is
the time that SDS takes for them, by the seconds a step of each arm takes next to one of SDS
(`score3d/loop.py` alone, on this machine, in turn). A scene is made once and kept as a PLY in
--cache; `report` measures what is there with the judge that no reward sees, and says what is
missing. Intervals are 95 % bootstrap over runs, of paired differences to the arm's control.
"""

import argparse
import hashlib
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmark_losses import Cells
from claims import Results, runs_page
from losses_tables import interval, paired

from score3d import build
from score3d.cameras import turntable
from score3d.config import Config, load_config
from score3d.evaluate.assess import Assessor
from score3d.evaluate.judge import Judge
from score3d.files.ply import read_ply, write_ply
from score3d.loop import optimise
from score3d.prompts import PromptBook
from score3d.resources import resource
from score3d.scenes.photograph import photograph
from score3d.teachers.embedded import load_world

PROMPTS = (
    "a red mushroom", "a blue chair", "a red car", "a cyan teapot", "a yellow duck",
    "a brown dog", "a yellow robot", "a green tree", "a pink house", "an orange mug",
    "a purple vase", "a gray rocket",
)  # fmt: skip
SINGLE = "views.layout=single"
AS_LONG = 1.2  # times SDS's step


@dataclass(frozen=True)
class Arm:
    """loss, settings: of `load_config`. control: the arm that it is held against. budgets: under
    which it is run; what takes many times SDS's time per step is run at equal time only.
    prompts: how many of the prompts."""

    loss: str = "sds"
    settings: tuple[str, ...] = ()
    control: str = "sds"
    budgets: tuple[str, ...] = ("steps", "seconds")
    prompts: int = len(PROMPTS)


STEPS, SECONDS = ("steps",), ("seconds",)
# In the order in which they are run: what every claim needs first.
ARMS: dict[str, Arm] = {
    "sds": Arm(budgets=STEPS),  # under either budget the same
    "sds, guidance 30": Arm(settings=("distill.guidance=30",), budgets=STEPS),
    "sds, guidance 100": Arm(settings=("distill.guidance=100",), budgets=STEPS),
    "sds, not annealed": Arm(settings=("distill.t_max_end=0.98",), budgets=STEPS),
    "sds, one t": Arm(settings=("distill.shared_t=true",), budgets=STEPS),
    "csd": Arm("csd", control="sds, one t", budgets=STEPS),
    "sds, single views": Arm(settings=(SINGLE,), budgets=STEPS),
    "gsd": Arm("gsd", control="sds, single views", budgets=STEPS),
    "upgrad": Arm("upgrad", budgets=STEPS),
    "ssd": Arm("ssd", budgets=STEPS),  # within a few percent of SDS's time
    "vsd": Arm("vsd"),
    "sds, 4 noises": Arm(settings=("distill.noises_per_view=4",)),
    "vsd, 3 particles": Arm("vsd", ("run.particles=3",), control="vsd", budgets=STEPS),
    "reward of 2": Arm("reward-sds-one-step", ("distill.noises_per_view=2",), budgets=STEPS,
                       prompts=4),
    "reward of 4": Arm("reward-sds-one-step", control="sds, 4 noises", prompts=4),
    "reward of 8": Arm("reward-sds-one-step", ("distill.noises_per_view=8",), budgets=STEPS,
                       control="sds, 4 noises", prompts=4),
    "reward, 15 times": Arm("reward-sds", control="sds, 4 noises", budgets=SECONDS),
    "perp-neg": Arm("perp-neg", control="sds, single views", budgets=STEPS),
    "sds, guidance 3": Arm(settings=("distill.guidance=3",), budgets=STEPS),
    "gsd-vsd": Arm("gsd-vsd", control="sds, single views", budgets=SECONDS),
}  # fmt: skip
WHOLE = ("run.particles=3",)  # arms whose one run gives the scenes of all seeds


def configured(args: argparse.Namespace, name: str, prompt: str, seed: int, steps: int) -> Config:
    arm = ARMS[name]
    options = {"run": {"prompt": prompt, "seed": seed, "steps": steps, "device": "cpu"}}
    return load_config(args.preset, arm.loss, [*args.overrides, *arm.settings], options)


def default_steps(args: argparse.Namespace) -> int:
    return args.steps or load_config(args.preset, "sds").run.steps


def step_seconds(args: argparse.Namespace, cells: Cells) -> dict[str, float]:
    """Median seconds of a step of every arm divided by SDS's, steps of all arms in turn."""

    def measure() -> dict:
        loops = {}
        for name in ARMS:
            config = configured(args, name, PROMPTS[0], 0, args.rounds + 2)
            loops[name] = _loop(config)[1]
            next(loops[name]), next(loops[name])
        took: dict[str, list[float]] = {name: [] for name in ARMS}
        for _ in range(args.rounds):
            for name, loop in loops.items():
                start = time.process_time()
                next(loop)
                took[name].append(time.process_time() - start)
        sds = np.array(took["sds"])
        return {"ratios": {n: float(np.median(np.array(v) / sds)) for n, v in took.items()}}

    return cells.get(measure, kind="ratios", preset=args.preset, rounds=args.rounds,
                     overrides=args.overrides, arms=sorted(ARMS))["ratios"]  # fmt: skip


def _loop(config: Config):
    teacher = build.build_teacher(config, torch.device("cpu"))
    scene = build.build_scene(config, torch.device("cpu"), teacher)
    rule, spec = build.build_rule(config, teacher, Judge), build.build_spec(config, teacher)
    return scene, optimise(scene, teacher, PromptBook(teacher, config.run.prompt), rule, spec)


def scenes_of(args: argparse.Namespace, cells: Cells, name: str, prompt: str, seed: int,
              steps: int, make: bool) -> list[Path]:  # fmt: skip
    """The PLY files of a run, made if they are not there yet and `make` says so, else []."""
    config = configured(args, name, prompt, seed, steps)
    # defaults left out: a new setting does not make runs stale, VERSION is for a changed default
    key = cells.key(config=config.model_dump(mode="json", exclude_defaults=True))
    paths = [cells.folder / f"run-{key}-{i}.ply" for i in range(config.run.particles)]
    if all(p.exists() for p in paths):
        return paths
    if not make:
        return []
    start = time.process_time()
    scene, loop = _loop(config)
    for _ in loop:
        pass
    scene.prune(config.scene.final_prune)
    for path, one in zip(paths, getattr(scene, "particles", [scene]), strict=True):
        write_ply(path, one.splats())
    print(f"{time.strftime('%H:%M:%S')} {name}, {steps} steps, {prompt} {seed}: "
          f"{time.process_time() - start:.0f} s", flush=True)  # fmt: skip
    return paths


def planned(args: argparse.Namespace, ratios: dict[str, float]):
    """(arm, budget, steps, prompt, seed) of every run. An arm of particles is run once a prompt."""
    full = default_steps(args)
    for name in args.arms or ARMS:
        arm = ARMS[name]
        for budget in arm.budgets:
            steps = full if budget == "steps" else max(5, round(full / ratios[name]))
            for prompt in PROMPTS[: min(arm.prompts, args.prompts)]:
                for seed in range(1 if arm.settings == WHOLE else args.seeds):
                    yield name, budget, steps, prompt, seed


def picture_measures(views: np.ndarray, noun: str, judge: Judge) -> dict[str, float]:
    """Of turntable views [V,H,W,3] on white: share of clipped values of the object's pixels, share
    of energy above a quarter of the Nyquist frequency, and the judge's mean log-probability of the
    noun."""
    values = views[views.min(-1) < 0.97]
    gray = views.mean(-1)
    energy = np.abs(np.fft.fft2(gray - gray.mean((1, 2), keepdims=True))) ** 2
    fy, fx = np.meshgrid(*(np.fft.fftfreq(n) for n in gray.shape[1:]), indexing="ij")
    said = judge(torch.from_numpy(views).permute(0, 3, 1, 2))
    p = said.noun_probabilities[:, judge.nouns.index(noun)].clamp(min=1e-6).log()
    return {
        "clipped": float(((values < 0.01) | (values > 0.99)).mean()) if values.size else 0.0,
        "fine detail": float(energy[:, np.hypot(fy, fx) > 0.125].sum() / energy.sum()),
        "log p(noun)": float(p.mean()),
    }


def assessor_key() -> str:
    """Says which models measure: another one's figures are other figures."""
    digest = hashlib.sha256()
    for name in ("judge", "second-judge", "two-tower"):
        for path in sorted(resource("assets", name).glob("*.safetensors")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def measured(cells: Cells, assessor: Assessor, path: Path, prompt: str) -> dict[str, Any]:
    """Figures of one scene, and the two-tower vector of its picture from the front."""

    def measure() -> dict:
        splats = read_ply(path)
        found = assessor(splats, prompt)
        views = photograph(splats, turntable(8, 64), 1.0)
        found |= picture_measures(views, assessor.world.parse(prompt).noun, assessor.judge)
        row = {k: None if found.get(k) is None else float(found[k]) for k in FIGURES if k in found}
        row["right"] = float(found["shape"] >= 7 / 8)
        if assessor.two_tower:
            rgb = torch.from_numpy(views).permute(0, 3, 1, 2)
            row["vectors"] = assessor.two_tower.embed(rgb).tolist()
        return row

    return cells.get(measure, kind="measures", of=path.name, by=assessor_key())


def diversity(vectors: list[list[list[float]]]) -> float:
    """Mean cosine distance of the two-tower vectors [S][V][D] of the same view of S scenes."""
    v = np.array(vectors)
    gram = np.einsum("svd,tvd->stv", v, v)
    off = ~np.eye(len(v), dtype=bool)
    return float(1 - gram[off].mean())


def collect(args: argparse.Namespace, cells: Cells) -> dict[tuple[str, str], dict]:
    """{(arm, budget): {"steps": n, "runs": {(prompt, seed): figures}}} of all that is there."""
    assessor = Assessor(load_world())
    table: dict[tuple[str, str], dict] = {}
    for name, budget, steps, prompt, seed in planned(args, step_seconds(args, cells)):
        paths = scenes_of(args, cells, name, prompt, seed, steps, make=False)
        row = table.setdefault((name, budget), {"steps": steps, "runs": {}, "missing": 0})
        row["missing"] += not paths
        for i, path in enumerate(paths):
            row["runs"][prompt, seed + i] = measured(cells, assessor, path, prompt)
    for row in table.values():
        groups: dict[str, list] = {}
        for (prompt, _), run in row["runs"].items():
            groups.setdefault(prompt, []).append(run.pop("vectors", None))
        row["diversity"] = {
            p: diversity(v) for p, v in groups.items() if len(v) > 1 and None not in v
        }
    return table


def against(row: dict, control: dict, key: str) -> dict | None:
    """Mean of a figure, and its difference to the control's on the runs that both have."""
    if key == "diversity":
        own, other = row["diversity"], control["diversity"]
    else:
        own, other = (
            {k: r[key] for k, r in of["runs"].items() if r.get(key) is not None}
            for of in (row, control)
        )
    both = [k for k in own if k in other]
    if len(both) < 2:
        return None
    pairs = np.array([[other[k], own[k]] for k in both])
    found = paired(pairs, ("control", "own"))
    return {
        "mean": found["own"]["mean"],
        "control": found["control"]["mean"],
        "difference": found["difference"]["mean"],
        "interval": found["difference"]["interval"],
        "runs": len(both),
    }


FIGURES = ("right", "shape", "colour", "sides", "janus", "iou", "chamfer", "r_precision",
           "view_consistency", "saturation", "clipped", "fine detail", "log p(noun)",
           "diversity")  # fmt: skip


def report(args: argparse.Namespace, cells: Cells) -> None:
    table = collect(args, cells)
    rows = []
    for (name, budget), row in table.items():
        control = ARMS[name].control
        held = _held(table, control, budget)
        figures = {} if held is None else {k: against(row, held, k) for k in FIGURES}
        kept = {"steps": row["steps"], "runs": len(row["runs"]), "missing": row["missing"]}
        rows.append({"arm": name, "budget": budget, "control": control, **kept, "figures": figures})
    best = ranking(table, step_seconds(args, cells))
    judge = Assessor(load_world()).judged_by
    notes = [
        f"`scripts/benchmark_runs.py {' '.join(sys.argv[1:])}`, preset {args.preset}",
        f"teacher {cells.teacher}; {args.prompts} prompts, seeds 0 to {args.seeds - 1}; judged by "
        f"the {judge}",
        "equal steps: as many as the preset has; equal seconds: as long as SDS takes for them",
        "not run or not complete: "
        + (", ".join(f"{n} ({b})" for (n, b), row in table.items() if row["missing"]) or "nothing"),
    ]
    for kind in ("variance", "agreement"):
        found = Results(args.inputs, lambda *a: None).read(kind)
        if found and found["teacher"] != cells.teacher:
            prompts = ", ".join(found["settings"]["prompts"])
            notes.append(f"{kind} is of another teacher, {found['teacher']}, on {prompts}")

    def compare(arm: str, control: str, figure: str, budget: str) -> dict | None:
        own, held = table.get((arm, budget)), _held(table, control, budget)
        if own is None or held is None or own["missing"] or held["missing"]:
            return None  # half of an arm is no evidence
        return against(own, held, figure)

    page = runs_page(rows, best, notes, Results(args.inputs, compare))
    print(page)
    if args.results:
        args.results.parent.mkdir(parents=True, exist_ok=True)
        args.results.with_suffix(".md").write_text(page)
        found = {"teacher": cells.teacher, "judged by": judge, "rows": rows, "ranking": best}
        args.results.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")


def _held(table: dict, control: str, budget: str) -> dict | None:
    """The control under this budget, or, if it is its own budget, at equal steps."""
    return table.get((control, budget)) or table.get((control, "steps"))


def ranking(table: dict[tuple[str, str], dict], ratios: dict[str, float]) -> list[dict]:
    """Arms at SDS's time, best first: by the mean of the shares of views with the right shape and
    colour and of the silhouette IoU. Only complete arms on all prompts, and at equal steps only
    those whose steps take no more than AS_LONG of SDS's; sided nouns count by `sides`, too."""
    out, full = [], max((len(row["runs"]) for row in table.values()), default=0)
    for (name, budget), row in table.items():
        if row["missing"] or not row["runs"] or len(row["runs"]) < full:
            continue
        if budget == "steps" and ratios[name] > AS_LONG:
            continue
        scores = np.array([_score(r) for r in row["runs"].values()])
        picks = np.random.default_rng(0).integers(len(scores), size=(2000, len(scores)))
        out.append({"arm": name, "steps": row["steps"], "score": float(scores.mean()),
                    "interval": interval(scores[picks].mean(1))})  # fmt: skip
    return sorted(out, key=lambda r: -r["score"])


def _score(run: dict) -> float:
    parts = [run["shape"], run["colour"], run["iou"] or 0.0]
    if run.get("sides") is not None:
        parts.append(run["sides"])
    return float(np.mean(parts))


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("do", choices=("run", "report"))
    parser.add_argument("--arms", nargs="+", choices=list(ARMS))
    parser.add_argument("--prompts", type=int, default=len(PROMPTS), help="the first N")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--preset", default="draft")
    parser.add_argument("--steps", type=int, help="instead of the preset's")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--rounds", type=int, default=10, help="steps of each arm to time it")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), metavar=("K", "N"),
                        help="run: every Nth from the Kth, for N processes at once")  # fmt: skip
    parser.add_argument("--cache", type=Path, default=Path(".cache/losses"))
    parser.add_argument("--inputs", type=Path, default=Path("docs/results"),
                        help="report: where losses-variance.json, ... are")  # fmt: skip
    parser.add_argument("--results", type=Path, help="report: path without a suffix")
    return parser.parse_args(arguments)


def main(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    cells = Cells(args.cache)
    if args.do == "report":
        report(args, cells)
        return
    first, of = args.part
    runs = list(planned(args, step_seconds(args, cells)))
    for name, _, steps, prompt, seed in runs[first::of]:
        scenes_of(args, cells, name, prompt, seed, steps, make=True)


if __name__ == "__main__":
    main(parse())
