"""Train the embedded teacher: a small text-to-image latent diffusion model of the world.

    python scripts/train_teacher.py --out .cache/teacher --steps 20000
    python -m torch.distributed.run --nproc-per-node 2 scripts/train_teacher.py ...  # two cores
    python scripts/export_teacher.py --out .cache/teacher --export assets/teacher

Resumable: the same command goes on from the last checkpoint. Training pictures are rendered and
cached on first use (`render_data.py` does it ahead of time, a process per core). With --real FOLDER
pictures of real models are added; their share is --real-shards over the sum.

v-prediction with an unweighted loss. Seven batches of eight are four views of one object in a
2x2 grid, which is how `generate` asks; the eighth are single views. (min-SNR weighting, arXiv
2303.09556, was tried: it all but silences the noisy times at which a text decides anything, and
after 32000 pictures the text was ignored.)
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from PIL import Image
from safetensors.torch import load_file, save_file
from teacher_networks import (
    LATENT,
    Denoiser,
    build_tokenizer,
    decode,
    encode,
    fit_patch_pca,
    sample,
    scheduler,
    start_from,
    token_ids,
)
from torch import Tensor, nn
from training import Training, add_arguments, processes

from score3d.articles import with_article
from score3d.teachers.grid import tile
from score3d.world.captions import phrase_of, view_phrase
from score3d.world.dataset import VIEWS_PER_SHAPE, Renders, load_renders
from score3d.world.families import FAMILIES
from score3d.world.instances import RealModels
from score3d.world.nouns import NOUNS, SYMMETRIC
from score3d.world.palette import COLOURS

HELD_OUT = 90000
SINGLES = (
    "a red mushroom, front view, azimuth 0, elevation 15",
    "a blue chair, front left view, azimuth 45, elevation 15",
    "a blue chair, back right view, azimuth 225, elevation 15",
    "a yellow duck, left side view, azimuth 90, elevation 15",
    "a yellow duck, right side view, azimuth 270, elevation 15",
    "a green car, back view, azimuth 180, elevation 15",
    "a cyan mug, front view, azimuth 0, elevation 15",
    "a cyan mug, back view, azimuth 180, elevation 15",
)
GRIDS = (
    "a brown dog, four views, azimuth 30, elevation 15",
    "a cyan teapot, four views, azimuth 0, elevation 15",
    "a red chair with blue legs, four views, azimuth 30, elevation 15",
    "a white snowman, four views, azimuth 0, elevation 15",
    "a metallic green car, four views, azimuth 30, elevation 15",
    "a pink pig, four views, azimuth 315, elevation 15",
    "a red cube on top of a blue cylinder, four views, azimuth 0, elevation 15",
    "a yellow aeroplane, four views, azimuth 45, elevation 30",
)


class Shares:
    """Shapes drawn noun by noun, so that a noun of few models is seen as often as the others;
    those of `often` so many times as often, and pairs as often as PAIRS nouns."""

    PAIRS = 12

    def __init__(self, data: Renders, often: dict[str, float]) -> None:
        noun, relation = data.noun[::VIEWS_PER_SHAPE], data.relation[::VIEWS_PER_SHAPE]
        shapes = np.arange(len(noun))
        self.groups = [shapes[(noun == n) & (relation < 0)] for n in np.unique(noun[relation < 0])]
        pairs = shapes[relation >= 0]
        weights = [often.get(NOUNS[noun[g[0]]], 1.0) for g in self.groups]
        if len(pairs):
            self.groups.append(pairs)
            weights.append(self.PAIRS)
        self.weights = np.array(weights) / sum(weights)

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """The numbers [count] of shapes."""
        chosen = rng.choice(len(self.groups), count, p=self.weights)
        return np.array([self.groups[k][rng.integers(len(self.groups[k]))] for k in chosen])


def draw_batch(
    data: Renders, shares: Shares, views: int, grid: bool, rng: np.random.Generator
) -> tuple[Tensor, list[str]]:
    """Random pictures [B,3,H,W] in [0,1] and random captions, a tenth of them dropped to the
    empty prompt."""
    count = views // 4 if grid else views
    first = VIEWS_PER_SHAPE * shares.draw(count, rng)
    if grid:
        index = (first[:, None] + np.arange(VIEWS_PER_SHAPE)).reshape(-1)
    else:
        first = index = first + rng.integers(0, VIEWS_PER_SHAPE, count)
    rgb = torch.from_numpy(data.rgb[index]).float().div(255).permute(0, 3, 1, 2)
    captions = ["" if rng.random() < 0.1 else data.caption(int(i), rng, grid) for i in first]
    return (tile(rgb) if grid else rgb), captions


def matrices_of(net: Denoiser) -> list[nn.Parameter]:
    """What Muon trains: inner convolutions and projections, neither embeddings nor ends."""
    ends = ("embedding", "conv_in", "conv_out")
    return [p for k, p in net.named_parameters() if p.ndim > 1 and not any(e in k for e in ends)]


ALPHAS_BAR = scheduler().alphas_cumprod


def noised(z: Tensor, t: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
    """z_t and the target v at integer times t [B]."""
    abar = ALPHAS_BAR[t].view(-1, 1, 1, 1)
    return abar.sqrt() * z + (1 - abar).sqrt() * eps, abar.sqrt() * eps - (1 - abar).sqrt() * z


def keep_nouns(data: Renders, nouns: list[str]) -> Renders:
    """The pictures of these nouns (both of a relation)."""
    known = np.array([n in nouns for n in NOUNS])
    keep = known[data.noun] & ((data.relation < 0) | known[data.second_noun])
    return data.where(keep)


def load_training(
    folder: Path, seeds: range, nouns: list[str], real: RealModels | None = None
) -> Renders:
    """The shards of `seeds`, of real models if there are any, less the nouns not asked for."""
    shards = (load_renders(folder, range(s, s + 1), models=real, nouns=nouns) for s in seeds)
    return Renders.joined([keep_nouns(shard, nouns) for shard in shards])


class Probe:
    """Does the text matter? The loss with the right caption, with the view turned around and
    with another noun, on held-out renders of nouns that have a front; equal times and noise."""

    def __init__(
        self, data: Renders, pca: dict[str, Tensor], tokenizer, known: list[str], count: int = 96
    ) -> None:
        nouns, colours = NOUNS, sorted(COLOURS)
        plain = (data.relation < 0) & (data.second_colour < 0) & (data.material == 0)
        front = np.array([nouns[n] not in SYMMETRIC for n in data.noun])
        index = np.where(plain & front & (data.elevation < 40))[0]
        index = index[np.linspace(0, len(index) - 1, count).astype(int)]
        rgb = torch.from_numpy(data.rgb[index]).float().div(255).permute(0, 3, 1, 2)
        self.z = encode(rgb, pca)
        texts: dict[str, list[str]] = {"right": [], "turned": [], "other noun": []}
        for i in index:
            noun, a, e = nouns[data.noun[i]], float(data.azimuth[i]), float(data.elevation[i])
            other = known[(known.index(noun) + 7) % len(known)]
            colour = colours[data.colour[i]]
            for name, word, azimuth in (
                ("right", noun, a),
                ("turned", noun, a + 180),
                ("other noun", other, a),
            ):
                words = with_article(phrase_of(word, colour))
                texts[name].append(f"{words}, {view_phrase(azimuth, e, 'fine')}")
        self.ids = {k: token_ids(tokenizer, v) for k, v in texts.items()}

    @torch.no_grad()
    def __call__(self, net: Denoiser) -> dict[str, list[float]]:
        """The relative rise of the loss at t = 0.8, 0.9 and 0.97, per kind of wrong caption."""
        eps = torch.randn(self.z.shape, generator=torch.Generator().manual_seed(5))
        rises: dict[str, list[float]] = {"turned": [], "other noun": []}
        for time_ in (800, 900, 970):
            t = torch.full((len(self.z),), time_)
            z_t, target = noised(self.z, t, eps)
            loss = {
                k: float((net(z_t, t, i) - target).square().mean()) for k, i in self.ids.items()
            }
            for k, v in rises.items():
                v.append(round(loss[k] / loss["right"] - 1, 5))
        return rises


def save_sheet(net: Denoiser, pca: dict[str, Tensor], tokenizer, path: Path) -> None:
    """Eight single views above eight grids."""
    null = token_ids(tokenizer, [""])
    singles = decode(sample(net, token_ids(tokenizer, list(SINGLES)), null), pca)
    grids = decode(sample(net, token_ids(tokenizer, list(GRIDS)), null, 2 * LATENT), pca)
    rows = [torch.cat(list(p), 2) for p in (singles, grids)]
    wide = nn.functional.interpolate(rows[0][None], scale_factor=2)[0]
    sheet = torch.cat([wide, rows[1]], 1).permute(1, 2, 0)
    Image.fromarray((sheet.numpy() * 255).astype(np.uint8)).save(path)


def train(args: argparse.Namespace) -> None:
    rank, ranks = processes()
    args.out.mkdir(parents=True, exist_ok=True)
    nouns = args.nouns.read_text().split() if args.nouns else sorted(FAMILIES)
    wanted = nouns if args.nouns else None
    real = RealModels(args.real, nouns=wanted) if args.real else None
    if real and not args.nouns:
        nouns = [n for n in NOUNS if n in nouns or n in real.of_noun]
    data = load_training(args.data, range(rank, args.shards, ranks), nouns)
    if real:
        more = load_training(args.data, range(rank, args.real_shards, ranks), nouns, real)
        data = Renders.joined([data, more])
    shares = Shares(data, {n: times for first, times in args.often for n in nouns[first:]})
    torch.manual_seed(args.seed)
    tokenizer = build_tokenizer()
    net, ema = Denoiser(tokenizer), Denoiser(tokenizer)
    pca_file = args.out / "pca.safetensors"
    given = start_from(net, tokenizer, args.init) if args.init else None
    if rank == 0 and not pca_file.exists():
        save_file(given or fit_patch_pca(data.rgb[:8192]), pca_file)
    if ranks > 1:
        dist.barrier()
    pca = load_file(pca_file)
    training = Training(net, ema, matrices_of(net), args, keep=0.999)
    held_out = load_training(args.data, range(HELD_OUT, HELD_OUT + 1), nouns)
    probe = Probe(held_out, pca, tokenizer, nouns)
    finished = training.finished()
    while not finished:
        # Every random number of a step comes from (seed, step, rank): resuming changes nothing.
        step = training.step
        rng = np.random.default_rng([args.seed, step, rank])
        gen = torch.Generator().manual_seed((args.seed * 1_000_003 + step) * 16 + rank)
        grid = bool((step + rank) % 8)
        rgb, captions = draw_batch(data, shares, args.batch, grid, rng)
        z = encode(rgb, pca)
        # Stratified times, half of them in the noisiest fifth: an ideal denoiser sees the pose in
        # the noisy picture itself until t = 0.85, so only there can a view phrase be learned.
        unit = (torch.arange(len(z)) + torch.rand(len(z), generator=gen)) / len(z)
        t = torch.from_numpy(np.interp(unit.numpy(), (0, 0.12, 0.5, 1), (0, 0.3, 0.8, 1)))
        t = (t * 1000).long().clamp(max=999)
        z_t, target = noised(z, t, torch.randn(z.shape, generator=gen))
        with training.autocast:
            v = training.forward(z_t, t, token_ids(tokenizer, captions))
        line = training.learn((v.float() - target).square().mean())
        if line and training.step % args.probe_every == 0:
            line["probe"] = probe(ema)
        if line:
            training.log(line)
        finished = training.finished()
        if rank == 0 and (training.step % args.save_every == 0 or finished):
            save_sheet(ema, pca, tokenizer, args.out / f"samples-{training.step:06d}.png")
            training.save(nouns=nouns)
    if ranks > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(".cache/teacher"), help="training folder")
    parser.add_argument("--data", type=Path, default=Path(".cache/world"))
    parser.add_argument("--nouns", type=Path, help="a file of the nouns to learn (default: all)")
    parser.add_argument(
        "--often",
        type=lambda text: (int(text.split(":")[0]), float(text.split(":")[1])),
        nargs="*",
        default=[],
        metavar="N:TIMES",
        help="nouns from the file's Nth on (from 0) drawn so many times as often; the last counts",
    )
    parser.add_argument("--init", type=Path, help="a shipped teacher to start from")
    parser.add_argument("--shards", type=int, default=56)
    parser.add_argument("--real", type=Path, help="a folder of real models (fetch_real_models.py)")
    parser.add_argument("--real-shards", type=int, default=14, help="pictures of them, as --shards")
    parser.add_argument("--seed", type=int, default=0)
    add_arguments(parser, steps=20000, batch=32, lr=8e-4, decay=0.3, save=500)
    parser.add_argument("--probe-every", type=int, default=250)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    train(args)
