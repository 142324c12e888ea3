"""Stable Diffusion XL: two text encoders, and a network that is told the picture's size.

An embedding [P,L+1,D] holds the tokens' rows and, as the last one, the pooled text vector padded
with zeros. The autoencoder overflows in float16 and therefore stays in float32 unless its config
says that it does not (Podell et al. 2023, arXiv 2307.01952).
"""

import torch
from torch import Tensor

from score3d.teachers.checkpoint import Checkpoint
from score3d.teachers.errors import TeacherError
from score3d.teachers.latent import diffusers_class
from score3d.teachers.stable_diffusion import StableDiffusionTeacher

__all__ = ["StableDiffusionXLTeacher"]


class StableDiffusionXLTeacher(StableDiffusionTeacher):
    """Raises TeacherError as its base does, and for refiners, which have one text encoder."""

    text_parts = ("tokenizer", "text_encoder", "tokenizer_2", "text_encoder_2")

    @classmethod
    def check(cls, source: Checkpoint) -> None:
        super(StableDiffusionTeacher, cls).check(source)
        for part in cls.text_parts:
            source.part_class(part)
        config, second = source.config("unet"), source.config("text_encoder_2")
        pooled = second.get("projection_dim", 1280)
        wants = config.get("projection_class_embeddings_input_dim")
        given = pooled + 6 * (config.get("addition_time_embed_dim") or 0)
        if config.get("addition_embed_type") != "text_time" or wants != given:
            raise TeacherError(
                f"{source.folder / 'unet' / 'config.json'}: the network takes {wants} numbers of "
                f"size and pooled text, but the text encoder and six sizes make {given}; a refiner?"
            )

    def _texts(self, prompts: list[str]) -> Tensor:
        """By diffusers' own pipeline. The empty prompt is zeros where the checkpoint says so, as
        it is when that pipeline is given no negative prompt."""
        pipeline = diffusers_class("StableDiffusionXLPipeline")(
            vae=None,
            unet=None,
            scheduler=self.scheduler,
            **{part: self.text(part) for part in self.text_parts},
        )
        emb, _, pooled, _ = pipeline.encode_prompt(
            prompts, device=self.device, do_classifier_free_guidance=False
        )
        row = torch.nn.functional.pad(pooled, (0, emb.shape[-1] - pooled.shape[-1]))
        packed = torch.cat([emb, row[:, None]], 1)
        if self.source.index.get("force_zeros_for_empty_prompt"):
            packed[[i for i, p in enumerate(prompts) if not p.strip()]] = 0
        return packed

    def _predict(
        self, z_t: Tensor, t: Tensor, emb: Tensor, image: Tensor | None, camera: Tensor | None
    ) -> Tensor:
        side = float(self.resolution)
        sizes = z_t.new_tensor([side, side, 0, 0, side, side]).expand(len(z_t), -1)
        pooled_width = self.network.config.projection_class_embeddings_input_dim
        pooled_width -= 6 * self.network.config.addition_time_embed_dim
        extra = {
            "text_embeds": emb[:, -1, :pooled_width].to(self.dtype),
            "time_ids": sizes.to(self.dtype),
        }
        return self._ask(z_t, t, emb[:, :-1], added_cond_kwargs=extra)
