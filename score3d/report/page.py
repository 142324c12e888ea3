"""The parts every page is made of. A page is one file: pictures and films are embedded in it."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["embedded", "escape", "moving", "page", "picture", "size_text", "table"]

KINDS = {".png": "image/png", ".webp": "image/webp", ".mp4": "video/mp4"}
# nothing is fetched from anywhere
POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline';"
    " script-src 'unsafe-inline' blob:; worker-src blob:; frame-src 'self'"
)
STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --accent: #c33; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 0 auto; padding: 16px; }
h1 { font-size: 26px; margin: 8px 0; } h2 { font-size: 18px; margin: 28px 0 8px; }
.row { display: flex; flex-wrap: wrap; gap: 16px; align-items: flex-start; }
.row > * { flex: 1 1 320px; min-width: 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 12px; }
img, video, iframe { max-width: 100%; border: 0; border-radius: 6px; background: #ccc; }
video, .tiles img { width: 100%; } iframe { width: 100%; aspect-ratio: 1; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; }
td, th { text-align: left; padding: 3px 12px 3px 0; vertical-align: top;
  border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; }
code { font: 13px/1.5 ui-monospace, monospace; background: var(--soft); border-radius: 4px;
  padding: 1px 4px; overflow-wrap: anywhere; }
.bad { color: var(--accent); } .quiet { opacity: .7; } summary { cursor: pointer; }
svg text { fill: currentColor; font: 11px system-ui; }
figure { margin: 0; } figcaption { opacity: .8; font-size: 13px; overflow-wrap: anywhere; }
"""

escape = html.escape


def page(title: str, body: Iterable[str]) -> str:
    """A whole page; `title` is text, `body` HTML."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<title>{escape(title)}</title>\n<link rel="icon" href="data:,">\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n" + "\n".join(body) + "\n</body>\n</html>\n"
    )


def embedded(path: Path) -> str:
    """A file as a data: URL."""
    return f"data:{KINDS[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def picture(path: Path, alternative: str) -> str:
    """An image, embedded; a note if the file is not there."""
    if not path.is_file():
        return f'<p class="quiet">no {escape(path.name)}</p>'
    return f'<img src="{embedded(path)}" alt="{escape(alternative)}">'


def moving(stem: Path, alternative: str) -> str:
    """A film (.mp4) or an animated picture (.webp), whichever is there."""
    film = stem.with_name(stem.name + ".mp4")
    if film.is_file():
        return (
            f'<video src="{embedded(film)}" autoplay loop muted playsinline controls'
            f' aria-label="{escape(alternative)}"></video>'
        )
    return picture(stem.with_name(stem.name + ".webp"), alternative)


def table(rows: Iterable[Sequence[object]], head: Sequence[str] = ()) -> str:
    """Rows of text (escaped); HTML is passed through `Html`."""
    lines = ["<tr>" + "".join(f"<th>{escape(h)}</th>" for h in head) + "</tr>"] if head else []
    for row in rows:
        cells = (c if isinstance(c, Html) else escape(str(c)) for c in row)
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return '<div class="scroll"><table>' + "".join(lines) + "</table></div>"


class Html(str):
    """Text that is HTML already."""


def size_text(size: int) -> str:
    """A file size for people."""
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
