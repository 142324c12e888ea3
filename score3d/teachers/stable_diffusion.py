"""Stable Diffusion 1.x and 2.x (eps-, v- or x0-prediction), AutoencoderKL or -Tiny.

The embedded teacher is one of them: same folders, same classes, same code.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from score3d.schedule import NoiseSchedule
from score3d.teachers.checkpoint import Checkpoint
from score3d.teachers.errors import TeacherError
from score3d.teachers.latent import DEFAULTS, LatentTeacher, LoadOptions
from score3d.teachers.onnx_network import OnnxNetwork

__all__ = ["StableDiffusionTeacher"]


class StableDiffusionTeacher(LatentTeacher):
    """A frozen latent diffusion model with a UNet and one text encoder.

    source: a diffusers directory (`model_index.json`, `unet/`, `vae/`, ...). Raises TeacherError
    naming the file and what is wrong with it.

    graph: the same network for a faster runtime, or None. With one, torch's is loaded when
    something needs it.
    """

    graph: OnnxNetwork | None = None

    def __init__(
        self,
        source: Path | Checkpoint,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        view_style: str = "dreamfusion",
        options: LoadOptions = DEFAULTS,
    ) -> None:
        source = source if isinstance(source, Checkpoint) else Checkpoint(source)
        super().__init__(source, device, dtype, view_style, options)
        self.schedule = NoiseSchedule(self.scheduler.alphas_cumprod.double())
        self._affine = self._fold_affine_encoder()

    @property
    def unet(self) -> Any:
        """The network, as torch runs it."""
        if self.network is None:
            self.network = super()._load_network().to(self.device)
        return self.network

    def _load_network(self) -> Any:
        return super()._load_network() if self.graph is None else None

    def _network_config(self) -> Any:
        if self.network is None:
            return self.source.config(self.network_part)
        return super()._network_config()

    @classmethod
    def check(cls, source: Checkpoint) -> None:
        super().check(source)
        cls._check_text(source, "cross_attention_dim", "text_encoder", "hidden_size")

    @staticmethod
    def _check_text(source: Checkpoint, wants: str, part: str, gives: str) -> None:
        width, given = source.config("unet").get(wants), source.config(part).get(gives)
        if isinstance(width, int) and given and width != given:
            raise TeacherError(
                f"{source.folder / 'unet' / 'config.json'}: the network reads text of width "
                f"{width}, but {part}/ writes {given}; parts of two checkpoints?"
            )

    @torch.no_grad()
    def _fold_affine_encoder(self) -> tuple[Tensor, Tensor] | None:
        """Weight and bias of one strided convolution equal to the encoder, if it is affine.

        A tiny autoencoder without encoder blocks has no activation; its response to the unit
        impulses of one patch is all there is to it. Exact, and many times faster.
        """
        config = self.vae.config
        if self.source.part_class("vae")[1] != "AutoencoderTiny" or any(config.num_encoder_blocks):
            return None
        stride = self.resolution // self.latent_shape[1]
        impulses = torch.zeros(
            3 * stride * stride + 1, 3, 3 * stride, 3 * stride, device=self.device
        )
        for k in range(3 * stride * stride):
            c, y, x = k // stride**2, k // stride % stride, k % stride
            impulses[k, c, stride + y, stride + x] = 1.0
        with self._working(self.vae):
            out = self.vae.encode(impulses.to(self.vae.dtype)).latents.float()
        response = out - out[-1:]
        inside = response[:-1, :, 1, 1]
        if not torch.allclose(response[:-1].abs().sum((2, 3)), inside.abs(), atol=1e-5):
            return None  # patches overlap: not a plain strided convolution
        weight = inside.T.reshape(-1, 3, stride, stride)
        bias = out[-1, :, 1, 1]
        return weight.contiguous(), bias.contiguous()

    def _modes(self, rgb: Tensor) -> Tensor:
        if self._affine is None:
            return super()._modes(rgb)
        size = (self.resolution, self.resolution)
        if rgb.shape[-2:] != size:
            rgb = torch.nn.functional.interpolate(rgb, size, mode="bilinear", align_corners=False)
        weight, bias = self._affine
        return torch.nn.functional.conv2d(2 * rgb - 1, weight, bias, stride=weight.shape[-1])

    def colours(self, z: Tensor) -> Tensor:
        """As of any latent teacher; of an affine encoder, the picture [M,3,H,W] of least norm in
        [-1,1] that it encodes to z, at the full resolution: a decoder that costs nothing."""
        if self._affine is None:
            return super().colours(z)
        weight, bias = self._affine
        side = weight.shape[-1]
        inverse = torch.linalg.pinv(weight.flatten(1)).T.reshape(weight.shape)
        x = z / self.vae.config.scaling_factor + (self.vae.config.get("shift_factor") or 0.0)
        x = x - bias[:, None, None]
        return torch.nn.functional.conv_transpose2d(x, inverse, stride=side) / 2 + 0.5

    def _texts(self, prompts: list[str]) -> Tensor:
        """Last hidden states, padded to the text encoder's full length."""
        encoder = self.text_encoder
        tokens = self.tokenizer(
            prompts,
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        masked = getattr(encoder.config, "use_attention_mask", False)
        mask = tokens.attention_mask.to(self.device) if masked else None
        return encoder(tokens.input_ids.to(self.device), attention_mask=mask)[0]

    def _predict(
        self, z_t: Tensor, t: Tensor, emb: Tensor, image: Tensor | None, camera: Tensor | None
    ) -> Tensor:
        return self._ask(z_t, t, emb)

    def _ask(self, x: Tensor, t: Tensor, emb: Tensor, **extra: Any) -> Tensor:
        steps = self.schedule.timesteps(t)
        # peft marks a network that a student has adapted: from then on it is another one
        adapted = hasattr(self.network, "peft_config")
        if self.graph and not (extra or adapted or torch.is_grad_enabled()):
            return self.graph(x, steps, emb)
        return self.unet(x.to(self.dtype), steps, emb.to(self.dtype), **extra).sample.float()

    def _noise(self, out: Tensor, z_t: Tensor, t: Tensor) -> Tensor:
        if self.prediction_type == "epsilon":
            return out
        alpha, sigma = self.schedule.alpha_sigma(t, out)
        if self.prediction_type == "v_prediction":
            return alpha * out + sigma * z_t
        return (z_t - alpha * out) / sigma
