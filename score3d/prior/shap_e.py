"""A mesh of a prompt by Shap-E (Jun and Nichol 2023, arXiv 2305.02463), through diffusers, for
those who have its weights."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from score3d.teachers.base import TeacherError

__all__ = ["shap_e_mesh"]

RADIUS = 0.5  # of the mesh, in the scene


def shap_e_mesh(
    folder: str, prompt: str, seed: int = 0, steps: int = 64, guidance: float = 15.0
) -> Any:
    """A trimesh.Trimesh with colours on its corners, centred, in a ball of radius 0.5, +y up and
    facing +z. folder: a checkpoint in diffusers layout. Raises TeacherError."""
    import trimesh
    from diffusers.pipelines.shap_e.pipeline_shap_e import ShapEPipeline

    if not (Path(folder) / "model_index.json").is_file():
        raise TeacherError(f"scene.start=shap-e:{folder}: no checkpoint in diffusers layout there")
    try:
        pipeline = ShapEPipeline.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # diffusers raises whatever its parts stumble over
        reason = str(error).split("\n")[0][:200]
        raise TeacherError(f"{folder}: cannot be loaded as Shap-E ({reason})") from error
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(seed)
    answer: Any = pipeline(
        prompt, guidance_scale=guidance, num_inference_steps=steps, generator=generator,
        output_type="mesh",
    )  # fmt: skip
    found = answer.images[0]
    vertices, faces = found.verts.float().cpu().numpy(), found.faces.cpu().numpy()
    if not len(faces):
        raise TeacherError(f"{folder}: Shap-E made an empty mesh of {prompt!r}; try another --seed")
    colours = np.stack([found.vertex_channels[c].float().cpu().numpy() for c in "RGB"], 1)
    # Shap-E's objects stand on z; diffusers' documentation turns them like this
    vertices = vertices[:, [0, 2, 1]] * (1, 1, -1)
    vertices = vertices - (vertices.min(0) + vertices.max(0)) / 2
    vertices *= RADIUS / np.linalg.norm(vertices, axis=1).max()
    bytes_ = (colours.clip(0, 1) * 255).round().astype(np.uint8)
    return trimesh.Trimesh(vertices, faces, vertex_colors=bytes_, process=False)
