"""The judge: a classifier of renders that says noun, colour, material and azimuth of what it sees.

Trained on the procedural world (`scripts/train_judge.py`), apart from the teacher: it never
saw a generated picture. It measures; it gives no gradient. `assets/judge` serves runs and
rewards, with `assets/third-judge` it chooses among samples; `assets/second-judge`, another network
trained on other data, is for measuring only.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from score3d.evaluate.judge_networks import AZIMUTH_BINS, NETWORKS
from score3d.resources import resource

__all__ = ["Judge", "Verdict", "choosing_judge", "measuring_judge"]


@dataclass(frozen=True)
class Verdict:
    """Per picture: noun, colour, material (names), azimuth (degrees, centre of the likeliest
    bin) and the probability of each name."""

    nouns: list[str]
    colours: list[str]
    materials: list[str]
    azimuths: list[float]
    noun_probabilities: Tensor
    colour_probabilities: Tensor


def measuring_judge() -> "tuple[Judge, str]":
    """The judge to measure with, and what it is called: the second one, which no reward sees,
    where it is installed."""
    second = resource("assets", "second-judge")
    return (Judge(second), "second judge") if second.is_dir() else (Judge(), "first judge")


def choosing_judge() -> "Judge":
    """What chooses among samples: the first judge and the third, which is of another training.
    The mean of two is less easily taken in by what only looks like the thing to one of them."""
    return Judge(resource("assets", "judge"), resource("assets", "third-judge"))


class Judge:
    """The trained classifier. folder: `judge.safetensors` and `judge.json`. Of several folders,
    which know the same names, the mean probabilities count."""

    def __init__(self, folder: Path | None = None, *more: Path) -> None:
        folders = [folder or resource("assets", "judge"), *more]
        labels = [json.loads((f / "judge.json").read_text()) for f in folders]
        self.nouns: list[str] = labels[0]["nouns"]
        self.colours: list[str] = labels[0]["colours"]
        self.materials: list[str] = labels[0]["materials"]
        for one, where in zip(labels, folders, strict=True):
            if [one[k] for k in ("nouns", "colours", "materials")] != [*self._names()]:
                raise ValueError(f"{where}: a judge of other names than {folders[0]}")
        self.nets = [self._network(*pair) for pair in zip(folders, labels, strict=True)]

    def _names(self) -> tuple[list[str], list[str], list[str]]:
        return self.nouns, self.colours, self.materials

    def _network(self, folder: Path, labels: dict) -> nn.Module:
        net = NETWORKS[labels["network"]](*map(len, self._names())).eval()
        weights = load_file(folder / "judge.safetensors")
        net.load_state_dict(
            {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}
        )
        return net

    @torch.no_grad()
    def __call__(self, rgb: Tensor) -> Verdict:
        """The verdict on pictures [B,3,H,W] in [0,1], resized to 64 x 64."""
        if rgb.shape[-2:] != (64, 64):
            rgb = nn.functional.interpolate(rgb, (64, 64), mode="bilinear", antialias=True)
        answers = [net(rgb.float().cpu()) for net in self.nets]
        noun, colour, material, azimuth = (
            torch.stack([part.softmax(1) for part in parts]).mean(0)
            for parts in zip(*answers, strict=True)
        )
        return Verdict(
            [self.nouns[i] for i in noun.argmax(1).tolist()],
            [self.colours[i] for i in colour.argmax(1).tolist()],
            [self.materials[i] for i in material.argmax(1).tolist()],
            [i * 360.0 / AZIMUTH_BINS for i in azimuth.argmax(1).tolist()],
            noun,
            colour,
        )
