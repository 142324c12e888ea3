"""Depth from one picture by a network the user has: DPT (Ranftl et al. 2021, arXiv 2103.13413),
Depth Anything (Yang et al. 2024, arXiv 2401.10891) and others that transformers reads.

For SteinDreamer's control variate, which correlates such depth with the render's own: the
network is frozen, its answer is differentiable in the picture.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["DepthModel"]


class DepthModel:
    """folder: a transformers depth-estimation model. Raises ValueError, naming the folder."""

    def __init__(self, folder: Path, device: torch.device | str = "cpu") -> None:
        from transformers import AutoImageProcessor, AutoModelForDepthEstimation

        if not (folder / "config.json").is_file():
            raise ValueError(f"{folder}: no config.json; a depth model is a transformers folder")
        try:
            network: Any = AutoModelForDepthEstimation.from_pretrained(
                folder, local_files_only=True, use_safetensors=True
            )
            processor: Any = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # the library raises many kinds
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{folder}: cannot be loaded as a depth model: {reason}") from error
        self.network = network.eval().requires_grad_(False).to(device)
        self.device = torch.device(device)
        size = processor.size
        self.size = (size["height"], size["width"])
        self.multiple = int(getattr(processor, "ensure_multiple_of", 1) or 1)
        self.keep_shape = bool(getattr(processor, "keep_aspect_ratio", False))
        self.mean = torch.tensor(processor.image_mean).view(3, 1, 1).to(device)
        self.std = torch.tensor(processor.image_std).view(3, 1, 1).to(device)

    def __call__(self, rgb: Tensor) -> Tensor:
        """rgb [M,3,H,W], clamped to [0,1] -> [M,H,W], float32: relative, and larger where nearer
        for DPT and Depth Anything, so only its correlation with another depth means something."""
        h, w = rgb.shape[-2:]
        x = rgb.to(self.device).float().clamp(0, 1)
        x = nn.functional.interpolate(
            x, self._input_size(h, w), mode="bicubic", antialias=True
        ).clamp(0, 1)
        depth = self.network(pixel_values=(x - self.mean) / self.std).predicted_depth
        depth = nn.functional.interpolate(
            depth[:, None], (h, w), mode="bicubic", align_corners=False
        )
        return depth[:, 0]

    def _input_size(self, h: int, w: int) -> tuple[int, int]:
        scale_h, scale_w = self.size[0] / h, self.size[1] / w
        if self.keep_shape:  # the scale that changes the picture least, as the processors have it
            nearest = scale_w if abs(1 - scale_w) < abs(1 - scale_h) else scale_h
            scale_h = scale_w = nearest
        m = self.multiple
        return max(m, round(scale_h * h / m) * m), max(m, round(scale_w * w / m) * m)
