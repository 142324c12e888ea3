"""The judge: a classifier of renders that says noun, colour and azimuth of what it sees.

Trained on the procedural world (`scripts/train_judge.py`), apart from the teacher: it never
saw a generated picture. It measures; it gives no gradient.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from score3d.resources import resource

__all__ = ["AZIMUTH_BINS", "Judge", "JudgeNet", "Verdict"]

AZIMUTH_BINS = 12  # of 30 degrees, the first centred on the front


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.body = nn.Sequential(
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.down(x)).relu()
        return (x + self.body(x)).relu()


class JudgeNet(nn.Module):
    """rgb [B,3,64,64] in [0,1] -> logits of nouns, of colours and of azimuth bins."""

    def __init__(self, nouns: int, colours: int) -> None:
        super().__init__()
        self.split = (nouns, colours, AZIMUTH_BINS)
        self.trunk = nn.Sequential(_Block(3, 32), _Block(32, 64), _Block(64, 96), _Block(96, 128))
        self.head = nn.Linear(128 * 4 * 4, sum(self.split))

    def forward(self, rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits = self.head(self.trunk(2 * rgb - 1).flatten(1))
        noun, colour, azimuth = logits.split(self.split, 1)
        return noun, colour, azimuth


@dataclass(frozen=True)
class Verdict:
    """Per picture: noun, colour (names), azimuth (degrees, centre of the likeliest bin) and the
    probability of each name."""

    nouns: list[str]
    colours: list[str]
    azimuths: list[float]
    noun_probabilities: Tensor
    colour_probabilities: Tensor


class Judge:
    """The trained classifier. folder: `judge.safetensors` and `judge.json`."""

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or resource("assets", "judge")
        labels = json.loads((folder / "judge.json").read_text())
        self.nouns: list[str] = labels["nouns"]
        self.colours: list[str] = labels["colours"]
        self.net = JudgeNet(len(self.nouns), len(self.colours)).eval()
        weights = load_file(folder / "judge.safetensors")
        self.net.load_state_dict(
            {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}
        )

    @torch.no_grad()
    def __call__(self, rgb: Tensor) -> Verdict:
        """The verdict on pictures [B,3,H,W] in [0,1], resized to 64 x 64."""
        if rgb.shape[-2:] != (64, 64):
            rgb = nn.functional.interpolate(rgb, (64, 64), mode="bilinear", antialias=True)
        noun, colour, azimuth = self.net(rgb.float().cpu())
        return Verdict(
            [self.nouns[i] for i in noun.argmax(1).tolist()],
            [self.colours[i] for i in colour.argmax(1).tolist()],
            [i * 360.0 / AZIMUTH_BINS for i in azimuth.argmax(1).tolist()],
            noun.softmax(1),
            colour.softmax(1),
        )
