"""Small charts as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from score3d.report.page import escape

__all__ = ["line_chart", "shares"]

COLOURS = ("#c33", "#27b", "#292", "#a5a", "#b70", "#088")
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 420, 180, 52, 22, 22
POINTS = 400  # more cannot be told apart


def line_chart(
    title: str, series: Mapping[str, Sequence[tuple[float, float]]], logarithmic: bool = False
) -> str:
    """Lines (x, y) by name over one pair of axes. Points that are not finite, or not positive on
    a logarithmic axis, are left out."""
    lines = {
        name: [
            (x, math.log10(y) if logarithmic else y)
            for x, y in _thinned(points)
            if math.isfinite(y) and (y > 0 or not logarithmic)
        ]
        for name, points in series.items()
    }
    lines = {name: points for name, points in lines.items() if points}
    if not lines:
        return f'<p class="quiet">{escape(title)}: nothing recorded</p>'
    xs, ys = zip(*(point for points in lines.values() for point in points), strict=True)
    x0, x1, y0, y1 = min(xs), max(xs), min(ys), max(ys)
    if y1 - y0 < 1e-9 * max(abs(y0), abs(y1), 1e-9):
        y0, y1 = y0 - 0.5 * abs(y0 or 1), y1 + 0.5 * abs(y1 or 1)
    x_scale = (WIDTH - LEFT - 8) / max(x1 - x0, 1e-9)
    y_scale = (HEIGHT - TOP - BOTTOM) / (y1 - y0)
    parts = [f'<text x="{LEFT}" y="14" font-weight="600">{escape(title)}</text>']
    for y in (y0, 0.5 * (y0 + y1), y1):
        at = HEIGHT - BOTTOM - (y - y0) * y_scale
        label = _number(10**y if logarithmic else y)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - 8}" y1="{at:.1f}" y2="{at:.1f}" stroke="#8884"/>'
            f'<text x="{LEFT - 4}" y="{at + 4:.1f}" text-anchor="end">{label}</text>'
        )
    for x, anchor in ((x0, "start"), (x1, "end")):
        at = LEFT + (x - x0) * x_scale
        parts.append(
            f'<text x="{at:.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{_number(x)}</text>'
        )
    for i, (name, points) in enumerate(lines.items()):
        colour = COLOURS[i % len(COLOURS)]
        path = " ".join(
            f"{LEFT + (x - x0) * x_scale:.1f},{HEIGHT - BOTTOM - (y - y0) * y_scale:.1f}"
            for x, y in points
        )
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.3"/>'
        )
        if len(lines) > 1:
            parts.append(
                f'<text x="{WIDTH - 10}" y="{TOP + 12 + 14 * i}" text-anchor="end"'
                f' style="fill:{colour}">{escape(name[:40])}</text>'
            )
    return _svg(title, HEIGHT, parts)


def shares(title: str, parts: Mapping[str, float]) -> str:
    """One bar divided by share, with seconds."""
    total = sum(parts.values())
    if total <= 0:
        return f'<p class="quiet">{escape(title)}: nothing recorded</p>'
    drawn = [f'<text x="0" y="14" font-weight="600">{escape(title)}</text>']
    x = 0.0
    for i, (name, value) in enumerate(parts.items()):
        width = WIDTH * value / total
        colour = COLOURS[i % len(COLOURS)]
        y = 64 + 16 * i
        drawn.append(
            f'<rect x="{x:.1f}" y="24" width="{width:.1f}" height="22" fill="{colour}"/>'
            f'<rect x="0" y="{y - 9}" width="10" height="10" fill="{colour}"/>'
            f'<text x="16" y="{y}">{escape(name)}: {value:.1f} s, {value / total:.0%}</text>'
        )
        x += width
    return _svg(title, 60 + 16 * len(parts), drawn)


def _svg(title: str, height: int, parts: list[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" width="100%" style="max-width:{WIDTH}px" role="img"'
        f' aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )


def _thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    step = -(-len(points) // POINTS)
    return points[::step] if step > 1 else points


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}"
