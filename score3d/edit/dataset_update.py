"""Iterative dataset update: Instruct-NeRF2NeRF (Haque et al., ICCV 2023, arXiv 2303.12789).

The other way to edit with a frozen teacher, to compare score distillation with. A fixed number of
targets, pictures of fixed views, begin as the original's; every few steps the next one is replaced
by the teacher's edit of what the scene shows there now, and every step fits one of them:

    t ~ U(t_min, t_max),  z_t = alpha_t encode(render) + sigma_t eps,   DDIM down to 0, decode

An instruct teacher is shown the original's picture as well, as in the paper. A plain teacher edits
by the goal's description alone (SDEdit, arXiv 2108.01073), so that t decides how much stays.
The paper fits by L1 and LPIPS; here by L1, since LPIPS needs weights that do not ship.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from time import perf_counter

import torch
from torch import Tensor
from torch.nn import functional

from score3d.distill.equation import Rule, ask
from score3d.distill.weight.denoise import denoise
from score3d.draw import Draw, DrawSpec, draw_at
from score3d.edit.original import Original
from score3d.loop import Diverged, StepInfo
from score3d.prompts import PromptBook
from score3d.scenes.base import Scene
from score3d.teachers.base import Teacher, at_step

__all__ = ["DatasetUpdate"]


@dataclass
class DatasetUpdate:
    """Takes the place of `loop.optimise_in_memory`, with targets as its state.

    count: targets, each of the views of one draw (a grid, for teachers of grids). every: steps
    between replacements. times: of the DDIM chain over the whole schedule, of which an edit uses
    those below its t. kept: pictures [B,3,H,W] in [0,1] by number.
    """

    count: int
    every: int
    times: int
    kept: dict[int, Tensor] = field(default_factory=dict)

    def state_dict(self) -> dict[str, Tensor]:
        """Flat, for the checkpoint."""
        return {f"target.{k}": v for k, v in self.kept.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """The inverse; other names are passed over."""
        names = [name for name in state if name.startswith("target.")]
        self.kept = {int(name.removeprefix("target.")): state[name] for name in names}

    def __call__(
        self,
        scene: Scene,
        teacher: Teacher,
        prompts: PromptBook,
        rule: Rule,
        spec: DrawSpec,
        start: int = 0,
        device: torch.device | str = "cpu",
        told: Callable[[str], None] = lambda note: None,
        source: Original | None = None,
    ) -> Iterator[StepInfo]:
        """See `optimise`. `StepInfo.grad_norm` is the distance ||render - target|| per view.
        Raises ValueError without a source, Diverged where a render is not finite."""
        if source is None:
            raise ValueError("a dataset update needs what is edited")
        for step in range(start, spec.steps):
            clock = [perf_counter()]
            replaces = step % self.every == 0
            number = (step // self.every if replaces else step) % self.count
            views = draw_at(spec, number)
            draw = draw_at(spec, step)
            draw = replace(draw, views=views.views, background=views.background).to(device)
            view = scene.render(draw.views, draw.background)
            clock.append(perf_counter())
            if number not in self.kept:
                with torch.no_grad():
                    self.kept[number] = source.scene.render(draw.views, draw.background).rgb
            self.kept[number] = self.kept[number].to(device)
            clock.append(perf_counter())
            if replaces:
                seen = at_step(teacher, draw.views, draw.noise.shape[1], step / spec.steps)
                self.kept[number] = self._edited(view.rgb, seen, prompts, rule, draw, source)
            clock.append(perf_counter())
            loss = functional.l1_loss(view.rgb, self.kept[number]) + scene.regulariser(view)
            if not torch.isfinite(loss):
                raise Diverged(f"step {step}: the render or its target is not finite")
            loss.backward()
            clock.append(perf_counter())
            scene.step(step)
            scene.adapt(draw, view)
            clock.append(perf_counter())
            phases = ("render", "encode", "teacher", "backward", "adapt")
            seconds = {p: b - a for p, a, b in zip(phases, clock[:-1], clock[1:], strict=True)}
            gap = (view.rgb.detach() - self.kept[number]).flatten(1).norm(dim=1).mean()
            yield StepInfo(step, float(gap), float(draw.t.mean()), len(scene), seconds, view)

    @torch.no_grad()
    def _edited(
        self,
        rgb: Tensor,
        teacher: Teacher,
        prompts: PromptBook,
        rule: Rule,
        draw: Draw,
        source: Original,
    ) -> Tensor:
        """The teacher's edit of pictures [B,3,H,W], at their size."""
        cond = source(prompts.at(draw.views), teacher, draw)
        asked = ask(teacher, teacher.encode(rgb), cond, draw, None, rule)
        made = teacher.decode(denoise(teacher, rule.guide, asked, self.times))
        size = (rgb.shape[-2], rgb.shape[-1])
        if made.shape[-2:] != size:
            made = functional.interpolate(made, size, mode="bilinear", antialias=True)
        return made.clamp(0, 1)
