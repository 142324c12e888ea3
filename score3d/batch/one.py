"""One prompt of a batch, in a process of its own: a crash takes no other prompt with it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from score3d.runs.folder import slug

__all__ = ["Outcome", "run_one"]


@dataclass(frozen=True)
class Outcome:
    """What became of a prompt.

    line: its line in the file. folder: the name of the run folder. status: "complete",
    "time limit", "interrupted" or "failed". error: one line, if it failed. seconds: this time,
    resumed or not. summary: the run's summary.json, empty if there is none.
    """

    line: int
    prompt: str
    folder: str
    status: str
    error: str
    seconds: float
    summary: dict[str, Any]

    def row(self) -> dict[str, Any]:
        """For summary.csv and summary.json."""
        judge = self.summary.get("judge") or {}
        return {
            "line": self.line,
            "prompt": self.prompt,
            "folder": self.folder,
            "status": self.status,
            "seconds": round(self.seconds, 1),
            "steps": self.summary.get("steps", ""),
            "gaussians": self.summary.get("gaussians", ""),
            "judge_shape": judge.get("shape", ""),
            "judge_colour": judge.get("colour", ""),
            "error": self.error,
        }


def run_one(
    line: int,
    prompt: str,
    out: Path,
    options: Sequence[str],
    started: Callable[[subprocess.Popen[str]], object] = lambda process: None,
    within: Callable[[], None] | None = None,
) -> Outcome:
    """Make the asset of `prompt` in a folder of `out`, going on with what is there.

    A finished run is left as it is; one with a checkpoint is resumed with its own settings; one
    without is begun again. So it can be called again after anything that stopped it.

    options: of `score3d generate`, for a run that begins here. started: is given the process, so
    that whoever is told to stop can pass it on. within: is called in the new process before
    anything else. Errors are outcomes, not exceptions.
    """
    start = time.monotonic()
    path = out / slug(prompt)

    def outcome(status: str, error: str = "") -> Outcome:
        seconds = time.monotonic() - start
        return Outcome(line, prompt, path.name, status, error, seconds, _summary(path))

    found = _summary(path)
    if found.get("status") == "complete":
        return outcome("complete")
    command = [sys.executable, "-m", "score3d.cli.main", "generate", "--json"]
    if any((path / "checkpoint").glob("step-*")):
        command += ["--resume", str(path)]
    else:
        again = ["--overwrite"] if (path / "config.toml").exists() else []
        command += ["--out", str(path), *options, *again, "--", prompt]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            preexec_fn=within,
        )
        started(process)
        _, errors = process.communicate()
    except (OSError, ValueError) as error:  # no process to be had; a zero byte in the prompt
        return outcome("failed", str(error))
    code = process.returncode
    # stopped in good order, or by the signal before it could put things in order
    if code in (130, 143, -signal.SIGINT, -signal.SIGTERM):
        return outcome("interrupted")
    if code:
        said = [text for text in errors.splitlines() if text.strip()]
        last = said[-1].removeprefix("score3d: ") if said else "it said nothing"
        if code < 0:
            last = f"killed by signal {-code}; {last}"
        return outcome("failed", last[:500])
    return outcome(str(_summary(path).get("status", "failed")))


def _summary(path: Path) -> dict[str, Any]:
    try:
        found = json.loads((path / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    # a resumed run has the summary of its first part until it ends
    return found if isinstance(found, dict) else {}
