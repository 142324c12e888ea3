"""Other people's programs read what we write, and we read what they write.

The programs come from npm (`make test` installs them beside the environment) and PyPI. Where they
are missing the tests skip and say so; with SCORE3D_REQUIRE_TOOLS=1 they fail instead.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from score3d.files.formats import read_splats, write_splats
from score3d.files.splats import Splats, half_turn

MODULES = Path(sys.prefix) / "node" / "node_modules"
NODE = shutil.which("node", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
FLOORS = {".ply": 80, ".compressed.ply": 40, ".splat": 38, ".spz": 38, ".sog": 36}


def need(condition: object, what: str) -> None:
    if not condition:
        if os.environ.get("SCORE3D_REQUIRE_TOOLS"):
            pytest.fail(f"{what} is missing, and SCORE3D_REQUIRE_TOOLS is set")
        pytest.skip(f"{what} is not installed; make test installs it")


def convert(source: Path, target: Path, *options: str) -> None:
    """Run splat-transform."""
    tool = MODULES / "@playcanvas" / "splat-transform" / "bin" / "cli.mjs"
    need(NODE and tool.exists(), "splat-transform (npm)")
    result = subprocess.run(
        [str(NODE), tool, "-q", "-w", "-g", "cpu", *options, source, target],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr


def turned_round(splats: Splats) -> Splats:
    """Half a turn about y: half a turn about x, then one about z."""
    means, quats, sh = splats.means.copy(), splats.quats.copy(), splats.sh.copy()
    means[:, :2] *= -1
    quats[:, 1:3] *= -1
    sh[:, [k for k in (1, 3, 5, 7, 9, 11, 13, 15) if k < sh.shape[1]]] *= -1
    about_z = Splats(means, quats, splats.log_scales, splats.logit_opacities, sh)
    return half_turn(about_z)


def without_extension(path: Path) -> Path:
    """A copy whose attributes have names that glTF leaves to applications."""
    data = path.read_bytes()
    length = int.from_bytes(data[12:16], "little")
    gltf = json.loads(data[20 : 20 + length])
    del gltf["extensionsUsed"]
    primitive = gltf["meshes"][0]["primitives"][0]
    del primitive["extensions"]
    primitive["attributes"] = {
        name.replace("KHR_gaussian_splatting:", "_"): index
        for name, index in primitive["attributes"].items()
    }
    text = json.dumps(gltf).encode()
    text += b" " * (-len(text) % 4)
    total = len(data) - length + len(text)
    copy = path.with_stem(path.stem + "-plain")
    copy.write_bytes(
        data[:8] + total.to_bytes(4, "little") + len(text).to_bytes(4, "little") + data[16:20]
        + text + data[20 + length :]
    )  # fmt: skip
    return copy


@pytest.mark.parametrize("degree", [0, 2])
@pytest.mark.parametrize("ending", FLOORS)
def test_splat_transform_reads_ours(tmp_path, ornament, render, psnr, ending, degree):
    splats = ornament(0 if ending == ".splat" else degree)
    write_splats(tmp_path / f"ours{ending}", splats)
    convert(tmp_path / f"ours{ending}", tmp_path / "theirs.ply")
    back = read_splats(tmp_path / "theirs.ply")
    assert len(back) == len(splats)
    assert psnr(render(splats), render(back)) >= FLOORS[ending]


@pytest.mark.parametrize("degree", [0, 2])
@pytest.mark.parametrize("ending", [e for e in FLOORS if e != ".splat"])  # which it only reads
def test_we_read_splat_transforms(tmp_path, ornament, render, psnr, ending, degree):
    splats = ornament(degree)
    write_splats(tmp_path / "ours.ply", splats)
    convert(tmp_path / "ours.ply", tmp_path / f"theirs{ending}")
    back = read_splats(tmp_path / f"theirs{ending}")
    assert len(back) == len(splats)
    # its palette of harmonics has half as many rows as there are splats, ours one for each
    floor = FLOORS[ending] - (10 if ending == ".sog" and degree else 0)
    assert psnr(render(splats), render(back)) >= floor


def test_both_read_a_file_alike(tmp_path, ornament, render, psnr):
    """SOG with harmonics, decoded by both from one file: the same picture, not only a close one."""
    write_splats(tmp_path / "ours.ply", ornament(3))
    convert(tmp_path / "ours.ply", tmp_path / "theirs.sog")
    convert(tmp_path / "theirs.sog", tmp_path / "back.ply")
    here, there = read_splats(tmp_path / "theirs.sog"), read_splats(tmp_path / "back.ply")
    np.testing.assert_allclose(here.means, there.means, atol=1e-5)
    np.testing.assert_allclose(here.sh, there.sh, atol=1e-5)
    assert psnr(render(here), render(there)) > 70


def test_spz_version_3_is_read_by_splat_transform(tmp_path, ornament, render, psnr):
    write_splats(tmp_path / "ours.spz", ornament(1), spz_version=3)
    convert(tmp_path / "ours.spz", tmp_path / "theirs.ply")
    assert psnr(render(ornament(1)), render(read_splats(tmp_path / "theirs.ply"))) >= 38
    convert(tmp_path / "theirs.ply", tmp_path / "theirs.spz", "--spz-version", "3")
    assert psnr(render(ornament(1)), render(read_splats(tmp_path / "theirs.spz"))) >= 38


def test_the_letter_through_splat_transform(tmp_path, letter_f, render, psnr):
    """Upright and unmirrored, also in glTF, which it turns by half a turn about y against ours
    because it turns PLY about z."""
    right = render(letter_f, 2, 96)
    for ending in FLOORS:
        write_splats(tmp_path / f"ours{ending}", letter_f)
        convert(tmp_path / f"ours{ending}", tmp_path / "theirs.compressed.ply")
        assert psnr(right, render(read_splats(tmp_path / "theirs.compressed.ply"), 2, 96)) > 34
    convert(tmp_path / "ours.ply", tmp_path / "theirs.glb")
    back = turned_round(read_splats(tmp_path / "theirs.glb"))
    assert psnr(right, render(back, 2, 96)) > 60


def test_the_khronos_validator_finds_no_errors(tmp_path, ornament, letter_f):
    need(NODE and (MODULES / "gltf-validator").exists(), "gltf-validator (npm)")
    from score3d.files.mesh import splats_to_mesh, write_mesh

    paths = [tmp_path / f"degree{d}.glb" for d in range(4)]
    for degree, path in enumerate(paths):
        write_splats(path, ornament(degree))
    plain = [without_extension(path) for path in paths]
    mesh = tmp_path / "mesh.glb"
    write_mesh(mesh, splats_to_mesh(letter_f, 48, 2000, 256))
    broken = tmp_path / "broken.glb"
    broken.write_bytes(paths[0].read_bytes()[:-400])  # or the test could not fail
    script = Path(__file__).parent.parent / "tools" / "validate.js"
    result = subprocess.run(
        [str(NODE), script, MODULES, *paths, *plain, mesh, broken],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    reports = json.loads(result.stdout)
    for path, report in zip([*paths, *plain, mesh], reports, strict=False):
        errors = [m for m in report["issues"]["messages"] if m["severity"] == 0]
        # the validator does not know the extension, and objects to the names of its attributes
        known = "/meshes/0/primitives/0/attributes/KHR_gaussian_splatting:"
        errors = [m for m in errors if path not in paths or not m["pointer"].startswith(known)]
        assert not errors, (path.name, errors)
    assert reports[-1]["issues"]["numErrors"] > 0


@pytest.mark.parametrize("degree", [0, 3])
def test_gsply_reads_spz_alike(tmp_path, ornament, degree):
    gsply = pytest.importorskip("gsply")
    for version in (3, 4):
        write_splats(tmp_path / "a.spz", ornament(degree), spz_version=version)
        try:
            other = gsply.read_spz(str(tmp_path / "a.spz"))
        except Exception as error:
            pytest.fail(f"gsply cannot read version {version}: {error}")
        ours = read_splats(tmp_path / "a.spz")
        flip = np.sign(other.means[0] / ours.means[0])  # it may turn the axes
        np.testing.assert_allclose(other.means * flip, ours.means, atol=1e-5)
        np.testing.assert_allclose(other.scales, ours.log_scales, atol=1e-5)
        np.testing.assert_allclose(np.asarray(other.sh0).reshape(-1, 3), ours.sh[:, 0], atol=1e-5)


def test_gsply_reads_compressed_ply_alike(tmp_path, ornament):
    gsply = pytest.importorskip("gsply")
    write_splats(tmp_path / "a.compressed.ply", ornament(1))
    other = gsply.plyread(str(tmp_path / "a.compressed.ply"))
    ours = half_turn(read_splats(tmp_path / "a.compressed.ply"))
    np.testing.assert_allclose(other.means, ours.means, atol=1e-5)
    np.testing.assert_allclose(other.scales, ours.log_scales, atol=1e-5)
    np.testing.assert_allclose(np.abs((other.quats * ours.quats).sum(1)), 1, atol=1e-5)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_ksplat_is_read_alike(tmp_path, level):
    """A file laid down by hand, as no tool here writes the format."""
    namespace: dict = {"__name__": "fuzz_readers"}
    script = Path(__file__).parent.parent / "tools" / "fuzz_readers.py"
    exec(compile(script.read_text(), str(script), "exec"), namespace)
    data = namespace["ksplat"](level, 2, np.random.default_rng(5))
    (tmp_path / "a.ksplat").write_bytes(data)
    convert(tmp_path / "a.ksplat", tmp_path / "theirs.ply")
    ours, theirs = read_splats(tmp_path / "a.ksplat"), read_splats(tmp_path / "theirs.ply")
    np.testing.assert_allclose(ours.means, theirs.means, atol=1e-5)
    np.testing.assert_allclose(ours.log_scales, theirs.log_scales, atol=1e-5)
    np.testing.assert_allclose(ours.quats, theirs.quats, atol=1e-5)
    np.testing.assert_allclose(ours.logit_opacities, theirs.logit_opacities, atol=1e-4)
    np.testing.assert_allclose(ours.sh, theirs.sh, atol=1e-5)
