"""The 3D prior that ships with the package: the shape of a prompt.

It fills the role that Point-E has in GSGEN (Chen et al. 2024, arXiv 2309.16585, section 4.2) and
Shap-E in GaussianDreamer (Yi et al. 2024, arXiv 2310.08529, section 3.2): a first guess of the
geometry. Trained on the world behind the embedded teacher (`scripts/train_prior.py`), it knows the
same words.
"""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from score3d.prior.cubes import Cubes
from score3d.prior.detail import VolumeDetail
from score3d.prior.network import VolumeDenoiser
from score3d.schedule import NoiseSchedule
from score3d.teachers.base import PromptError, TeacherError
from score3d.teachers.embedded import Thing, load_world
from score3d.world.volumes import BOUND, SURFACE

__all__ = ["ShapePrior"]

GUIDED = 0.25  # of the time, 0 clean to 1 noise


class ShapePrior:
    """folder: `prior.safetensors` and `prior.json`. Raises TeacherError for a damaged one and for
    one that is not there."""

    def __init__(self, folder: Path, device: torch.device | str = "cpu") -> None:
        try:
            about = json.loads((folder / "prior.json").read_text())
            self.nouns: list[str] = about["nouns"]
            self.colours: list[str] = about["colours"]
            self.materials: list[str] = about["materials"]
            self.without_material: list[str] = about.get("without_material", [])
            weights = load_file(folder / "prior.safetensors")
            parts = (weights.pop(k) for k in ("basis", "scale", "kept"))
            detail = {k: weights.pop(k).float() for k in list(weights) if k.startswith("detail.")}
            self.cubes = Cubes(about["patch"], *parts)
            known = len(self.nouns), len(self.colours), len(self.materials), len(self.colours)
            self.net = VolumeDenoiser(
                known, len(self.cubes.kept), len(self.cubes.scale), **about["network"]
            )
            self.net.load_state_dict(
                {k.removeprefix("net."): v.float() for k, v in weights.items()}
            )
            self.detail = VolumeDetail(len(self.nouns)) if detail else None
            if self.detail:
                self.detail.load_state_dict(
                    {k.removeprefix("detail."): v for k, v in detail.items()}
                )
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            reason = str(error).split("\n")[0][:200]
            raise TeacherError(
                f"{folder}: not a 3D prior ({reason}); `scripts/train_prior.py --export FOLDER` "
                "makes one, and --set prior.folder=FOLDER names it"
            ) from error
        self.device = torch.device(device)
        for net in filter(None, (self.net, self.detail)):
            net.eval().requires_grad_(False).to(self.device)
        self.schedule = NoiseSchedule.scaled_linear()

    def understand(self, prompt: str) -> Thing:
        """What a prompt asks for. Raises PromptError for what the prior cannot imagine."""
        thing = load_world().parse(prompt)
        if thing.relation or thing.noun not in self.nouns:
            raise PromptError(
                f"the 3D prior knows single objects: {', '.join(self.nouns)}; without it: "
                "another scene.start"
            )
        return thing

    def _words(self, thing: Thing) -> list[int]:
        """A word that is not said is 0. A prompt without a material is of a matte thing; a noun
        learnt from real models alone never came with a material, and breaks when it does."""
        second = thing.second_colour
        material = 1 + self.materials.index(thing.material or "matte")
        return [
            1 + self.nouns.index(thing.noun),
            1 + self.colours.index(thing.colour) if thing.colour else 0,
            0 if thing.noun in self.without_material else material,
            1 + self.colours.index(second) if second else 0,
        ]

    @torch.no_grad()
    def sample(
        self, thing: Thing, seed: int = 0, steps: int = 24, guidance: float = 3.0
    ) -> NDArray[np.float32]:
        """A volume [4,S,S,S] over x, y, z as `score3d.world.volumes` makes them, by DDIM (Song et
        al. 2021, arXiv 2010.02502) with classifier-free guidance (0: of nothing, 1: of the words
        alone) at times above GUIDED: below, it costs time and the judges see no difference
        (docs/log.md; Kynkaanniemi et al. 2024, arXiv 2404.07724)."""
        generator = torch.Generator().manual_seed(seed)
        shape = 1, len(self.cubes.kept), len(self.cubes.scale)
        x = torch.randn(shape, generator=generator).to(self.device)
        words = torch.tensor([self._words(thing), [0, 0, 0, 0]], device=self.device)
        # the last steps are shorter, or the cells would be drawn to their mean
        times = 0.999 * torch.linspace(1, 0, steps + 1).pow(1.4)
        for now, after in itertools.pairwise(times):
            guided = now > GUIDED and guidance not in (0, 1)
            asked = words if guided else words[1:] if guidance == 0 else words[:1]
            t = self.schedule.timesteps(now[None].to(self.device)).repeat(len(asked))
            v = self.net(x.repeat(len(asked), 1, 1), t, asked)
            if guided:
                said, free = v.chunk(2)
                v = free + guidance * (said - free)
            alpha, sigma = self.schedule.alpha_sigma(now[None], x)
            clean, eps = alpha * x - sigma * v, alpha * v + sigma * x
            if after <= 0:
                x = clean
                break
            alpha, sigma = self.schedule.alpha_sigma(after[None], x)
            x = alpha * clean + sigma * eps
        return self.cubes.decode(x.cpu())[0].numpy()

    def mesh(self, thing: Thing, seed: int = 0, guidance: float = 3.0) -> Any:
        """A sample as a trimesh.Trimesh with colours on its corners, +y up and facing +z. Raises
        TeacherError for an empty sample."""
        return mesh_of(self.detailed(self.sample(thing, seed, guidance=guidance), thing.noun))

    @torch.no_grad()
    def detailed(self, volume: NDArray[np.float32], noun: str) -> NDArray[np.float32]:
        """A volume [4,S,S,S] with cells of half the side, [4,2S,2S,2S], as the shape's noun lets
        expect; itself, if the folder has no detail."""
        if not self.detail:
            return volume
        # what is empty stays empty
        filled = np.argwhere(volume[0] > 0.1)
        if not len(filled):
            return volume
        low = np.maximum(filled.min(0) - 2, 0)
        high = np.minimum(low + -(-(filled.max(0) + 3 - low) // 4) * 4, len(volume[0]))
        low = high - (high - low + 3) // 4 * 4
        part = volume[:, *(slice(a, b) for a, b in zip(low, high, strict=True))]
        word = torch.tensor([1 + self.nouns.index(noun)], device=self.device)
        made = self.detail(torch.from_numpy(part)[None].to(self.device), word)[0].cpu().numpy()
        fine = np.zeros((4, *(2 * n for n in volume.shape[1:])), np.float32)
        fine[:, *(slice(2 * a, 2 * b) for a, b in zip(low, high, strict=True))] = made
        return fine


def mesh_of(volume: NDArray[np.float32]) -> Any:
    """The surface of a volume [4,S,S,S] as a trimesh.Trimesh. Raises TeacherError where there is
    none."""
    import trimesh
    from scipy.ndimage import map_coordinates
    from skimage.measure import marching_cubes

    full = np.pad(volume[0], 1)
    if not full.max() > SURFACE:
        raise TeacherError("the 3D prior made an empty shape; try another --seed")
    vertices, faces, _, _ = marching_cubes(full, SURFACE, gradient_direction="ascent")
    side = len(volume[0])
    near = np.clip(vertices - 1, 0, side - 1).T
    # colours fade to 0 a cell away from the surface; what has one there is divided by its share
    share = map_coordinates(_coloured(volume), near, order=1)
    rgb = np.stack([map_coordinates(c, near, order=1) for c in volume[1:]], 1)
    rgb = np.clip(rgb / np.maximum(share, 0.2)[:, None] + 0.5, 0, 1)
    tones = np.round(rgb * 255).astype(np.uint8)
    at = (vertices - 0.5) * (2 * BOUND / side) - BOUND
    return trimesh.Trimesh(at, faces, vertex_colors=tones, process=False)


def _coloured(volume: NDArray[np.float32]) -> NDArray[np.float32]:
    return (np.abs(volume[1:]).max(0) > 0.02).astype(np.float32)
