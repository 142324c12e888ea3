"""Random scenes, and the comparison of the compiled backend with the float64 oracle.

The compiled backend takes its cut-off decisions (alpha below 1/255, transmittance down to 1e-4,
alpha clipped at 0.999, depth order) in float32, the oracle in float64. Where a value lies within
rounding of a threshold the two may rightly differ by a whole splat. Such pixels are found from the
oracle's numbers, counted, bounded, and given no upstream gradient; every other pixel must agree.
"""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from score3d.render import rasterization, reference

NAMES = "means", "quats", "scales", "opacities", "colors", "backgrounds"
# float32 rounding reaches alpha through the centre and the conic; 1e-5 is typical, 3e-4 the worst.
MARGIN = 3e-4


@dataclass
class Scene:
    tensors: dict[str, Tensor]
    viewmats: Tensor
    ks: Tensor
    width: int
    height: int
    sh_degree: int | None = None

    def render(self, backend: str, dtype: torch.dtype, **options):
        """(inputs that require gradients, picture, alphas, meta)."""
        inputs = {k: v.to(dtype, copy=True).requires_grad_() for k, v in self.tensors.items()}
        *gaussians, backgrounds = inputs.values()
        rendered, alphas, meta = rasterization(
            *gaussians, self.viewmats.to(dtype), self.ks.to(dtype), self.width, self.height,
            backgrounds=backgrounds, sh_degree=self.sh_degree, backend=backend, **options,
        )  # fmt: skip
        return inputs, rendered, alphas, meta


def look_at_origin(eye: Tensor) -> Tensor:
    """World-to-camera matrix (OpenCV) of a camera at ``eye`` with +y up in the picture."""
    forward = -eye / eye.norm()
    right = torch.linalg.cross(forward, torch.tensor([0.0, 1.0, 0.0]))
    right = right / right.norm()
    matrix = torch.eye(4)
    matrix[:3, :3] = torch.stack([right, torch.linalg.cross(forward, right), forward])
    matrix[:3, 3] = -matrix[:3, :3] @ eye
    return matrix


def make_scene(
    seed: int,
    n: int = 60,
    cameras: int = 2,
    width: int = 33,
    height: int = 17,
    scales: tuple[float, float] = (0.02, 0.2),
    opacities: tuple[float, float] = (0.02, 1.0),
    sh_degree: int | None = None,
    per_camera: bool = False,
) -> Scene:
    random = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=random)

    colors = (cameras, n) if per_camera else (n,)
    tensors = {
        "means": 0.4 * torch.randn(n, 3, generator=random),
        "quats": torch.randn(n, 4, generator=random) * uniform(0.1, 3.0, n, 1),
        "scales": torch.exp(uniform(math.log(scales[0]), math.log(scales[1]), n, 3)),
        "opacities": uniform(*opacities, n),
        "colors": uniform(0, 1, *colors, 3)
        if sh_degree is None
        else 0.4 * torch.randn(*colors, (sh_degree + 1) ** 2, 3, generator=random),
        "backgrounds": uniform(0, 1, cameras, 3),
    }
    eyes = torch.randn(cameras, 3, generator=random)
    eyes = eyes / eyes.norm(dim=-1, keepdim=True) * uniform(1.5, 2.5, cameras, 1)
    focal = 0.5 * height / math.tan(math.radians(49 / 2))
    ks = torch.tensor([[focal, 0, width / 2 + 0.3], [0, 1.1 * focal, height / 2], [0, 0, 1.0]])
    viewmats = torch.stack([look_at_origin(eye) for eye in eyes])
    return Scene(tensors, viewmats, ks.repeat(cameras, 1, 1), width, height, sh_degree)


def undecided(scene: Scene) -> Tensor:
    """Pixels [C,H,W] at which a decision lies within rounding of its threshold."""
    t = {k: v.double() for k, v in scene.tensors.items()}
    w, h = scene.width, scene.height
    means2d, depths, conics, radii = reference.project(
        t["means"], t["quats"], t["scales"], t["opacities"],
        scene.viewmats.double(), scene.ks.double(), w, h,
    )  # fmt: skip
    flags = []
    for camera in range(len(scene.viewmats)):
        seen = torch.nonzero((radii[camera] > 0).all(-1)).squeeze(-1)
        seen = seen[torch.argsort(depths[camera, seen], stable=True)]
        opacity = t["opacities"][seen]
        alphas = reference.pixel_alphas(
            means2d[camera, seen], conics[camera, seen], opacity / opacity.clamp_min(1), w, h
        )
        after = torch.cumprod(1 - torch.where(alphas < 1 / 255, 0.0, alphas), 0)
        flag = torch.zeros(h * w, dtype=torch.bool)
        for value, limit in ((alphas, 1 / 255), (after, 1e-4), (alphas, 0.999)):
            flag |= ((value / limit - 1).abs() < MARGIN).any(0)
        ties = depths[camera, seen].diff().abs() < 2e-6
        flag |= ((alphas[1:] > 1 / 300) & (alphas[:-1] > 1 / 300) & ties[:, None]).any(0)
        flags.append(flag.view(h, w))
    return torch.stack(flags)


def relative(a: Tensor, b: Tensor) -> float:
    """|a - b| / |b| in the L2 norm; absolute where b vanishes."""
    distance, size = (a.double() - b).norm().item(), b.norm().item()
    return distance / size if size > 1e-12 else distance


def compare(scene: Scene, seed: int = 0, **options) -> dict[str, float]:
    """Errors of the compiled backend against the oracle (see the module's docstring)."""
    flags = undecided(scene)
    random = torch.Generator().manual_seed(seed)
    results = []
    upstream = None
    for backend, dtype in (("reference", torch.float64), ("cpu", torch.float32)):
        inputs, rendered, alphas, meta = scene.render(backend, dtype, **options)
        if upstream is None:
            keep = (~flags)[..., None].double()
            upstream = [
                torch.randn(x.shape, generator=random, dtype=torch.float64) * keep
                for x in (rendered, alphas)
            ]
        meta["means2d"].retain_grad()
        loss = sum(
            (x * u.to(dtype)).sum() for x, u in zip((rendered, alphas), upstream, strict=True)
        )
        loss.backward()
        zero = {k: torch.zeros_like(v) for k, v in inputs.items()}
        grads = {k: zero[k] if v.grad is None else v.grad for k, v in inputs.items()}
        grads["means2d"] = meta["means2d"].grad
        results.append((rendered, alphas, grads, meta))
    (expected, alpha, exact, meta), (got, got_alpha, grads, got_meta) = results
    decided = ~flags
    errors = {k: relative(grads[k], exact[k]) for k in exact}
    errors["picture"] = (
        (got.double() - expected)[decided].abs().max().item() if decided.any() else 0
    )
    errors["alpha"] = (
        (got_alpha.double() - alpha)[decided].abs().max().item() if decided.any() else 0
    )
    errors["undecided"] = flags.sum().item()
    errors["radii"] = (
        (got_meta["radii"] - meta["radii"]).abs().max().item() if grads["means"].numel() else 0
    )
    return errors


@pytest.fixture(name="make_scene")
def _make_scene():
    return make_scene


@pytest.fixture(name="compare")
def _compare():
    return compare


@pytest.fixture(name="look_at_origin")
def _look_at_origin():
    return look_at_origin
