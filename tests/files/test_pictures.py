"""Contact sheets, PNGs and turntables, read back by other code."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from score3d.files.pictures import contact_sheet, write_png, write_turntable


def flat_images(n: int, height: int, width: int) -> np.ndarray:
    return np.stack([np.full((height, width, 3), i / max(n - 1, 1)) for i in range(n)])


def test_contact_sheet_places_every_image_with_its_caption() -> None:
    images = flat_images(5, 130, 140) * [1.0, 0.5, 0.0]
    page = np.asarray(contact_sheet(images, 3, labels=list("abcde"), title="a title"))
    gap = 4
    counts = [int((page == np.round(image[0, 0] * 255)).all(axis=2).sum()) for image in images]
    assert counts[1:] == [130 * 140] * 4
    assert page.shape[1] == 3 * (140 + gap) + gap
    plain = np.asarray(contact_sheet(images, 3))
    assert plain.shape[0] == 2 * (130 + gap) + gap
    # dark ink below the first image, where there is none without labels
    assert page.shape[0] > plain.shape[0] + 40
    third = int(np.flatnonzero((page == [191, 96, 0]).all(axis=2).any(axis=1))[0])
    caption = page[third - 20 : third - 4, 4:144]
    assert (caption.max(axis=2) < 100).any()


def test_captions_do_not_leave_their_column() -> None:
    long = "a caption far too long for a picture of this size, with a verylongwordindeed" * 3
    page = np.asarray(contact_sheet(np.ones((2, 128, 128, 3)), 2, labels=[long, ""], title=long))
    second_column = page[-40:, 4 + 128 + 4 :]
    assert (second_column == 255).all()
    assert (page[:, -4:] == 255).all()


def test_small_images_are_enlarged() -> None:
    page = contact_sheet(flat_images(2, 16, 16), 2, labels=["x", "y"])
    assert page.width == 2 * (128 + 4) + 4


@pytest.mark.parametrize(
    ("images", "columns", "labels", "message"),
    [
        (np.zeros((0, 8, 8, 3)), 2, None, "0 images"),
        (np.zeros((2, 8, 8, 3)), 0, None, "0 columns"),
        (np.zeros((2, 8, 8, 3)), 2, ["a"], "1 labels for 2"),
        (np.zeros((8, 8, 3)), 2, None, "shape"),
        (np.zeros((2, 3, 8, 8)), 2, None, "shape"),
        (np.full((2, 8, 8, 3), np.nan), 2, None, "NaN"),
    ],
)
def test_contact_sheet_refuses(
    images: np.ndarray, columns: int, labels: list[str] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        contact_sheet(images, columns, labels)


def test_png_keeps_the_bytes(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (7, 9, 3))
    write_png(tmp_path / "a.png", picture / 255)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), picture)
    write_png(tmp_path / "b.png", np.full((2, 2, 3), [-1.0, 0.5, 2.0]))
    assert np.asarray(Image.open(tmp_path / "b.png"))[0, 0].tolist() == [0, 128, 255]
    write_png(tmp_path / "c.png", Image.new("RGB", (3, 2)))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.png", "c.png"]


def test_turntable_mp4(tmp_path: Path) -> None:
    iio = pytest.importorskip("imageio.v3")
    pytest.importorskip("av")
    frames = flat_images(6, 33, 47)
    path = write_turntable(tmp_path / "turn.v1", frames, fps=12)
    assert path == tmp_path / "turn.v1.mp4"
    assert [p.name for p in tmp_path.iterdir()] == ["turn.v1.mp4"]
    film = iio.imread(path, plugin="pyav")
    assert film.shape == (6, 34, 48, 3)
    np.testing.assert_allclose(film.mean(axis=(1, 2, 3)), np.arange(6) * 51, atol=6)
    about = iio.immeta(path, plugin="pyav")
    assert (about["codec"], about["video_format"], about["fps"]) == ("h264", "yuv420p", 12)


def test_turntable_webp_without_av(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "av" else find(name)
    )
    path = write_turntable(tmp_path / "turntable", flat_images(5, 33, 47), fps=10)
    assert path == tmp_path / "turntable.webp"
    with Image.open(path) as film:
        assert (film.n_frames, film.size, film.info["loop"]) == (5, (47, 33), 0)
        film.seek(4)
        assert np.asarray(film.convert("RGB")).mean() > 245


@pytest.mark.parametrize(("n", "fps"), [(0, 24), (2, 0)])
def test_turntable_refuses(tmp_path: Path, n: int, fps: float) -> None:
    with pytest.raises(ValueError, match="must be > 0"):
        write_turntable(tmp_path / "t", np.zeros((n, 8, 8, 3)), fps)
    assert not list(tmp_path.iterdir())
