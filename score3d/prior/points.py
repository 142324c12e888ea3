"""The 3D prior that ships with the package: point clouds of a prompt, and a score of points.

It fills the role that Point-E has in GSGEN (Chen et al. 2024, arXiv 2309.16585, section 4.2): a
first guess of the geometry, and a gradient on the Gaussians' centres that pulls a scene towards
what objects of that name look like in three dimensions. Trained on the world behind the embedded
teacher (`scripts/train_prior.py`), it knows the same nouns and colours.
"""

import itertools
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from score3d.files.splats import SH_C0, Splats
from score3d.prior.network import PointDenoiser
from score3d.schedule import NoiseSchedule
from score3d.teachers.base import PromptError, TeacherError
from score3d.teachers.embedded import Thing, load_world

__all__ = ["OPACITY", "SCALE", "PointPrior"]

SCALE = 0.25  # world units that are 1 for the network: about the spread of an object's points
OPACITY = 0.8  # of Gaussians that a sample becomes, as GSGEN's


class PointPrior:
    """folder: `prior.safetensors` and `prior.json`. Raises TeacherError for a damaged one and for
    one that is not there."""

    def __init__(self, folder: Path, device: torch.device | str = "cpu") -> None:
        try:
            labels = json.loads((folder / "prior.json").read_text())
            self.nouns: list[str] = labels["nouns"]
            self.colours: list[str] = labels["colours"]
            self.net = PointDenoiser(len(self.nouns), len(self.colours), **labels["network"])
            weights = load_file(folder / "prior.safetensors")
            self.net.load_state_dict({k: v.float() for k, v in weights.items()})
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            reason = str(error).split("\n")[0][:200]
            raise TeacherError(
                f"{folder}: not a 3D prior ({reason}); `scripts/train_prior.py --export FOLDER` "
                "makes one, and --set prior.folder=FOLDER names it"
            ) from error
        self.device = torch.device(device)
        self.net.eval().requires_grad_(False).to(self.device)
        self.schedule = NoiseSchedule.scaled_linear()

    def understand(self, prompt: str) -> Thing:
        """What a prompt asks for. Raises PromptError for what the prior cannot imagine."""
        thing = load_world().parse(prompt)
        if thing.relation or thing.noun not in self.nouns:
            raise PromptError(
                f"the 3D prior knows single objects: {', '.join(self.nouns)}; without it: "
                "--set prior.weight=0 and another scene.start"
            )
        return thing

    def _ids(self, thing: Thing, said: bool) -> tuple[int, int]:
        if not said:
            return 0, 0
        colour = 1 + self.colours.index(thing.colour) if thing.colour else 0
        return 1 + self.nouns.index(thing.noun), colour

    @torch.no_grad()
    def predict(self, x: Tensor, t: Tensor, thing: Thing, guidance: float = 1.0) -> Tensor:
        """The noise in x [B,K,6] at times t [B] in (0,1), with classifier-free guidance."""
        ids = [self._ids(thing, True)] + ([] if guidance == 1 else [self._ids(thing, False)])
        noun, colour = (
            torch.tensor(column, device=self.device).repeat_interleave(len(x))
            for column in zip(*ids, strict=True)
        )
        v = self.net(
            x.repeat(len(ids), 1, 1), self.schedule.timesteps(t).repeat(len(ids)), noun, colour
        )
        if guidance != 1:
            conditional, free = v.chunk(2)
            v = free + guidance * (conditional - free)
        alpha, sigma = self.schedule.alpha_sigma(t, x)
        return alpha * v + sigma * x

    def sample(
        self, thing: Thing, count: int = 1024, seed: int = 0, steps: int = 40, guidance: float = 2.0
    ) -> tuple[Tensor, Tensor]:
        """Points [K,3] in world units and their colours [K,3] in [0,1], by DDIM (Song et al.
        2021, arXiv 2010.02502)."""
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(1, count, 6, generator=generator).to(self.device)
        # squares: the last steps are short, or the points would be drawn to their mean
        times = 0.999 * torch.linspace(1.0, 0.0, steps + 1).square()
        for now, after in itertools.pairwise(times):
            eps = self.predict(x, now[None].to(self.device), thing, guidance)
            alpha, sigma = self.schedule.alpha_sigma(now[None], x)
            clean = (x - sigma * eps) / alpha
            clean = torch.cat([clean[..., :3].clamp(-3, 3), clean[..., 3:].clamp(-1, 1)], -1)
            if after == 0:
                x = clean
                break
            eps = (x - alpha * clean) / sigma
            alpha, sigma = self.schedule.alpha_sigma(after[None], x)
            x = alpha * clean + sigma * eps
        x = x[0].cpu()
        return x[:, :3] * SCALE, (x[:, 3:] + 1) / 2

    def splats(self, prompt: str, count: int, seed: int, scale: float) -> Splats:
        """A sample as round Gaussians of standard deviation `scale`. Raises PromptError."""
        points, colours = self.sample(self.understand(prompt), count, seed)
        n = len(points)
        quats = np.tile(np.array([1, 0, 0, 0], np.float32), (n, 1))
        sh = ((colours.numpy() - 0.5) / SH_C0)[:, None].astype(np.float32)
        return Splats(
            points.numpy(),
            quats,
            np.full((n, 3), np.log(scale), np.float32),
            np.full(n, np.log(OPACITY / (1 - OPACITY)), np.float32),
            sh,
        )

    def pull(
        self,
        means: Tensor,
        colours: Tensor,
        thing: Thing,
        generator: torch.Generator,
        guidance: float = 3.0,
        points: int = 512,
        bounds: tuple[float, float] = (0.02, 0.98),
    ) -> Tensor:
        """The 3D score on centres [N,3] (world units) in colours [N,3] in [0,1]: a gradient
        [N,3], sigma^2 (eps_hat - eps) on at most `points` of them, chosen at random, 0 elsewhere.

        Only positions are pulled, as with GSGEN's `mean_only`.
        """
        n = len(means)
        chosen = torch.randperm(n, generator=generator)[:points].to(means.device)
        x = torch.cat([means[chosen] / SCALE, 2 * colours[chosen] - 1], 1)[None].detach()
        low, high = bounds
        t = (low + (high - low) * torch.rand(1, generator=generator)).to(means.device)
        eps = torch.randn(x.shape, generator=generator).to(x)
        alpha, sigma = self.schedule.alpha_sigma(t, x)
        said = self.predict(alpha * x + sigma * eps, t, thing, guidance)
        gradient = torch.zeros_like(means)
        gradient[chosen] = (sigma.square() * (said - eps))[0, :, :3] / SCALE
        return gradient
