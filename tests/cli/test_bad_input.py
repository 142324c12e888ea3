"""Bad input: one clear line, exit code 2 for usage and 1 for failure, nothing lost."""

import subprocess
import sys

import pytest


def run(*arguments, cwd=None):
    command = [sys.executable, "-m", "score3d.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)


def one_line(result):
    """The one line that speaks of the error; progress lines may stand before it."""
    lines = [line for line in result.stderr.splitlines() if line.startswith("score3d: ")]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["generate", ""], 2, "the prompt is empty"),
        (["generate", "   "], 2, "the prompt is empty"),
        (["generate", "a red mushroom " * 700], 2, "the prompt has 10499 characters"),
        (["generate", "a 🍄"], 2, "does not know '🍄'"),
        (["generate", "a red zeppelin"], 2, "does not know 'zeppelin'"),
        (["generate", "a red mushrom"], 2, "did you mean 'mushroom'"),
        (["generate", "a red"], 2, "draws one object"),
        (["generate", "a red cube and a blue cone"], 2, "does not know 'and'"),
        (["generate", "a red cube", "--negative", "ugly"], 2, "does not know 'ugly'"),
        (["generate", "a red cube", "--preset", "standart"], 2, "did you mean 'standard'"),
        (["generate", "a red cube", "--loss", "sdss"], 2, "did you mean 'sds'"),
        (["generate", "a red cube", "--loss", "dds"], 2, "edits something that exists"),
        (["generate", "a red cube", "--loss", "pds"], 2, "baseline 'pds' edits"),
        (["generate", "a red cube", "--loss", "csd-edit"], 2, "edits something that exists"),
        (
            ["generate", "a red cube", "--set", "distill.guide=instruct-pix2pix"],
            2,
            "edits something",
        ),
        (["generate", "a red cube", "--loss", "gsd", "--set", "views.count=3"], 2, "must be even"),
        (["generate", "a red cube", "--particles", "0"], 2, "greater than or equal to 1"),
        (["cite", "nowhere"], 2, "no such run folder"),
        (["generate", "a red cube", "--teacher", "embeded"], 2, "did you mean 'embedded'"),
        (["generate", "a red cube", "--scene", "gausians"], 2, "did you mean 'gaussians'"),
        (["generate", "a red cube", "--set", "scene.cuont=5"], 2, "did you mean 'count'"),
        (["generate", "a red cube", "--set", "count"], 2, "expected section.key=value"),
        (["generate", "a red cube", "--steps", "0"], 2, "greater than or equal to 1"),
        (["generate", "a red cube", "--device", "cuda:77x"], 2, "unknown device"),
        (["generate", "a red cube", "--max-minutes", "-1"], 2, "must be positive"),
        (["generate", "--resume", "nowhere"], 2, "no run at nowhere"),
        (["generate", "a red cube", "--resume", "nowhere"], 2, "with its own settings"),
        (["teachers", "nobody"], 2, "unknown teacher"),
        (["export", "nowhere", "x.ply"], 2, "no such file or run folder"),
        (["export", "nowhere", "x.fbx"], 2, "a scene can be written as .ply, .compressed.ply"),
        (["export", "nowhere", "x.ply", "--as", "voxels"], 2, "known: splats, mesh"),
        (["render", "nowhere", "x.jpg"], 2, "write .png for one view"),
        (["render", "nowhere", "x.png", "--size", "3"], 2, "--size is 8 to 4096"),
    ],
)
def test_one_clear_line(arguments, code, says, tmp_path):
    result = run(*arguments, cwd=tmp_path)
    assert says in one_line(result)
    assert result.returncode == code
    assert not (tmp_path / "runs").exists() or not any((tmp_path / "runs").iterdir())


def test_an_existing_folder_is_refused(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "thesis.txt").write_text("mine")
    result = run("generate", "a red cube", "--out", tmp_path / "x")
    assert "--overwrite" in one_line(result)
    assert result.returncode == 2
    result = run("generate", "a red cube", "--out", tmp_path / "x", "--overwrite")
    assert "does not look like a run" in one_line(result)
    assert (tmp_path / "x" / "thesis.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_written():
    result = run("generate", "a red cube", "--out", "/proc/score3d/x")
    assert "/proc/score3d" in one_line(result)
    assert result.returncode == 2


def test_resuming_what_is_not_a_run(tmp_path):
    result = run("generate", "--resume", tmp_path)
    assert "no config.toml" in one_line(result)
    assert result.returncode == 2


def test_not_a_splat_file(tmp_path):
    (tmp_path / "x.ply").write_text("hello")
    result = run("export", tmp_path / "x.ply", tmp_path / "y.glb")
    assert "x.ply" in one_line(result)
    assert result.returncode == 2
    assert not (tmp_path / "y.glb").exists()


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "x.png").write_text("mine")
    result = run("render", "nowhere", tmp_path / "x.png")
    assert "--overwrite" in one_line(result)
    assert (tmp_path / "x.png").read_text() == "mine"


def test_debug_shows_the_traceback():
    result = run("generate", "", "--debug")
    assert "Traceback" in result.stderr


def test_help_is_quick():
    import time

    times = []
    for _ in range(3):
        start = time.perf_counter()
        assert run("--help").returncode == 0
        times.append(time.perf_counter() - start)
    assert min(times) < 0.5
