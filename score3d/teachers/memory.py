"""How much memory a teacher will need, known before anything is loaded.

Weights are exact: the numbers in the files' headers times the bytes of the dtype they are loaded
in. Working memory is a model: bytes per row and latent pixel, times the size of the picture, with
factors found by counting the live tensors of full-size networks on the meta device
(`tests/teachers/test_memory.py` counts again and compares).
"""

from dataclasses import dataclass
from typing import Any

import torch

from score3d.teachers.checkpoint import Checkpoint
from score3d.teachers.latent import LatentTeacher, LoadOptions

__all__ = ["Estimate", "estimate"]

GIB = 1024**3
# Numbers alive at the peak of a network's pass, per row, latent pixel and first-level channel.
NETWORK_WORK = 22.0
# Numbers alive at the peak of the encoder, per row, picture pixel and first-level channel: kept
# for the backward pass. Without a backward pass a third of it.
ENCODER_WORK = 24.0


@dataclass(frozen=True)
class Estimate:
    """Bytes: of each network's weights, and of the work on the device. offload: weights wait in
    main memory, so that the device holds the larger of the two networks."""

    network: int
    encoder: int
    text: int
    work: int
    offload: bool

    @property
    def peak(self) -> int:
        """On the device, while optimising."""
        weights = (self.network, self.encoder)
        return (max(weights) if self.offload else sum(weights)) + self.work

    @property
    def loading(self) -> int:
        """On the device, while prompts are embedded."""
        return self.text + (0 if self.offload else self.network + self.encoder)

    def line(self, device: torch.device) -> str:
        """For people: one line."""
        parts = {"network": self.network, "autoencoder": self.encoder, "work": self.work}
        listed = ", ".join(f"{name} {size / GIB:.1f}" for name, size in parts.items())
        text = f"about {max(self.peak, self.loading) / GIB:.1f} GiB on {device.type} ({listed}"
        text += f"; text encoders {self.text / GIB:.1f} until the prompts are embedded)"
        free = free_memory(device)
        if free is not None and max(self.peak, self.loading) > free:
            text += f", but {free / GIB:.1f} are free: expect trouble; --low-vram needs less"
        return text


def free_memory(device: torch.device) -> int | None:
    """Bytes free on a CUDA device; None where that is not known."""
    if device.type != "cuda":
        return None
    return torch.cuda.mem_get_info(device)[0]


def estimate(
    kind: type[LatentTeacher],
    source: Checkpoint,
    dtype: torch.dtype,
    options: LoadOptions,
    views: int,
    branches: int = 2,
) -> Estimate:
    """What `kind` will need for `views` pictures a step. branches: passes of guidance per view."""
    config, vae = source.config(kind.network_part), source.config("vae")
    vae_bytes = kind._encoder_dtype(vae, dtype).itemsize
    texts = [p for p in kind.text_parts if p.startswith("text_encoder") and source.has(p)]
    side, factor = _latent_side(config, options, vae), _factor(vae)
    rows = views * branches
    if options.rows:
        rows = max(kind.group, min(rows, options.rows))
    network_work = rows * side**2 * _width(config) * NETWORK_WORK * dtype.itemsize
    kept = min(views, options.rows or views) if options.recompute or options.offload else views
    encoder_work = kept * (side * factor) ** 2 * _width(vae) * ENCODER_WORK * vae_bytes
    return Estimate(
        network=source.numbers(kind.network_part) * dtype.itemsize,
        encoder=source.numbers("vae") * vae_bytes,
        text=sum(source.numbers(p) for p in texts) * dtype.itemsize,
        work=int(max(network_work, encoder_work)),
        offload=options.offload,
    )


def _factor(vae: dict[str, Any]) -> int:
    blocks = vae.get("block_out_channels") or vae.get("encoder_block_out_channels") or [0] * 4
    return 2 ** (len(blocks) - 1)


def _latent_side(config: dict[str, Any], options: LoadOptions, vae: dict[str, Any]) -> int:
    if options.resolution:
        return options.resolution // _factor(vae)
    return config.get("sample_size") or config.get("image_size") or 64


def _width(config: dict[str, Any]) -> int:
    blocks = config.get("block_out_channels") or config.get("encoder_block_out_channels")
    if blocks:
        return blocks[0]
    if "model_channels" in config:
        return config["model_channels"]
    # a transformer has few tokens, but all of its width at each
    return config.get("num_attention_heads", 1) * config.get("attention_head_dim", 64) // 4
