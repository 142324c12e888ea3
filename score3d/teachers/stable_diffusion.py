"""Teachers in Stable Diffusion's diffusers layout, from a local folder or a hub id.

The embedded teacher is one of them: same folders, same classes, same code.
"""

import importlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from score3d.schedule import NoiseSchedule
from score3d.teachers.base import TeacherError

__all__ = ["StableDiffusionTeacher"]

PARTS = ("tokenizer", "text_encoder", "unet", "vae", "scheduler")


def _quiet() -> None:
    """Errors are raised; the libraries' bars and remarks would only break up our progress."""
    import diffusers.utils.logging
    import transformers.utils.logging

    for library in (diffusers.utils.logging, transformers.utils.logging):
        library.set_verbosity_error()
        library.disable_progress_bar()


def _load_part(folder: Path, name: str, index: dict[str, Any], dtype: torch.dtype) -> Any:
    if name not in index or not (folder / name).is_dir():
        raise TeacherError(
            f"{folder}: no {name}/ folder; a diffusers checkpoint has {', '.join(PARTS)}"
        )
    library, class_name = index[name]
    if library not in ("diffusers", "transformers"):
        raise TeacherError(
            f"{folder}: {name} is a {library}.{class_name}, not a diffusers or transformers class"
        )
    cls = getattr(importlib.import_module(library), class_name)
    kwargs = {}
    if name in ("unet", "vae"):
        kwargs = {"torch_dtype": dtype, "use_safetensors": True}
    elif name == "text_encoder":
        kwargs = {"dtype": dtype, "use_safetensors": True}
    try:
        return cls.from_pretrained(folder / name, local_files_only=True, **kwargs)
    except Exception as error:  # the libraries raise many kinds; the user needs one line
        reason = str(error).strip().split("\n")[0]
        raise TeacherError(f"{folder / name}: cannot load {class_name}: {reason}") from error


class StableDiffusionTeacher:
    """A frozen latent diffusion model: eps-, v- or x0-prediction, AutoencoderKL or -Tiny.

    folder: a diffusers directory (`model_index.json`, `unet/`, `vae/`, ...). Raises
    TeacherError naming the folder and what is wrong with it.
    """

    capabilities: frozenset[str] = frozenset()

    def __init__(
        self,
        folder: Path,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        view_style: str = "dreamfusion",
    ) -> None:
        index_file = folder / "model_index.json"
        if not index_file.is_file():
            raise TeacherError(
                f"{folder}: no model_index.json; expected a diffusers checkpoint folder"
            )
        try:
            index = json.loads(index_file.read_text())
        except ValueError as error:
            raise TeacherError(f"{index_file}: not valid JSON ({error})") from error
        _quiet()
        parts = {name: _load_part(folder, name, index, dtype) for name in PARTS}
        self.device, self.dtype, self.view_style = torch.device(device), dtype, view_style
        self.tokenizer = parts["tokenizer"]
        for name in ("text_encoder", "unet", "vae"):
            parts[name].requires_grad_(False).eval().to(self.device)
        self.text_encoder, self.unet, self.vae = parts["text_encoder"], parts["unet"], parts["vae"]
        scheduler = parts["scheduler"]
        self.prediction_type: str = scheduler.config.prediction_type
        if self.prediction_type not in ("epsilon", "v_prediction", "sample"):
            raise TeacherError(f"{folder}: unknown prediction type {self.prediction_type!r}")
        self.schedule = NoiseSchedule(scheduler.alphas_cumprod.double())
        channels, side = self.unet.config.in_channels, self.unet.config.sample_size
        self.latent_shape = (channels, side, side)
        self.resolution = (
            side * 2 ** (len(self.vae.config.encoder_block_out_channels) - 1)
            if (type(self.vae).__name__ == "AutoencoderTiny")
            else side * 2 ** (len(self.vae.config.block_out_channels) - 1)
        )
        self._affine = self._fold_affine_encoder()

    @torch.no_grad()
    def _fold_affine_encoder(self) -> tuple[Tensor, Tensor] | None:
        """Weight and bias of one strided convolution equal to the encoder, if it is affine.

        A tiny autoencoder without encoder blocks has no activation; its response to the unit
        impulses of one patch is all there is to it. Exact, and many times faster.
        """
        config = self.vae.config
        if type(self.vae).__name__ != "AutoencoderTiny" or any(config.num_encoder_blocks):
            return None
        stride = self.resolution // self.latent_shape[1]
        impulses = torch.zeros(
            3 * stride * stride + 1, 3, 3 * stride, 3 * stride, device=self.device
        )
        for k in range(3 * stride * stride):
            c, y, x = k // stride**2, k // stride % stride, k % stride
            impulses[k, c, stride + y, stride + x] = 1.0
        out = self.vae.encode(impulses.to(self.dtype)).latents.float()
        response = out - out[-1:]
        inside = response[:-1, :, 1, 1]
        if not torch.allclose(response[:-1].abs().sum((2, 3)), inside.abs(), atol=1e-5):
            return None  # patches overlap: not a plain strided convolution
        weight = inside.T.reshape(-1, 3, stride, stride)
        bias = out[-1, :, 1, 1]
        return weight.contiguous(), bias.contiguous()

    @torch.no_grad()
    def embed(self, prompts: list[str]) -> Tensor:
        """Last hidden states [P,L,D] of the text encoder, padded to its full length."""
        ids = self.tokenizer(
            prompts,
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        return self.text_encoder(ids.to(self.device))[0].float()

    def encode(self, rgb: Tensor) -> Tensor:
        """rgb [B,3,H,W] in [0,1], resized to the teacher's resolution -> latents [B,C,h,w].

        The mode of a KL posterior, not a sample: sampling only adds noise to the gradient.
        """
        if rgb.shape[-2:] != (self.resolution, self.resolution):
            size = (self.resolution, self.resolution)
            rgb = torch.nn.functional.interpolate(rgb, size, mode="bilinear", align_corners=False)
        pixels = 2 * rgb - 1
        if self._affine is not None:
            weight, bias = self._affine
            return torch.nn.functional.conv2d(pixels, weight, bias, stride=weight.shape[-1])
        out = self.vae.encode(pixels.to(self.dtype))
        z = out.latents if hasattr(out, "latents") else out.latent_dist.mode()
        shift = getattr(self.vae.config, "shift_factor", None) or 0.0
        return (z.float() - shift) * self.vae.config.scaling_factor

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        shift = getattr(self.vae.config, "shift_factor", None) or 0.0
        z = z / self.vae.config.scaling_factor + shift
        return (self.vae.decode(z.to(self.dtype)).sample.float() / 2 + 0.5).clamp(0, 1)

    @torch.no_grad()
    def eps(
        self,
        z_t: Tensor,
        t: Tensor,
        emb: Tensor,
        image: Tensor | None = None,
        camera: Tensor | None = None,
    ) -> Tensor:
        steps = self.schedule.timesteps(t)
        out = self.unet(z_t.to(self.dtype), steps, emb.to(self.dtype)).sample.float()
        if self.prediction_type == "epsilon":
            return out
        alpha, sigma = self.schedule.alpha_sigma(t, out)
        if self.prediction_type == "v_prediction":
            return alpha * out + sigma * z_t
        return (z_t - alpha * out) / sigma
