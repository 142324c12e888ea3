"""Eleven claims of the papers, each with its evidence and a verdict.

A piece of evidence is a difference or a ratio with a 95 % interval. It reproduces the claim if the
whole interval lies on the claimed side, contradicts it if the whole interval lies on the other
one, and is inconclusive otherwise.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from losses_tables import paired

__all__ = ["Evidence", "claims", "runs_page", "verdict"]

# compare(arm, control, figure, budget) -> {"mean", "control", "difference", "interval", "runs"}
Compare = Callable[[str, str, str, str], dict | None]
EARLY, LATE = (0, 1, 2, 3, 4), (2, 3, 4)


@dataclass(frozen=True)
class Evidence:
    """text: what was compared. value, interval: the figure. neutral: what no effect would give.
    more: whether the claim says that it is above `neutral`."""

    text: str
    value: float
    interval: tuple[float, float]
    more: bool
    neutral: float = 0.0

    @property
    def verdict(self) -> str:
        low, high = self.interval
        above, below = low > self.neutral, high < self.neutral
        if above or below:
            return "reproduced" if above == self.more else "not reproduced"
        return "inconclusive"


def verdict(pieces: list[Evidence]) -> str:
    """Of a claim: what all pieces say, or how they divide."""
    said = [p.verdict for p in pieces]
    if not said:
        return "not measured"
    if len(set(said)) == 1:
        return said[0]
    names = ("reproduced", "not reproduced", "inconclusive")
    return "mixed: " + ", ".join(f"{said.count(n)} {n}" for n in names if n in said)


class Results:
    """The JSON files of `benchmark_losses.py`, and the runs."""

    def __init__(self, folder: Path, compare: Compare) -> None:
        self.folder, self.compare = folder, compare

    def read(self, kind: str) -> dict[str, Any] | None:
        path = self.folder / f"losses-{kind}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def runs(self, arm: str, figure: str, more: bool, control: str = "sds",
             budget: str = "steps") -> list[Evidence]:  # fmt: skip
        found = self.compare(arm, control, figure, budget)
        if found is None:
            return []
        text = (f"{figure}, {arm} {found['mean']:.3g} against {control} {found['control']:.3g} "
                f"(equal {budget}, {found['runs']} pairs)")  # fmt: skip
        low, high = found["interval"]
        return [Evidence(text, found["difference"], (low, high), more)]

    def variance(self, estimator: str, level: str, more: bool, of: str = "to_sds",
                 by_rows: bool = False) -> list[Evidence]:  # fmt: skip
        """One piece per bin of t: noise over signal next to SDS's on the same draws."""
        data = self.read("variance")
        out = []
        rows = [] if data is None else [r for r in data["table"] if r["estimator"] == estimator]
        for row in rows:
            cell = row[level]
            sds = next(r for r in data["table"]  # ty: ignore
                       if r["estimator"] == "sds" and r["bin"] == row["bin"])  # fmt: skip
            scale = row["rows"] / sds["rows"] if by_rows else 1.0
            low, high = (v * scale for v in cell[f"{of}_interval"])
            what = "N/S x rows of the network" if by_rows else "N/S"
            text = (
                f"{what} on {level}s, t {row['bin'][0]:.2f}-{row['bin'][1]:.2f}, {estimator} / sds"
            )
            out.append(Evidence(text, cell[of] * scale, (low, high), more, 1.0))
        return out

    def agreement(self) -> list[Evidence]:
        data = self.read("agreement")
        return [] if data is None else [
            Evidence(f"cosine of warped gradients {r['angle']:.0f} degrees apart, "
                     f"consistent {r['consistent']['mean']:.3f} - iid {r['iid']['mean']:.3f}",
                     r["difference"]["mean"], tuple(r["difference"]["interval"]), True)
            for r in data["table"]
        ]  # fmt: skip

    def conflict(self) -> list[Evidence]:
        data = self.read("agreement")
        if data is None:
            return []
        c = data["conflict"]
        text = (f"share of views that a step harms, UPGrad {c['upgrad']['mean']:.3f} - "
                f"mean {c['mean']['mean']:.3f}")  # fmt: skip
        d = c["difference"]
        return [Evidence(text, d["mean"], tuple(d["interval"]), False)]

    def coupling(self) -> list[Evidence]:
        """Edits of `measure_coupling.py`, if it has left its figures: what an edit without
        coupling leaves different between views, windows or frames, it should leave more alike."""
        path = self.folder / "coupling.json"
        rows = json.loads(path.read_text()) if path.exists() else []
        cells = {(r["kind"], r["noun of it"], r["seed"], r["arm"]): r for r in rows}
        out = []
        for kind, figure, text in (
            ("scene", "spread", "spread of the object's colour over views, edits of scenes"),
            ("panorama", "spread", "spread of colour over windows, edits of panoramas"),
            ("video", "spread", "spread of colour over frames, edits of videos"),
            ("video", "noise", "change of frames against the known motion, edits of videos"),
        ):
            pairs = np.array([
                [cells[kind, noun, seed, "independent"][figure], row[figure]]
                for (of, noun, seed, arm), row in cells.items()
                if of == kind and arm == "csd" and (kind, noun, seed, "independent") in cells
            ])  # fmt: skip
            if len(pairs) > 1:
                found = paired(pairs, ("independent", "csd"))
                text += (f", csd {found['csd']['mean']:.3g} - independent "
                         f"{found['independent']['mean']:.3g} ({len(pairs)} pairs)")  # fmt: skip
                d = found["difference"]
                out.append(Evidence(text, d["mean"], tuple(d["interval"]), False))
        return out


