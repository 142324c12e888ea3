"""Threads change the time, never a bit of the result."""

import subprocess
import sys
import threading

import pytest
import torch

from score3d.render import cpu, threads


def gradients(scene, **options):
    inputs, rendered, alphas, _ = scene.render("cpu", torch.float32, **options)
    upstream = torch.randn(rendered.shape, generator=torch.Generator().manual_seed(0))
    ((rendered * upstream).sum() + alphas.sum()).backward()
    return [rendered.detach(), alphas.detach()] + [t.grad for t in inputs.values()]


@pytest.mark.parametrize("cameras", [1, 3])
def test_results_do_not_depend_on_the_number_of_threads(make_scene, monkeypatch, cameras):
    # Small tasks, so that a small scene is really split.
    monkeypatch.setattr(cpu, "GAUSSIAN_GRAIN", 64)
    monkeypatch.setattr(cpu, "PAIR_GRAIN", 64)
    scene = make_scene(0, 700, cameras, 150, 140, sh_degree=1)
    results = []
    for count in (1, 2, 3, 5, 2):
        torch.set_num_threads(count)
        assert len(threads.split(1000, 1000, 64)) == (1 if count == 1 else min(4 * count, 15))
        results.append(gradients(scene))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert torch.equal(a, b)


def test_repeated_runs_are_identical(make_scene):
    scene = make_scene(1, 300, 2, 64, 64)
    first, second = gradients(scene), gradients(scene)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_several_threads_may_render_at_once(make_scene, monkeypatch):
    monkeypatch.setattr(cpu, "GAUSSIAN_GRAIN", 64)
    monkeypatch.setattr(cpu, "PAIR_GRAIN", 64)
    scenes = [make_scene(seed, 200, 2, 40, 40) for seed in range(4)]
    expected = [gradients(scene) for scene in scenes]
    got = [None] * 4

    def work(k):
        for _ in range(5):
            got[k] = gradients(scenes[k])

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for a, b in zip(expected, got, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_every_task_runs_once_and_errors_surface():
    done = []
    threads.run([lambda k=k: done.append(k) for k in range(50)], threads=4)
    assert sorted(done) == list(range(50))

    def fail():
        raise ZeroDivisionError("from a task")

    with pytest.raises(ZeroDivisionError):
        threads.run([fail, fail, fail], threads=3)


def test_ranges_cover_everything_once():
    torch.set_num_threads(3)
    for total in (0, 1, 7, 64, 1001):
        ranges = threads.split(total, total, 10, 8)
        assert [i for a, b in ranges for i in range(a, b)] == list(range(total))
        assert all(a % 8 == 0 for a, _ in ranges)


def test_import_needs_neither_numba_nor_gsplat():
    code = "import sys, score3d.render; print(sorted({'numba', 'gsplat'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
