"""The losses side by side: variance, agreement of views, and cost.

    python scripts/benchmark_losses.py variance    --results docs/results/losses-variance
    python scripts/benchmark_losses.py agreement   --results docs/results/losses-agreement
    python scripts/benchmark_losses.py cost        --results docs/results/losses-cost

Every measured cell is a JSON file in --cache, named by a hash of all that it depends on (the
teacher's weights among it): a second call continues, another teacher starts afresh. All losses
see the same cameras, times and noise. Intervals are 95 % bootstrap.

variance: a frozen scene, V views, R draws of (t, eps) per view and bin of t. N/S is
tr Cov(g) / ||E g||^2, of the latents' gradient and of the scene's parameters'; the squared mean
is the product of the means of two disjoint halves of the draws, which is unbiased. x rows: times
the rows of the teacher's network per view, the cost that no other load on a machine can change.
agreement: pairs of views a few degrees apart; the cosine of their warped gradients with iid and
with consistent noise; and how often views' gradients on the scene conflict.
cost: seconds per step relative to SDS, losses in turn, and rows of the network per step.
Whole runs are `benchmark_runs.py`'s.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from losses_tables import interval, markdown, moments, paired, summary

from score3d import build
from score3d.cameras import orbit
from score3d.config import Config, load_config
from score3d.distill.consistency.gradient import agreement
from score3d.distill.couple.upgrad import upgrad_weights
from score3d.distill.equation import Rule, ask, combine
from score3d.distill.noise.consistent import Consistent
from score3d.draw import draw_at
from score3d.evaluate.judge import Judge
from score3d.loop import optimise, view_rows
from score3d.prompts import PromptBook
from score3d.resources import resource
from score3d.teachers.grid import GridTeacher

VERSION = 1  # of the measurements: a change here makes every cached cell stale
BINS = ((0.02, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 0.98))
# name -> (loss preset, settings); "raw" is the score without a baseline
ESTIMATORS: dict[str, tuple[str, list[str]]] = {
    "raw score": ("sds", []),
    "sds": ("sds", []),
    "sds, 2 noises": ("sds", ["distill.noises_per_view=2"]),
    "sds, 4 noises": ("sds", ["distill.noises_per_view=4"]),
    "ssd": ("ssd", []),
    "ssd, depth": ("ssd-depth", []),
    "ssd, normals": ("ssd-normal", []),
    "vsd": ("vsd", []),
    "csd": ("csd", []),
    "gsd noise": ("gsd", ["distill.consistency=none", "distill.pair_angle=0"]),
    "reward-sds-one-step": ("reward-sds-one-step", []),
    "reward-vsd, one step": ("reward-vsd", ["distill.reward_steps=0"]),
}
NOISES = 4  # drawn for all; an estimator takes the first of them


class Cells:
    """Measured cells as files; `get` measures what is not there yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.teacher = self._hash("teacher", "unet", "diffusion_pytorch_model.safetensors")

    @staticmethod
    def _hash(*parts: str) -> str:
        return hashlib.sha256(resource("assets", *parts).read_bytes()).hexdigest()[:12]

    def asked(self, config: Config) -> dict[str, str]:
        """What a cell depends on besides settings and teacher: the network that SSD's phi asks."""
        if config.distill.stein_phi not in ("depth", "normal"):
            return {}
        return {"geometry": self._hash("depth", "geometry.safetensors")}

    def key(self, **what: Any) -> str:
        text = json.dumps({"version": VERSION, "teacher": self.teacher, **what}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    def get(self, measure: Callable[[], dict], **what: Any) -> dict:
        path = self.folder / f"{what['kind']}-{self.key(**what)}.json"
        if path.exists():
            return json.loads(path.read_text())
        found = {"what": what, **measure()}
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(found))
        partial.replace(path)
        print(f"{time.strftime('%H:%M:%S')} {what['kind']} {what.get('estimator', '')} done",
              file=sys.stderr, flush=True)  # fmt: skip
        return found


class Rows:
    """Counts the rows that go through the teacher's network, backward passes of a student as
    two more."""

    def __init__(self, teacher: Any) -> None:
        self.count, (_, self.h, self.w) = 0.0, teacher.latent_shape
        teacher.unet.register_forward_pre_hook(self._add, with_kwargs=True)

    def _add(self, module: Any, args: Any, kwargs: Any) -> None:
        n, _, h, w = args[0].shape
        views = n * h * w / (self.h * self.w)  # a row may be a grid of views
        self.count += views * (3 if torch.is_grad_enabled() else 1)


def configured(args: argparse.Namespace, loss: str, settings: list[str], **run: Any) -> Config:
    options = {"run": {"prompt": args.prompts[0], "device": "cpu"} | run}
    return load_config(args.preset, loss, [*args.overrides, *settings], options)


