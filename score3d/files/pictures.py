"""Pictures for people: PNG, contact sheets, turntables."""

from __future__ import annotations

import gc
import importlib.util
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from score3d.files.atomic import atomic_write

__all__ = ["contact_sheet", "write_png", "write_turntable"]

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
READABLE_WIDTH = 128  # pixels
PAPER, INK = (255, 255, 255), (32, 32, 32)


def contact_sheet(
    images: ArrayLike,
    columns: int,
    labels: Sequence[str] | None = None,
    title: str | None = None,
) -> Image.Image:
    """Images in rows on a white page, each with its caption below, under a title.

    Images narrower than 128 pixels are enlarged by a whole factor, pixel by pixel, so that their
    captions have room.

    Args:
        images: float, shape [N, H, W, 3], in [0, 1] (clipped), sRGB, N >= 1.
        columns: images per row, >= 1.
        labels: N captions; each takes up to two lines, and is cut if that is not enough.
        title: above all; up to two lines likewise. Accents are dropped (the font has none).

    Raises:
        ValueError: wrong shapes, no images, non-finite values, or not one caption per image.
    """
    pictures = _to_bytes(images)
    n, height, width = pictures.shape[:3]
    if n == 0 or columns < 1:
        raise ValueError(f"contact sheet: {n} images in {columns} columns; both must be >= 1")
    if labels is not None and len(labels) != n:
        raise ValueError(f"contact sheet: {len(labels)} labels for {n} images")
    factor = max(1, READABLE_WIDTH // width)
    pictures = pictures.repeat(factor, axis=1).repeat(factor, axis=2)
    height, width = height * factor, width * factor
    columns = min(columns, n)
    rows = -(-n // columns)
    gap = max(2, width // 32)
    font = ImageFont.load_default(size=min(28, width // 10))
    title_font = ImageFont.load_default(size=min(36, width // 8))
    page_width = columns * (width + gap) + gap
    heading = _wrap(title or "", title_font, page_width - 2 * gap)
    captions = [_wrap(label, font, width) for label in labels or [""] * n]
    top = _height(heading, title_font) + gap if heading else 0
    below = max(_height(lines, font) for lines in captions)
    page = Image.new("RGB", (page_width, top + rows * (height + below + gap) + gap), PAPER)
    draw = ImageDraw.Draw(page)
    draw.multiline_text((gap, gap), "\n".join(heading), INK, title_font, spacing=0)
    for i, picture in enumerate(pictures):
        x = gap + (i % columns) * (width + gap)
        y = top + gap + (i // columns) * (height + below + gap)
        page.paste(Image.fromarray(picture), (x, y))
        draw.multiline_text((x, y + height), "\n".join(captions[i]), INK, font, spacing=0)
    return page


def write_png(path: str | Path, image: Image.Image | ArrayLike) -> None:
    """Write a PNG atomically.

    Args:
        path: the file; replaced if it exists.
        image: a Pillow image, or float [H, W, 3] in [0, 1] (clipped), sRGB.

    Raises:
        ValueError: wrong shape or non-finite values.
        OSError: the file cannot be written.
    """
    if not isinstance(image, Image.Image):
        image = Image.fromarray(_to_bytes(np.asarray(image)[None])[0])
    with atomic_write(path) as temporary:
        image.save(temporary, format="PNG")


def write_turntable(
    path_without_suffix: str | Path, frames: ArrayLike, fps: float = 24, film: bool = True
) -> Path:
    """Write frames as a film that loops: .mp4 (H.264) if PyAV is installed, else animated .webp.

    Args:
        path_without_suffix: where; ".mp4" or ".webp" is appended.
        frames: float, shape [N, H, W, 3], in [0, 1] (clipped), sRGB, N >= 1. In an mp4 the last
            row or column is repeated where a size is odd, since 4:2:0 colour needs even sizes.
        fps: frames per second, > 0.
        film: False writes .webp in any case.

    Returns:
        The path written.

    Raises:
        ValueError: wrong shape, no frames, non-finite values, or fps <= 0.
        OSError: the file cannot be written.
    """
    pictures = _to_bytes(frames)
    if len(pictures) == 0 or fps <= 0:
        raise ValueError(f"turntable: {len(pictures)} frames at {fps} fps; both must be > 0")
    stem = Path(path_without_suffix)
    if film and importlib.util.find_spec("av") and importlib.util.find_spec("imageio"):
        import imageio.v3 as iio

        path = stem.with_name(stem.name + ".mp4")
        height, width = pictures.shape[1:3]
        even = np.pad(pictures, [(0, 0), (0, height % 2), (0, width % 2), (0, 0)], mode="edge")
        gc.freeze()  # imageio collects garbage as it closes: 0.6 s with all of torch in the way
        try:
            with (
                atomic_write(path) as temporary,
                iio.imopen(temporary, "w", plugin="pyav") as stream,
            ):
                stream.init_video_stream("libx264", fps=fps, pixel_format="yuv420p")
                stream.write(even)
        finally:
            gc.unfreeze()
        return path
    path = stem.with_name(stem.name + ".webp")
    first, *rest = (Image.fromarray(picture) for picture in pictures)
    with atomic_write(path) as temporary:
        first.save(
            temporary,
            format="WEBP",
            save_all=True,
            append_images=rest,
            duration=round(1000 / fps),
            loop=0,
            quality=85,
        )
    return path


def _to_bytes(images: ArrayLike) -> NDArray[np.uint8]:
    array = np.asarray(images)
    if array.ndim != 4 or array.shape[3] != 3 or 0 in array.shape[1:3]:
        raise ValueError(f"pictures: shape {array.shape}, expected [N, H, W, 3]")
    if not np.isfinite(array).all():
        raise ValueError("pictures: NaN or infinite values")
    return np.round(np.clip(array, 0, 1) * 255).astype(np.uint8)


def _height(lines: list[str], font: Font) -> int:
    if not lines:
        return 0
    blank = ImageDraw.Draw(Image.new("L", (1, 1)))
    # letters with the greatest reach, so that all captions of a page are of one height
    return int(
        blank.multiline_textbbox((0, 0), "\n".join(["Ag|"] * len(lines)), font, spacing=0)[3]
    )


def _wrap(text: str, font: Font, width: int) -> list[str]:
    """At most two lines, each no wider than `width` pixels, cut with an ellipsis if need be."""
    plain = unicodedata.normalize("NFKD", text[:1000])
    words = "".join(c for c in plain if not unicodedata.combining(c)).split()
    if not words:
        return []
    first = words.pop(0)
    while words and font.getlength(f"{first} {words[0]}") <= width:
        first += " " + words.pop(0)
    return [_cut(line, font, width) for line in (first, " ".join(words)) if line]


def _cut(line: str, font: Font, width: int) -> str:
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "…") > width:
        line = line[:-1]
    return line + "…"
