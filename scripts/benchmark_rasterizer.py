"""Time one forward and backward pass of the rasterizer against plain torch.

    python scripts/benchmark_rasterizer.py --threads 1 --workloads ABCD --repeats 9

Workloads: a ball of radius 0.5 filled uniformly with N Gaussians, scales 0.01 to 0.03, opacities
0.05 to 0.95, seen from distance 2 with a field of view of 49 degrees before white; gradients go to
means, quaternions, scales, opacities and colours.

"tiles" is plain torch at its best: a loop over 16-pixel tiles, vectorised over the splats and
pixels of a tile. "dense" is ``backend="reference"`` in float32: every splat at every pixel.
"wall" is what a user waits; "cpu" is processor time, which a busy machine disturbs less.
"""

import argparse
import json
import math
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from score3d.render import rasterization, reference, warm_up

WORKLOADS = {  # name: cameras, picture size, Gaussians
    "A": (4, 64, 2_000),
    "B": (4, 64, 10_000),
    "C": (1, 256, 20_000),
    "D": (1, 512, 100_000),
}
TILE = 16
Render = Callable[[dict[str, Tensor], Tensor, Tensor, int], Tensor]


def ball(name: str) -> tuple[dict[str, Tensor], Tensor, Tensor, int]:
    """Gaussians, world-to-camera matrices, intrinsics and picture size of a workload."""
    cameras, size, n = WORKLOADS[name]
    random = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(n, 3, generator=random), dim=-1)
    gaussians = {
        "means": 0.5 * directions * torch.rand(n, 1, generator=random) ** (1 / 3),
        "quats": torch.randn(n, 4, generator=random),
        "scales": 0.01 + 0.02 * torch.rand(n, 3, generator=random),
        "opacities": 0.05 + 0.9 * torch.rand(n, generator=random),
        "colors": torch.rand(n, 3, generator=random),
    }
    viewmats = torch.eye(4).repeat(cameras, 1, 1)
    for k in range(cameras):
        turn = 2 * math.pi * k / cameras
        right = torch.tensor([math.cos(turn), 0.0, -math.sin(turn)])
        forward = torch.tensor([-math.sin(turn), 0.0, -math.cos(turn)])
        viewmats[k, :3, :3] = torch.stack([right, torch.tensor([0.0, -1.0, 0.0]), forward])
        viewmats[k, 2, 3] = 2.0
    focal = 0.5 * size / math.tan(math.radians(49 / 2))
    intrinsics = torch.tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1.0]])
    return gaussians, viewmats, intrinsics.repeat(cameras, 1, 1), size


def with_backend(backend: str) -> Render:
    def render(gaussians: dict[str, Tensor], viewmats: Tensor, ks: Tensor, size: int) -> Tensor:
        white = torch.ones(len(viewmats), 3)
        picture, _, _ = rasterization(
            *gaussians.values(), viewmats, ks, size, size, backgrounds=white, backend=backend
        )
        return picture

    return render


def tiles(gaussians: dict[str, Tensor], viewmats: Tensor, ks: Tensor, size: int) -> Tensor:
    """Plain torch, one tile at a time."""
    means, quats, scales, opacities, colors = gaussians.values()
    projected = reference.project(means, quats, scales, opacities, viewmats, ks, size, size)
    means2d, depths, conics, radii = projected
    pictures = []
    for camera in range(len(viewmats)):
        seen = torch.nonzero((radii[camera] > 0).all(-1)).squeeze(-1)
        order = seen[torch.argsort(depths[camera, seen])]
        center, conic, reach = means2d[camera, order], conics[camera, order], radii[camera, order]
        opacity, color = opacities[order], colors[order]
        low, high = (center - reach).detach(), (center + reach).detach()
        rows = []
        for y in range(0, size, TILE):
            row = []
            for x in range(0, size, TILE):
                touches = (high[:, 0] > x) & (low[:, 0] < x + TILE)
                touches &= (high[:, 1] > y) & (low[:, 1] < y + TILE)
                mine = torch.nonzero(touches).squeeze(-1)
                shifted = center[mine] - torch.tensor([float(x), float(y)])
                alphas = reference.pixel_alphas(shifted, conic[mine], opacity[mine], TILE, TILE)
                weight, left = reference.weights(alphas)
                row.append((weight.T @ color[mine] + left[:, None]).view(TILE, TILE, 3))
            rows.append(torch.cat(row, 1))
        pictures.append(torch.cat(rows, 0))
    return torch.stack(pictures)


def measure(render: Render, name: str, repeats: int) -> dict[str, float]:
    """Median milliseconds of ``repeats`` passes after one that is not counted."""
    gaussians, viewmats, ks, size = ball(name)
    for tensor in gaussians.values():
        tensor.requires_grad_()
    upstream = torch.randn(len(viewmats), size, size, 3, generator=torch.Generator().manual_seed(1))
    samples: dict[str, list[float]] = {"forward": [], "wall": [], "cpu": []}
    for k in range(repeats + 1):
        for tensor in gaussians.values():
            tensor.grad = None
        wall, cpu = time.perf_counter(), time.process_time()
        picture = render(gaussians, viewmats, ks, size)
        forward = time.perf_counter() - wall
        picture.backward(upstream)
        if k:
            samples["forward"].append(1e3 * forward)
            samples["wall"].append(1e3 * (time.perf_counter() - wall))
            samples["cpu"].append(1e3 * (time.process_time() - cpu))
    return {key: statistics.median(values) for key, values in samples.items()}


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workloads", default="ABCD", help="any of A, B, C and D")
    parser.add_argument("--repeats", type=int, default=9, help="of ours; plain torch runs a third")
    parser.add_argument("--ours-only", action="store_true", help="skip the torch baselines")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warm_up()
    print(f"{cpu_model()}, {options.threads} thread(s), torch {torch.__version__}, milliseconds")
    print(f"{'':2} {'renderer':9} {'forward':>9} {'wall':>9} {'cpu':>9} {'wall / ours':>12}")
    rows = []
    for name in options.workloads:
        ours = measure(with_backend("cpu"), name, options.repeats)
        results = {"cpu": ours}
        if not options.ours_only:
            few = max(1, options.repeats // 3)
            results["tiles"] = measure(tiles, name, few)
            if name == "A":
                results["dense"] = measure(with_backend("reference"), name, few)
        for renderer, result in results.items():
            ratio = result["wall"] / ours["wall"]
            numbers = " ".join(f"{result[key]:9.2f}" for key in ("forward", "wall", "cpu"))
            print(f"{name:2} {renderer:9} {numbers} {ratio:11.1f}x", flush=True)
            rows.append({"workload": name, "renderer": renderer, **result})
    if options.json:
        summary = {"cpu": cpu_model(), "threads": options.threads, "rows": rows}
        options.json.write_text(json.dumps(summary, indent=2) + "\n")


if __name__ == "__main__":
    main()
