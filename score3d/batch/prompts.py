"""The file of prompts and the files about a batch."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from score3d.batch.one import Outcome
from score3d.files.atomic import write_text
from score3d.report.gallery import gallery_page

__all__ = ["read_prompts", "write_results"]

MOST = 100_000  # prompts


def read_prompts(path: Path) -> list[tuple[int, str]]:
    """(line number, prompt) for each line that is neither empty nor begins with #.

    Raises:
        ValueError: no such file, not UTF-8 text, no prompts, or far too many.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; write one prompt per line into it") from None
    except (UnicodeDecodeError, IsADirectoryError):
        raise ValueError(f"{path}: not a text file in UTF-8 with one prompt per line") from None
    lines = enumerate(map(str.strip, text.splitlines()), 1)
    prompts = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not prompts:
        raise ValueError(f"{path}: no prompts; write one per line")
    if len(prompts) > MOST:
        raise ValueError(f"{path}: {len(prompts)} prompts; at most {MOST}")
    return prompts


def write_results(out: Path, outcomes: Sequence[Outcome]) -> None:
    """Write summary.json, summary.csv and gallery.html of what is done so far. Raises OSError."""
    rows = [outcome.row() for outcome in outcomes]
    counts = {
        status: sum(outcome.status == status for outcome in outcomes)
        for status in dict.fromkeys(["complete", "failed", *(o.status for o in outcomes)])
    }
    write_text(out / "summary.json", json.dumps({"counts": counts, "runs": rows}, indent=2) + "\n")
    table = io.StringIO()
    if rows:
        writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_text(out / "summary.csv", table.getvalue())
    tiles = [(o.prompt, o.folder, o.status, o.error, o.row()["judge_shape"]) for o in outcomes]
    write_text(out / "gallery.html", gallery_page(out, tiles))
