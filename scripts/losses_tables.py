"""Statistics and tables of `benchmark_losses.py`: bootstrap intervals, Markdown."""

from typing import Any

import numpy as np
from torch import Tensor

__all__ = ["interval", "markdown", "moments", "noise_to_signal", "paired", "summary"]

RESAMPLES = 1000


def interval(samples: np.ndarray) -> list[float]:
    """The middle 95 %."""
    return [float(v) for v in np.quantile(samples, (0.025, 0.975))]


def moments(g: Tensor) -> dict[str, list]:
    """Of draws g [R,D] what `noise_to_signal` needs: Gram matrices of the even and the odd ones."""
    g = g.double()
    even, odd = g[::2], g[1::2]
    return {
        "even": (even @ even.T).tolist(),
        "odd": (odd @ odd.T).tolist(),
        "cross": (even @ odd.T).tolist(),
    }


def noise_to_signal(parts: list[dict], resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """[1 + resamples, 3]: tr Cov, ||mean||^2 and their ratio, summed over independent parts (views,
    scenes): first of the sample, then of bootstrap resamples within each half.

    The squared mean is <mean of the even draws, mean of the odd ones>: unbiased, so it can come
    out negative where there is no signal; the ratio is then infinite.
    """
    rng = np.random.default_rng(seed)
    total = np.zeros((1 + resamples, 2))
    for part in parts:
        ee, oo, eo = (np.array(part[k]) for k in ("even", "odd", "cross"))
        a, b = eo.shape
        we = np.vstack([np.ones(a), rng.multinomial(a, [1 / a] * a, size=resamples)])
        wo = np.vstack([np.ones(b), rng.multinomial(b, [1 / b] * b, size=resamples)])
        across = np.einsum("ri,ij,rj->r", we, eo, wo)
        square = we @ np.diag(ee) + wo @ np.diag(oo)
        norm = np.einsum("ri,ij,rj->r", we, ee, we) + np.einsum("ri,ij,rj->r", wo, oo, wo)
        trace = (square - (norm + 2 * across) / (a + b)) / (a + b - 1)
        trace[1:] *= a / (a - 1)  # resampling a draws shows a share (a - 1) / a of their variance
        total[:, 0] += trace
        total[:, 1] += across / (a * b)
    ratio = np.full(len(total), np.inf)
    np.divide(total[:, 0], total[:, 1], out=ratio, where=total[:, 1] > 0)
    return np.column_stack([total, ratio])


def summary(row: dict, table: list[dict]) -> dict:
    """A row of the variance table, and its ratios to SDS on the same draws and resamples."""
    out = {k: row[k] for k in ("estimator", "bin", "rows", "seconds")}
    sds = next((r for r in table if r["estimator"] == "sds" and r["bin"] == row["bin"]), None)
    for level in ("latent", "parameter"):
        own = noise_to_signal(row[level])
        out[level] = {"nsr": float(own[0, 2]), "nsr_interval": interval(own[1:, 2])}
        if sds is not None:
            other = noise_to_signal(sds[level])
            trace = own[:, 0] / other[:, 0]
            with np.errstate(invalid="ignore"):
                ratio = np.nan_to_num(own[:, 2] / other[:, 2], nan=np.inf)
            out[level] |= {
                "to_sds": float(ratio[0]),
                "to_sds_interval": interval(ratio[1:]),
                "trace_to_sds": float(trace[0]),
                "trace_to_sds_interval": interval(trace[1:]),
                "cost_to_sds": float(ratio[0] * row["rows"] / sds["rows"]),
            }
    return out


def paired(values: np.ndarray, names: tuple[str, str]) -> dict[str, Any]:
    """Means of two columns [N,2] and of their difference, with bootstrap intervals."""
    picks = np.random.default_rng(0).integers(len(values), size=(2 * RESAMPLES, len(values)))
    first, second = values[:, 0], values[:, 1]
    columns = {names[0]: first, names[1]: second, "difference": second - first}
    return {"draws": len(values)} | {
        name: {"mean": float(c.mean()), "interval": interval(c[picks].mean(1))}
        for name, c in columns.items()
    }


def markdown(kind: str, report: dict, notes: list[str]) -> str:
    """The report as a page."""
    lines = [f"# Losses: {kind}", "", *[f"- {note}" for note in notes], ""]
    writer = {"variance": _variance, "agreement": _agreement, "cost": _cost}[kind]
    return "\n".join(lines + writer(report)) + "\n"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(r)} |" for r in (head, ["---"] * len(head), *rows)] + [""]


def _range(values: list[float], digits: int = 2) -> str:
    return f"[{values[0]:.{digits}f}, {values[1]:.{digits}f}]"


def _variance(report: dict) -> list[str]:
    lines = []
    for level in ("latent", "parameter"):
        lines += [f"## Gradient on the {level}s", ""]
        rows = [
            [
                r["estimator"],
                f"{r['bin'][0]:.2f}-{r['bin'][1]:.2f}",
                f"{r[level]['nsr']:.3g}",
                _range(r[level]["nsr_interval"]),
                f"{r[level].get('trace_to_sds', np.nan):.2f}",
                _range(r[level].get("trace_to_sds_interval", [np.nan, np.nan])),
                f"{r[level].get('to_sds', np.nan):.2f}",
                _range(r[level].get("to_sds_interval", [np.nan, np.nan])),
                f"{r['rows']:.0f}",
                f"{r[level].get('cost_to_sds', np.nan):.2f}",
            ]
            for r in report["table"]
        ]
        head = ["estimator", "t", "N/S", "95 %", "tr Cov / SDS's", "95 %", "N/S / SDS's", "95 %",
                "rows per view", "N/S x rows / SDS's"]  # fmt: skip
        lines += _table(head, rows)
    return lines


def _agreement(report: dict) -> list[str]:
    def cells(found: dict, names: tuple[str, ...]) -> list[str]:
        return [f"{found[n]['mean']:.3f} {_range(found[n]['interval'], 3)}" for n in names]

    names = ("iid", "consistent", "difference")
    rows = [[f"{r['angle']:.0f}", *cells(r, names)] for r in report["table"]]
    conflict = cells(report["conflict"], ("mean", "upgrad", "difference"))
    return [
        "Cosine of the warped SDS gradients of two views, over pixels that both see:",
        "",
        *_table(["degrees apart", "iid noise", "consistent noise", "difference"], rows),
        "Share of a step's views whose own objective the combined gradient increases:",
        "",
        *_table(["mean", "UPGrad", "difference"], [conflict]),
    ]


def _cost(report: dict) -> list[str]:
    rows = [
        [r["loss"], f"{r['rows']:.0f}", f"{r['to_sds']:.2f}", _range(r["interval"])]
        for r in report["table"]
    ]
    return _table(["loss", "rows of the network per step", "time to SDS's", "95 %"], rows)
