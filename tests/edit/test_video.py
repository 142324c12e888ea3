"""Films: what is carried over, and how far frames agree."""

import json
from fractions import Fraction
from itertools import count

import numpy as np
import pytest

from score3d.config import ConfigError, edit_preset, load_config
from score3d.edit.session import planned
from score3d.edit.video import edit_video
from score3d.evaluate.motion import estimated_flow, warp_error, warped
from score3d.files.splats import FileFormatError
from score3d.files.video import frames_of, inspect_film, writing_film
from score3d.loop import StepInfo
from score3d.runs.folder import RunFolder

av = pytest.importorskip("av")


def filmed(path, frames=20, size=(48, 64), rate=Fraction(30000, 1001), sound=True):
    """A square that moves by a pixel a frame, with a tone."""
    with av.open(str(path), "w") as out:
        codec = "libx264" if path.suffix == ".mp4" else "libvpx-vp9"
        stream = out.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = size[1], size[0], "yuv420p"
        tone = None
        if sound:
            tone = out.add_stream("aac" if path.suffix == ".mp4" else "libopus", rate=48000)
        for k in range(frames):
            picture = np.full((*size, 3), 200, np.uint8)
            picture[10:30, 5 + k : 25 + k] = (220, 30, 30)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
        if tone is not None:
            wave = np.sin(np.arange(960) / 20).astype(np.float32)
            for k in range(round(frames / rate * 50)):
                frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]), "fltp", "stereo")
                frame.sample_rate, frame.pts = 48000, 960 * k
                out.mux(tone.encode(frame))
            out.mux(tone.encode())
    return path


def packets(path):
    with av.open(str(path)) as film:
        return [bytes(p) for p in film.demux(audio=0) if p.dts is not None]


def edited(path, out, ending=".mp4", should_stop=lambda: "", **edit):
    words = {"instruction": "make it blue", "source": "a red cube", "input": str(path)}
    config = load_config(
        edit_preset("video"), "csd-edit", ["run.steps=6"],
        {"edit": {"task": "video", "window": 8, "overlap": 3, **words, **edit}},
    )  # fmt: skip
    opened = RunFolder.open if (out / "config.toml").exists() else RunFolder.create
    film = inspect_film(path)
    with opened(out) as folder:
        return list(edit_video(planned(config), film, ending, folder, should_stop))


@pytest.mark.parametrize(("ending", "size"), [(".mp4", (48, 64)), (".webm", (48, 64))])
def test_count_rate_size_and_sound_are_kept(tmp_path, ending, size):
    path = filmed(tmp_path / f"in{ending}", size=size)
    edited(path, tmp_path / "run", ending)
    before, after = inspect_film(path), inspect_film(tmp_path / "run" / f"video{ending}")
    assert (after.width, after.height) == (before.width, before.height)
    assert after.rate == before.rate
    assert after.sound
    assert packets(tmp_path / "run" / f"video{ending}") == packets(path)
    pictures = list(frames_of(after))
    assert len(pictures) == len(list(frames_of(before))) == 20
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["edit"]["frames"] == 20
    assert summary["edit"]["warp_error"] < 0.2
    assert 0 <= summary["edit"]["feature_distance_before"] < 0.5
    assert 0 <= summary["edit"]["feature_distance"] < 0.5
    assert (tmp_path / "run" / "contact_sheet.png").exists()
    beside = inspect_film(tmp_path / "run" / "comparison.mp4")
    assert (beside.width, beside.height, beside.rate) == (2 * size[1], size[0], before.rate)
    first = next(iter(frames_of(beside)))
    # two codecs at their default quality; the right half is the edit
    assert np.abs(first[:, : size[1]] - next(iter(frames_of(before)))).mean() < 0.03
    assert np.abs(first[:, size[1] :] - pictures[0]).mean() < 0.03
    assert len(list(frames_of(beside))) == 20


