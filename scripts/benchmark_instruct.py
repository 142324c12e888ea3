"""Edits of held-out renders by the instruction-following twin, measured.

    python scripts/benchmark_instruct.py --edits 60 --sheet docs/results/instruct_samples.png

DDIM through diffusers' `StableDiffusionInstructPix2PixPipeline`, grids of four views, instances,
cameras and noise of seeds that training never used. The true picture after each edit is known.
The chain starts from the picture before, noised to its first time: there a share of 0.085 of the
picture is left, and from noise alone the mean colours that it shows the network would be gray's.

fulfilled: for a new colour, material or noun the measuring judge says it in most of the four
views; for parts, sizes and light, which it has no words for, the picture is nearer (mean square)
to the true one after than to the one before, where these differ. The judge on the true pictures
is the ceiling, on those before the floor. PSNR outside: against the picture before, where the
truth before and after is equal, two pixels away from what is not; the autoencoder alone is its
ceiling. Intervals: Wilson's, 95 %.
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionInstructPix2PixPipeline
from numpy.typing import NDArray
from render_pairs import CORE, teacher_nouns
from torch import Tensor, nn

from score3d.edit.where import DRAWS, TIMES
from score3d.evaluate.edits import outside_psnr
from score3d.evaluate.judge import Judge, measuring_judge
from score3d.evaluate.verdict import score_views
from score3d.files.pictures import contact_sheet, write_png
from score3d.resources import resource
from score3d.teachers.grid import tile, untile
from score3d.world.edits import EDITS, Edit, instruction, sample_edit

# Of the 99th percentile of a relevance map: below the first nothing may change, from the second on
# everything. Lower than where.py has them: the twin's guidance is to be heard (docs/log.md).
LEAST, WHOLE = 0.02, 0.12
JUDGED = ("colour", "material", "noun")


def wilson(hits: int, count: int) -> list[float]:
    """The 95 % interval of a share."""
    if not count:
        return [0.0, 1.0]
    z, p = 1.96, hits / count
    middle = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(p * (1 - p) / count + z * z / (4 * count**2)) / (1 + z * z / count)
    return [round(middle - half, 3), round(middle + half, 3)]


def draw_edits(count: int, nouns: list[str], seed: int) -> list[Edit]:
    """`count` edits, as many of each kind as the kinds' shares say, in the kinds' order."""
    rng, left = np.random.default_rng([seed, 3]), {k: round(v * count) for k, v in EDITS.items()}
    left["colour"] += count - sum(left.values())
    found: list[Edit] = []
    while sum(left.values()):
        edit = sample_edit(nouns, rng)
        if left[edit.kind]:
            left[edit.kind] -= 1
            found.append(edit)
    return sorted(found, key=lambda e: list(EDITS).index(e.kind))


def float_views(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    return pictures.astype(np.float32) / 255


def changed(edit: Edit, margin: int) -> NDArray[np.bool_]:
    """[4,H,W]: what differs in truth, and `margin` pixels around it."""
    where = (np.abs(edit.before.astype(int) - edit.after) > 1).any(-1)
    wide = nn.functional.max_pool2d(
        torch.from_numpy(where).float()[:, None], 2 * margin + 1, 1, margin
    )
    return wide[:, 0].numpy() > 0


def obeyed(edit: Edit, made: NDArray[np.float32], judge: Judge) -> bool:
    """Whether pictures [4,H,W,3] in [0,1] show what was asked for (see the top of this file)."""
    if edit.kind in JUDGED:
        *tint, name = edit.value.split()
        scores = score_views(
            made,
            name if edit.kind == "noun" else edit.noun,
            edit.value if edit.kind == "colour" else (tint or [None])[0],
            judge,
            material=edit.value if edit.kind == "material" else None,
        )
        asked = {"noun": "shape"}.get(edit.kind, edit.kind)
        told = [asked, "colour"] if tint else [asked]
        return all(scores[k] > 0.5 for k in told)
    where = changed(edit, 0)
    errors = [
        np.square(made[where] - float_views(p)[where]).mean() for p in (edit.after, edit.before)
    ]
    return bool(errors[0] < errors[1])


def grids(edits: list[Edit]) -> Tensor:
    """The pictures before, [B,3,128,128] in [0,1]."""
    views = np.concatenate([float_views(e.before) for e in edits])
    return tile(torch.from_numpy(views).permute(0, 3, 1, 2))


@torch.no_grad()
def noised_to_first(
    pipeline: StableDiffusionInstructPix2PixPipeline,
    pictures: Tensor,
    steps: int,
    g: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Latents of pictures [B,3,H,W] in [0,1], noise, and both at the first of `steps` times."""
    z = pipeline.vae.encode(2 * pictures - 1).latents * pipeline.vae.config.scaling_factor
    pipeline.scheduler.set_timesteps(steps)
    noise = torch.randn(z.shape, generator=g)
    return z, noise, pipeline.scheduler.add_noise(z, noise, pipeline.scheduler.timesteps[:1])


@torch.no_grad()
def asked_about(
    pipeline: StableDiffusionInstructPix2PixPipeline,
    texts: list[str],
    pictures: Tensor,
    g: torch.Generator,
) -> Tensor:
    """How much each latent of pictures [B,3,H,W] in [0,1] may change, [B,1,h,w] in [0,1]: the
    relevance map of Watch Your Steps (Mirzaei et al. 2023, arXiv 2308.08947), soft and of several
    draws as `score3d/edit/where.py` has it for the edits of scenes and pictures."""
    image = pipeline.vae.encode(2 * pictures - 1).latents
    z = image * pipeline.vae.config.scaling_factor
    told, free, _ = pipeline._encode_prompt(texts, "cpu", 1, True).chunk(3)
    gap = torch.zeros_like(z[:, :1])
    for time in torch.linspace(*TIMES, DRAWS):
        t = (time * pipeline.scheduler.config.num_train_timesteps).long().expand(len(z))
        noisy = pipeline.scheduler.add_noise(z, torch.randn(z.shape, generator=g), t)
        shown = torch.cat([noisy, image], 1)
        goal, now = (pipeline.unet(shown, t, e).sample for e in (told, free))
        gap += (goal - now).abs().mean(1, keepdim=True)
    top = torch.quantile(gap.flatten(1), 0.99, dim=1).clamp(min=1e-12)
    return ((gap / top[:, None, None, None] - LEAST) / (WHOLE - LEAST)).clamp(0, 1)


