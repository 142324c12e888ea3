"""Delta denoising score: what the teacher says of the source (Hertz et al. 2023, 2304.07090).

    baseline = guide(alpha z_src + sigma eps, t, y_src)        the same eps, t and guide

Whatever the teacher would complain about in any picture cancels; what remains is the edit. Also
the baseline of Collaborative Score Distillation's editing (arXiv 2307.04787), with the
InstructPix2Pix guide. Fill `Conditioning.source` and `source_latents`.
"""

from dataclasses import dataclass, replace

from torch import Tensor

from score3d.distill.equation import Guide, Noisy
from score3d.teachers.base import Teacher

__all__ = ["Dds"]


@dataclass(frozen=True)
class Dds:
    """guide: the rule's own, so that both branches are asked alike."""

    guide: Guide

    def __call__(self, teacher: Teacher, noisy: Noisy) -> Tensor:
        """[M,C,h,w], one more pass of the guide. Raises ValueError without a source."""
        cond = noisy.cond
        if cond.source is None or cond.source_latents is None:
            raise ValueError("an editing baseline needs a source; these prompts have none")
        alpha, sigma = teacher.schedule.alpha_sigma(noisy.t, noisy.z)
        z_t = alpha * cond.source_latents + sigma * noisy.eps
        return self.guide(teacher, z_t, noisy.t, replace(cond, positive=cond.source))
