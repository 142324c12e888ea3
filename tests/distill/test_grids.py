"""Losses with a teacher that looks at four views at once."""

from dataclasses import replace

import pytest
import torch

from score3d import build
from score3d.config import load_config
from score3d.distill.equation import ask
from score3d.distill.weight.denoise import denoise
from score3d.distill.weight.reward import RewardWeighted, min_max
from score3d.draw import draw_at
from score3d.evaluate.judge import Judge
from score3d.loop import optimise
from score3d.prompts import PromptBook
from score3d.teachers.embedded import EmbeddedTeacher
from score3d.teachers.grid import GridTeacher

PROMPT = "a red mushroom"


@pytest.fixture(scope="module")
def single():
    return EmbeddedTeacher()


def parts(single, loss, *settings):
    config = load_config(
        None, loss, ["run.steps=2", "views.count=8", "scene.count=100", "scene.adapt=none",
                     "distill.reward_steps=2", *settings],
        {"run": {"prompt": PROMPT}},
    )  # fmt: skip
    assert build.asks_grids(config, single)
    teacher = GridTeacher(single, config.distill.noises_per_view)
    rule = build.build_rule(config, teacher, Judge)
    scene = build.build_scene(config, torch.device("cpu"), teacher)
    return scene, teacher, PromptBook(teacher, PROMPT), rule, build.build_spec(config, teacher)


@pytest.mark.parametrize(
    ("loss", "settings"),
    [
        ("vsd", ()),
        ("vsd", ("distill.noises_per_view=3",)),
        ("vsd", ("run.particles=2", "views.count=4", "distill.couple=svgd")),
        ("reward-vsd", ("distill.noises_per_view=2",)),
        ("sds", ("distill.noise=consistent", "distill.couple=upgrad")),
        ("csd", ()),
    ],
)
def test_two_steps(single, loss, settings):
    infos = list(optimise(*parts(single, loss, *settings)))
    assert [i.skipped for i in infos] == ["", ""]
    assert all(0 < i.grad_norm < float("inf") for i in infos)


@pytest.mark.parametrize("samples", [1, 3])
def test_the_first_student_is_the_teacher_and_every_factor_learns(single, samples):
    _, teacher, _, rule, spec = parts(single, "vsd", f"distill.noises_per_view={samples}")
    rows = 8 * samples
    z = torch.randn(rows, *teacher.latent_shape, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0.3, 0.7]).repeat_interleave(4 * samples)
    emb = teacher.embed([f"{PROMPT}, four views"]).expand(rows, -1, -1)
    camera = torch.randn(rows, 16, generator=torch.Generator().manual_seed(1))
    network = rule.baseline.network
    said = network.eps(z, t, emb, camera, samples)
    assert torch.equal(said.detach(), teacher.eps(z, t, emb))
    said.square().mean().backward()
    assert all(p.grad is not None for p in network.parameters().values())
    assert not any(
        p.grad is not None for n, p in single.unet.named_parameters() if "student" not in n
    )
    assert spec.ring == 4


def test_the_plain_prompt_still_says_four_views(single):
    _, teacher, book, _, spec = parts(single, "vsd")
    cond = book.at(draw_at(spec, 0).views)
    assert torch.equal(cond.plain[:1], teacher.embed([f"{PROMPT}, four views"]))


def test_a_grid_is_scored_as_one(single):
    """All its views get the same weights: of the mean over the grid."""
    _, teacher, book, rule, spec = parts(single, "sds", "distill.noises_per_view=4")
    draw = draw_at(spec, 0)
    z = torch.randn(8, *teacher.latent_shape, generator=torch.Generator().manual_seed(0))
    asked = ask(teacher, z, book.at(draw.views), draw, None, rule)
    brightness = lambda rgb: rgb.mean((1, 2, 3))  # noqa: E731
    out = RewardWeighted(min_max, brightness, rule.guide, 0, joint=4)(teacher, asked)
    scores = brightness(teacher.decode(denoise(teacher, rule.guide, asked, 0))).view(2, 4, 4)
    weights = min_max(scores.mean(1)).repeat_interleave(4, 0)
    expected = (weights[:, :, None, None, None] * asked.r).sum(1)
    assert torch.allclose(out, expected, atol=1e-5)
    alone = RewardWeighted(min_max, brightness, rule.guide, 0)(teacher, asked)
    assert not torch.allclose(out, alone, atol=1e-3)


def test_a_chain_of_grids_whose_times_differ(single):
    """Each grid alone gives the same pictures as both together (1e-3: other batch sizes)."""
    _, teacher, book, rule, spec = parts(single, "sds", "distill.noises_per_view=2")
    draw = draw_at(spec, 0)
    assert draw.t[0] != draw.t[4]
    z = torch.randn(8, *teacher.latent_shape, generator=torch.Generator().manual_seed(0))
    cond = book.at(draw.views)
    both = denoise(teacher, rule.guide, ask(teacher, z, cond, draw, None, rule), 5)
    for rows in (slice(0, 4), slice(4, 8)):
        own = replace(
            draw, views=draw.views[rows], t=draw.t[rows], noise=draw.noise[rows],
            background=draw.background[rows],
        )  # fmt: skip
        some = cond.rows(torch.arange(8)[rows])
        alone = denoise(teacher, rule.guide, ask(teacher, z[rows], some, own, None, rule), 5)
        assert torch.allclose(alone, both[2 * rows.start : 2 * rows.stop], atol=1e-3)
