"""A small two-tower model of pictures and captions: the offline stand-in for a CLIP score.

Trained on the world's renders and captions (`scripts/train_two_tower.py`) with CLIP's loss
(Radford et al. 2021, arXiv 2103.00020, figure 3), apart from the teacher and the judges.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from score3d.resources import resource

__all__ = ["TwoTower", "TwoTowerNet", "split_words"]

WIDTH, LENGTH = 128, 20


def split_words(text: str) -> list[str]:
    """The words of a caption without its view phrase (all behind the first comma)."""
    return text.lower().partition(",")[0].split()


class _Stage(nn.Module):
    """Half the side, with a depthwise look around (arXiv 2201.03545, simplified)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(inputs, outputs, 2, stride=2)
        self.around = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norm = nn.GroupNorm(8, outputs)
        self.mix = nn.Sequential(
            nn.Conv2d(outputs, 2 * outputs, 1), nn.GELU(), nn.Conv2d(2 * outputs, outputs, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        return x + self.mix(self.norm(self.around(x)))


class TwoTowerNet(nn.Module):
    """Unit vectors [B,128] of pictures and of token ids; `scale` is the inverse temperature."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.image = nn.Sequential(
            _Stage(3, 32), _Stage(32, 64), _Stage(64, 96), _Stage(96, 128), nn.Flatten(),
            nn.Linear(128 * 4 * 4, WIDTH),
        )  # fmt: skip
        self.tokens = nn.Embedding(words, WIDTH, padding_idx=0)
        self.positions = nn.Parameter(torch.randn(1, LENGTH, WIDTH) * 0.02)
        layer = nn.TransformerEncoderLayer(
            WIDTH, 4, 2 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.text = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.project = nn.Linear(WIDTH, WIDTH)
        self.scale = nn.Parameter(torch.tensor(2.7))  # exp(2.7) = 15, CLIP's start

    def embed_images(self, rgb: Tensor) -> Tensor:
        """rgb [B,3,64,64] in [0,1]."""
        return nn.functional.normalize(self.image(2 * rgb - 1), dim=1)

    def embed_texts(self, ids: Tensor) -> Tensor:
        """ids [B,L], 0 for padding."""
        empty = ids == 0
        empty[:, 0] = False  # a text without known words is still a text
        h = self.text(
            self.tokens(ids) + self.positions[:, : ids.shape[1]], src_key_padding_mask=empty
        )
        keep = (~empty)[..., None].float()
        return nn.functional.normalize(self.project((h * keep).sum(1) / keep.sum(1)), dim=1)


class TwoTower:
    """The trained model. folder: `two_tower.safetensors` and `two_tower.json`."""

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or resource("assets", "two-tower")
        words = json.loads((folder / "two_tower.json").read_text())["words"]
        self.words = {w: i + 1 for i, w in enumerate(words)}
        self.net = TwoTowerNet(len(words) + 1).eval()
        weights = load_file(folder / "two_tower.safetensors")
        self.net.load_state_dict({k: v.float() for k, v in weights.items()})

    def ids(self, texts: list[str]) -> Tensor:
        """Token ids [T,20]; raises ValueError for a word that training never showed."""
        rows = torch.zeros(len(texts), LENGTH, dtype=torch.int64)
        for row, text in zip(rows, texts, strict=True):
            words = split_words(text)[:LENGTH]
            unknown = [w for w in words if w not in self.words]
            if unknown:
                raise ValueError(f"the two-tower model does not know {unknown[0]!r}")
            row[: len(words)] = torch.tensor([self.words[w] for w in words])
        return rows

    @torch.no_grad()
    def embed(self, rgb: Tensor) -> Tensor:
        """Unit vectors [B,128] of pictures [B,3,H,W] in [0,1]."""
        if rgb.shape[-2:] != (64, 64):
            rgb = nn.functional.interpolate(rgb, (64, 64), mode="bilinear", antialias=True)
        return self.net.embed_images(rgb.float().cpu())

    @torch.no_grad()
    def similarity(self, rgb: Tensor, texts: list[str]) -> Tensor:
        """Cosines [B,T] of pictures [B,3,H,W] in [0,1] and texts."""
        return self.embed(rgb) @ self.net.embed_texts(self.ids(texts)).T
