"""A teacher as one step sees it: with the step's cameras, or with a shortcut for its encoder."""

from typing import Any

import torch
from torch import Tensor

__all__ = ["StepView"]


class StepView:
    """Everything of `teacher`, but `eps` of a multi-view teacher is told the cameras and `encode`
    is the shortcut when `early`.

    camera [B,16]: of the step's views, B a multiple of `teacher.group`. samples: noises per view.
    """

    def __init__(
        self, teacher: Any, early: bool = False, camera: Tensor | None = None, samples: int = 1
    ) -> None:
        self.teacher, self.early, self.camera, self.samples = teacher, early, camera, samples

    def __getattr__(self, name: str) -> Any:
        return getattr(self.teacher, name)

    def encode(self, rgb: Tensor) -> Tensor:
        """As the teacher's, or its shortcut."""
        return self.teacher.encode_shortcut(rgb) if self.early else self.teacher.encode(rgb)

    def eps(
        self,
        z_t: Tensor,
        t: Tensor,
        emb: Tensor,
        image: Tensor | None = None,
        camera: Tensor | None = None,
    ) -> Tensor:
        """As the teacher's. Rows come as K x B x samples (guidance branch, view, noise); the
        network wants the views of one object side by side, so they are put in that order and the
        answer back. Raises ValueError for any other number of rows."""
        if self.camera is None or camera is not None:
            return self.teacher.eps(z_t, t, emb, image, camera)
        views, group = len(self.camera), self.teacher.group
        if len(z_t) % (views * self.samples):
            raise ValueError(
                f"a multi-view teacher was asked about {len(z_t)} rows of {views} views with "
                f"{self.samples} noises each"
            )
        places = torch.arange(len(z_t), device=z_t.device)
        order = places.view(-1, views // group, group, self.samples).transpose(2, 3).flatten()
        view = places.view(-1, views, self.samples) // self.samples % views
        rows = self.camera[view.flatten()]
        picked = [None if v is None else v[order] for v in (z_t, t, emb, image, rows)]
        out = self.teacher.eps(*picked)
        return torch.empty_like(out).index_copy_(0, order, out)
