"""The judge: a classifier of renders that says noun, colour, material and azimuth of what it sees.

Trained on the procedural world (`scripts/train_judge.py`), apart from the teacher: it never
saw a generated picture. It measures; it gives no gradient. `assets/judge` serves runs and
rewards; `assets/second-judge`, another network trained on other data, is for measuring only.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from score3d.evaluate.judge_networks import AZIMUTH_BINS, NETWORKS
from score3d.resources import resource

__all__ = ["Judge", "Verdict", "measuring_judge"]


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


class Judge:
    """The trained classifier. folder: `judge.safetensors` and `judge.json`."""

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or resource("assets", "judge")
        labels = json.loads((folder / "judge.json").read_text())
        self.nouns: list[str] = labels["nouns"]
        self.colours: list[str] = labels["colours"]
        self.materials: list[str] = labels["materials"]
        make = NETWORKS[labels["network"]]
        self.net = make(len(self.nouns), len(self.colours), len(self.materials)).eval()
        weights = load_file(folder / "judge.safetensors")
        self.net.load_state_dict(
            {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}
        )

    @torch.no_grad()
    def __call__(self, rgb: Tensor) -> Verdict:
        """The verdict on pictures [B,3,H,W] in [0,1], resized to 64 x 64."""
        if rgb.shape[-2:] != (64, 64):
            rgb = nn.functional.interpolate(rgb, (64, 64), mode="bilinear", antialias=True)
        noun, colour, material, azimuth = self.net(rgb.float().cpu())
        return Verdict(
            [self.nouns[i] for i in noun.argmax(1).tolist()],
            [self.colours[i] for i in colour.argmax(1).tolist()],
            [self.materials[i] for i in material.argmax(1).tolist()],
            [i * 360.0 / AZIMUTH_BINS for i in azimuth.argmax(1).tolist()],
            noun.softmax(1),
            colour.softmax(1),
        )
