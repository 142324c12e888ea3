"""Every pair of slot fillers together, on the shipped teacher: Gaussians and a picture.

Twenty rows cover all pairs of (noise, baseline, weight, couple); the first test says so.
"""

from dataclasses import replace
from itertools import combinations, product

import pytest
import torch

from score3d import build
from score3d.config import load_config
from score3d.evaluate.judge import Judge
from score3d.loop import optimise
from score3d.prompts import PromptBook
from score3d.teachers.embedded import EmbeddedTeacher

SLOTS = ("noise", "baseline", "weight", "couple")
NOISES, BASELINES, WEIGHTS, COUPLES = (list(build.SLOTS[s]) for s in SLOTS)
ROWS = [
    (NOISES[(i + j) % 2], baseline, weight, COUPLES[(i + j) % 3])
    for i, baseline in enumerate(BASELINES)
    for j, weight in enumerate(WEIGHTS)
]
PROMPT = "a red mushroom"


def test_the_rows_cover_every_pair():
    seen = {(x, r[x], y, r[y]) for r in ROWS for x, y in combinations(range(4), 2)}
    for x, y in combinations(range(4), 2):
        for a, b in product(build.SLOTS[SLOTS[x]], build.SLOTS[SLOTS[y]]):
            assert (x, a, y, b) in seen, (a, b)


@pytest.fixture(scope="module")
def teacher():
    return EmbeddedTeacher()


@pytest.fixture(scope="module")
def judge():
    return Judge()


class Book(PromptBook):
    """With a source: the plain prompt and gray latents."""

    def at(self, views, opposites=False):
        cond = super().at(views, opposites)
        gray = torch.zeros(len(views), *self.teacher.latent_shape)
        return replace(cond, source=cond.plain, source_latents=gray)


@pytest.mark.parametrize("scene", ["gaussians", "image"])
@pytest.mark.parametrize("row", ROWS, ids="-".join)
def test_five_steps(teacher, judge, scene, row):
    """Finite, not zero, nothing skipped, and the scene has moved."""
    geometry = ["distill.consistency=gradient"] if row[0] == "consistent" else []
    config = load_config(
        None, None,
        ["run.steps=5", "views.count=2", "scene.count=200", "scene.adapt=none",
         "distill.noises_per_view=2", "distill.reward_steps=1", "distill.pair_angle=10",
         f"scene.kind={scene}", *geometry,
         *(f"distill.{s}={name}" for s, name in zip(SLOTS, row, strict=True))],
        {"run": {"prompt": PROMPT}},
    )  # fmt: skip
    build.validate(config, source=True)
    rule = build.build_rule(config, teacher, lambda: judge)
    made = build.build_scene(config, torch.device("cpu"), teacher)
    before = {k: v.detach().clone() for k, v in made.parameters().items()}
    spec = build.build_spec(config, teacher)
    infos = list(optimise(made, teacher, Book(teacher, PROMPT), rule, spec))
    assert [i.step for i in infos] == list(range(5))
    assert not any(i.skipped for i in infos)
    assert all(0 < i.grad_norm < float("inf") for i in infos)
    assert any(not torch.equal(v, before[k]) for k, v in made.parameters().items())
    assert all(torch.isfinite(v).all() for v in made.parameters().values())
