"""Checkpoints: exact, and never lost to damage, a full disk or a kill."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from score3d.runs import checkpoint as module
from score3d.runs.checkpoint import CheckpointError, load_checkpoint, save_checkpoint


def tensors(step: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    return {"means": torch.randn(50, 3, generator=generator), "step": torch.tensor(step)}


def save(folder: Path, step: int) -> Path:
    return save_checkpoint(folder, step, tensors(step), {"step_again": step})


def assert_is(found: module.Checkpoint, step: int) -> None:
    assert found.step == step
    assert found.meta == {"step_again": step}
    assert torch.equal(found.tensors["means"], tensors(step)["means"])


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_keeps_bits_dtypes_and_shapes(tmp_path: Path) -> None:
    base = torch.arange(24, dtype=torch.float64).reshape(4, 6)
    given = {
        "strided": base.t()[::2],
        "view of the same": base[1:3],
        "empty": torch.empty(0, 3, dtype=torch.bfloat16),
        "scalar": torch.tensor(7, dtype=torch.int64),
        "flags": torch.tensor([True, False]),
        "half": torch.tensor([1e-7, 65504.0], dtype=torch.float16),
        "nan": torch.tensor([float("nan"), -0.0, float("inf")]),
        "rng": torch.Generator().get_state(),
        "leaf": torch.ones(2, requires_grad=True),
        "double name": base,
        "name with/slash ü": base[0],
    }
    meta = {"lr": 0.1 + 0.2, "nested": [1, {"x": None}], "tiny": 5e-324}
    save_checkpoint(tmp_path, 3, given, meta)
    found = load_checkpoint(tmp_path)
    assert (found.step, found.meta, found.notes) == (3, meta, ())
    assert found.tensors.keys() == given.keys()
    for name, tensor in given.items():
        assert found.tensors[name].dtype == tensor.dtype, name
        assert found.tensors[name].shape == tensor.shape, name
        a, b = found.tensors[name], tensor.detach().contiguous()
        assert a.reshape(-1).view(torch.uint8).equal(b.reshape(-1).view(torch.uint8)), name
    found.tensors["strided"][0] = 9  # writable, and not the file


def test_no_tensors_and_no_meta(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "made" / "here", 0, {}, {})
    found = load_checkpoint(tmp_path / "made" / "here")
    assert (found.step, found.tensors, found.meta) == (0, {}, {})


def test_keeps_two_and_clears_leftovers(tmp_path: Path) -> None:
    for step in (10, 20, 30, 1_000_000):
        (tmp_path / ".tmp-left" / "deep").mkdir(parents=True, exist_ok=True)
        (tmp_path / "notes.txt").write_text("mine")
        save(tmp_path, step)
    assert names(tmp_path) == ["notes.txt", "step-000030", "step-1000000"]
    assert_is(load_checkpoint(tmp_path), 1_000_000)


def test_files_are_named_as_documented(tmp_path: Path) -> None:
    path = save(tmp_path, 30)
    assert path == tmp_path / "step-000030"
    assert names(path) == ["meta.json", "tensors.safetensors"]
    assert len(json.loads((path / "meta.json").read_text())["tensors_sha256"]) == 64


def damage(path: Path, how: str) -> None:
    file = path / ("meta.json" if how.startswith("meta") else "tensors.safetensors")
    data = bytearray(file.read_bytes())
    match how.split()[1]:
        case "cut":
            file.write_bytes(data[: len(data) // 2])
        case "empty":
            file.write_bytes(b"")
        case "gone":
            file.unlink()
        case "flip":
            data[len(data) * 3 // 4] ^= 1
            file.write_bytes(data)
        case "step":  # still valid JSON
            file.write_bytes(bytes(data).replace(b'"step": 20', b'"step": 21'))
        case "format":
            file.write_bytes(b'{"format": 99}')
        case "list":
            file.write_bytes(b"[1]")


DAMAGE = ["tensors cut", "tensors empty", "tensors gone", "tensors flip", "meta cut", "meta empty"]
DAMAGE += ["meta gone", "meta flip", "meta step", "meta format", "meta list"]


@pytest.mark.parametrize("how", DAMAGE)
def test_falls_back_and_says_so(tmp_path: Path, how: str) -> None:
    save(tmp_path, 10)
    newest = save(tmp_path, 20)
    damage(newest, how)
    found = load_checkpoint(tmp_path)
    assert_is(found, 10)
    assert len(found.notes) == 1
    assert str(newest) in found.notes[0]
    assert "\n" not in found.notes[0]


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    save(tmp_path, 10)
    newest = save(tmp_path, 20)
    for file in sorted(newest.iterdir()):
        good = file.read_bytes()
        for at in range(0, len(good), 7):
            bad = bytearray(good)
            bad[at] ^= 1 << (at % 8)
            file.write_bytes(bad)
            found = load_checkpoint(tmp_path)
            # a space more or less in the JSON is the only change that may pass, unchanged
            if found.step == 20:
                assert file.name == "meta.json"
                assert_is(found, 20)
            else:
                assert_is(found, 10)
        file.write_bytes(good)


@pytest.mark.parametrize("how", DAMAGE)
def test_none_valid_is_one_line(tmp_path: Path, how: str) -> None:
    damage(save(tmp_path, 20), how)
    with pytest.raises(CheckpointError, match="no usable checkpoint") as raised:
        load_checkpoint(tmp_path)
    assert "\n" not in str(raised.value)


def test_none_at_all(tmp_path: Path) -> None:
    (tmp_path / "step-abc").mkdir()
    (tmp_path / "step-000007").write_text("a file")
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(CheckpointError, match="no checkpoint in"):
            load_checkpoint(folder)


def test_rewound_run_replaces_what_came_after(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        save(tmp_path, step)
    damage(tmp_path / "step-000030", "tensors flip")
    assert load_checkpoint(tmp_path).step == 20
    save(tmp_path, 25)
    assert names(tmp_path) == ["step-000020", "step-000025"]


def test_the_one_kept_before_is_a_valid_one(tmp_path: Path) -> None:
    save(tmp_path, 10)
    damage(save(tmp_path, 20), "tensors cut")
    save(tmp_path, 30)
    assert names(tmp_path) == ["step-000010", "step-000030"]


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    save(tmp_path, 10)
    save_checkpoint(tmp_path, 10, {}, {"second": True})
    assert load_checkpoint(tmp_path).meta == {"second": True}
    assert names(tmp_path) == ["step-000010"]


def test_killed_while_replacing_a_step(tmp_path: Path) -> None:
    """Between the two renames only the old one is there, under its other name."""
    os.replace(save(tmp_path, 10), tmp_path / "step-000010-replaced")
    assert_is(load_checkpoint(tmp_path), 10)
    save(tmp_path, 20)
    assert names(tmp_path) == ["step-000010-replaced", "step-000020"]


@pytest.mark.parametrize(
    "call", ["fsync", "replace", "mkdir", "write_text", "save_file", "safetensors"]
)
def test_full_disk_leaves_the_previous_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    import safetensors.torch

    folder = tmp_path / "checkpoint"
    save(folder, 10)
    before = names(folder)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    def full_in_rust(*_: object, **__: object) -> None:
        raise safetensors.SafetensorError("Error while serializing: IoError(No space left)")

    match call:
        case "fsync" | "replace":
            monkeypatch.setattr(os, call, full)
        case "mkdir" | "write_text":
            monkeypatch.setattr(Path, call, full)
        case "save_file":
            monkeypatch.setattr(safetensors.torch, "save_file", full)
        case "safetensors":
            monkeypatch.setattr(safetensors.torch, "save_file", full_in_rust)
    with pytest.raises(CheckpointError, match=r"step-000020 \(0\.0 MB\): .*No space") as raised:
        save(folder, 20)
    assert "\n" not in str(raised.value)
    monkeypatch.undo()
    assert names(folder) == before
    assert_is(load_checkpoint(folder), 10)


@pytest.mark.skipif(os.name == "nt", reason="no RLIMIT_FSIZE")
def test_file_size_limit_of_the_system(tmp_path: Path) -> None:
    """A real failed write, inside safetensors."""
    save(tmp_path, 10)
    code = (
        "import resource, sys, torch\n"
        "from score3d.runs.checkpoint import CheckpointError, save_checkpoint\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    save_checkpoint(sys.argv[1], 20, {'a': torch.ones(1_000_000)}, {})\n"
        "except CheckpointError as error:\n"
        "    print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "(4.0 MB)" in result.stdout
    assert names(tmp_path) == ["step-000010"]
    assert_is(load_checkpoint(tmp_path), 10)


def test_meta_that_is_not_json_changes_nothing(tmp_path: Path) -> None:
    save(tmp_path, 10)
    with pytest.raises(TypeError):
        save_checkpoint(tmp_path, 20, {}, {"bad": object()})
    assert names(tmp_path) == ["step-000010"]


def save_for_ever(folder: Path, start: int) -> None:
    torch.set_num_threads(1)
    for step in range(start, start + 10_000):
        save_checkpoint(folder, step, {"x": torch.full((100_000,), float(step))}, {"n": step})


@pytest.mark.skipif(os.name == "nt", reason="no fork and no SIGKILL")
def test_kill_at_any_moment_is_loadable(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    context = multiprocessing.get_context("fork")
    step = 0
    save_checkpoint(tmp_path, step, {"x": torch.zeros(100_000)}, {"n": 0})
    for _ in range(25):
        child = context.Process(target=save_for_ever, args=(tmp_path, step + 1))
        child.start()
        time.sleep(rng.uniform(0.02, 0.25))
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        found = load_checkpoint(tmp_path)
        assert found.step >= step
        assert found.notes == ()
        assert found.meta == {"n": found.step}
        assert bool((found.tensors["x"] == found.step).all())
        step = found.step
    assert step > 25
    save_checkpoint(tmp_path, step + 1, {}, {})
    assert len(names(tmp_path)) == 2


def test_loading_survives_a_vanished_folder(tmp_path: Path) -> None:
    save(tmp_path, 10)
    found = load_checkpoint(tmp_path)
    shutil.rmtree(tmp_path)
    assert_is(found, 10)
