"""MVDream (Shi et al. 2023, arXiv 2308.16512): four views of one object, denoised together.

The network is Stable Diffusion 2.1's UNet with two differences, and is made of diffusers' own
classes: self-attention runs over the tokens of all four views, and 16 numbers of each camera are
embedded and added to the time embedding (diffusers' projection class embedding). Checkpoints may
be in that layout, or hold the original network (`MultiViewUNetModel`), whose weights are renamed.

A camera is its camera-to-world matrix with Blender's axes (world +z up, camera looking along its
-z), the position scaled to length 1. MVDream's azimuth 0 is the front, as here.
"""

from typing import Any

import torch
from torch import Tensor

from score3d.cameras import Cameras
from score3d.teachers.checkpoint import Checkpoint
from score3d.teachers.errors import TeacherError
from score3d.teachers.latent import diffusers_class
from score3d.teachers.stable_diffusion import StableDiffusionTeacher
from score3d.teachers.step_view import StepView

__all__ = ["CAMERA_NUMBERS", "JointViews", "MultiViewTeacher", "camera_numbers"]

CAMERA_NUMBERS = 16
VIEWS = 4
ORIGINAL = "MultiViewUNetModel"


def camera_numbers(views: Cameras) -> Tensor:
    """The 16 numbers [B,16] of each of B cameras."""
    poses = torch.linalg.inv(views.viewmats)  # camera to world, OpenCV axes
    rotation = poses[:, :3, :3] * poses.new_tensor([1.0, -1.0, -1.0])  # y down, z forward -> OpenGL
    position = torch.nn.functional.normalize(poses[:, :3, 3], dim=1)
    x, y, z = torch.cat([rotation, position[:, :, None]], 2).unbind(1)
    last = poses.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(len(poses), 4)
    return torch.stack([x, -z, y, last], 1).flatten(1)


class JointViews:
    """An attention processor: the tokens of each `views` neighbouring rows attend to each other.

    inner: diffusers' processor, which sees one long row."""

    def __init__(self, inner: Any, views: int = VIEWS) -> None:
        self.inner, self.views = inner, views

    def __call__(self, attn: Any, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """hidden_states [M,L,C], M a multiple of `views` -> [M,L,C]."""
        rows, length, channels = hidden_states.shape
        joined = hidden_states.reshape(rows // self.views, self.views * length, channels)
        out = self.inner(attn, joined, *args, **kwargs)
        return out.reshape(rows, length, channels)


class MultiViewTeacher(StableDiffusionTeacher):
    """Rows of `eps` come in fours, the views of one object side by side, with `camera` [M,16].

    In a run `at` puts them so; `views.count` must be a multiple of four."""

    capabilities = frozenset({"multiview"})
    group = VIEWS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # the view is told by the camera: words for it would only repeat it
        self.view_style = "none"

    @classmethod
    def check(cls, source: Checkpoint) -> None:
        if source.part_class("unet")[1] != ORIGINAL:
            super().check(source)
            given = source.config("unet").get("projection_class_embeddings_input_dim")
            if given != CAMERA_NUMBERS:
                raise TeacherError(
                    f"{source.folder / 'unet' / 'config.json'}: a multi-view network embeds "
                    f"{CAMERA_NUMBERS} numbers of each camera, this one {given}"
                )
        elif source.config("unet").get("ip_dim"):
            raise TeacherError(
                f"{source.folder / 'unet' / 'config.json'}: an ImageDream network, which needs a "
                "picture; MVDream's is driven by text"
            )

    def _load_network(self) -> Any:
        if self.source.part_class("unet")[1] == ORIGINAL:
            network = _renamed(self.source, self.dtype)
        else:
            network = super()._load_network()
        processors = network.attn_processors
        network.set_attn_processor(
            {k: JointViews(v) if "attn1" in k else v for k, v in processors.items()}
        )
        return network

    def _predict(
        self, z_t: Tensor, t: Tensor, emb: Tensor, image: Tensor | None, camera: Tensor | None
    ) -> Tensor:
        if camera is None:
            raise ValueError("this teacher looks at four views at once and was given no cameras")
        if len(z_t) % VIEWS:
            raise ValueError(f"this teacher takes views in fours, got {len(z_t)}")
        return self._ask(z_t, t, emb, class_labels=camera.to(self.dtype))

    def _slice(self) -> None:
        """Sliced attention would replace the joint one; the autoencoder is still sliced."""
        self.vae.enable_slicing()

    def at(self, views: Cameras, samples: int, progress: float) -> StepView:
        """Raises ValueError unless the views come in fours."""
        if len(views) % VIEWS:
            raise ValueError(
                f"a multi-view teacher looks at four views of an object at once, got {len(views)}; "
                "set views.count to a multiple of 4"
            )
        early = progress < self.options.latent_until
        return StepView(self, early, camera_numbers(views), samples)


def _renamed(source: Checkpoint, dtype: torch.dtype) -> Any:
    """The original network's weights in diffusers' UNet2DConditionModel."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
    from safetensors.torch import load_file

    c = source.config("unet")
    channels = [c["model_channels"] * m for m in c["channel_mult"]]
    levels = range(len(channels))
    attends = [2**k in c["attention_resolutions"] for k in levels]
    heads = [
        n // c["num_head_channels"] if c.get("num_head_channels", -1) > 0 else c["num_heads"]
        for n in channels
    ]
    config = {
        "sample_size": c["image_size"],
        "in_channels": c["in_channels"],
        "out_channels": c["out_channels"],
        "down_block_types": ["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attends],
        "up_block_types": ["CrossAttnUpBlock2D" if a else "UpBlock2D" for a in attends[::-1]],
        "block_out_channels": channels,
        "layers_per_block": c["num_res_blocks"],
        "cross_attention_dim": c["context_dim"],
        "attention_head_dim": heads,  # the number of heads, by diffusers' naming
        "transformer_layers_per_block": c.get("transformer_depth", 1),
        "use_linear_projection": True,
        "class_embed_type": "projection",
        "projection_class_embeddings_input_dim": c["camera_dim"],
    }
    files = source.files("unet")
    weights: dict[str, Tensor] = {}
    for file in files:
        weights.update(load_file(file))
    prefixed = {
        "model.diffusion_model." + k.replace("camera_embed.", "label_emb.0."): v
        for k, v in weights.items()
    }
    network = diffusers_class("UNet2DConditionModel").from_config(config)
    try:
        network.load_state_dict(convert_ldm_unet_checkpoint(prefixed, config))
    except (RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:160]
        raise TeacherError(f"{files[0]}: does not fit its config: {reason}") from error
    return network.to(dtype).requires_grad_(False).eval()