def test_a_stopped_film_goes_on_as_if_it_had_not_been(tmp_path):
    """Bit for bit in what was found; the encoder's threads may spread its bits otherwise."""
    path = filmed(tmp_path / "in.mp4")
    edited(path, tmp_path / "whole")
    asked = count()
    edited(path, tmp_path / "parts", should_stop=lambda: "interrupted" if next(asked) else "")
    steps = [e for e in edited(path, tmp_path / "parts") if isinstance(e, StepInfo)]
    assert 0 < len(steps) <= 12  # of 24: two of four windows were there
    windows = [f"checkpoint/window-{k:06d}.safetensors" for k in range(4)]
    for name in ("metrics.jsonl", *windows):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()
    films = [tmp_path / run / "video.mp4" for run in ("whole", "parts")]
    first, second = (list(frames_of(inspect_film(film))) for film in films)
    assert len(first) == len(second) == 20
    assert max(np.abs(a - b).mean() for a, b in zip(first, second, strict=True)) < 0.02
    assert packets(films[0]) == packets(films[1])
    assert json.loads((tmp_path / "parts" / "summary.json").read_text())["status"] == "complete"


def test_another_film_is_not_gone_on_with(tmp_path):
    edited(filmed(tmp_path / "in.mp4", 8), tmp_path / "run")
    with pytest.raises(ConfigError, match="the input has changed"):
        edited(filmed(tmp_path / "in.mp4", 5), tmp_path / "run")


def test_edits_of_films_chain(tmp_path):
    path = filmed(tmp_path / "in.mp4", 4, sound=False)
    edited(path, tmp_path / "first")
    edited(tmp_path / "first" / "video.mp4", tmp_path / "second", input=str(tmp_path / "first"))
    parent = json.loads((tmp_path / "second" / "summary.json").read_text())["edit"]["parent"]
    assert parent["prompt"] == "a blue cube"
    assert parent["parent"]["path"] == str(path.resolve())


def test_a_stop_ends_the_film_with_the_window(tmp_path):
    path = filmed(tmp_path / "in.mp4")
    asked = count()
    edited(path, tmp_path / "run", should_stop=lambda: "interrupted" if next(asked) else "")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    # two windows of 8 that overlap by 3
    assert len(list(frames_of(inspect_film(tmp_path / "run" / "video.mp4")))) == 13
    assert inspect_film(tmp_path / "run" / "video.mp4").rate == Fraction(30000, 1001)


def test_odd_sizes_are_kept(tmp_path):
    film = inspect_film(filmed(tmp_path / "in.mp4", 3, sound=False))
    from dataclasses import replace

    odd = replace(film, width=63, height=47)
    with writing_film(tmp_path / "odd.mp4", odd) as writer:
        for _ in range(3):
            writer.write(np.full((47, 63, 3), 0.5))
        writer.finish()
    found = inspect_film(tmp_path / "odd.mp4")
    assert (found.width, found.height, found.sound) == (63, 47, False)


def test_bad_films_are_one_line(tmp_path):
    (tmp_path / "no.mp4").write_bytes(b"nothing at all")
    whole = filmed(tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(whole[: len(whole) // 2])
    for name in ("no.mp4", "half.mp4", "gone.mp4"):
        with pytest.raises(FileFormatError, match=name):
            inspect_film(tmp_path / name)
    filmed(tmp_path / "one.mp4", 1, sound=False)
    with pytest.raises(ConfigError, match="1 frame; use"):
        edited(tmp_path / "one.mp4", tmp_path / "run")


def test_warp_error_of_a_known_motion():
    """A smooth picture that moves by (3, 2) pixels: zero along the motion, not without it."""
    y, x = np.mgrid[:40, :50]

    def picture(dx, dy):
        return np.stack([np.sin((x - dx) / 5 + k) * np.cos((y - dy) / 7) for k in range(3)], -1)

    first, second = picture(0, 0), picture(3, 2)
    flow = np.broadcast_to(np.array([3.0, 2.0]), (40, 50, 2))
    assert warp_error(first, second, flow) < 1e-12
    assert warp_error(first, second, 0 * flow) > 0.2
    assert np.isnan(warped(second, flow)[-1]).all()
    assert np.isnan(warp_error(first, second, flow + 100))
    found, visible = estimated_flow((first + 1) / 2, (second + 1) / 2)
    inside = (slice(8, -8), slice(8, -8))
    assert np.abs(np.median(found[inside], axis=(0, 1)) - (3, 2)).max() < 0.5
    assert visible[inside].mean() > 0.5
