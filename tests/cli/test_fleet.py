"""Batches on a real Ray cluster: two nodes on this machine, of which one is killed half-way.

SCORE3D_FLEET=10 makes ten assets there instead of three."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from score3d.runs.folder import slug

pytest.importorskip("ray")
pytest.importorskip("ray.cluster_utils")

TINY = ["--preset", "draft", "--set", "output.turntable_views=2", "--set", "output.picture_size=32",
        "--set", "output.mesh_resolution=16", "--set", "run.checkpoint_every=5"]  # fmt: skip


@pytest.fixture
def cluster(monkeypatch):
    """A head and a second node, a run's claim each."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.other = made.add_node(num_cpus=1)
    yield made
    made.shutdown()


def start(cluster, prompts, out, *more):
    return subprocess.Popen(
        [sys.executable, "-m", "score3d.cli.main", "batch", str(prompts), "--out", str(out),
         "--ray", cluster.address, "--ray-cpus", "1", *TINY, *map(str, more)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def checkpointed(out, prompts):
    return [p for p in prompts if list((out / slug(p) / "checkpoint").glob("step-*"))]


def wait_for(condition, process, seconds=240):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.timeout(900)
def test_a_lost_node_loses_no_prompt(cluster, tmp_path):
    colours = ("red", "blue", "green", "white", "black", "pink", "orange", "purple", "gray", "cyan")
    good = [f"a {c} cube" for c in colours[: int(os.environ.get("SCORE3D_FLEET", "3"))]]
    file, out = tmp_path / "prompts.txt", tmp_path / "out"
    file.write_text("\n".join([*good, "a purple zeppelin", good[0]]))
    process = start(cluster, file, out, "--steps", 60)
    wait_for(lambda: len(checkpointed(out, good)) >= 2, process)
    cluster.remove_node(cluster.other, allow_graceful=False)
    said, errors = process.communicate(timeout=800)
    assert process.returncode == 1, errors
    assert f"{len(good)} complete, 2 failed" in said
    rows = {r["line"]: r for r in json.loads((out / "summary.json").read_text())["runs"]}
    assert "zeppelin" in rows[len(good) + 1]["error"]
    assert "line 1" in rows[len(good) + 2]["error"]
    resumed = 0
    for prompt in good:
        summary = json.loads((out / slug(prompt) / "summary.json").read_text())
        lines = (out / slug(prompt) / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == list(range(60))
        resumed += summary.get("resumed_at", 0) >= 5
    assert resumed >= 1  # the one that was on the lost node


@pytest.mark.timeout(300)
def test_a_stopped_fleet_leaves_everything_in_order(cluster, tmp_path):
    file, out = tmp_path / "prompts.txt", tmp_path / "out"
    file.write_text("a red cube\na blue cone\na green sphere")
    process = start(cluster, file, out, "--steps", 5000)
    wait_for(lambda: len(checkpointed(out, ["a red cube", "a blue cone"])) == 2, process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=150)
    assert process.returncode == 130, errors
    assert "go on with --resume" in errors
    runs = json.loads((out / "summary.json").read_text())["runs"]
    assert [r["status"] for r in runs] == ["interrupted", "interrupted"]
    for row in runs:
        assert (out / row["folder"] / "scene.ply").exists()
    assert os.listdir(out)


def test_no_cluster_is_one_line(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("a red cube")
    done = subprocess.run(
        [sys.executable, "-m", "score3d.cli.main", "batch", str(file), "--out",
         str(tmp_path / "out"), "--ray", "127.0.0.1:1"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert "no Ray cluster at '127.0.0.1:1'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
