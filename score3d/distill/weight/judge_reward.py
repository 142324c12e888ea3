"""The embedded judge's opinion as a reward: log p(noun) + log p(colour).

For RewardSDS (arXiv 2503.09601), whose own reward models need downloads. A run that is rewarded
by the judge must not be measured with it.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor

from score3d.distill.weight.reward import Reward

__all__ = ["MakeJudge", "judge_reward"]


class Opinion(Protocol):
    """What is read of a verdict: probabilities [M, names]."""

    @property
    def noun_probabilities(self) -> Tensor: ...

    @property
    def colour_probabilities(self) -> Tensor: ...


class JudgeOf(Protocol):
    """A classifier of pictures [M,3,H,W] in [0,1], with the names it chooses from."""

    @property
    def nouns(self) -> Sequence[str]: ...

    @property
    def colours(self) -> Sequence[str]: ...

    def __call__(self, rgb: Tensor) -> Opinion: ...


def judge_reward(judge: JudgeOf, noun: str, colour: str | None) -> Reward:
    """The reward for `noun` in `colour` (None: any). Raises ValueError for a name the judge
    does not know."""
    if noun not in judge.nouns or (colour and colour not in judge.colours):
        raise ValueError(f"the judge does not know {colour or ''} {noun}".replace("  ", " "))

    def reward(rgb: Tensor) -> Tensor:
        said = judge(rgb)
        score = said.noun_probabilities[:, judge.nouns.index(noun)].clamp(min=1e-30).log()
        if colour:
            p = said.colour_probabilities[:, judge.colours.index(colour)]
            score = score + p.clamp(min=1e-30).log()
        return score

    return reward


# how `build_rule` is given the judge: a function, so that it is loaded only when it is needed
MakeJudge = Callable[[], JudgeOf]
