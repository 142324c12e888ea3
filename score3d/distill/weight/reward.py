"""RewardSDS: noises whose denoised picture scores well count more (Chachy et al. 2025,
arXiv 2503.09601).

    r_i = sum_s W_is r_is,      W_i = strategy(R_i1 .. R_iS),   R_is = reward(decode(x0_is))

x0 is the end of a DDIM chain on a grid of 15 times in the paper (`steps` = 15); with `steps` = 0
it is the one-step prediction (z_t - sigma e) / alpha, a deviation that costs a decode and no pass
of the teacher, and tells noises apart poorly at high t. Negative weights are true ascent on the
worst noises' residual. Views that the teacher denoises as one (a grid) are scored as one, by their
mean, as the authors do for MVDream.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from score3d.distill.equation import Asked, Guide
from score3d.distill.weight.denoise import denoise
from score3d.teachers.base import Teacher

__all__ = ["STRATEGIES", "Reward", "RewardWeighted", "best", "min_max", "softmax"]

# reward(rgb [M,3,H,W] in [0,1]) -> [M], higher is better
Reward = Callable[[Tensor], Tensor]


def _ranks(scores: Tensor) -> Tensor:
    """0 for the best of each row [B,S]; equal scores share the mean of their places, so that
    the order of the noises never matters."""
    above = (scores[:, None, :] > scores[:, :, None]).sum(2)
    equal = (scores[:, None, :] == scores[:, :, None]).sum(2)
    return above + (equal - 1) / 2


def _spread(ranks: Tensor, places: Tensor) -> Tensor:
    """What each rank gets of weights by place [S]; a half rank takes the mean over its tie."""
    out = torch.zeros_like(ranks)
    for row, line in zip(out, ranks, strict=True):
        for rank in line.unique():
            tied = line == rank
            first = round(float(rank) - (int(tied.sum()) - 1) / 2)
            row[tied] = places[first : first + int(tied.sum())].mean()
    return out


def min_max(scores: Tensor) -> Tensor:
    """0.9 of the mean of the two best minus 0.1 of the mean of the two worst: (.45, .45, -.05,
    -.05) for four noises. Fewer than four: the best and the worst; a single one counts 1."""
    s = scores.shape[1]
    if s == 1:
        return torch.ones_like(scores)
    n = min(2, s // 2)
    places = scores.new_zeros(s)
    places[:n], places[-n:] = 0.9 / n, -0.1 / n
    return _spread(_ranks(scores), places)


def best(scores: Tensor) -> Tensor:
    """1 for the best noise."""
    places = scores.new_zeros(scores.shape[1])
    places[0] = 1.0
    return _spread(_ranks(scores), places)


def softmax(scores: Tensor) -> Tensor:
    """softmax of the scores as they are, at temperature 1."""
    return scores.softmax(1)


STRATEGIES: dict[str, Callable[[Tensor], Tensor]] = {
    "min-max": min_max,
    "best": best,
    "softmax": softmax,
}


@dataclass(frozen=True)
class RewardWeighted:
    """strategy: scores [B,S] -> weights [B,S]. reward: pictures to scores. guide, steps: of the
    DDIM chain to what is scored; 0 steps score the one-step prediction. joint: views in a row
    that are scored as one."""

    strategy: Callable[[Tensor], Tensor]
    reward: Reward
    guide: Guide | None = None
    steps: int = 0
    joint: int = 1

    def __call__(self, teacher: Teacher, asked: Asked) -> Tensor:
        """[B,C,h,w] of residuals [B,S,C,h,w]. A score that is not finite makes the gradient so,
        which the loop reports."""
        s = asked.r.shape[1]
        if s == 1:
            return asked.r[:, 0]  # every strategy's answer to a single noise
        if self.steps and self.guide is None:
            raise ValueError("a DDIM chain to what is rewarded needs the rule's guide")
        x0 = denoise(teacher, self.guide, asked, self.steps)  # pyright: ignore[reportArgumentType]
        scores = self.reward(teacher.decode(x0))
        scores = scores.to(asked.r).view(-1, self.joint, s).mean(1).repeat_interleave(self.joint, 0)
        sound = scores.isfinite().all(1, keepdim=True)
        weights = torch.where(sound, self.strategy(scores), torch.nan)
        return (weights[:, :, None, None, None] * asked.r).sum(1)
