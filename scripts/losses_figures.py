"""Figures of the losses from what their benchmarks wrote.

    python scripts/losses_figures.py

docs/results/losses-variance.svg: noise over signal of each estimator next to SDS's, by time;
docs/results/losses-runs.svg: the arms at SDS's time, with their intervals.
"""

import json
from pathlib import Path

from score3d.report.curves import line_chart
from score3d.report.page import escape

RESULTS = Path(__file__).parents[1] / "docs" / "results"
SHOWN = ("raw score", "ssd", "csd", "gsd noise", "vsd", "sds, 4 noises")


def variance(found: dict) -> str:
    """N/S on parameters, a draw each, by the middle of the bin of times."""
    lines = {name: [] for name in SHOWN}
    for row in found["table"]:
        if row["estimator"] in lines:
            middle = sum(row["bin"]) / 2
            lines[row["estimator"]].append((middle, row["parameter"]["to_sds"]))
    return line_chart("noise over signal on the scene, SDS = 1, by t", lines)


def ranking(found: dict) -> str:
    """A line an arm: score and its 95 % interval."""
    rows, left, wide, high = found["ranking"], 150, 440, 18
    low = min(r["interval"][0] for r in rows if r["score"] > 0.5)
    scale = (wide - left - 10) / (max(r["interval"][1] for r in rows) - low)
    parts = ['<text x="4" y="14" font-weight="600">score at SDS\'s time, 95 %</text>']
    for k, row in enumerate(rows):
        y = 34 + high * k
        parts.append(f'<text x="4" y="{y}">{escape(row["arm"])}, {row["steps"]}</text>')
        if row["score"] < low:
            parts.append(f'<text x="{left}" y="{y}">{row["score"]:.2f}</text>')
            continue
        a, b, c = (
            left + (v - low) * scale
            for v in (row["interval"][0], *row["interval"][1:], row["score"])
        )
        parts.append(
            f'<line x1="{a:.1f}" x2="{b:.1f}" y1="{y - 4}" y2="{y - 4}" stroke="#27b"/>'
            f'<circle cx="{c:.1f}" cy="{y - 4}" r="3" fill="#27b"/>'
            f'<text x="{b + 4:.1f}" y="{y}" fill="#555">{row["score"]:.3f}</text>'
        )
    height = 40 + high * len(rows)
    return f'<svg viewBox="0 0 {wide + 40} {height}" width="{wide + 40}">{"".join(parts)}</svg>'


if __name__ == "__main__":
    for stem, draw in (("losses-variance", variance), ("losses-runs", ranking)):
        chart = draw(json.loads((RESULTS / f"{stem}.json").read_text()))
        head = '<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="11" '
        (RESULTS / f"{stem}.svg").write_text(chart.replace("<svg ", head, 1))
