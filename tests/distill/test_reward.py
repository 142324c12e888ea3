"""Reward weights."""

from dataclasses import dataclass, replace

import pytest
import torch

from score3d.distill.baseline.own_noise import own_noise
from score3d.distill.consistency.nothing import nothing
from score3d.distill.couple.independent import independent
from score3d.distill.equation import Rule, distill
from score3d.distill.guide.classifier_free import ClassifierFree
from score3d.distill.noise.iid import iid
from score3d.distill.time_weight import TIME_WEIGHTS
from score3d.distill.weight.denoise import denoise
from score3d.distill.weight.judge_reward import judge_reward
from score3d.distill.weight.mean import mean
from score3d.distill.weight.reward import STRATEGIES, RewardWeighted, best, min_max, softmax
from score3d.draw import DrawSpec, draw_at
from score3d.prompts import Conditioning

SCORES = torch.tensor([[0.1, 3.0, -2.0, 1.0]])


def rule(weight):
    return Rule(
        iid, ClassifierFree(1.0), own_noise, weight, independent, nothing, TIME_WEIGHTS["sds"]
    )  # fmt: skip


def gradient(teacher, weight, noises, order=None):
    z = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(4))
    draw = draw_at(DrawSpec(1, 100, 2, noises, teacher.latent_shape, 8), 0)
    if order is not None:
        draw = replace(draw, noise=draw.noise[:, order])
    cond = Conditioning(torch.ones(2, 1, 1), torch.zeros(2, 1, 1))
    return distill(teacher, z, cond, draw, None, rule(weight))


def brightness(rgb):
    return 100 * rgb.mean((1, 2, 3))  # steep enough for the softmax to choose


def test_weights_of_the_documented_case():
    assert min_max(SCORES)[0].tolist() == pytest.approx([-0.05, 0.45, -0.05, 0.45])
    assert best(SCORES)[0].tolist() == [0, 1, 0, 0]
    assert softmax(SCORES)[0].sum() == pytest.approx(1)
    assert (softmax(SCORES)[0, 1] / softmax(SCORES)[0, 3]).item() == pytest.approx(2.71828**2, 1e-4)


@pytest.mark.parametrize(
    ("noises", "expected"),
    [(1, [1.0]), (2, [0.9, -0.1]), (3, [0.9, 0.0, -0.1]), (5, [0.45, 0.45, 0.0, -0.05, -0.05])],
)
def test_min_max_of_other_counts(noises, expected):
    scores = -torch.arange(noises).float().unsqueeze(0)
    assert min_max(scores)[0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("strategy", STRATEGIES.values())
def test_equal_scores_get_equal_weights(strategy):
    weights = strategy(torch.tensor([[1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 0.0, 0.0]]))
    assert weights[0].std() < 1e-7
    assert weights[1, 0] == weights[1, 1] > weights[1, 2] == weights[1, 3]


@pytest.mark.parametrize("strategy", STRATEGIES.values())
def test_weights_are_rows_of_their_own_and_permute_with_the_scores(strategy):
    scores = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    assert torch.allclose(strategy(scores[:, order]), strategy(scores)[:, order])
    assert torch.allclose(strategy(scores[1:2]), strategy(scores)[1:2])


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_the_order_of_the_noises_does_not_matter(gaussian_teacher, name):
    """Sums in another order: 1e-5."""
    weight = RewardWeighted(STRATEGIES[name], brightness)
    a = gradient(gaussian_teacher, weight, 4)
    b = gradient(gaussian_teacher, weight, 4, torch.tensor([3, 1, 0, 2]))
    assert torch.allclose(a, b, atol=1e-5)
    assert not torch.allclose(a, gradient(gaussian_teacher, mean, 4), atol=1e-3)


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_one_noise_is_sds(gaussian_teacher, name):
    weight = RewardWeighted(STRATEGIES[name], brightness)
    assert torch.equal(
        gradient(gaussian_teacher, weight, 1), gradient(gaussian_teacher, mean, 1)
    )  # fmt: skip


def test_a_reward_that_likes_all_alike_is_sds_times_the_sum_of_the_weights(gaussian_teacher):
    sds = gradient(gaussian_teacher, mean, 4)
    for name, total in (("min-max", 0.8), ("best", 1.0), ("softmax", 1.0)):
        weight = RewardWeighted(STRATEGIES[name], lambda rgb: torch.zeros(len(rgb)))
        g = gradient(gaussian_teacher, weight, 4)
        assert torch.allclose(g, total * sds, atol=1e-5)


def test_what_is_scored_is_the_predicted_picture(gaussian_teacher):
    """x0 of N(m, s^2) is (s^2 alpha z_t + sigma^2 m) / (alpha^2 s^2 + sigma^2)."""
    seen = []
    weight = RewardWeighted(best, lambda rgb: (seen.append(rgb), rgb.mean((1, 2, 3)))[1])
    gradient(gaussian_teacher, weight, 4)
    z = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(4))
    draw = draw_at(DrawSpec(1, 100, 2, 4, gaussian_teacher.latent_shape, 8), 0)
    alpha, sigma = gaussian_teacher.schedule.alpha_sigma(draw.t, z)
    z_t = alpha[:, None] * z[:, None] + sigma[:, None] * draw.noise
    bottom = (alpha**2 * 0.09 + sigma**2)[:, None]
    expected = (0.09 * alpha[:, None] * z_t + sigma[:, None] ** 2 * gaussian_teacher.mean) / bottom
    assert torch.allclose(seen[0].view(2, 4, 3, 8, 8), expected.clamp(0, 1), atol=1e-4)