def single_teacher(args: argparse.Namespace) -> Any:
    """The teacher as it is asked about single views."""
    return build.build_teacher(
        configured(args, "sds", ["views.layout=single"]), torch.device("cpu")
    )


def arranged(config: Config, teacher: Any) -> Any:
    """`teacher` as `config` asks it: about grids of views, if that is possible."""
    if build.asks_grids(config, teacher):
        return GridTeacher(teacher, config.distill.noises_per_view)
    return teacher


def frozen_scene(args: argparse.Namespace, cells: Cells, teacher: Any, prompt: str, seed: int):
    """A scene in the middle of an SDS run, with depth."""
    config = configured(args, "sds", [f"run.steps={args.warm * 2}"], prompt=prompt, seed=seed)
    scene = build.build_scene(config, torch.device("cpu"))
    key = cells.key(config=config.model_dump(mode="json"), warm=args.warm)
    path = cells.folder / f"scene-{key}.pt"
    if path.exists():
        scene.load_state_dict(torch.load(path))
    else:
        seen = arranged(config, teacher)
        rule, spec = build.build_rule(config, seen), build.build_spec(config, seen)
        for info in optimise(scene, seen, PromptBook(seen, prompt), rule, spec):
            if info.step + 1 == args.warm:
                break
        torch.save(scene.state_dict(), path)
    scene.geometry = True
    return scene


def made_rule(config: Config, teacher: Any, raw: bool) -> Rule:
    rule = build.build_rule(config, teacher, Judge)
    if raw:
        return replace(rule, baseline=lambda teacher, noisy: torch.zeros_like(noisy.eps))
    return rule


def teach(rule: Rule, scene: Any, teacher: Any, book: PromptBook, config: Config, steps: int):
    """Let a rule with state learn on the frozen scene, on steps that no measurement uses."""
    spec = replace(build.build_spec(config, teacher), steps=10**6)
    for step in range(500000, 500000 + steps):
        draw = draw_at(spec, step)
        with torch.no_grad():
            view = scene.render(draw.views, draw.background)
            z = teacher.encode(view.rgb)
        rule.learn(teacher, ask(teacher, z, book.at(draw.views), draw, view, rule))


# ---- variance --------------------------------------------------------------------------------


def gradients(args, scene, teacher, book, rule: Rule, config: Config, bounds, turn: float):
    """(latent [R,V,D], parameter [R,P] float32, seconds per draw) of R draws in a bin of t."""
    v, low, high = args.views, *bounds
    azimuth = torch.arange(v) * 360.0 / v + (turn + 45) % 90 - 45  # a grid begins near the front
    cameras = orbit(azimuth, torch.full((v,), 15.0), 2.0, config.views.fov, 64, 64)
    view = scene.render(cameras, torch.full((v, 3), 0.8))
    z = teacher.encode(view.rgb)
    parameters = list(scene.parameters().values())
    cond, noises = book.at(cameras, rule.opposites), config.distill.noises_per_view
    spec = replace(build.build_spec(config, teacher), steps=10**6, views=v, noises=NOISES,
                   pair_angle=0.0)  # fmt: skip
    latent, parameter, seconds = [], [], 0.0
    for r in range(args.draws):
        draw = draw_at(spec, r)
        u = torch.rand((), generator=draw.generator(50))
        t = torch.full((v,), low + (high - low) * float((r + u) / args.draws))
        draw = replace(draw, views=cameras, t=t, noise=draw.noise[:, :noises])
        start = time.perf_counter()
        g = combine(teacher, ask(teacher, z.detach(), cond, draw, view, rule), rule)
        seconds += time.perf_counter() - start
        found = torch.autograd.grad(z, parameters, g / v, retain_graph=True, allow_unused=True)
        latent.append(g.flatten(1))
        parameter.append(torch.cat([f.flatten() for f in found if f is not None]))
    return torch.stack(latent), torch.stack(parameter), seconds / args.draws


def variance(args: argparse.Namespace, cells: Cells) -> dict:
    teacher = single_teacher(args)
    rows_seen, table = Rows(teacher), []
    for name in args.estimators or ESTIMATORS:
        loss, settings = ESTIMATORS[name]
        settings = [*settings, f"views.count={args.views}"]
        for b, bounds in enumerate(BINS):
            latent, parameter, seconds, rows = [], [], [], []
            for prompt in args.prompts:
                for seed in range(args.seeds):
                    config = configured(args, loss, settings, prompt=prompt, seed=seed)
                    cell = cells.get(
                        partial(_variance_cell, args, cells, teacher, rows_seen, name, config, b),
                        kind="variance", estimator=name, bin=b, draws=args.draws, views=args.views,
                        warm=args.warm, teach=args.teach, config=config.model_dump(mode="json"),
                        **cells.asked(config),
                    )  # fmt: skip
                    latent += cell["latent"]
                    parameter += cell["parameter"]
                    seconds.append(cell["seconds"])
                    rows.append(cell["rows"])
            table.append(
                {"estimator": name, "bin": list(bounds), "rows": float(np.mean(rows)),
                 "seconds": float(np.median(seconds)), "latent": latent, "parameter": parameter}
            )  # fmt: skip
    return {"table": [summary(row, table) for row in table]}