def claims(r: Results) -> list[tuple[str, str, list[Evidence]]]:
    """(claim, paper, evidence) of the eleven claims."""
    more, less = True, False
    return [
        ("Guidance saturates SDS", "DreamFusion, 2209.14988",
         r.runs("sds, guidance 30", "saturation", more)
         + r.runs("sds, guidance 100", "saturation", more)
         + r.runs("sds, guidance 100", "clipped", more)),
        ("Subtracting the noise cuts the variance", "DreamFusion, 2209.14988",
         r.variance("raw score", "latent", more) + r.variance("raw score", "parameter", more)),
        ("The Stein variate cuts it further", "SteinDreamer, 2401.00604",
         r.variance("ssd", "latent", less) + r.variance("ssd", "parameter", less)
         + r.runs("ssd", "right", more) + r.runs("ssd", "iou", more)),
        ("Several noises per render buy 2 to 3 times the compute", "CARV; in rows of the network",
         r.variance("sds, 4 noises", "latent", less, by_rows=True)
         + r.variance("sds, 4 noises", "parameter", less, by_rows=True)
         + r.runs("sds, 4 noises", "log p(noun)", more, budget="seconds")
         + r.runs("sds, 4 noises", "iou", more, budget="seconds")),
        ("VSD at guidance 7.5 is sharper and less saturated than SDS",
         "ProlificDreamer, 2305.16213",
         [e for control in ("sds", "sds, guidance 100") for figure, side in
          (("fine detail", more), ("saturation", less))
          for e in r.runs("vsd", figure, side, control)]
         + r.runs("vsd", "fine detail", more, budget="seconds")),
        ("Particles add diversity", "ProlificDreamer, 2305.16213",
         r.runs("vsd, 3 particles", "diversity", more, "vsd")
         + r.runs("vsd, 3 particles", "diversity", more, "sds")),
        ("Annealing t helps", "ProlificDreamer, 2305.16213",
         [e for figure, side in (("log p(noun)", less), ("right", less), ("iou", less))
          for e in r.runs("sds, not annealed", figure, side)]),
        ("Stein variational coupling makes views consistent", "CSD, 2307.04787",
         r.runs("csd", "view_consistency", more, "sds, one t")
         + r.runs("csd", "iou", more, "sds, one t")
         + r.coupling()),
        ("Weighting by a reward raises a held-out reward, the more with N",
         "RewardSDS, 2503.09601",
         r.runs("reward of 4", "log p(noun)", more, "sds, 4 noises")
         + r.runs("reward of 4", "log p(noun)", more, "reward of 2")
         + r.runs("reward of 8", "log p(noun)", more, "reward of 4")
         + r.runs("reward, 15 times", "log p(noun)", more, "sds", "seconds")),
        ("Consistent noise and gradients agree across views, and fewer Janus objects",
         "GSD, 2406.16695",
         r.agreement() + r.runs("gsd", "janus", less, "sds, single views")),
        ("UPGrad reduces conflict", "Jacobian descent, 2406.16232",
         r.conflict() + r.runs("upgrad", "log p(noun)", more) + r.runs("upgrad", "iou", more)),
    ]  # fmt: skip


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) >= 1e-3 else f"{value:.1e}"


def runs_page(rows: list[dict], ranking: list[dict], notes: list[str], results: Results) -> str:
    """The claims, the arms and their ranking as a page."""
    lines = ["# Losses: claims and whole runs", "", *[f"- {n}" for n in notes], ""]
    lines += ["## The claims", "", "| claim | paper | verdict |", "| --- | --- | --- |"]
    found = claims(results)
    lines += [f"| {name} | {paper} | **{verdict(pieces)}** |" for name, paper, pieces in found]
    lines += ["", "## Their evidence", ""]
    for name, _, pieces in found:
        lines += [f"**{name}**", "", "| what | figure | 95 % | says |", "| --- | --- | --- | --- |"]
        for p in pieces:
            low, high = (_number(v) for v in p.interval)
            sign = f"{p.value:+.3g}" if p.neutral == 0 else f"x {p.value:.2f}"
            lines.append(f"| {p.text} | {sign} | [{low}, {high}] | {p.verdict} |")
        lines.append("")
    lines += ["## At SDS's time, best first", "",
              "Score: mean of the shares of views with the right shape, colour and (of nouns with "
              "a front) side, and of the silhouette IoU.", "",
              "| arm | steps | score | 95 % |", "| --- | --- | --- | --- |"]  # fmt: skip
    lines += [
        f"| {r['arm']} | {r['steps']} | {r['score']:.3f} | "
        f"[{r['interval'][0]:.3f}, {r['interval'][1]:.3f}] |"
        for r in ranking
    ]
    lines += ["", "## The arms", "", "Mean, and in brackets the difference to the control.", ""]
    for budget in ("steps", "seconds"):
        chosen = [r for r in rows if r["budget"] == budget and any(r["figures"].values())]
        if not chosen:
            continue
        names = [k for k in chosen[0]["figures"] if any(r["figures"].get(k) for r in chosen)]
        lines += [f"Equal {budget}:", "", f"| arm | control | steps | runs | {' | '.join(names)} |",
                  "| --- " * (4 + len(names)) + "|"]  # fmt: skip
        for r in chosen:
            cells = []
            for k in names:
                f = r["figures"].get(k)
                cells.append("" if f is None else f"{f['mean']:.3f} ({f['difference']:+.3f})")
            short = f"{r['runs']}" + (f" of {r['runs'] + r['missing']}" if r["missing"] else "")
            lines.append(f"| {r['arm']} | {r['control']} | {r['steps']} | {short} | "
                         + " | ".join(cells) + " |")  # fmt: skip
        lines.append("")
    return "\n".join(lines) + "\n"
