"""Where Gaussians go while a scene is optimised.

`Mcmc` is "3D Gaussian Splatting as Markov Chain Monte Carlo" (Kheradmand et al. 2024, arXiv
2404.09591): dead Gaussians are relocated onto live ones and the number grows to a hard cap, in
a way that leaves the picture nearly unchanged. gsplat has it as `MCMCStrategy`, but its
relocation needs a CUDA kernel, so the formula (eq. 9) is here. Its noise term is left out:
under score distillation the gradient itself is noisy enough.

`Gradient` is gsplat's own `DefaultStrategy` (split and duplicate where the 2D gradient is
large, prune what is transparent), which runs on the CPU. Its absolute threshold means nothing
under score distillation, where gradients scale with w(t) and guidance, so before each
refinement it is set to a quantile of what was seen.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.optim import Optimizer

from score3d.draw import Draw
from score3d.scenes.base import Render

__all__ = ["Adaptation", "Gradient", "Mcmc", "relocation", "replace_rows"]

Params = torch.nn.ParameterDict
Optimizers = dict[str, Optimizer]


@dataclass(frozen=True)
class Adaptation:
    """When adaptation happens and how far it may go.

    every, start, stop: in steps. cap: most Gaussians. min_opacity: below it one is dead.
    """

    every: int = 10
    start: int = 20
    stop: int = 10**9
    cap: int = 3000
    min_opacity: float = 0.005

    def due(self, step: int) -> bool:
        return self.start <= step < self.stop and step % self.every == 0


def relocation(opacity: Tensor, scale: Tensor, copies: Tensor) -> tuple[Tensor, Tensor]:
    """Opacity [M] and scale [M,3] of each of `copies` [M] (>= 1) Gaussians that together
    replace one of `opacity` [M] in (0,1) and `scale` [M,3] (arXiv 2404.09591, eq. 9)."""
    n_max = int(copies.max().clamp(max=51))
    copies = copies.clamp(max=n_max)
    o_new = 1 - (1 - opacity).pow(1 / copies)
    denominator = torch.zeros_like(opacity)
    for i in range(1, n_max + 1):
        inner = sum(
            math.comb(i - 1, k) * (-1) ** k * o_new.pow(k + 1) / math.sqrt(k + 1) for k in range(i)
        )
        denominator = denominator + torch.where(copies >= i, inner, 0.0)
    return o_new, scale * (opacity / denominator)[:, None]


def replace_rows(
    params: Params, optimizers: Optimizers, new: dict[str, Tensor], source: Tensor
) -> None:
    """Give every parameter new rows, and its optimiser moments to match.

    new: name -> [M,...]. source [M] int64: the old row whose Adam moments row m inherits, or -1
    for none (zero moments). The optimiser's parameter is replaced, never left pointing at the
    old tensor: that mistake makes optimisation a silent no-op.
    """
    keep = source >= 0
    for name, value in new.items():
        old, optimizer = params[name], optimizers[name]
        fresh = torch.nn.Parameter(value.detach().clone())
        state = optimizer.state.pop(old, {})
        for key, moment in state.items():
            if key != "step":
                moved = moment[source.clamp(min=0)]
                moved[~keep] = 0
                state[key] = moved
        if state:
            optimizer.state[fresh] = state
        optimizer.param_groups[0]["params"] = [fresh]
        params[name] = fresh


@dataclass(frozen=True)
class Mcmc(Adaptation):
    """Relocation with a hard cap. growth: share of Gaussians added at each adaptation."""

    growth: float = 0.05

    def prepare(self, meta: dict) -> None:
        """Nothing to retain for the backward pass."""

    def __call__(self, params: Params, optimizers: Optimizers, draw: Draw, view: Render) -> None:
        if not self.due(draw.step):
            return
        generator = torch.Generator().manual_seed(draw.adapt_seed)
        opacity = torch.sigmoid(params["opacities"].detach())
        dead = opacity <= self.min_opacity
        alive = torch.where(~dead)[0]
        if len(alive) == 0:
            return  # nothing to relocate onto; the optimiser may still revive some
        n = len(opacity)
        target = max(n, min(self.cap, int(n * (1 + self.growth))))
        moved = torch.where(dead)[0]
        wanted = len(moved) + target - n
        if wanted == 0:
            return
        picks = torch.multinomial(
            opacity[alive].cpu(), wanted, replacement=True, generator=generator
        )
        hosts = alive[picks.to(alive.device)]
        copies = torch.bincount(hosts, minlength=n) + 1
        scales = params["scales"].detach().exp()
        o_new, s_new = relocation(opacity, scales, copies)
        source = torch.arange(n, device=opacity.device)
        index = torch.cat([source, source.new_zeros(target - n)])
        index[moved] = hosts[: len(moved)]
        index[n:] = hosts[len(moved) :]
        inherit = index.clone()
        touched = copies > 1
        inherit[:n][touched | dead] = -1
        inherit[n:] = -1
        new = {name: value.detach()[index] for name, value in params.items()}
        # n = 1 leaves opacity and scale as they are; only those with copies are rewritten.
        changed = touched[index]
        o_clamped = o_new.clamp(self.min_opacity, 1 - 1e-6)
        new["opacities"][changed] = torch.logit(o_clamped)[index][changed]
        new["scales"][changed] = s_new.log()[index][changed]
        replace_rows(params, optimizers, new, inherit)


@dataclass(frozen=True)
class Gradient(Adaptation):
    """gsplat's DefaultStrategy with a quantile threshold.

    grow_share: share of the Gaussians that split or duplicate at each refinement.
    """

    grow_share: float = 0.05
    scene_scale: float = 0.5
    state: dict = field(default_factory=dict)

    def _strategy(self, every: int):
        from gsplat.strategy import DefaultStrategy

        return DefaultStrategy(
            prune_opa=self.min_opacity,
            refine_start_iter=-1,
            refine_stop_iter=10**9,
            refine_every=every,
            reset_every=10**9,  # opacity resets fight a teacher at high noise
        )

    def prepare(self, meta: dict) -> None:
        """Keep the gradient of the projected means."""
        if meta["means2d"].requires_grad:
            meta["means2d"].retain_grad()

    def __call__(self, params: Params, optimizers: Optimizers, draw: Draw, view: Render) -> None:
        gather = self._strategy(every=10**9)
        if not self.state:
            self.state.update(gather.initialize_state(self.scene_scale))
        after_zero = draw.step + 1  # gsplat refines at multiples of `every`, 0 included
        gather.step_post_backward(
            params, optimizers, self.state, after_zero, view.meta, packed=False
        )
        if not self.due(draw.step):
            return
        refine = self._strategy(every=1)
        mean = self.state["grad2d"] / self.state["count"].clamp(min=1)
        count = min(math.ceil(self.grow_share * len(mean)), self.cap - len(mean))
        # strictly above the (count + 1)-th largest: at most `count` grow
        grows = 0 < count < len(mean)
        refine.grow_grad2d = float(mean.topk(count + 1).values[-1]) if grows else math.inf
        nothing_seen = view.meta | {"radii": torch.zeros_like(view.meta["radii"])}
        # gsplat draws from the global generator: lend it a seeded one.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(draw.adapt_seed)
            refine.step_post_backward(
                params, optimizers, self.state, after_zero, nothing_seen, packed=False
            )
