"""Any row of slots runs, and continues bit for bit."""

from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import pytest
import torch

from score3d import build
from score3d.config import load_config
from score3d.loop import optimise
from score3d.prompts import PromptBook
from score3d.teachers.gaussian import GaussianTeacher

SLOTS = ("noise", "guide", "baseline", "weight", "couple")


class Teacher(GaussianTeacher):
    """The oracle, which also takes a picture and has a world of one word."""

    capabilities = frozenset({"instruct"})
    world = SimpleNamespace(parse=lambda prompt: SimpleNamespace(noun="thing", colour=None))

    def eps(self, z_t, t, emb, image=None, camera=None):
        shift = 0.0 if image is None else 0.1 * image
        return super().eps(z_t, t, emb) + shift


class Book(PromptBook):
    """With a source and a picture to edit."""

    def at(self, views, opposites=False):
        picture = torch.full((len(views), 3, 8, 8), 0.3)
        cond = super().at(views, opposites)
        return replace(
            cond, source=cond.positive * 0.5, source_latents=picture, image=picture
        )  # fmt: skip


class Judge:
    nouns, colours = ("thing",), ()

    def __call__(self, rgb):
        return SimpleNamespace(noun_probabilities=rgb.mean((1, 2, 3)).unsqueeze(1))


def parts(*settings):
    config = load_config(
        None, None, ["run.steps=6", "run.prompt=thing", "views.resolution=8", "views.count=3",
                     "scene.count=30", "scene.cap=40", "distill.noises_per_view=2",
                     "distill.reward_steps=2", *settings]
    )  # fmt: skip
    teacher = Teacher(torch.full((3, 8, 8), 0.6), 0.2)
    scene = build.build_scene(config, torch.device("cpu"))
    rule = build.build_rule(config, teacher, Judge)
    return scene, teacher, Book(teacher, "x"), rule, build.build_spec(config, teacher)


# the oracle has no network for a student to sit on; test_pairs.py runs it
ROWS = [row for row in product(*(build.SLOTS[slot] for slot in SLOTS)) if "student" not in row]


@pytest.mark.parametrize("row", [row for row in ROWS if row[0] == "iid"], ids="-".join)
def test_every_combination_runs_two_steps(row):
    loop = optimise(*parts(*(f"distill.{s}={name}" for s, name in zip(SLOTS, row, strict=True))))
    for _ in range(2):
        info = next(loop)
        assert not info.skipped
        assert 0 < info.grad_norm < float("inf")


@pytest.mark.parametrize("settings", [(), ("distill.couple=svgd", "distill.weight=reward-best")])
def test_a_rule_that_learns_resumes_bit_for_bit(settings):
    settings = ("distill.baseline=stein", *settings)
    whole = parts(*settings)
    expected = [i.grad_norm for i in optimise(*whole)]
    first, seen = parts(*settings), []
    for info in optimise(*first):
        seen.append(info.grad_norm)
        if info.step == 2:
            break
    saved = {k: v.clone() for k, v in (first[0].state_dict() | first[3].state_dict()).items()}
    second = parts(*settings)
    second[0].load_state_dict(saved)
    second[3].load_state_dict(saved)
    seen += [i.grad_norm for i in optimise(*second, start=3)]
    assert seen == expected
    assert torch.equal(second[3].baseline.moments, whole[3].baseline.moments)
    forgetful = parts(*settings)
    forgetful[0].load_state_dict(saved)
    assert [i.grad_norm for i in optimise(*forgetful, start=3)] != expected[3:]


def test_a_skipped_step_teaches_the_rule_nothing():
    scene, teacher, book, rule, spec = parts("distill.baseline=stein")
    teacher.mean = torch.full((3, 8, 8), float("nan"))
    info = next(optimise(scene, teacher, book, rule, spec))
    assert info.skipped
    assert rule.baseline.moments.tolist() == [0, 0]
