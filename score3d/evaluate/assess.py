"""All that is measured of one generated asset."""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from score3d.cameras import turntable
from score3d.evaluate.geometry import compare_geometry
from score3d.evaluate.judge import measuring_judge
from score3d.evaluate.two_tower import TwoTower
from score3d.evaluate.verdict import score_views
from score3d.files.splats import Splats
from score3d.resources import resource
from score3d.scenes.photograph import photograph
from score3d.teachers.embedded import Thing, World

__all__ = ["Assessor", "saturation"]

VIEWS, SIDE, BACKGROUND = 8, 96, 0.8


def saturation(pictures: NDArray[np.float32], background: float = BACKGROUND) -> float:
    """Mean HSV saturation, in [0,1], of the pixels of [B,H,W,3] that are not background."""
    high, low = pictures.max(-1), pictures.min(-1)
    inside = np.abs(pictures - background).max(-1) > 0.05
    if not inside.any():
        return 0.0
    return float(((high - low) / np.maximum(high, 1e-6))[inside].mean())


class Assessor:
    """Measures assets of the embedded teacher's world with a judge, the two-tower model and the
    world's own geometry.

    The second judge is used where it is installed, since rewards never see it; else the first
    one, which says nothing of runs that it rewarded. Without a two-tower model its figures are
    left out. `judged_by` and `without` say what was there.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        pair = resource("assets", "two-tower")
        self.judge, self.judged_by = measuring_judge()
        self.two_tower = TwoTower(pair) if pair.is_dir() else None
        self.without = [] if self.two_tower else ["R-precision", "view consistency"]
        self._pool = [f"a {c} {n}" for n in world.nouns for c in world.colours]

    def __call__(
        self,
        splats: Splats,
        prompt: str,
        fov: float = 40.0,
        pictures: NDArray[np.float32] | None = None,
    ) -> dict[str, Any]:
        """Of `splats`, which should be `prompt`. pictures [8,96,96,3]: turntable views on
        `BACKGROUND` to be judged in place of theirs, of a scene that is more than its Gaussians.
        Raises PromptError for a prompt outside the world.

        shape, colour, material, sides, janus: `score_views` of 8 turntable views (not for two
        objects). r_precision: share of views whose nearest prompt, among those of all nouns and
        colours and this one, is this one. view_consistency: mean cosine of the two-tower vectors
        of neighbouring views. saturation: in [0,1]. chamfer, iou, holes, one_sided:
        `compare_geometry`, None for a scene without a surface and for a noun that only real models
        have.
        """
        thing = self.world.parse(prompt)
        cameras = turntable(VIEWS, SIDE, fov=fov)
        if pictures is None:
            pictures = photograph(splats, cameras, BACKGROUND)
        rgb = torch.from_numpy(pictures).permute(0, 3, 1, 2)
        report: dict[str, Any] = {"prompt": prompt, "judged_by": self.judged_by}
        report["saturation"] = saturation(pictures)
        if self.two_tower:
            report |= self._similarities(self.two_tower, rgb, thing)
        if thing.relation:
            return report
        sided = thing.noun not in self.world.symmetric
        report |= score_views(
            pictures,
            thing.noun,
            thing.colour,
            self.judge,
            material=thing.material,
            azimuths=cameras.azimuth.double().numpy() if sided else None,
        )
        try:
            geometry = compare_geometry(splats, thing.noun)
            report |= asdict(geometry)
        except (ValueError, KeyError):
            report |= dict.fromkeys(("chamfer", "iou", "holes", "one_sided"))
        return report

    def _similarities(self, model: TwoTower, rgb: torch.Tensor, thing: Thing) -> dict[str, float]:
        phrase = thing.phrase()
        pool = [phrase, *(p for p in self._pool if p != phrase)]
        nearest = model.similarity(rgb, pool).argmax(1)
        vectors = model.embed(rgb)
        neighbours = (vectors * vectors.roll(1, 0)).sum(1)
        return {
            "r_precision": float((nearest == 0).float().mean()),
            "view_consistency": float(neighbours.mean()),
        }
