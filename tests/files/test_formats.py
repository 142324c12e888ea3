"""Splat formats: what each keeps, which way up it is, and what is refused."""

from __future__ import annotations

import itertools
import json
import zipfile
from dataclasses import fields

import numpy as np
import pytest

from score3d.files.formats import READABLE, WRITABLE, decode_splats, read_splats, write_splats
from score3d.files.splats import FileFormatError, Splats
from score3d.files.usd import _pxr

try:
    _pxr()
    USD = True
except RuntimeError:
    USD = False

# Floors in dB of pictures before and after, on scenes with fine detail.
FLOORS = {".ply": 120, ".compressed.ply": 40, ".splat": 38, ".spz": 38, ".sog": 36, ".s3z": 36,
          ".glb": 60, ".usda": 60, ".usdc": 60, ".usdz": 60}  # fmt: skip
needs_usd = pytest.mark.skipif(not USD, reason="usd-core 26.3 or newer is not installed")
FORMATS = [
    pytest.param(ending, marks=[needs_usd] if ending.startswith(".usd") else [])
    for ending in FLOORS
]


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_round_trip(tmp_path, ornament, render, psnr, ending, degree):
    if ending == ".splat" and degree:
        pytest.skip(".splat has no harmonics above degree 0")
    splats = ornament(degree)
    path = tmp_path / f"scene{ending}"
    write_splats(path, splats)
    back = read_splats(path)
    assert len(back) == len(splats)
    assert back.sh_degree == degree
    assert psnr(render(splats), render(back)) >= FLOORS[ending]


def test_spz_version_3_is_read_back(tmp_path, ornament, render, psnr):
    splats = ornament(3)
    write_splats(tmp_path / "a.spz", splats, spz_version=3)
    assert (tmp_path / "a.spz").read_bytes()[:2] == b"\x1f\x8b"
    back = read_splats(tmp_path / "a.spz")
    assert psnr(render(splats), render(back)) >= FLOORS[".spz"]
    write_splats(tmp_path / "b.spz", splats, spz_version=4)
    newer = read_splats(tmp_path / "b.spz")
    for field in fields(Splats):  # the same numbers in another container
        np.testing.assert_array_equal(getattr(back, field.name), getattr(newer, field.name))


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_spz_keeps_scenes_of_any_size(tmp_path, scale):
    rng = np.random.default_rng(0)
    means = rng.normal(size=(50, 3)) * scale
    splats = Splats(
        means, rng.normal(size=(50, 4)), np.zeros((50, 3)), np.zeros(50), np.zeros((50, 1, 3))
    )
    write_splats(tmp_path / "a.spz", splats)
    error = np.abs(read_splats(tmp_path / "a.spz").means - splats.means).max()
    assert error <= max(2.0**-13, 0.005 * scale) if scale < 1e4 else error <= 2.0**-7


def test_float_formats_keep_float_precision(tmp_path, ornament):
    splats = ornament(2)
    for ending in [".glb", *([".usdc", ".usdz"] if USD else [])]:
        write_splats(tmp_path / f"a{ending}", splats)
        back = read_splats(tmp_path / f"a{ending}")
        np.testing.assert_array_equal(back.means, splats.means)
        np.testing.assert_array_equal(back.sh, splats.sh)
        # through exp and log in float32, and through a sigmoid whose slope is 0.02 at 4
        np.testing.assert_allclose(back.log_scales, splats.log_scales, atol=1e-6)
        np.testing.assert_allclose(back.logit_opacities, splats.logit_opacities, atol=1e-4)
        unit = splats.quats / np.linalg.norm(splats.quats, axis=1, keepdims=True)
        np.testing.assert_allclose(back.quats, unit, atol=1e-6)


def test_the_letter_survives_every_pair_of_formats(tmp_path, letter_f, render, psnr):
    """Upright and unmirrored; a picture of a turned or mirrored letter is far from the right one,
    so that the threshold separates the two."""
    right = render(letter_f, 2, 96)
    wrong = [right[:, :, ::-1], right[:, ::-1], right[:, ::-1, ::-1], right[::-1]]
    assert max(psnr(right, picture) for picture in wrong) < 18
    endings = [e for e in FLOORS if USD or not e.startswith(".usd")]
    firsts = {}
    for ending in endings:
        write_splats(tmp_path / f"first{ending}", letter_f)
        firsts[ending] = read_splats(tmp_path / f"first{ending}")
    for first, second in itertools.product(endings, endings):
        path = tmp_path / f"second{second}"
        write_splats(path, firsts[first])
        assert psnr(right, render(read_splats(path), 2, 96)) > 34, f"{first} -> {second}"


def test_harmonics_turn_with_the_axes(tmp_path, render, psnr):
    """One splat with a glint along +x, +y or +z looks brightest from there in every format."""
    from score3d.cameras import orbit
    from score3d.scenes.photograph import photograph
    import torch  # isort: skip

    # degree 1 with the signs of splat PLY: -y, z, -x
    for coefficient, sign, (azimuth, elevation) in (
        (3, 1, (-90, 0)), (3, -1, (90, 0)), (1, -1, (0, 90)), (1, 1, (0, -90)),
        (2, 1, (180, 0)), (2, -1, (0, 0)),
    ):  # fmt: skip
        sh = np.zeros((1, 4, 3))
        sh[0, coefficient] = sign * 0.8
        splats = Splats(np.zeros((1, 3)), np.eye(4)[:1], np.full((1, 3), -2.0), [3.0], sh)
        views = orbit(
            torch.tensor([azimuth, azimuth + 180.0]), torch.tensor([elevation, -elevation]),
            2.0, 40.0, 32, 32,
        )  # fmt: skip
        towards = photograph(splats, views, 0.0)
        for ending in (".ply", ".compressed.ply", ".spz", ".sog", ".glb"):
            write_splats(tmp_path / f"a{ending}", splats)
            seen = photograph(read_splats(tmp_path / f"a{ending}"), views, 0.0)
            assert psnr(seen, towards) > 35, (ending, coefficient, sign)
        assert abs(towards[0].sum() - towards[1].sum()) > 50  # or the test could not fail


