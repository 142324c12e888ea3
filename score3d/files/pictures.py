"""Pictures for people: PNG, contact sheets, turntables."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from score3d.files.atomic import atomic_write

__all__ = ["contact_sheet", "write_png", "write_turntable"]

PAPER, INK = (255, 255, 255), (32, 32, 32)


def contact_sheet(
    images: ArrayLike,
    columns: int,
    labels: Sequence[str] | None = None,
    title: str | None = None,
) -> Image.Image:
    """Images in rows on a white page, each with its caption below, under a title.

    Args:
        images: float, shape [N, H, W, 3], in [0, 1] (clipped), sRGB, N >= 1.
        columns: images per row, >= 1.
        labels: N captions; one that is too long for its image is cut.
        title: a line above all; cut if it is too long for the page.

    Raises:
        ValueError: wrong shapes, no images, non-finite values, or not one caption per image.
    """
    pictures = _to_bytes(images)
    n, height, width = pictures.shape[:3]
    if n == 0 or columns < 1:
        raise ValueError(f"contact sheet: {n} images in {columns} columns; both must be >= 1")
    if labels is not None and len(labels) != n:
        raise ValueError(f"contact sheet: {len(labels)} labels for {n} images")
    columns = min(columns, n)
    rows = -(-n // columns)
    gap = max(2, width // 32)
    # small pictures still need captions that can be read
    font = ImageFont.load_default(size=min(28, max(11, width // 12)))
    title_font = ImageFont.load_default(size=min(36, max(13, width // 9)))
    caption = _line_height(font) if labels is not None else 0
    top = _line_height(title_font) + gap if title else 0
    page_width = columns * (width + gap) + gap
    page = Image.new("RGB", (page_width, top + rows * (height + caption + gap) + gap), PAPER)
    draw = ImageDraw.Draw(page)
    if title:
        draw.text((gap, gap), _fit(title, title_font, page_width - 2 * gap), INK, title_font)
    for i, picture in enumerate(pictures):
        x = gap + (i % columns) * (width + gap)
        y = top + gap + (i // columns) * (height + caption + gap)
        page.paste(Image.fromarray(picture), (x, y))
        if labels is not None:
            draw.text((x, y + height + 1), _fit(labels[i], font, width), INK, font)
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


def write_turntable(path_without_suffix: str | Path, frames: ArrayLike, fps: float = 24) -> Path:
    """Write frames as a film that loops: .mp4 (H.264) if PyAV is installed, else animated .webp.

    Args:
        path_without_suffix: where; ".mp4" or ".webp" is appended.
        frames: float, shape [N, H, W, 3], in [0, 1] (clipped), sRGB, N >= 1. In an mp4 the last
            row or column is repeated where a size is odd, since 4:2:0 colour needs even sizes.
        fps: frames per second, > 0.

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
    if importlib.util.find_spec("av") is not None and importlib.util.find_spec("imageio"):
        import imageio.v3 as iio

        path = stem.with_name(stem.name + ".mp4")
        height, width = pictures.shape[1:3]
        even = np.pad(pictures, [(0, 0), (0, height % 2), (0, width % 2), (0, 0)], mode="edge")
        with (
            atomic_write(path) as temporary,
            iio.imopen(temporary, "w", plugin="pyav") as film,
        ):
            film.init_video_stream("libx264", fps=fps, pixel_format="yuv420p")
            film.write(even)
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


def _line_height(font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> int:
    return int(font.getbbox("Ag|")[3]) + 4


def _fit(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """One line no wider than `width` pixels, cut with an ellipsis if need be."""
    line = " ".join(text[:1000].split())
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "…") > width:
        line = line[:-1]
    return line + "…"
