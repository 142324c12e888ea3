"""What a run folder says about its run; whatever is missing or damaged is simply absent."""

from __future__ import annotations

import contextlib
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["RunFacts", "read_facts"]


@dataclass(frozen=True)
class RunFacts:
    """The facts of one run.

    path: the folder. config: config.toml by section. summary: summary.json. metrics: the lines of
    metrics.jsonl, in order. Each may be empty.
    """

    path: Path
    config: dict[str, Any]
    summary: dict[str, Any]
    metrics: list[dict[str, Any]]

    @property
    def prompt(self) -> str:
        return str(self.summary.get("prompt") or self.setting("run", "prompt", self.path.name))

    @property
    def status(self) -> str:
        return str(self.summary.get("status", "unfinished"))

    @property
    def seconds(self) -> float:
        """All phases together."""
        found = self.summary.get("seconds")
        return sum(found.values()) if isinstance(found, dict) else 0.0

    @property
    def judge(self) -> dict[str, float]:
        """Shares of views the judge names right, by what it was asked."""
        found = self.summary.get("judge")
        if not isinstance(found, dict):
            return {}
        return {key: value for key, value in found.items() if isinstance(value, int | float)}

    def setting(self, section: str, key: str, default: Any = "") -> Any:
        found = self.config.get(section)
        return found.get(key, default) if isinstance(found, dict) else default

    def curve(self, key: str) -> list[tuple[float, float]]:
        """(step, value) of the lines that have `key`."""
        points = []
        for line in self.metrics:
            try:
                points.append((float(line["step"]), float(line[key])))
            except (KeyError, TypeError, ValueError):
                continue
        return points

    def files(self) -> list[Path]:
        """The run's files, those for people first."""
        order = ("report.html", "scene.ply", "mesh.glb", "contact_sheet.png", "preview.png")
        found = [p for p in self.path.iterdir() if p.is_file() and not p.name.startswith(".")]
        rank = {name: i for i, name in enumerate(order)}
        return sorted(found, key=lambda p: (rank.get(p.name, len(order)), p.name))


def read_facts(path: str | Path) -> RunFacts:
    """Read the facts of a run folder. Raises OSError if the folder cannot be listed."""
    path = Path(path)
    path.stat()
    config, summary, metrics = {}, {}, []
    absent = contextlib.suppress(OSError, ValueError, RecursionError)
    with absent:
        config = tomllib.loads((path / "config.toml").read_text(encoding="utf-8"))
    with absent:
        found = json.loads((path / "summary.json").read_text(encoding="utf-8"))
        summary = found if isinstance(found, dict) else {}
    with absent:  # a torn last line ends the list; what was read before it stays
        for line in (path / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            if isinstance(record, dict):
                metrics.append(record)
    return RunFacts(path, config, summary, metrics)
