"""The live viewer: right numbers, on this machine only, and a page that works."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from score3d.files.splats import SH_C0, Splats
from score3d.report.live_view import LiveView, checkpoint_stages, covariances
from score3d.runs.checkpoint import save_checkpoint

viser = pytest.importorskip("viser")


def ball(rgb: tuple[float, float, float], n: int = 2000) -> Splats:
    rng = np.random.default_rng(0)
    direction = rng.normal(size=(n, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    dc = np.tile((np.array(rgb) - 0.5) / SH_C0, (n, 1))[:, None]
    return Splats(
        direction * 0.4, rng.normal(size=(n, 4)), np.full((n, 3), np.log(0.03)), np.full(n, 3.0), dc
    )


def two_balls() -> Splats:
    """Red on the left of the picture seen from the front, blue on the right."""
    parts = []
    for rgb, x in (((0.9, 0.1, 0.1), -0.3), ((0.1, 0.1, 0.9), 0.3)):
        part = ball(rgb, 150)
        means = part.means * 0.5 + np.array([x, 0, 0], np.float32)
        scales = part.log_scales + np.float32(0.7)
        parts.append(Splats(means, part.quats, scales, part.logit_opacities, part.sh))
    names = ("means", "quats", "log_scales", "logit_opacities", "sh")
    return Splats(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def test_covariances_are_those_of_the_rasterizer():
    from score3d.render.reference import rotation_matrices

    splats = Splats(
        np.zeros((50, 3)), np.random.default_rng(1).normal(size=(50, 4)),
        np.random.default_rng(2).normal(size=(50, 3)) - 3, np.zeros(50), np.zeros((50, 1, 3)),
    )  # fmt: skip
    rotation = rotation_matrices(torch.from_numpy(splats.quats).double())
    variance = (2 * torch.from_numpy(splats.log_scales).double()).exp()
    expected = rotation @ torch.diag_embed(variance) @ rotation.mT
    np.testing.assert_allclose(covariances(splats), expected.numpy(), rtol=1e-5, atol=1e-9)


def test_stages_of_checkpoints(tmp_path):
    splats = ball((0.9, 0.1, 0.1), 20)
    state = {
        "param.means": torch.from_numpy(splats.means),
        "param.quats": torch.from_numpy(splats.quats),
        "param.scales": torch.from_numpy(splats.log_scales),
        "param.opacities": torch.from_numpy(splats.logit_opacities),
        "param.sh0": torch.from_numpy(splats.sh), "adam.means.step": torch.zeros(1),
    }  # fmt: skip
    save_checkpoint(tmp_path, 100, state, {})
    save_checkpoint(tmp_path, 120, state, {})
    stages = checkpoint_stages(tmp_path)
    assert [label for label, _ in stages] == ["step 100", "step 120"]
    np.testing.assert_array_equal(stages[0][1]().means, splats.means)
    (tmp_path / "step-000120" / "tensors.safetensors").write_bytes(b"x")
    with pytest.raises(ValueError, match="no Gaussians to show"):
        stages[1][1]()
    assert checkpoint_stages(tmp_path / "none") == []


@pytest.fixture
def view() -> Iterator[LiveView]:
    view = LiveView("a test", port=18_000)
    yield view
    view.close()


def test_only_this_machine_is_served(view):
    assert view.url.startswith("http://127.0.0.1:")
    port = int(view.url.rsplit(":", 1)[1])
    listening = {
        line.split()[1]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        if Path(table).exists()
        for line in Path(table).read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")
    }
    assert listening == {f"0100007F:{port:04X}"}  # 127.0.0.1, and no other address


def test_a_second_view_takes_the_next_port(view):
    with socket.socket() as taken:
        port = int(view.url.rsplit(":", 1)[1])
        assert taken.connect_ex(("127.0.0.1", port)) == 0
    other = LiveView("another", port=port)
    assert other.url != view.url
    other.close()


def test_watching_never_stops_a_run(view):
    def broken() -> Splats:
        raise RuntimeError("diverged")

    view.watch(3, broken)
    assert "step 3 cannot be shown: diverged" in view._status.content
    view.watch(4, broken)  # too soon after the last: not even asked
    assert "step 3" in view._status.content


def shot(page: Any) -> np.ndarray:
    """Below the panels, above the picture of the axes."""
    picture = Image.open(io.BytesIO(page.screenshot(timeout=120_000))).convert("RGB")
    return np.asarray(picture)[170:420] / 255


def centre_of(picture: np.ndarray, channel: int) -> tuple[float, float]:
    """Mean row and column of the pixels where one channel stands out."""
    others = np.delete(picture, channel, axis=2).max(axis=2)
    rows, columns = np.nonzero(picture[..., channel] > others + 0.4)
    assert len(rows) > 50, f"nothing of channel {channel} to be seen"
    return float(rows.mean()), float(columns.mean())


def test_the_page_shows_the_scene_and_turns(browser, view):
    """Left is left, up is up; dragging turns; nothing is asked of any other machine."""
    view.add_stages([("step 1", lambda: ball((0.1, 0.9, 0.1), 20)), ("scene", two_balls)])
    context = browser.new_context(viewport={"width": 760, "height": 480})
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    own = (view.url, "data:", "blob:")
    page.on("request", lambda r: None if r.url.startswith(own) else errors.append(r.url))
    page.goto(view.url)
    page.wait_for_selector("canvas")
    for _ in range(60):
        page.wait_for_timeout(500)
        picture = shot(page)
        if (picture[..., 0] > picture[..., 1] + 0.4).sum() > 50:
            break
    page.wait_for_timeout(500)
    before = shot(page)
    red, blue = centre_of(before, 0), centre_of(before, 2)
    assert red[1] < blue[1] - 40
    assert abs(red[0] - blue[0]) < 15
    page.mouse.move(300, 400)
    page.mouse.down()
    page.mouse.move(450, 400, steps=4)
    page.mouse.up()
    page.wait_for_timeout(1500)
    after = shot(page)
    assert np.abs(after - before).mean() > 0.005
    assert errors == []
    context.close()
