"""Imports point one way, and heavy ones wait until they are needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "score3d"

# Layer of each part: a module may import its own part and parts below it.
BELOW = {
    "cli": {"*"},
    "checkpoints": {"build", "config"},
    "edit": {"build", "cameras", "checkpoints", "config", "distill", "draw", "evaluate", "files",
             "follow", "loop", "prior", "prompts", "render", "report", "runs", "scenes",
             "teachers"},
    "generate": {"build", "follow", "loop", "runs", "files", "evaluate", "config", "cameras",
                 "prompts", "report", "scenes", "teachers"},
    "follow": {"config", "distill", "draw", "loop", "prompts", "runs", "scenes", "teachers"},
    "build": {"build_prior", "build_rewards", "config", "distill", "draw", "evaluate", "files",
              "scenes", "teachers"},
    "build_rewards": {"config", "distill", "evaluate"},
    "build_prior": {"cameras", "config", "distill", "evaluate", "files", "prior", "resources",
                    "scenes", "teachers"},
    "prior": {"config", "files", "resources", "schedule", "teachers", "world"},
    "loop": {"distill", "draw", "prompts", "scenes", "teachers"},
    "prompts": {"cameras", "teachers", "world"},
    "distill": {"cameras", "draw", "prompts", "schedule", "teachers"},
    "scenes": {"cameras", "draw", "files", "render"},
    "teachers": {"articles", "cameras", "resources", "schedule"},
    "evaluate": {"cameras", "files", "render", "resources", "scenes", "teachers", "world"},
    "world": {"articles", "cameras", "render"},
    "compress": {"cameras", "files", "refine", "scenes"},
    "refine": {"cameras", "files", "render", "rounding", "scenes"},
    "rounding": {"files"},
    "batch": {"files", "report", "runs"},
    "report": {"citations", "config", "files", "runs"},
    "runs": {"files"},
    "files": set(),
    "draw": {"cameras"},
    "config": {"resources", "settings"},
    "settings": set(),
    "recipes": {"config", "resources"},
    "render": set(),
    "schedule": set(),
    "cameras": set(),
    "resources": set(),
    "articles": set(),
    "citations": {"config", "resources"},
}  # fmt: skip


def parts_imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "score3d":
                names = [f"score3d.{a.name}" for a in node.names]
        elif isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        found |= {n.split(".")[1] for n in names if n.startswith("score3d.")}
    return found


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_imports_point_down(path):
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if part == "__init__":
        assert not parts_imported(path)
        return
    allowed = BELOW[part] | {part}
    wrong = set() if "*" in allowed else parts_imported(path) - allowed
    assert not wrong, f"{part} must not import {wrong}"


def test_only_build_and_tools_know_concrete_losses():
    for path in (PACKAGE / "loop.py", PACKAGE / "distill" / "equation.py"):
        text = path.read_text()
        assert "own_noise" not in text
        assert "classifier_free" not in text


def loaded(code: str) -> set[str]:
    script = f"{code}\nimport sys; print(' '.join(sorted(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(out.stdout.split())


def test_the_command_line_does_not_import_torch():
    modules = loaded("import score3d.cli.main")
    assert (
        not {"torch", "numba", "diffusers", "transformers", "gsplat", "trimesh", "numpy"} & modules
    )


def test_rendering_does_not_import_backends_early():
    assert not {"gsplat", "numba"} & loaded("import score3d.render")


def test_files_stay_readable():
    long = {
        p.name: n for p in PACKAGE.rglob("*.py") if (n := len(p.read_text().splitlines())) > 420
    }
    assert not long, f"over about 400 lines: {long}"


def test_no_utils():
    assert not list(PACKAGE.rglob("utils.py"))
