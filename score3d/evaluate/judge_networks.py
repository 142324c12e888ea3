"""The two judges' networks. They share nothing, so that one can check the other."""

import torch
from torch import Tensor, nn

__all__ = ["AZIMUTH_BINS", "NETWORKS", "AttentionJudge", "ConvolutionalJudge"]

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


class ConvolutionalJudge(nn.Module):
    """rgb [B,3,64,64] in [0,1] -> logits of nouns, colours, materials and azimuth bins."""

    def __init__(self, nouns: int, colours: int, materials: int) -> None:
        super().__init__()
        self.split = (nouns, colours, materials, AZIMUTH_BINS)
        self.trunk = nn.Sequential(_Block(3, 32), _Block(32, 64), _Block(64, 96), _Block(96, 128))
        self.head = nn.Linear(128 * 4 * 4, sum(self.split))

    def forward(self, rgb: Tensor) -> tuple[Tensor, ...]:
        return self.head(self.trunk(2 * rgb - 1).flatten(1)).split(self.split, 1)


class _Residual(nn.Module):
    """Half the side by 2x2 patches, then a residual bottleneck; GroupNorm, unlike the first."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(inputs, outputs, 2, stride=2)
        self.body = nn.Sequential(
            nn.GroupNorm(4, outputs),
            nn.Conv2d(outputs, outputs, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(outputs, outputs, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        return x + self.body(x)


class AttentionJudge(nn.Module):
    """The same in- and outputs from attention over 64 places of 8x8 pixels behind a convolutional
    stem (arXiv 2106.14881, 2106.04803), with one learned query per answer. On patches alone it
    learned ten times slower."""

    def __init__(self, nouns: int, colours: int, materials: int, width: int = 128) -> None:
        super().__init__()
        self.stem = nn.Sequential(_Residual(3, 32), _Residual(32, 64), _Residual(64, width))
        self.position = nn.Parameter(torch.randn(1, 64, width) * 0.02)
        self.queries = nn.Parameter(torch.randn(1, 4, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.heads = nn.ModuleList(
            nn.Linear(width, n) for n in (nouns, colours, materials, AZIMUTH_BINS)
        )

    def forward(self, rgb: Tensor) -> tuple[Tensor, ...]:
        patches = self.stem(2 * rgb - 1).flatten(2).transpose(1, 2) + self.position
        tokens = torch.cat([self.queries.expand(len(rgb), -1, -1), patches], 1)
        answers = self.norm(self.layers(tokens)[:, :4])
        return tuple(head(answers[:, k]) for k, head in enumerate(self.heads))


NETWORKS = {"convolutional": ConvolutionalJudge, "attention": AttentionJudge}