def _variance_cell(args, cells, teacher, rows_seen, name, config: Config, b: int) -> dict:
    scene = frozen_scene(args, cells, teacher, config.run.prompt, config.run.seed)
    teacher = arranged(config, teacher)
    book = PromptBook(teacher, config.run.prompt)
    rule = made_rule(config, teacher, raw=name == "raw score")
    if rule.state_dict():
        key = cells.key(c=config.model_dump(mode="json"), n=args.teach, **cells.asked(config))
        path = cells.folder / f"rule-{key}.pt"
        if path.exists():
            rule.load_state_dict(torch.load(path))
        else:
            teach(rule, scene, teacher, book, config, args.teach)
            torch.save(rule.state_dict(), path)
    rows_seen.count = 0
    latent, parameter, seconds = gradients(
        args, scene, teacher, book, rule, config, BINS[b], turn=17.0 * config.run.seed
    )
    return {
        "seconds": seconds / args.views,
        "rows": rows_seen.count / args.draws / args.views,
        "latent": [moments(latent[:, v]) for v in range(args.views)],
        "parameter": [moments(parameter)],
    }


# ---- agreement and conflict ------------------------------------------------------------------


def agreements(args: argparse.Namespace, cells: Cells) -> dict:
    teacher = single_teacher(args)
    table = []
    for angle in (2.0, 5.0, 10.0, 20.0):
        found: list[list[float]] = []
        for prompt in args.prompts:
            for seed in range(args.seeds):
                single = ["views.layout=single"]  # pairs of views are no grid
                config = configured(args, "sds", single, prompt=prompt, seed=seed)
                cell = cells.get(
                    partial(_agreement_cell, args, cells, teacher, config, angle),
                    kind="agreement", angle=angle, draws=args.draws, warm=args.warm,
                    config=config.model_dump(mode="json"),
                )  # fmt: skip
                found += cell["cosines"]
        table.append({"angle": angle} | paired(np.array(found), ("iid", "consistent")))
    conflicts = []
    for prompt in args.prompts:
        for seed in range(args.seeds):
            config = configured(
                args, "sds", [f"views.count={args.views}"], prompt=prompt, seed=seed
            )
            conflicts += cells.get(
                partial(_conflict_cell, args, cells, teacher, config),
                kind="conflict", draws=args.draws, warm=args.warm, views=args.views,
                config=config.model_dump(mode="json"),
            )["rows"]  # fmt: skip
    return {"table": table, "conflict": paired(np.array(conflicts), ("mean", "upgrad"))}


def _agreement_cell(args, cells, teacher, config: Config, angle: float) -> dict:
    """Mean cosine of the warped SDS gradients of pairs `angle` apart, per draw."""
    scene = frozen_scene(args, cells, teacher, config.run.prompt, config.run.seed)
    book = PromptBook(teacher, config.run.prompt)
    iid = build.build_rule(config, teacher)
    consistent = replace(iid, noise=Consistent(config.distill.noise_slack))
    spec = replace(build.build_spec(config, teacher), steps=10**6, pair_angle=angle, views=4)
    cosines = []
    for step in range(args.draws):
        draw = draw_at(spec, step)
        with torch.no_grad():
            view = scene.render(draw.views, draw.background)
            z = teacher.encode(view.rgb)
        cond, pair = book.at(draw.views), []
        for rule in (iid, consistent):
            g = combine(teacher, ask(teacher, z, cond, draw, view, rule), rule)
            pair.append(float(agreement(view, g, draw, config.distill.consistency_tau)[0]))
        cosines.append(pair)
    return {"cosines": cosines}


def _conflict_cell(args, cells, teacher, config: Config) -> dict:
    """Share of views that the combined gradient harms, for the mean and for UPGrad."""
    scene = frozen_scene(args, cells, teacher, config.run.prompt, config.run.seed)
    teacher = arranged(config, teacher)
    book = PromptBook(teacher, config.run.prompt)
    rule = build.build_rule(config, teacher)
    spec = replace(build.build_spec(config, teacher), steps=10**6, views=args.views)
    harmed = []
    for step in range(args.draws):
        draw = draw_at(spec, step)
        view = scene.render(draw.views, draw.background)
        z = teacher.encode(view.rgb)
        asked = ask(teacher, z.detach(), book.at(draw.views), draw, view, rule)
        rows = view_rows(z, list(scene.parameters().values()), asked.r.mean(1)).double()
        shares = []
        for weights in (torch.full((len(rows),), 1 / len(rows)).double(), upgrad_weights(rows)):
            product = rows @ (weights @ rows)
            limit = -1e-6 * rows.norm(dim=1) * (weights @ rows).norm()
            shares.append(float((product < limit).double().mean()))
        harmed.append(shares)
    return {"rows": harmed}


