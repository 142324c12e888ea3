"""Reward models from weights the user has: how well a picture fits the prompt, or pleases.

For RewardSDS (Chachy et al. 2025, arXiv 2503.09601) in place of the embedded judge, through
transformers; each reads a local folder, nothing is downloaded here.

    clip          cosine of CLIP's picture and text vectors (Hessel et al. 2021, arXiv 2104.08718);
                  PickScore and HPS v2 are CLIP models too and are read as such
    aesthetic     a small head on CLIP's normalised picture vector (LAION's aesthetic predictor)
    image-reward  a head on BLIP's text encoder that looks at the picture (Xu et al. 2023,
                  arXiv 2304.05977)

A head is `head.safetensors` beside the model: linear layers in the order of their numbers, with
nothing between them, as LAION's and ImageReward's are (dropout is idle when not training).
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

__all__ = ["REWARDS", "Preprocess", "aesthetic", "clip", "image_reward", "load_reward"]

# reward(rgb [M,3,H,W] in [0,1]) -> [M], higher is better
Reward = Callable[[Tensor], Tensor]
HEAD = "head.safetensors"


class Preprocess:
    """What a model's image processor does to a picture, on tensors and differentiable: the short
    side to `size`, the middle `crop`, then (x - mean) / std."""

    def __init__(self, processor: Any) -> None:
        size = processor.size
        self.square = "shortest_edge" not in size
        self.size = size["height"] if self.square else size["shortest_edge"]
        crop = getattr(processor, "crop_size", None) if not self.square else None
        self.crop = crop["height"] if crop else self.size
        self.mean = torch.tensor(processor.image_mean).view(3, 1, 1)
        self.std = torch.tensor(processor.image_std).view(3, 1, 1)

    def __call__(self, rgb: Tensor) -> Tensor:
        """rgb [M,3,H,W] in [0,1] -> [M,3,crop,crop]."""
        h, w = rgb.shape[-2:]
        scale = self.size / min(h, w)
        size = (self.size,) * 2 if self.square else (round(h * scale), round(w * scale))
        if size != (h, w):
            rgb = nn.functional.interpolate(rgb, size, mode="bicubic", antialias=True).clamp(0, 1)
        top, left = (size[0] - self.crop) // 2, (size[1] - self.crop) // 2
        rgb = rgb[..., top : top + self.crop, left : left + self.crop]
        return (rgb - self.mean.to(rgb)) / self.std.to(rgb)


def _load(folder: Path, model: Any, device: torch.device) -> tuple[Any, Any]:
    """(network, processor); one line names the folder if it holds neither."""
    from transformers import AutoProcessor

    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder}: no config.json; a reward model is a transformers folder")
    try:
        network = model.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the library raises many kinds
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{folder}: cannot be loaded as {model.__name__}: {reason}") from error
    return network.eval().requires_grad_(False).to(device), processor


def _head(folder: Path, width: int, device: torch.device) -> nn.Sequential:
    """The head's layers, from `width` numbers to one."""
    file = folder / HEAD
    if not file.is_file():
        raise ValueError(f"{file}: missing; it holds the linear layers of the reward")
    tensors = load_file(file)
    names = {k.rpartition(".")[0] for k in tensors if k.endswith(".weight")}
    names = sorted(names, key=lambda n: [int(v) for v in re.findall(r"\d+", n)])
    layers = []
    for name in names:
        weight, bias = tensors[f"{name}.weight"], tensors.get(f"{name}.bias")
        if weight.ndim != 2 or weight.shape[1] != width:
            raise ValueError(
                f"{file}: {name} takes {tuple(weight.shape)[-1]} numbers, but {width} come in"
            )
        layer = nn.Linear(width, weight.shape[0], bias=bias is not None)
        layer.load_state_dict({"weight": weight} | ({} if bias is None else {"bias": bias}))
        layers.append(layer)
        width = weight.shape[0]
    if width != 1:
        raise ValueError(f"{file}: ends with {width} numbers instead of one")
    return nn.Sequential(*layers).eval().requires_grad_(False).to(device)