class Keeping:
    """Called after each step of a pipeline: where nothing was asked about latents are those of the
    pictures, under the noise of that time."""

    def __init__(self, pictures: Tensor, first: Tensor, may: Tensor) -> None:
        self.pictures, self.first, self.may = pictures, first, may

    def __call__(self, pipeline, step: int, t, given: dict) -> dict:
        left = pipeline.scheduler.timesteps[step + 1 :]
        kept = self.pictures
        if len(left):
            kept = pipeline.scheduler.add_noise(kept, self.first, left[:1])
        return {"latents": self.may * given["latents"] + (1 - self.may) * kept}


def views_of(pictures: Tensor) -> NDArray[np.float32]:
    """[B,3,128,128] -> [B,4,64,64,3]."""
    views = untile(pictures).permute(0, 2, 3, 1).float().numpy()
    return views.reshape(-1, 4, *views.shape[1:])


def share(rows: list[dict], key: str) -> dict:
    hits = sum(r[key] for r in rows)
    return {"share": round(hits / len(rows), 3), "interval": wilson(hits, len(rows))}


def main(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(
        args.teacher, torch_dtype=torch.float32
    )
    pipeline.set_progress_bar_config(disable=True)
    judge, judge_name = measuring_judge()
    nouns = [n for n in teacher_nouns(args.teacher) if n in judge.nouns]
    edits = draw_edits(args.edits, nouns[: args.core] if args.core else nouns, args.seed)
    rng, rows, pictures = np.random.default_rng(args.seed), [], []
    for start in range(0, len(edits), args.batch):
        some = edits[start : start + args.batch]
        texts = [instruction(e.kind, e.noun, e.value, rng) for e in some]
        before = grids(some)
        g = torch.Generator().manual_seed(args.seed * 100_003 + start)
        z, noise, first = noised_to_first(pipeline, before, args.steps, g)
        may = asked_about(pipeline, texts, before, g) if args.keep else torch.ones(())
        out = pipeline(
            texts,
            image=before,
            num_inference_steps=args.steps,
            guidance_scale=args.guidance,
            image_guidance_scale=args.image_guidance,
            latents=first,
            callback_on_step_end=Keeping(z, noise, may),
            output_type="pt",
        ).images
        with torch.no_grad():
            z = pipeline.vae.encode(2 * before - 1).latents
            plain = (pipeline.vae.decode(z).sample / 2 + 0.5).clamp(0, 1)
        made, coded = views_of(out), views_of(plain)
        for k, edit in enumerate(some):
            outside = changed(edit, 2)
            rows.append(
                {
                    "kind": edit.kind,
                    "instruction": texts[k],
                    "noun": edit.noun,
                    "fulfilled": obeyed(edit, made[k], judge),
                    "on the truth": obeyed(edit, float_views(edit.after), judge),
                    "before": obeyed(edit, float_views(edit.before), judge),
                    "psnr outside": outside_psnr(float_views(edit.before), made[k], outside),
                    "of the autoencoder": outside_psnr(float_views(edit.before), coded[k], outside),
                }
            )
            pictures.append(
                np.concatenate(
                    [float_views(edit.before)[0], made[k][0], float_views(edit.after)[0]], 1
                )
            )
    report = {
        "edits": len(rows),
        "judged by": judge_name,
        "guidance": [args.guidance, args.image_guidance],
        "steps": args.steps,
        "seed": args.seed,
        **{k: share(rows, k) for k in ("fulfilled", "on the truth", "before")},
    }
    for key in ("psnr outside", "of the autoencoder"):
        values = [r[key] for r in rows if r[key] is not None]
        report[key] = {
            "median": round(float(np.median(values)), 1),
            "10th percentile": round(float(np.quantile(values, 0.1)), 1),
            "at least 26 dB": round(float(np.mean(np.array(values) >= 26)), 3),
        }
    report["by kind"] = {
        k: share([r for r in rows if r["kind"] == k], "fulfilled")
        for k in EDITS
        if any(r["kind"] == k for r in rows)
    }
    print(json.dumps(report, indent=2))
    for r in rows:
        if not r["fulfilled"]:
            print(f"not fulfilled: {r['kind']}, {r['noun']}: {r['instruction']}")
    if args.sheet:
        args.sheet.parent.mkdir(parents=True, exist_ok=True)
        labels = [r["instruction"] + ("" if r["fulfilled"] else " (no)") for r in rows]
        title = "before, the twin's answer, as it should be"
        write_png(args.sheet, contact_sheet(np.stack(pictures), 6, labels, title))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--teacher", type=Path, default=resource("assets", "teacher-instruct"))
    parser.add_argument("--edits", type=int, default=60)
    parser.add_argument("--core", type=int, default=CORE, help="of the first N nouns; 0: of all")
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=4.0, help="of the text")
    parser.add_argument("--image-guidance", type=float, default=1.5)
    parser.add_argument("--keep", action="store_true", help="what was not asked about")
    parser.add_argument("--seed", type=int, default=771)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sheet", type=Path)
    main(parser.parse_args())
