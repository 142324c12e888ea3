"""A scene of 3D Gaussians (Kerbl et al. 2023, arXiv 2308.04079)."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from score3d.cameras import Cameras
from score3d.draw import Draw
from score3d.files.splats import Splats
from score3d.render import rasterization
from score3d.scenes.adaptation import Adaptation, Gradient, Mcmc
from score3d.scenes.base import Render
from score3d.scenes.compactness import Compactness

__all__ = ["SH_C0", "GaussianOptions", "GaussianScene"]

SH_C0 = 0.28209479177387814  # the constant of the degree-0 spherical harmonic
# pull(step, parameters): adds to the gradient of the means
Pull = Callable[[int, torch.nn.ParameterDict], None]
DARKEST = 1e-3  # a quarter of a level of an 8-bit picture


@dataclass(frozen=True)
class GaussianOptions:
    """How a scene starts, learns and is kept in bounds; lengths in world units.

    count: Gaussians at the start, in a ball of `radius`. lr_*: Adam learning rates, 0 for what
    stays; lr_means falls geometrically to lr_means_end over the run. min_scale, max_scale: standard
    deviations are clamped into this range. bound: means stay in a ball of this radius.
    opacity_weight, scale_weight: weights of the mean opacity and the mean scale (over its
    maximum) in the regulariser; they are relative to the gradient of the distillation.
    lift_black: keep the direction-independent colour of what may change above black: beyond it
    the renderer's max(colour, 0) passes no gradient on, and a red car can never become blue.
    """

    count: int = 2500
    radius: float = 0.4
    init_scale: float = 0.025
    init_opacity: float = 0.1
    sh_degree: int = 0
    lr_means: float = 0.006
    lr_means_end: float = 0.001
    lr_scales: float = 0.02
    lr_quats: float = 0.02
    lr_opacities: float = 0.05
    lr_sh: float = 0.03
    min_scale: float = 0.006
    max_scale: float = 0.06
    bound: float = 0.62
    opacity_weight: float = 0.0
    scale_weight: float = 0.0
    lift_black: bool = False

    def moving(self, times: float) -> "GaussianOptions":
        """The same with `times` the learning rates of what makes shapes; colours keep theirs."""
        names = ("lr_means", "lr_means_end", "lr_scales", "lr_quats", "lr_opacities")
        return replace(self, **{name: times * getattr(self, name) for name in names})

    def around(self, splats: Splats) -> "GaussianOptions":
        """The same with the degree of `splats`, and bounds that touch nothing of them."""
        low, high = (math.exp(float(f(splats.log_scales))) for f in (np.min, np.max))
        reach = float(np.linalg.norm(splats.means.astype(np.float64), axis=1).max())
        return replace(
            self,
            sh_degree=splats.sh_degree,
            min_scale=max(min(self.min_scale, low / 2), 1e-30),
            max_scale=max(self.max_scale, high * 2),
            bound=max(self.bound, reach * 2),
        )


class GaussianScene:
    """N Gaussians with one Adam optimiser per parameter group, named as gsplat names them:
    means [N,3], quats [N,4] wxyz, scales [N,3] (log), opacities [N] (logit), sh0 [N,1,3], and
    shN [N,K-1,3] when sh_degree > 0."""

    def __init__(
        self,
        options: GaussianOptions,
        adaptation: Adaptation,
        steps: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
        splats: Splats | None = None,
        geometry: bool = False,
        frozen: Tensor | None = None,
        pull: Pull | None = None,
    ) -> None:
        """geometry: renders carry depth and Gaussians, for losses that need them. frozen [N]
        (bool): Gaussians that keep every bit; only without an adaptation. pull: a further gradient
        on the means, of a 3D prior. Raises ValueError."""
        if frozen is not None and isinstance(adaptation, Gradient | Mcmc):
            raise ValueError("Gaussians cannot be kept while others are added and removed")
        self.frozen = None if frozen is None else frozen.to(device)
        self.options, self.adaptation, self.steps = options, adaptation, steps
        self.geometry, self.pull = geometry, pull
        values = _from_splats(splats) if splats is not None else _ball(options, seed)
        self.params = torch.nn.ParameterDict(
            {k: torch.nn.Parameter(v.to(device)) for k, v in values.items()}
        )
        self.optimizers = self._new_optimizers()

    def _new_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        o = self.options
        rates = {
            "means": o.lr_means,
            "quats": o.lr_quats,
            "scales": o.lr_scales,
            "opacities": o.lr_opacities,
            "sh0": o.lr_sh,
            "shN": o.lr_sh / 20,
        }
        return {
            name: torch.optim.Adam([p], lr=rates[name], betas=(0.9, 0.99), eps=1e-15)
            for name, p in self.params.items()
        }

    def __len__(self) -> int:
        return len(self.params["means"])

    def parameters(self) -> dict[str, Tensor]:
        return dict(self.params.items())

    def render(self, views: Cameras, background: Tensor) -> Render:
        p = self.params
        sh = torch.cat([p["sh0"], p["shN"]], 1) if "shN" in p else p["sh0"]
        colors, alphas, meta = rasterization(
            p["means"],
            p["quats"],
            p["scales"].exp(),
            p["opacities"].sigmoid(),
            sh,
            views.viewmats,
            views.Ks,
            views.width,
            views.height,
            sh_degree=self.options.sh_degree,
            backgrounds=background,
            render_mode="RGB+ED" if self.geometry else "RGB",
        )
        if isinstance(self.adaptation, Gradient | Mcmc | Compactness):
            self.adaptation.prepare(meta)
        colors, alphas = colors.permute(0, 3, 1, 2), alphas.permute(0, 3, 1, 2)
        if not self.geometry:
            return Render(colors, alphas, meta)
        gaussians = {
            "means": p["means"].detach(),
            "quats": p["quats"].detach(),
            "scales": p["scales"].detach().exp(),
            "opacities": p["opacities"].detach().sigmoid(),
        }
        return Render(colors[:, :3], alphas, meta, colors[:, 3:], gaussians)

    def regulariser(self, view: Render) -> Tensor:
        o, p = self.options, self.params
        total = p["means"].new_zeros(())
        if o.opacity_weight:
            total = total + o.opacity_weight * p["opacities"].sigmoid().mean()
        if o.scale_weight:
            total = total + o.scale_weight * p["scales"].exp().mean() / o.max_scale
        return total

    def step(self, step: int) -> None:
        o = self.options
        share = min(1.0, step / max(1, self.steps))
        lr = o.lr_means and o.lr_means * (o.lr_means_end / o.lr_means) ** share
        self.optimizers["means"].param_groups[0]["lr"] = lr
        if self.pull is not None:
            self.pull(step, self.params)
        for name, optimizer in self.optimizers.items():
            grad = self.params[name].grad
            if self.frozen is not None and grad is not None:
                grad[self.frozen] = 0.0  # Adam's step is then exactly 0, having never moved
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            self.params["scales"].clamp_(math.log(o.min_scale), math.log(o.max_scale))
            if o.lift_black:
                floor = (DARKEST - 0.5) / SH_C0
                dark = self.params["sh0"] < floor
                if self.frozen is not None:
                    dark &= ~self.frozen[:, None, None]
                self.params["sh0"].masked_fill_(dark, floor)
            means = self.params["means"]
            means.mul_((o.bound / means.norm(dim=1, keepdim=True).clamp(min=1e-9)).clamp(max=1))

    def adapt(self, draw: Draw, view: Render) -> None:
        if isinstance(self.adaptation, Gradient | Mcmc | Compactness):
            self.adaptation(self.params, self.optimizers, draw, view)

    def prune(self, min_opacity: float) -> int:
        """Drop Gaussians fainter than `min_opacity` for good; returns how many. At least the
        most opaque one stays."""
        opacity = self.params["opacities"].detach().sigmoid()
        keep = opacity >= min(min_opacity, float(opacity.max()))
        for name, value in self.params.items():
            self.params[name] = torch.nn.Parameter(value.detach()[keep])
        self.optimizers = self._new_optimizers()
        return int((~keep).sum())

    def splats(self) -> Splats:
        """The raw parameters, as files hold them."""
        p = {k: v.detach().cpu().numpy() for k, v in self.params.items()}
        sh = torch.cat([v.detach().cpu() for k, v in self.params.items() if k in ("sh0", "shN")], 1)
        return Splats(p["means"], p["quats"], p["scales"], p["opacities"], sh.numpy())

    def state_dict(self) -> dict[str, Tensor]:
        state = {f"param.{k}": v.detach() for k, v in self.params.items()}
        for name, optimizer in self.optimizers.items():
            for key, value in optimizer.state.get(self.params[name], {}).items():
                state[f"adam.{name}.{key}"] = value
        if isinstance(self.adaptation, Gradient):
            for key, value in self.adaptation.state.items():
                if isinstance(value, Tensor):
                    state[f"adapt.{key}"] = value
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for name in list(self.params):
            value = state[f"param.{name}"].to(self.params[name].device)
            self.params[name] = torch.nn.Parameter(value.clone())
        self.optimizers = self._new_optimizers()
        for name, optimizer in self.optimizers.items():
            prefix = f"adam.{name}."
            moments = {
                k[len(prefix) :]: v.clone() for k, v in state.items() if k.startswith(prefix)
            }
            if moments:
                optimizer.state[self.params[name]] = moments
        if isinstance(self.adaptation, Gradient):
            self.adaptation.state.clear()
            self.adaptation.state["scene_scale"] = self.adaptation.scene_scale
            for key in ("grad2d", "count"):
                self.adaptation.state[key] = (
                    state[f"adapt.{key}"].clone() if f"adapt.{key}" in state else None
                )


def _ball(o: GaussianOptions, seed: int) -> dict[str, Tensor]:
    """Gray Gaussians, uniform in a ball."""
    g = torch.Generator().manual_seed(seed)
    direction = torch.randn(o.count, 3, generator=g)
    direction = direction / direction.norm(dim=1, keepdim=True)
    values = {
        "means": direction * o.radius * torch.rand(o.count, 1, generator=g).pow(1 / 3),
        "quats": torch.nn.functional.normalize(torch.randn(o.count, 4, generator=g), dim=1),
        "scales": torch.full((o.count, 3), math.log(o.init_scale)),
        "opacities": torch.full((o.count,), math.log(o.init_opacity / (1 - o.init_opacity))),
        "sh0": 0.2 * torch.randn(o.count, 1, 3, generator=g),
    }
    if o.sh_degree > 0:
        values["shN"] = torch.zeros(o.count, (o.sh_degree + 1) ** 2 - 1, 3)
    return values


def _from_splats(splats: Splats) -> dict[str, Tensor]:
    sh = torch.from_numpy(splats.sh.copy())
    values = {
        "means": torch.from_numpy(splats.means.copy()),
        "quats": torch.from_numpy(splats.quats.copy()),
        "scales": torch.from_numpy(splats.log_scales.copy()),
        "opacities": torch.from_numpy(splats.logit_opacities.copy()),
        "sh0": sh[:, :1].clone(),
    }
    if sh.shape[1] > 1:
        values["shN"] = sh[:, 1:].clone()
    return values
