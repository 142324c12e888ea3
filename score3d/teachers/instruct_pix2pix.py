"""InstructPix2Pix (Brooks, Holynski, Efros 2023, arXiv 2211.09800): Stable Diffusion with four more
channels, which see the picture that is edited. Its two guidance scales are
`distill/guide/instruct_pix2pix.py`."""

import torch
from torch import Tensor

from score3d.teachers.checkpoint import Checkpoint
from score3d.teachers.errors import TeacherError
from score3d.teachers.stable_diffusion import StableDiffusionTeacher

__all__ = ["InstructPix2PixTeacher"]


class InstructPix2PixTeacher(StableDiffusionTeacher):
    """Takes `image`: what `condition` makes of the picture to edit, or zeros for none."""

    capabilities = frozenset({"instruct"})

    @classmethod
    def check(cls, source: Checkpoint) -> None:
        given, latent = source.config("unet").get("in_channels"), cls._latent_channels(source)
        if given != 2 * latent:
            raise TeacherError(
                f"{source.folder / 'unet' / 'config.json'}: an InstructPix2Pix network takes "
                f"{2 * latent} channels, this one {given}"
            )
        cls._check_text(source, "cross_attention_dim", "text_encoder", "hidden_size")

    @torch.no_grad()
    def condition(self, rgb: Tensor) -> Tensor:
        """rgb [B,3,H,W] in [0,1] -> what `image` takes [B,C,h,w]: latents that are not scaled,
        as the network was trained."""
        return self._modes(rgb)

    def _predict(
        self, z_t: Tensor, t: Tensor, emb: Tensor, image: Tensor | None, camera: Tensor | None
    ) -> Tensor:
        if image is None:
            raise ValueError("this teacher edits pictures and was given none")
        return self._ask(torch.cat([z_t, image.to(z_t)], 1), t, emb)
