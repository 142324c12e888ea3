"""Which pixels of a picture an edit is about, by the teacher itself.

A teacher asked for "a yellow mushroom" and for "a red mushroom" disagrees with itself on the cap
and nowhere else (DiffEdit, Couairon et al. 2022, arXiv 2210.11427, section 3.2). Its mask is
binary; this one is soft, since insides of things disagree half as much as their outlines.
"""

import torch
from torch import Tensor
from torch.nn import functional

from score3d.prompts import PromptBook
from score3d.scenes.canvas import CanvasScene
from score3d.teachers.base import Teacher

__all__ = ["disagreement"]

DRAWS, TIMES = 6, (0.3, 0.6)
# Of the 99th percentile: below the first nothing may change, from the second on everything.
LEAST, WHOLE = 0.2, 0.4
BATCH = 8  # windows asked about at once


@torch.no_grad()
def disagreement(
    scene: CanvasScene, teacher: Teacher, prompts: PromptBook, source: PromptBook, seed: int
) -> Tensor:
    """How much each pixel of the small canvas may change, [F,1,h,w] in [0,1].

    The mean absolute difference over channels, of `DRAWS` draws with times in `TIMES`, between
    the teacher's noise for the goal and for what is there (for the empty prompt, of teachers that
    take instructions), as latents of windows that cover the canvas twice.
    """
    told = "instruct" in teacher.capabilities
    views, device = scene.cover(), scene.seen.device
    gen = torch.Generator().manual_seed(seed)
    # the noises are the same for all windows: neighbours should not differ by chance
    noises = [torch.randn(1, *teacher.latent_shape, generator=gen).to(device) for _ in range(DRAWS)]
    maps = []
    for first in range(0, len(views), BATCH):
        some = views[first : first + BATCH].to(device)
        rgb = scene.render(some, scene.seen).rgb
        z, cond = teacher.encode(rgb), prompts.at(some)
        there = cond.negative if told else source.at(some).positive
        image = teacher.condition(rgb) if told else None  # type: ignore[attr-defined]
        gap = torch.zeros_like(z[:, :1])
        for time, eps in zip(torch.linspace(*TIMES, DRAWS), noises, strict=True):
            t = time.expand(len(z)).to(device)
            alpha, sigma = teacher.schedule.alpha_sigma(t, z)
            z_t = alpha * z + sigma * eps
            goal, now = (teacher.eps(z_t, t, e, image) for e in (cond.positive, there))
            gap += (goal - now).abs().mean(1, keepdim=True)
        maps.append(functional.interpolate(gap, (scene.side, scene.side), mode="bilinear"))
    total = scene.laid_back(views, torch.cat(maps))
    top = torch.quantile(total.flatten()[:: 1 + total.numel() // 10**6], 0.99)
    share = total / top.clamp(min=1e-12)  # no disagreement at all: nothing may change
    return ((share - LEAST) / (WHOLE - LEAST)).clamp(0, 1)