def _vectors(out: Any) -> Tensor:
    """transformers returns the vectors themselves or an output that holds them."""
    return out if isinstance(out, Tensor) else out.pooler_output


def _text(processor: Any, prompt: str, device: torch.device) -> dict[str, Tensor]:
    tokens = processor.tokenizer(
        [prompt], padding="max_length", truncation=True, return_tensors="pt",
        max_length=min(processor.tokenizer.model_max_length, 77),
    )  # fmt: skip
    return {k: v.to(device) for k, v in tokens.items() if k in ("input_ids", "attention_mask")}


def clip(folder: Path, prompt: str, device: torch.device) -> Reward:
    """The cosine, in [-1,1]. Raises ValueError for a folder that holds no CLIP model."""
    from transformers import CLIPModel

    network, processor = _load(folder, CLIPModel, device)
    preprocess = Preprocess(processor.image_processor)
    with torch.no_grad():
        text = _vectors(network.get_text_features(**_text(processor, prompt, device)))
        text = nn.functional.normalize(text, dim=-1)

    def reward(rgb: Tensor) -> Tensor:
        picture = _vectors(network.get_image_features(preprocess(rgb.to(device).float())))
        return nn.functional.normalize(picture, dim=-1) @ text[0]

    return reward


def aesthetic(folder: Path, prompt: str, device: torch.device) -> Reward:
    """The head's number (LAION's: about 1 to 10). The prompt plays no part. Raises ValueError."""
    from transformers import CLIPModel

    network, processor = _load(folder, CLIPModel, device)
    preprocess = Preprocess(processor.image_processor)
    head = _head(folder, network.config.projection_dim, device)

    def reward(rgb: Tensor) -> Tensor:
        picture = _vectors(network.get_image_features(preprocess(rgb.to(device).float())))
        return head(nn.functional.normalize(picture, dim=-1))[:, 0]

    return reward


def image_reward(folder: Path, prompt: str, device: torch.device) -> Reward:
    """The head's number for the prompt's first token, which has read the prompt and looked at the
    picture. The folder holds a BlipForImageTextRetrieval. Raises ValueError."""
    from transformers import BlipForImageTextRetrieval

    network, processor = _load(folder, BlipForImageTextRetrieval, device)
    preprocess = Preprocess(processor.image_processor)
    head = _head(folder, network.config.text_config.hidden_size, device)
    text = _text(processor, prompt, device)

    def reward(rgb: Tensor) -> Tensor:
        seen = network.vision_model(pixel_values=preprocess(rgb.to(device).float()))[0]
        read = network.text_encoder(
            input_ids=text["input_ids"].expand(len(rgb), -1),
            attention_mask=text["attention_mask"].expand(len(rgb), -1),
            encoder_hidden_states=seen,
            encoder_attention_mask=torch.ones(seen.shape[:2], dtype=torch.long, device=device),
        )[0]
        return head(read[:, 0])[:, 0]

    return reward


REWARDS: dict[str, Callable[[Path, str, torch.device], Reward]] = {
    "clip": clip,
    "aesthetic": aesthetic,
    "image-reward": image_reward,
}


def load_reward(name: str, prompt: str, device: torch.device) -> Reward:
    """The reward of `name`, "<kind>:<folder>" like "clip:models/clip-vit-l-14", for a prompt.
    Raises ValueError: one line that says what is wrong."""
    kind, colon, folder = name.partition(":")
    if kind not in REWARDS or not colon:
        raise ValueError(
            f"unknown reward {name!r}; known: judge, " + ", ".join(f"{k}:<folder>" for k in REWARDS)
        )
    if not Path(folder).is_dir():
        raise ValueError(f"reward {name!r}: no folder {folder!r}")
    return REWARDS[kind](Path(folder), prompt, device)
