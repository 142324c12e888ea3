"""Which class a checkpoint folder needs: told by its model_index.json, not by its name."""

from dataclasses import replace
from pathlib import Path

import torch

from score3d.teachers.aliases import ALIASES
from score3d.teachers.checkpoint import Checkpoint
from score3d.teachers.embedding_cache import cache_folder
from score3d.teachers.errors import TeacherError
from score3d.teachers.flow_matching import FlowMatchingTeacher
from score3d.teachers.instruct_pix2pix import InstructPix2PixTeacher
from score3d.teachers.latent import DEFAULTS, LatentTeacher, LoadOptions
from score3d.teachers.memory import Estimate, estimate
from score3d.teachers.multi_view import CAMERA_NUMBERS, ORIGINAL, MultiViewTeacher
from score3d.teachers.source import locate
from score3d.teachers.stable_diffusion import StableDiffusionTeacher
from score3d.teachers.stable_diffusion_xl import StableDiffusionXLTeacher

__all__ = ["KINDS", "CheckpointTeacher", "kind_of"]

KINDS: dict[str, type[LatentTeacher]] = {
    "StableDiffusionPipeline": StableDiffusionTeacher,
    "StableDiffusionXLPipeline": StableDiffusionXLTeacher,
    "StableDiffusionInstructPix2PixPipeline": InstructPix2PixTeacher,
    "MVDreamPipeline": MultiViewTeacher,
    "StableDiffusion3Pipeline": FlowMatchingTeacher,
}
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def kind_of(source: Checkpoint) -> type[LatentTeacher]:
    """The class for a checkpoint. Raises TeacherError for a pipeline that no class serves."""
    name = source.index.get("_class_name")
    if source.has("unet"):
        original = source.part_class("unet")[1] == ORIGINAL
        config = source.config("unet")
        cameras = config.get("class_embed_type") == "projection"
        cameras &= config.get("projection_class_embeddings_input_dim") == CAMERA_NUMBERS
        if original or cameras:
            return MultiViewTeacher
    if name not in KINDS:
        raise TeacherError(
            f"{source.folder / 'model_index.json'}: a {name}, which is no teacher here; known: "
            f"{', '.join(KINDS)}"
        )
    return KINDS[name]


class CheckpointTeacher:
    """A checkpoint that has been found and understood, but not loaded.

    name: an alias, a folder or a hub id. dtype: "auto" is float16 on CUDA, else float32.
    low_vram: everything in `LoadOptions` that saves memory. Raises TeacherError.
    """

    def __init__(
        self,
        name: str,
        device: torch.device,
        dtype: str = "auto",
        revision: str = "",
        variant: str = "auto",
        local_files_only: bool = False,
        allow_pickle: bool = False,
        low_vram: bool = False,
        cache_prompts: bool = True,
        options: LoadOptions = DEFAULTS,
    ) -> None:
        auto = torch.float16 if device.type == "cuda" else torch.float32
        self.device, self.dtype = device, DTYPES.get(dtype, auto)
        if variant == "auto":
            variant = "fp16" if self.dtype == torch.float16 else ""
        folder: Path = locate(name, revision, variant, local_files_only, allow_pickle)
        self.source = Checkpoint(folder, variant, allow_pickle)
        self.kind = kind_of(self.source)
        if name in ALIASES and not options.prediction:
            options = replace(options, prediction=ALIASES[name].prediction)
        if low_vram:
            options = replace(
                options, rows=options.rows or 1, recompute=True, offload=True, slicing=True
            )
        self.options = replace(options, cache=cache_folder() if cache_prompts else None)

    def check(self) -> None:
        """Raise TeacherError for what can be known to be wrong without loading: parts that are
        missing, cut short, pickled, or do not fit each other."""
        self.source.part_class("scheduler")
        self.kind.check(self.source)
        for part in ("vae", self.kind.network_part, *self.kind.text_parts):
            if not part.startswith("tokenizer") and self.source.has(part):
                self.source.files(part)

    def estimate(self, views: int) -> Estimate:
        """The memory for `views` pictures a step."""
        return estimate(self.kind, self.source, self.dtype, self.options, views)

    def load(self) -> LatentTeacher:
        """The teacher."""
        return self.kind(self.source, self.device, self.dtype, options=self.options)