@pytest.mark.parametrize("ending", FORMATS)
def test_degenerate_scenes(tmp_path, ending):
    one = Splats(np.full((1, 3), 0.25), np.zeros((1, 4)), np.full((1, 3), -3.0), [0.5],
                 np.full((1, 4, 3), 0.1))  # fmt: skip
    write_splats(tmp_path / f"one{ending}", one)
    back = read_splats(tmp_path / f"one{ending}")
    np.testing.assert_allclose(back.means, one.means, atol=1e-4)
    np.testing.assert_allclose(back.log_scales, one.log_scales, atol=0.04)
    same = one.select(np.zeros(300, int))  # no extent along any axis
    write_splats(tmp_path / f"same{ending}", same)
    np.testing.assert_allclose(read_splats(tmp_path / f"same{ending}").means, same.means, atol=1e-4)
    none = one.select(np.zeros(0, int))
    if ending in (".sog", ".s3z", ".glb"):  # which cannot hold nothing
        with pytest.raises(ValueError, match="splat"):
            write_splats(tmp_path / f"none{ending}", none)
    else:
        write_splats(tmp_path / f"none{ending}", none)
        assert len(read_splats(tmp_path / f"none{ending}")) == 0
    extreme = Splats(
        one.means, np.array([[0, 0, 0, -1.0]]), np.full((1, 3), 60.0), [200.0],
        np.full((1, 4, 3), 1e3),
    )  # fmt: skip
    write_splats(tmp_path / f"extreme{ending}", extreme)
    assert read_splats(tmp_path / f"extreme{ending}").finite()[1] == 0


@pytest.mark.parametrize("ending", [e for e in WRITABLE if e != ".ply"])
def test_packed_formats_refuse_rows_that_are_not_finite(tmp_path, ending):
    bad = Splats([[np.nan, 0, 0]], np.eye(4)[:1], np.zeros((1, 3)), [0.0], np.zeros((1, 1, 3)))
    with pytest.raises(ValueError, match="1 splats are not finite"):
        write_splats(tmp_path / f"a{ending}", bad)
    assert not list(tmp_path.iterdir())


def test_rows_that_are_not_finite_are_read_as_such(tmp_path):
    """NaN rows of formats that can hold them come back as NaN, to be counted and dropped."""
    rows = np.zeros((3, 8), "<f4")
    rows[1, 0] = np.nan
    rows[2, 3] = np.inf
    assert decode_splats(rows.tobytes(), "a.splat").finite()[1] == 3  # scales of 0 are not finite
    rows[:, 3:6] = 1
    rows[2, 1] = np.inf
    splats, dropped = decode_splats(rows.tobytes(), "a.splat").finite()
    assert dropped == 2
    assert len(splats) == 1


def test_unbundled_sog_is_read(tmp_path, letter_f, render, psnr):
    write_splats(tmp_path / "a.sog", letter_f)
    with zipfile.ZipFile(tmp_path / "a.sog") as bundle:
        bundle.extractall(tmp_path / "a")
    back = read_splats(tmp_path / "a" / "meta.json")
    assert psnr(render(letter_f, 2, 96), render(back, 2, 96)) > 34


@pytest.mark.parametrize("member", ["../x.webp", "/etc/passwd", "a/b.webp", "..", "c:x", "a\\b"])
def test_sog_members_outside_the_bundle_are_refused(tmp_path, letter_f, member):
    write_splats(tmp_path / "a.sog", letter_f)
    with zipfile.ZipFile(tmp_path / "a.sog") as bundle:
        bundle.extractall(tmp_path / "a")
    meta = json.loads((tmp_path / "a" / "meta.json").read_text())
    meta["quats"]["files"] = [member]
    (tmp_path / "a" / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(FileFormatError, match="not a plain file name"):
        read_splats(tmp_path / "a" / "meta.json")
    bundle = zipfile.ZipFile(tmp_path / "b.sog", "w")
    with bundle:
        bundle.writestr("meta.json", json.dumps(meta))
    with pytest.raises(FileFormatError):
        read_splats(tmp_path / "b.sog")


def test_endings(tmp_path):
    assert set(READABLE) - set(WRITABLE) == {".ksplat"}
    with pytest.raises(ValueError, match="can be written as"):
        write_splats(tmp_path / "a.ksplat", None)  # type: ignore[arg-type]
    (tmp_path / "a.fbx").touch()
    with pytest.raises(FileFormatError, match=r"it reads \.ply"):
        read_splats(tmp_path / "a.fbx")
    with pytest.raises(FileNotFoundError):
        read_splats(tmp_path / "none.spz")


def test_spz_axes(tmp_path, letter_f, render, psnr):
    right = render(letter_f, 2, 96)
    for axes in ("ply", "rub"):
        write_splats(tmp_path / f"{axes}.spz", letter_f, spz_axes=axes)
        for read in ("ply", "rub"):
            seen = render(read_splats(tmp_path / f"{axes}.spz", spz_axes=read), 2, 96)
            assert (psnr(right, seen) > 34) == (axes == read)
