"""The HTML viewer in a real browser: it shows what our rasterizer shows, turns, and stays alone."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from score3d.cameras import orbit
from score3d.files.splats import SH_C0, Splats
from score3d.report.viewer import viewer_page, write_viewer
from score3d.scenes.photograph import photograph


def letter_f(degree: int) -> Splats:
    """An F with a knob towards the viewer, so that turned and mirrored pictures differ."""
    rng = np.random.default_rng(0)
    parts = [
        ((-0.25, -0.45, -0.05), (-0.1, 0.45, 0.05), (0.9, 0.1, 0.1), 400),
        ((-0.1, 0.3, -0.05), (0.3, 0.45, 0.05), (0.1, 0.8, 0.1), 300),
        ((-0.1, -0.02, -0.05), (0.15, 0.12, 0.05), (0.1, 0.1, 0.9), 200),
        ((-0.22, -0.42, 0.05), (-0.13, -0.33, 0.35), (0.9, 0.9, 0.1), 100),
    ]
    means = np.concatenate([rng.uniform(low, high, (n, 3)) for low, high, _, n in parts])
    rgb = np.concatenate([np.tile(colour, (n, 1)) for _, _, colour, n in parts])
    n = len(means)
    sh = rng.normal(size=(n, (degree + 1) ** 2, 3)) * 0.15
    sh[:, 0] = (rgb - 0.5) / SH_C0
    scales = np.log(0.02) + rng.normal(size=(n, 3)) * 0.5
    return Splats(means, rng.normal(size=(n, 4)), scales, rng.normal(1, 2, n), sh)


def photo(splats: Splats, azimuth: float, elevation: float, distance: float = 2.0) -> np.ndarray:
    angles = torch.tensor([float(azimuth)]), torch.tensor([float(elevation)])
    return photograph(splats, orbit(*angles, distance, 40.0, 400, 300), 0.5)[0]


def canvas(page: Any) -> np.ndarray:
    url = page.evaluate("document.querySelector('canvas').toDataURL('image/png')")
    image = Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))
    return np.asarray(image.convert("RGB")) / 255


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(max(float(((a - b) ** 2).mean()), 1e-12)))


def open_viewer(page: Any, path: Path, splats: Splats) -> None:
    write_viewer(path, splats, "the letter F")
    page.goto(path.as_uri())
    page.evaluate("viewer.ready")


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_it_shows_what_we_render(page, tmp_path, degree):
    splats = letter_f(degree)
    open_viewer(page, tmp_path / "f.html", splats)
    # 45 dB: what an 8-bit picture and colours of 10 bits leave is 50 to 55
    assert psnr(canvas(page), photo(splats, 0, 15)) > 45
    for azimuth, elevation, distance in ((60, -40, 2.0), (215, 70, 1.2)):
        view = f"{{azimuth: {azimuth}, elevation: {elevation}, distance: {distance}}}"
        page.evaluate(f"viewer.look({view})")
        seen, right = canvas(page), photo(splats, azimuth, elevation, distance)
        assert psnr(seen, right) > 45
        for wrong in (right[:, ::-1], right[::-1]):  # or the threshold would say nothing
            assert psnr(seen, wrong) < 25


def settled(page: Any) -> np.ndarray:
    page.evaluate("viewer.look({})")
    return canvas(page)


def test_dragging_turns_it(page, tmp_path):
    splats = letter_f(0)
    open_viewer(page, tmp_path / "f.html", splats)
    before = settled(page)
    page.mouse.move(200, 150)
    page.mouse.down()
    page.mouse.move(250, 150, steps=5)
    page.mouse.up()
    after, camera = settled(page), page.evaluate("viewer.camera()")
    assert camera["azimuth"] == pytest.approx(-20)  # the front follows the hand to the right
    assert camera["elevation"] == 15
    assert psnr(before, after) < 30
    assert psnr(after, photo(splats, -20, 15)) > 45
    page.mouse.move(200, 150)
    page.mouse.down()
    page.mouse.move(200, 200, steps=5)
    page.mouse.up()
    assert page.evaluate("viewer.camera()")["elevation"] == pytest.approx(35)


def test_wheel_keys_and_buttons(page, tmp_path):
    splats = letter_f(0)
    open_viewer(page, tmp_path / "f.html", splats)
    page.mouse.move(200, 150)
    page.mouse.wheel(0, -100)
    page.wait_for_function("viewer.camera().distance < 1.9")
    page.mouse.dblclick(200, 150)
    assert page.evaluate("viewer.camera()")["distance"] == 2
    page.focus("canvas")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("viewer.camera()")["azimuth"] == 10
    page.click("text=back")
    assert psnr(settled(page), photo(splats, 180, 15)) > 45
    page.click("text=background")
    assert settled(page)[5, 200].tolist() == [1, 1, 1]


def test_touch_turns_and_pinches(browser, tmp_path):
    splats = letter_f(0)
    context = browser.new_context(viewport={"width": 400, "height": 300}, has_touch=True)
    page = context.new_page()
    open_viewer(page, tmp_path / "f.html", splats)
    touch = context.new_cdp_session(page)

    def send(kind: str, *points: tuple[float, float]) -> None:
        places = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    send("touchStart", (200, 150))
    send("touchMove", (240, 150))
    send("touchEnd")
    page.wait_for_function("viewer.camera().azimuth != 0")
    assert page.evaluate("viewer.camera()")["azimuth"] == pytest.approx(-16, abs=4)
    send("touchStart", (180, 150), (220, 150))
    send("touchMove", (140, 150), (260, 150))
    send("touchEnd")
    page.wait_for_function("viewer.camera().distance < 1.5")
    context.close()


def test_the_page_is_complete_and_escaped(tmp_path):
    text = viewer_page(letter_f(0), "</title><script>alert(1)</script> {{data}} & co")
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert text.count("http") <= 2  # http-equiv, and nothing to fetch
    assert "default-src 'none'" in text
    assert text.count("{{data}}") == 3  # the title, wherever it is shown


def test_nothing_to_show():
    with pytest.raises(ValueError, match="at least one splat"):
        viewer_page(letter_f(0).select(np.zeros(0, int)), "x")


def test_a_large_scene(page, tmp_path):
    """100 000 splats, more than a row of the textures by far, and far from the origin."""
    rng = np.random.default_rng(2)
    n = 100_000
    direction = rng.normal(size=(n, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    splats = Splats(
        direction * 5 + [100, 20, -30], rng.normal(size=(n, 4)), np.full((n, 3), np.log(0.05)),
        np.full(n, 2.0), rng.normal(size=(n, 1, 3)),
    )  # fmt: skip
    open_viewer(page, tmp_path / "large.html", splats)
    seen = canvas(page)
    assert np.abs(seen[150, 200] - 0.5).max() > 0.02  # something in the middle
    np.testing.assert_allclose(seen[5, 5], 0.5, atol=0.01)  # nothing in the corner
