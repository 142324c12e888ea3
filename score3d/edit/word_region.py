"""Which Gaussians words such as "the roof" mean, by the teacher itself.

As `where.py` finds the pixels an edit is about (DiffEdit, Couairon et al. 2022, arXiv 2210.11427,
section 3.2): asked for "a red house" and for "a red house with blue roof" of the same noisy views,
a teacher disagrees with itself on the roof. The maps of several views become masks, and masks are
lifted to Gaussians in closed form (FlashSplat, arXiv 2409.08270; `lifting.py`).

Latents are coarse, so each map is first sharpened by the picture that it is of: a guided filter
(He, Sun, Tang 2010, "Guided image filtering"), which explains the map by the colours around.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from score3d.cameras import Cameras, orbit
from score3d.config import Config, ConfigError
from score3d.edit.frame import Frame
from score3d.edit.lifting import coverage, lift
from score3d.edit.region import Selection, parse_region, selection
from score3d.edit.session import Session
from score3d.files.splats import Splats
from score3d.prompts import PromptBook
from score3d.scenes.photograph import photograph
from score3d.teachers.base import Teacher, at_step
from score3d.teachers.embedded import INSTRUCT, EmbeddedTeacher, Thing, World, load_world
from score3d.teachers.grid import GRID_VIEWS, GridTeacher

__all__ = ["check_region", "find_part", "part_views", "questions", "select_words"]

COLOURS, ASKED = ("blue", "green", "yellow", "red", "white"), 3
DRAWS, TIMES = 6, (0.3, 0.6)
# Rings of four views a quarter turn apart: azimuth of the first and elevation, degrees.
RINGS, RING = ((0, 15), (45, 15), (0, 45), (45, -10)), GRID_VIEWS
DISTANCE, BACKGROUND = 2.0, 0.5
MASK_SIDE = 128  # pixels, at most
OPAQUE = 0.5
# By docs/results/word-regions.md: share of the 99th percentile from which on a pixel is meant,
# and the filter's radius in sides of the picture and its smallest variance of colours.
LEAST, REACH, FLAT = 0.45, 0.16, 1e-3
LATE = 0.99  # share of a run: no shortcut for the encoder


def check_region(config: Config) -> None:
    """Raise ConfigError or PromptError for a region that cannot be meant, before anything is
    loaded: a wrong form, or for the embedded teachers words that are no part of the source's
    noun."""
    kind, words = parse_region(config.edit.region)
    if kind == "words" and config.teacher.name in ("embedded", INSTRUCT):
        questions(str(words), config.edit.source, load_world())


def questions(
    part: str, source: str, world: World | None = None, told: bool = False
) -> tuple[str, list[str]]:
    """Prompts that differ in the colour of `part` ("roof") alone: one to compare with,
    and three others, in colours that the source ("a red house") does not name.

    world: of the embedded teacher, which knows one part of a noun. told: for teachers that take
    instructions; they are compared with another colour, since the empty instruction differs from
    all others everywhere. The rest is compared with the source. Raises ConfigError for a part that
    is not known or without a source, PromptError for a source that the world does not know.
    """
    source = source.strip()
    said = source.lower().replace(",", " ").split()
    colours = [c for c in COLOURS if c not in said][: ASKED + told]
    if told:
        first, *others = (f"make the {part} {c}" for c in colours)
        return first, others
    if not source:
        raise ConfigError('a region in words needs what is there: --source "a red house"')
    if world is None:
        return source, [f"{source}, {c} {part}" for c in colours]
    thing = world.parse(source)
    known = _known_part(part, thing, world)
    if not thing.part:
        thing = Thing(thing.noun, thing.colour)  # no material beside a second colour
    asked = (replace(thing, part=known, second_colour=c) for c in colours)
    return thing.phrase(), [a.phrase() for a in asked]


def _known_part(part: str, thing: Thing, world: World) -> str:
    """The world's name for the part. Raises ConfigError if this is not the one that it knows."""
    known = world.second_parts.get(thing.noun)
    word = world.synonyms.get(part, part)
    if known is not None and word.rstrip("s") == known.rstrip("s"):
        return known
    whole = Thing(thing.noun).phrase()
    can = f"the {known} of {whole} and no other part" if known else f"no part of {whole}"
    raise ConfigError(
        f"region {part!r}: the embedded teacher can find {can}; "
        "box:, sphere: and mask: work for anything"
    )


def part_views(fov: float, side: int) -> Cameras:
    """The 16 views that words are looked for in, in rings of four a quarter turn apart, in the
    frame. fov: degrees; side: pixels."""
    turn = torch.arange(RING) * (360.0 / RING)
    azimuth = torch.cat([first + turn for first, _ in RINGS])
    elevation = torch.tensor([float(e) for _, e in RINGS]).repeat_interleave(RING)
    return orbit(azimuth, elevation, DISTANCE, fov, side, side)


@torch.no_grad()
def _disagreement(
    rgb: Tensor, views: Cameras, teacher: Teacher, there: PromptBook, asked: list[PromptBook],
    seed: int,
) -> Tensor:  # fmt: skip
    """[V,1,h,w] of pictures rgb [V,3,H,W]: the mean absolute difference, over latent channels,
    `DRAWS` draws with times in `TIMES` and the prompts asked, between the teacher's noise for a
    prompt and for the one to compare with. The noises are those of every view."""
    device = rgb.device
    gen = torch.Generator().manual_seed(seed)
    noises = [torch.randn(1, *teacher.latent_shape, generator=gen).to(device) for _ in range(DRAWS)]
    maps = []
    for first in range(0, len(views), RING):
        ring = views[first : first + RING]
        seen = at_step(teacher, ring, 1, LATE)
        picture = rgb[first : first + RING]
        z = seen.encode(picture)
        image = seen.condition(picture) if "instruct" in seen.capabilities else None  # type: ignore[attr-defined]
        texts = [book.at(ring).positive for book in (there, *asked)]
        gap = torch.zeros_like(z[:, :1])
        for time, eps in zip(torch.linspace(*TIMES, DRAWS), noises, strict=True):
            t = time.expand(len(z)).to(device)
            alpha, sigma = seen.schedule.alpha_sigma(t, z)
            now, *others = (seen.eps(alpha * z + sigma * eps, t, e, image) for e in texts)
            for other in others:
                gap += (other - now).abs().mean(1, keepdim=True)
        maps.append(gap / (DRAWS * len(asked)))
    return torch.cat(maps)


