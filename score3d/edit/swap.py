"""Turning a scene into another thing: its Gaussians where the 3D prior puts that thing."""

from dataclasses import replace

import numpy as np

from score3d import build
from score3d.config import Config
from score3d.files.splats import Splats

__all__ = ["imagined_with"]


def imagined_with(config: Config, start: Splats) -> Splats:
    """The prior's shape of `run.prompt` as Gaussians, as many as `start` (in the frame) has and of
    its SH degree; where `start` has more than fit, several lie in one place. Raises PromptError,
    TeacherError."""
    scene = config.scene.model_copy(update={"start": "prior", "count": len(start)})
    config = config.model_copy(update={"scene": scene})
    found = build.imagined(config, config.run.seed)
    assert found is not None
    rows = np.resize(np.arange(len(found)), len(start))
    found = found[0].select(rows)
    sh = np.zeros_like(start.sh)
    sh[:, :1] = found.sh
    return replace(found, sh=sh)
