"""A page of tiles, one for each prompt of a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from score3d.report.page import escape, page, picture

__all__ = ["gallery_page"]

Tile = tuple[str, str, str, str, float | str]  # prompt, folder, status, error, judge's shape score


def gallery_page(out: Path, tiles: Sequence[Tile]) -> str:
    """The page as HTML, to be stored in `out`; it links to the reports of the run folders there."""
    return page("score3d: gallery", _body(out, tiles))


def _body(out: Path, tiles: Sequence[Tile]) -> Iterator[str]:
    complete = sum(status == "complete" for _, _, status, _, _ in tiles)
    yield f"<h1>{complete} of {len(tiles)} complete</h1>"
    yield '<div class="tiles">'
    for prompt, folder, status, error, shape in tiles:
        preview = out / folder / "preview.png"
        shown = picture(preview, prompt) if preview.is_file() else ""
        if (out / folder / "report.html").is_file():
            shown = f'<a href="{quote(folder)}/report.html">{shown or "report"}</a>'
        caption = escape(prompt)
        if isinstance(shape, float):
            caption += f" ({shape:.0%} of views recognised)"
        if status != "complete":
            caption += f'<br><span class="bad">{escape(_short(status, error))}</span>'
        yield f"<figure>{shown}<figcaption>{caption}</figcaption></figure>"
    yield "</div>"


def _short(status: str, error: str) -> str:
    text = f"{status}: {error}" if error else status
    return text if len(text) <= 160 else text[:159] + "…"