def _box(values: Tensor, radius: int) -> Tensor:
    """Means over squares of side 2 radius + 1, in which what lies outside counts as 0."""
    side = 2 * radius + 1
    across = functional.avg_pool2d(values, (1, side), 1, (0, radius))
    return functional.avg_pool2d(across, (side, 1), 1, (radius, 0))


def _guided(maps: Tensor, rgb: Tensor, opaque: Tensor) -> Tensor:
    """maps [V,1,h,w] as the nearest linear functions of the colours rgb [V,3,h,w] around each
    pixel, where opaque [V,1,h,w] is set, 0 elsewhere."""
    weight = opaque.double()
    maps, rgb = maps.double(), rgb.double()
    radius = max(1, round(REACH * maps.shape[-1]))
    n = _box(weight, radius).clamp(min=1e-9)

    def mean(values: Tensor) -> Tensor:
        return _box(values * weight, radius) / n

    colour, level = mean(rgb), mean(maps)
    with_map = mean(rgb * maps) - colour * level
    pairs = (rgb[:, :, None] * rgb[:, None]).flatten(1, 2)
    spread = mean(pairs).unflatten(1, (3, 3)) - colour[:, :, None] * colour[:, None]
    spread = spread.permute(0, 3, 4, 1, 2) + FLAT * torch.eye(3, dtype=spread.dtype)
    slope = torch.linalg.solve(spread, with_map.permute(0, 2, 3, 1)[..., None])[..., 0]
    slope = slope.permute(0, 3, 1, 2)
    rest = level - (slope * colour).sum(1, keepdim=True)
    return ((mean(slope) * rgb).sum(1, keepdim=True) + mean(rest)) * weight


def _picture(splats: Splats, views: Cameras) -> Tensor:
    found = photograph(splats, views, BACKGROUND)
    return torch.from_numpy(found).permute(0, 3, 1, 2).contiguous()


def find_part(
    splats: Splats, teacher: Teacher, there: PromptBook, asked: list[PromptBook], fov: float,
    seed: int,
) -> NDArray[np.int64]:  # fmt: skip
    """Masks [16,S,S] of the part that prompts `asked` are about and the prompt `there` is not, 1
    where it is and the scene is opaque, in the views `part_views(fov, S)` of splats in the frame.

    S is the teacher's resolution, at most 128. fov: degrees. seed: of the noise.
    """
    side = min(teacher.resolution, MASK_SIDE)
    views, views_small = part_views(fov, teacher.resolution), part_views(fov, side)
    device = there.at(views[:RING]).positive.device
    rgb = _picture(splats, views).to(device)
    gap = _disagreement(rgb, views.to(device), teacher, there, asked, seed).float().cpu()
    small = _picture(splats, views_small) if side != teacher.resolution else rgb.cpu()
    everything = np.ones(len(splats), np.bool_)
    opaque = torch.from_numpy(coverage(splats, everything, views_small))[:, None] > OPAQUE
    if not opaque.any():
        return np.zeros((len(views), side, side), np.int64)
    maps = functional.interpolate(gap, (side, side), mode="bilinear")
    maps = _guided(maps, small, opaque)
    top = torch.quantile(maps[opaque], 0.99)
    meant = (maps >= LEAST * top.clamp(min=1e-9)) & opaque  # no disagreement: nothing is meant
    return meant[:, 0].numpy().astype(np.int64)


def select_words(config: Config, splats: Splats, frame: Frame, session: Session) -> Selection:
    """The Gaussians of `splats` (file coordinates) that `edit.region` names in words, by the
    session's teacher, or by the embedded one where that is its twin; `edit.bias` is of the lifting.
    Raises ConfigError for words that the teacher cannot tell and for those that select nothing,
    PromptError for a source that it does not know."""
    part = str(parse_region(config.edit.region)[1])
    teacher: Teacher = session.teacher
    world: World | None = getattr(teacher, "world", None)
    told = "instruct" in teacher.capabilities
    if world is not None and told:  # the twin tells parts worse: docs/results/word-regions.md
        teacher, told = EmbeddedTeacher(device=session.device), False
        world = teacher.world
    if "grid" in teacher.capabilities:  # whatever the edit's own views are
        teacher = GridTeacher(teacher)
    there, asked = questions(part, config.edit.source, world, told)
    books = [PromptBook(teacher, prompt, angles=not told) for prompt in (there, *asked)]
    framed = frame.into(splats)
    masks = find_part(framed, teacher, books[0], books[1:], config.views.fov, config.run.seed)
    lifted = lift(framed, part_views(config.views.fov, masks.shape[-1]), masks, config.edit.bias)
    selected = lifted.labels == 1
    note = f"{selected.sum()} of {len(splats)} Gaussians are the {part}, as the teacher sees it"
    unseen = int((~lifted.seen).sum())
    if unseen:
        note += f"; {unseen} are seen in none of the {len(masks)} views and stay as they are"
    return selection(splats, config.edit.region, selected, note)
