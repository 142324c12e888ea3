"""Before and after: pairs of shapes that differ by one edit, and the words that ask for it.

For an instruction-following teacher (InstructPix2Pix, arXiv 2211.09800): the two share geometry
where the edit leaves it alone, cameras, light and background.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from score3d.articles import with_article
from score3d.cameras import orbit
from score3d.world.captions import SYNONYMS, vocabulary
from score3d.world.dataset import VIEWS_PER_SHAPE, sample_background
from score3d.world.families import SECOND_PARTS
from score3d.world.finish import MATERIALS
from score3d.world.palette import COLOURS
from score3d.world.raster import render_shape, sample_lighting
from score3d.world.shapes import BOUNDING_RADIUS, Shape, build

__all__ = ["EDITS", "TEMPLATES", "Edit", "instruction", "instruction_words", "sample_edit"]

# kind -> (share of pairs, ways to ask). {v}: the new colour, material, size; {n}: the noun before;
# {new}: the noun after, with what is said of it; {p}: the part.
EDITS: dict[str, float] = {
    "colour": 0.22,
    "material": 0.15,
    "noun": 0.20,
    "add": 0.10,
    "remove": 0.10,
    "part": 0.07,
    "size": 0.08,
    "light": 0.08,
}
TEMPLATES: dict[str, tuple[str, ...]] = {
    "colour": (
        "make it {v}", "paint it {v}", "turn it {v}", "colour it {v}", "color it {v}",
        "make the {n} {v}", "paint the {n} {v}", "it should be {v}", "change its colour to {v}",
        "change the color to {v}",
    ),
    "material": (
        "make it {v}", "make the {n} {v}", "turn it {v}", "it should be {v}", "make it look {v}",
    ),
    "noun": (
        "turn it into {new}", "make it {new}", "change it into {new}", "replace it with {new}",
        "turn the {n} into {new}", "swap it for {new}", "it should be {new}",
    ),
    "add": ("give it {new}", "add {new}", "give the {n} {new}", "it should have {new}"),
    "remove": (
        "remove the {p}", "take the {p} off", "take away the {p}", "delete the {p}",
        "remove its {p}", "it should have no {p}",
    ),
    "part": (
        "make the {p} {v}", "paint the {p} {v}", "change the {p} to {v}", "give it {new}",
        "colour the {p} {v}",
    ),
    "bigger": ("make it bigger", "make it larger", "enlarge it", "scale it up"),
    "smaller": ("make it smaller", "shrink it", "scale it down", "make the {n} smaller"),
    "taller": ("make it taller", "make the {n} taller", "stretch it up"),
    "wider": ("make it wider", "make the {n} wider", "stretch it sideways"),
    "night": ("at night", "make it night", "turn it to night", "make it dark", "in the dark"),
    "day": ("at day", "make it day", "in daylight", "turn on the light", "by day"),
    # what else people say for a material
    "matte": ("make it plain", "remove the pattern"),
    "shiny": ("polish it",),
    "metallic": ("make it of metal", "make it out of metal"),
    "wooden": ("make it of wood", "make it out of wood"),
    "striped": ("give it stripes", "paint stripes on it"),
    "checkered": ("give it a checkered pattern",),
    "spotted": ("give it spots", "paint spots on it"),
}  # fmt: skip
SIZES = ("bigger", "smaller", "taller", "wider")
LIGHTS = ("night", "day")
MOONLIGHT = np.array((0.30, 0.36, 0.58))
HAT = "hat"  # what anything can be given


@dataclass(frozen=True)
class Edit:
    """One pair. kind: of EDITS. noun: what it is before. value: what is asked for: a colour, a
    material, "[colour] noun", the part (added or removed; "[colour] part" when added with one,
    always for kind "part"), a size, or "night" or "day".

    before, after [4,H,W,3] uint8: the same four views, a quarter turn apart."""

    kind: str
    noun: str
    value: str
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]


def _plural(part: str) -> bool:
    return part.endswith("s") and part != "glass"


def _with_article(words: str, part: str) -> str:
    return words if _plural(part) else with_article(words)


def instruction(kind: str, noun: str, value: str, rng: Generator) -> str:
    """A random way to ask for an edit (see `Edit`)."""

    def varied(word: str) -> str:
        if rng.random() >= 0.1:
            return word
        others = [s for s, target in SYNONYMS.items() if target == word]
        return others[rng.integers(len(others))] if others else word

    forms: Sequence[str] = TEMPLATES[value if kind in ("size", "light") else kind]
    if kind == "material" and rng.random() < 0.3:
        forms = TEMPLATES[value]
    # the plainest way is the most frequent
    form = forms[0] if rng.random() < 0.3 else forms[rng.integers(len(forms))]
    words = [varied(w) for w in value.split()]
    said, last = " ".join(words), words[-1]
    new = with_article(said) if kind == "noun" else _with_article(said, last)
    text = form.format(n=varied(noun), v=words[0], p=last, new=new)
    return f"please {text}" if rng.random() < 0.04 else text


def instruction_words() -> list[str]:
    """Every word that `instruction` can say, sorted, and every word of a caption."""
    words = set(vocabulary()) | {HAT, "please"}
    for forms in TEMPLATES.values():
        for form in forms:
            words.update(w for w in form.split() if "{" not in w)
    return sorted(words)


def _stretched(shape: Shape, factors: tuple[float, float, float], up: float = 0.0) -> Shape:
    """The shape scaled along x, y, z about its centre and then moved up; its pattern with it."""
    s = np.array(factors)
    finish = replace(shape.finish, frame=shape.finish.frame / s)
    return replace(shape, vertices=shape.vertices * s + (0, up, 0), finish=finish)


def _without(shape: Shape, faces: NDArray[np.bool_]) -> Shape:
    keep = ~faces
    finished = None if shape.finished is None else shape.finished[keep]
    return replace(
        shape, faces=shape.faces[keep], face_colours=shape.face_colours[keep], finished=finished
    )


def _joined(a: Shape, b: Shape) -> Shape:
    """Both; b has no finish."""
    finished = np.zeros(len(a.faces), bool) if a.finished is None else a.finished
    return Shape(
        np.concatenate([a.vertices, b.vertices]),
        np.concatenate([a.faces, b.faces + len(a.vertices)]),
        np.concatenate([a.face_colours, b.face_colours]),
        a.finish,
        np.concatenate([finished, np.zeros(len(b.faces), bool)]),
    )


def _hatted(shape: Shape, colour: str, rng: Generator) -> Shape:
    """The shape with a hat on its highest point."""
    v = shape.vertices[np.unique(shape.faces)]
    top = v[:, 1].max()
    head = v[v[:, 1] > top - 0.15 * np.ptp(v[:, 1])]
    width = np.clip(0.6 * np.ptp(head[:, (0, 2)], axis=0).mean(), 0.17, 0.26)
    hat = build(HAT, colour, rng, width)
    x, z = (head[:, (0, 2)].min(0) + head[:, (0, 2)].max(0)) / 2
    place = np.array([x, top - hat.vertices[:, 1].min() - 0.02, z])
    return _joined(shape, replace(hat, vertices=hat.vertices + place))


def _second_faces(noun: str, seed: int, radius: float) -> NDArray[np.bool_] | None:
    """Which faces of the instance of `seed` are the second parts; None if there are none.

    Told by their colour: with two second colours nothing else differs."""
    made = [
        build(noun, "red", np.random.default_rng(seed), radius, second_colour=c).face_colours
        for c in ("blue", "green")
    ]
    found = (made[0] != made[1]).any(1)
    return found if found.any() and not found.all() else None


def sample_edit(nouns: Sequence[str], rng: Generator, size: int = 64) -> Edit:
    """A random edit of a random one of `nouns`, rendered.

    The four views share elevation, distance, background and light, as in `render_shard`."""
    kind = str(rng.choice(list(EDITS), p=list(EDITS.values())))
    noun = nouns[int(rng.integers(len(nouns)))]
    if kind in ("part", "remove") and noun not in SECOND_PARTS:
        kind = "add" if kind == "remove" else "colour"
    seed, radius = int(rng.integers(2**31)), BOUNDING_RADIUS * rng.uniform(0.88, 1.0)
    names = sorted(COLOURS)
    colour, other, third = (names[i] for i in rng.permutation(len(names))[:3])
    draw = rng.random()
    material = MATERIALS[rng.integers(1, len(MATERIALS))] if draw < 0.25 else "matte"
    second = third if 0.25 <= draw < 0.45 and noun in SECOND_PARTS else None

    def made(noun=noun, colour=colour, material=material, second=second, seed=seed) -> Shape:
        return build(
            noun, colour, np.random.default_rng(seed), radius,
            material=material, second_colour=second,
        )  # fmt: skip

    before = after = made()
    value = other
    tints = [np.ones(3), np.ones(3)]
    if kind == "colour":
        after = made(colour=other)
    elif kind == "material":
        value = str(rng.choice([m for m in MATERIALS if m != material]))
        before, after = made(second=None), made(material=value, second=None)
    elif kind == "noun":
        new = nouns[int(rng.integers(len(nouns)))]
        while new == noun:
            new = nouns[int(rng.integers(len(nouns)))]
        told = rng.random() < 0.25
        value = f"{other} {new}" if told else new
        after = made(new, other if told else colour, second=None, seed=seed + 1)
        before = made(second=None)
    elif kind in ("add", "remove"):
        before, after, value = _with_and_without(kind, noun, before, seed, radius, rng, third)
    elif kind == "part":
        value = f"{other} {SECOND_PARTS[noun]}"
        before, after = made(material="matte"), made(material="matte", second=other)
    elif kind == "size":
        value = SIZES[rng.integers(len(SIZES))]
        small, large = rng.uniform(0.62, 0.72), rng.uniform(0.95, 1.05)
        low, high = (small, small, small), (large, large, large)
        if value == "taller":
            low, high = (small, small, small), (small, large, small)
        elif value == "wider":
            low, high = (small, small, small), (large, small, large)
        if value == "smaller":
            low, high = high, low
        before, after = _stretched(before, low), _stretched(before, high)
    else:
        value = LIGHTS[rng.integers(len(LIGHTS))]
        tints[LIGHTS.index(value) == 0] = MOONLIGHT * rng.uniform(0.85, 1.15)
    azimuth = rng.uniform(-45, 45) + 90 * np.arange(VIEWS_PER_SHAPE)
    steep = rng.random() < 0.12
    elevation = np.full(VIEWS_PER_SHAPE, rng.uniform(50, 75) if steep else rng.uniform(-15, 50))
    cameras = orbit(
        torch.from_numpy(azimuth), torch.from_numpy(elevation), rng.uniform(1.85, 2.15), 40.0,
        size, size,
    )  # fmt: skip
    background = np.tile(sample_background(rng), (VIEWS_PER_SHAPE, 1))
    light = sample_lighting(rng)
    pictures = [
        np.round(render_shape(shape, cameras, background, light)[0] * tint * 255).astype(np.uint8)
        for shape, tint in zip((before, after), tints, strict=True)
    ]
    return Edit(kind, noun, value, *pictures)


def _with_and_without(
    kind: str, noun: str, shape: Shape, seed: int, radius: float, rng: Generator, colour: str
) -> tuple[Shape, Shape, str]:
    """Before and after a part is added or removed, and the part."""
    own = _second_faces(noun, seed, radius) if noun in SECOND_PARTS else None
    if own is not None and rng.random() < (0.75 if kind == "remove" else 0.4):
        full, less, part = shape, _without(shape, own), SECOND_PARTS[noun]
    else:
        less = _stretched(shape, (0.8, 0.8, 0.8), -0.1)
        told = rng.random() < 0.6
        full = _hatted(less, colour, rng)
        part = f"{colour} {HAT}" if told and kind == "add" else HAT
    return (less, full, part) if kind == "add" else (full, less, part)
