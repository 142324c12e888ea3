"""`score3d compare`: runs side by side, on the terminal and as a page."""

import json
from pathlib import Path
from typing import Annotated

import typer

from score3d.cli.errors import reported


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Two or more run folders.")],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("comparison.html"),
    overwrite: Annotated[bool, typer.Option(help="Replace an existing page.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """Compare runs: turntables, curves, results, and the settings in which they differ."""
    with reported(debug):
        if len(runs) < 2:
            raise ValueError("compare needs at least two run folders")
        if out.suffix.lower() != ".html":
            raise ValueError(f"{out}: the page is an .html file")
        if out.exists() and not overwrite:
            raise ValueError(f"{out} already exists; use --overwrite to replace it, or --out")
        if not out.parent.is_dir():
            raise ValueError(f"{out}: there is no folder {out.parent}")
        from score3d.report.comparison import comparison_rows, run_name, write_comparison
        from score3d.report.facts import read_facts
        from score3d.runs.folder import RunFolder

        facts = [read_facts(RunFolder.open(path, lock=False).path) for path in runs]
        rows = comparison_rows(facts)
        write_comparison(out, facts)
        names = [run_name(run, facts) for run in facts]
        if json_:
            table = {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows}
            typer.echo(json.dumps({"page": str(out), "runs": table}, indent=2))
            return
        lines = [["", *names], *rows]
        widths = [max(len(row[i]) for row in lines) for i in range(len(lines[0]))]
        for row in lines:
            typer.echo("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())
        typer.echo(str(out))