def test_a_broken_score_is_not_hidden(gaussian_teacher):
    weight = RewardWeighted(best, lambda rgb: torch.full((len(rgb),), float("nan")))
    assert gradient(gaussian_teacher, weight, 4).isnan().all()


@dataclass
class Said:
    noun_probabilities: torch.Tensor
    colour_probabilities: torch.Tensor


class TwoNouns:
    nouns, colours = ("cat", "dog"), ("red",)

    def __call__(self, rgb):
        return Said(torch.tensor([[0.2, 0.8], [1.0, 0.0]]), torch.tensor([[0.5], [1.0]]))


def test_judge_reward_is_the_log_probability():
    rgb = torch.zeros(2, 3, 8, 8)
    both = judge_reward(TwoNouns(), "dog", "red")(rgb)
    assert both[0].exp().item() == pytest.approx(0.4)
    assert both[1].isfinite()
    assert judge_reward(TwoNouns(), "cat", None)(rgb)[1].item() == 0
    with pytest.raises(ValueError, match="does not know red cow"):
        judge_reward(TwoNouns(), "cow", "red")


def test_the_shipped_judge_fits():
    from score3d.evaluate.judge import Judge

    scores = judge_reward(Judge(), "mushroom", "red")(torch.rand(3, 3, 64, 64))
    assert scores.shape == (3,)
    assert (scores <= 0).all()


# ---- from noisy latents to what is scored ----------------------------------------------------


def asked_at(teacher, t, guide=None, noises=1):
    from score3d.distill.equation import ask

    z = torch.rand(2, *teacher.latent_shape, generator=torch.Generator().manual_seed(4))
    draw = draw_at(DrawSpec(1, 100, 2, noises, teacher.latent_shape, 8), 0)
    draw = replace(draw, t=torch.tensor(t))
    cond = Conditioning(torch.ones(2, 1, 1), torch.zeros(2, 1, 1))
    slots = rule(mean)
    return ask(teacher, z, cond, draw, None, replace(slots, guide=guide or slots.guide))


def test_no_steps_is_the_one_step_prediction(gaussian_teacher):
    asked = asked_at(gaussian_teacher, [0.3, 0.8], noises=3)
    alpha, sigma = gaussian_teacher.schedule.alpha_sigma(asked.noisy.t, asked.said)
    expected = (asked.noisy.z_t - sigma * asked.said) / alpha
    assert torch.equal(denoise(gaussian_teacher, ClassifierFree(1.0), asked, 0), expected)


@pytest.mark.parametrize("steps", [5, 10])
def test_the_chain_is_diffusers_ddim(gaussian_teacher, steps):
    """eta 0, from the top of its own grid (1e-4, float32 over ten steps)."""
    from diffusers import DDIMScheduler

    teacher, guide = gaussian_teacher, ClassifierFree(7.5)
    scheduler = DDIMScheduler(
        1000, 0.00085, 0.012, "scaled_linear", clip_sample=False, set_alpha_to_one=True,
        timestep_spacing="leading",
    )  # fmt: skip
    scheduler.set_timesteps(steps)
    top = int(scheduler.timesteps[0])
    asked = asked_at(teacher, [(top + 0.5) / 1000] * 2, guide)
    z = asked.noisy.z_t
    for step in scheduler.timesteps:
        t = torch.full((2,), (int(step) + 0.5) / 1000)
        z = scheduler.step(guide(teacher, z, t, asked.noisy.cond), step, z).prev_sample
    assert torch.allclose(denoise(teacher, guide, asked, steps), z, atol=1e-4)


def test_each_row_starts_at_its_own_time(gaussian_teacher):
    """The guide is asked once per row and time below it: 5 and 10 of ten."""
    rows = []

    class Counting(ClassifierFree):
        def __call__(self, teacher, z_t, t, cond):
            rows.append(len(t))
            return super().__call__(teacher, z_t, t, cond)

    both = asked_at(gaussian_teacher, [0.45, 0.95])
    out = denoise(gaussian_teacher, Counting(7.5), both, 10)
    assert sum(rows) == 5 + 10  # the times 0, 0.1 .. below each
    for i, t in enumerate((0.45, 0.95)):
        alone = asked_at(gaussian_teacher, [t, t])
        assert torch.allclose(
            out[i], denoise(gaussian_teacher, ClassifierFree(7.5), alone, 10)[i], atol=1e-5
        )


def test_the_chain_tells_noises_apart_where_one_step_does_not():
    """Two bumps: a mixture's one-step x0 at high t is the average of both, whatever the noise;
    the chain ends in one of them."""

    class TwoBumps:
        from score3d.schedule import NoiseSchedule

        schedule, latent_shape = NoiseSchedule.scaled_linear(), (1, 2, 2)

        def eps(self, z_t, t, emb, image=None, camera=None):
            alpha, sigma = self.schedule.alpha_sigma(t, z_t)
            dot = (alpha * z_t / sigma**2).sum((1, 2, 3), keepdim=True)
            return (z_t - alpha * dot.tanh()) / sigma  # E[x0] of +-1 at equal odds

    teacher = TwoBumps()
    asked = asked_at(teacher, [0.97, 0.97], noises=32)
    one = denoise(teacher, ClassifierFree(1.0), asked, 0).mean((1, 2, 3))
    chain = denoise(teacher, ClassifierFree(1.0), asked, 30).mean((1, 2, 3))
    assert one.abs().max() < 0.5
    assert (chain.abs() > 0.9).float().mean() > 0.8
    assert chain.min() < 0 < chain.max()


def test_a_chain_needs_a_guide(gaussian_teacher):
    with pytest.raises(ValueError, match="needs the rule's guide"):
        gradient(gaussian_teacher, RewardWeighted(min_max, brightness, None, 3), 4)