# ---- cost ------------------------------------------------------------------------------------


def cost(args: argparse.Namespace, cells: Cells) -> dict:
    names = args.losses
    cell = cells.get(
        partial(_cost_cell, args, args.losses),
        kind="cost",
        losses=args.losses,
        rounds=args.rounds,
        overrides=args.overrides,
        preset=args.preset,
    )
    table = []
    for name in names:
        own, sds = np.array(cell["seconds"][name]), np.array(cell["seconds"]["sds"])
        ratio = own / sds
        rng = np.random.default_rng(0)
        picks = rng.integers(len(ratio), size=(2000, len(ratio)))
        table.append(
            {"loss": name, "rows": cell["rows"][name], "seconds": float(np.median(own)),
             "to_sds": float(np.median(ratio)),
             "interval": interval(np.median(ratio[picks], axis=1))}
        )  # fmt: skip
    return {"table": table}


def _cost_cell(args: argparse.Namespace, names: list[str]) -> dict:
    """One step of each loss in turn, so that other load on the machine falls on all alike."""
    rows, loops = Rows(single_teacher(args)), {}
    for name in names:
        settings = ["run.particles=1", f"run.steps={args.rounds + 2}", "scene.adapt=none"]
        config = configured(args, name, settings)
        fresh = build.build_teacher(config, torch.device("cpu"))  # students do not share one
        fresh.unet.register_forward_pre_hook(rows._add, with_kwargs=True)
        loops[name] = optimise(
            build.build_scene(config, torch.device("cpu")), fresh,
            PromptBook(fresh, config.run.prompt), build.build_rule(config, fresh, Judge),
            build.build_spec(config, fresh),
        )  # fmt: skip
        next(loops[name]), next(loops[name])
    seconds: dict[str, list[float]] = {name: [] for name in names}
    counted: dict[str, float] = dict.fromkeys(names, 0.0)
    for _ in range(args.rounds):
        for name in names:
            rows.count, start = 0.0, time.perf_counter()
            next(loops[name])
            seconds[name].append(time.perf_counter() - start)
            counted[name] += rows.count / args.rounds
    return {"seconds": seconds, "rows": counted}


# ---- command line ----------------------------------------------------------------------------

KINDS = {"variance": variance, "agreement": agreements, "cost": cost}
LOSSES = ["sds", "ssd", "vsd", "csd", "gsd", "upgrad", "reward-sds-one-step", "reward-sds",
          "reward-vsd", "gsd-vsd"]  # fmt: skip


def main(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    cells = Cells(args.cache)
    report = KINDS[args.kind](args, cells)
    report["teacher"], report["settings"] = cells.teacher, {
        k: v for k, v in vars(args).items() if k not in ("cache", "results", "kind")
    }  # fmt: skip
    notes = [
        f"`scripts/benchmark_losses.py {' '.join(sys.argv[1:])}`",
        f"teacher {cells.teacher}; "
        + (
            f"prompt {args.prompts[0]}; seed 0; {args.rounds} steps of each loss in turn"
            if args.kind == "cost"
            else f"prompts {', '.join(args.prompts)}; seeds 0 to {args.seeds - 1}"
        ),
        *args.notes,
    ]
    page = markdown(args.kind, report, notes)
    print(page)
    if args.results:
        args.results.parent.mkdir(parents=True, exist_ok=True)
        args.results.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")
        args.results.with_suffix(".md").write_text(page)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kind", choices=list(KINDS))
    parser.add_argument("--prompts", nargs="+", default=["a red mushroom"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--preset", default="draft")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--draws", type=int, default=64, help="of (t, eps), per view and bin")
    parser.add_argument("--views", type=int, default=4, help="of the frozen scene")
    parser.add_argument("--warm", type=int, default=60, help="SDS steps before it is frozen")
    parser.add_argument("--teach", type=int, default=100, help="steps that students learn on it")
    parser.add_argument("--estimators", nargs="*", choices=list(ESTIMATORS), help="variance")
    parser.add_argument("--losses", nargs="+", default=LOSSES, help="cost")
    parser.add_argument("--rounds", type=int, default=20, help="cost: steps of each loss")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=Path(".cache/losses"))
    parser.add_argument("--results", type=Path, help="path without a suffix")
    parser.add_argument("--note", dest="notes", action="append", default=[], help="for the page")
    args = parser.parse_args(arguments)
    if "sds" not in args.losses:
        parser.error("--losses must contain sds, which the others are compared with")
    return args


if __name__ == "__main__":
    main(parse())
