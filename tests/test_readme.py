"""What the README says is true: its commands exist, its links lead somewhere, its code runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()
# "edit" has commands of its own
COMMANDS = sorted(set(re.findall(r"^score3d ((?:edit )?\w+)", TEXT, re.M)))


def test_links_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        if "://" not in target:
            assert (ROOT / target).exists(), target


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_and_their_options_exist(command):
    line = [sys.executable, "-m", "score3d.cli.main", *command.split(), "--help"]
    out = subprocess.run(line, capture_output=True, text=True)
    assert out.returncode == 0
    used = re.findall(rf"^score3d {command} .*?(--[\w-]+)", TEXT, re.M)
    for option in used:
        assert option in out.stdout, option


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", TEXT, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_the_tree_names_real_things():
    tree = TEXT.split("score3d/\n", 1)[1].split("```", 1)[0]
    for name in re.findall(r"\b(\w+\.py)\b", tree):
        assert list((ROOT / "score3d").rglob(name)), name
    for name in re.findall(r"\b(\w+)/", tree):
        assert list(ROOT.glob(name)) or list((ROOT / "score3d").glob(name)), name


def test_the_library_example_runs():
    code = TEXT.split("```python\n", 1)[1].split("```", 1)[0]
    code = code.replace('("draft", "sds")', '("draft", "sds", ["run.steps=3"])')
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert out.returncode == 0, out.stderr
    assert [line.split()[0] for line in out.stdout.splitlines()] == ["0", "1", "2"]
