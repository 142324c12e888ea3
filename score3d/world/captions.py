"""Captions of the world: prompt phrases, synonyms and the view phrases the teacher knows."""

from numpy.random import Generator

from score3d.cameras import wrap_degrees
from score3d.world.families import FAMILIES
from score3d.world.palette import COLOURS

__all__ = ["SYNONYMS", "VIEW_STYLES", "caption", "view_phrase", "vocabulary"]

SYNONYMS: dict[str, str] = {
    "airplane": "aeroplane",
    "plane": "aeroplane",
    "sailboat": "boat",
    "automobile": "car",
    "ball": "sphere",
    "block": "cube",
    "couch": "sofa",
    "cup": "mug",
    "doughnut": "torus",
    "puppy": "dog",
    "piglet": "pig",
    "spaceship": "rocket",
    "toadstool": "mushroom",
    "grey": "gray",
    "violet": "purple",
}

TEMPLATES = ("a {}", "{}", "a photo of a {}", "a 3d render of a {}", "a picture of a {}")

# counter-clockwise seen from above, 45 degrees apart, azimuth 0 first; left and right are the
# object's own (azimuth 90 stands on +x and sees the left flank of an object that faces +z)
EIGHT_SIDES = (
    "front view",
    "front left view",
    "left side view",
    "back left view",
    "back view",
    "back right view",
    "right side view",
    "front right view",
)

VIEW_STYLES = ("none", "dreamfusion", "eight", "fine")


def view_phrase(azimuth: float, elevation: float, style: str) -> str:
    """The words for a view (angles in degrees), without a leading comma.

    "dreamfusion": its four words (front/side/back within 45 degrees, overhead above 60).
    "eight": one of eight sides, with "from above" / "from below" when tilted.
    "fine": the same and the angles themselves, to the nearest 15 degrees.
    Raises ValueError for another style.
    """
    azimuth = wrap_degrees(azimuth)
    if style == "none":
        return ""
    if style == "dreamfusion":
        if elevation > 60:
            return "overhead view"
        if abs(azimuth) < 45:
            return "front view"
        return "back view" if abs(azimuth) > 135 else "side view"
    if style not in VIEW_STYLES:
        raise ValueError(f"unknown view style {style!r}; known: {', '.join(VIEW_STYLES)}")
    phrase = EIGHT_SIDES[round(azimuth / 45) % 8]
    if elevation > 25:
        phrase += " from above"
    elif elevation < -5:
        phrase += " from below"
    if style == "fine":
        phrase += f", azimuth {15 * round(azimuth % 360 / 15) % 360}"
        phrase += f", elevation {15 * round(elevation / 15)}"
    return phrase


def caption(noun: str, colour: str, azimuth: float, elevation: float, rng: Generator) -> str:
    """A training caption with natural variation: template, synonyms, view style."""
    words = [w for w in (colour, noun) if w]
    if rng.random() < 0.15:
        for i, word in enumerate(words):
            others = [s for s, target in SYNONYMS.items() if target == word]
            if others:
                words[i] = others[rng.integers(len(others))]
    if rng.random() < 0.08:
        words = words[-1:]  # no colour named
    template = TEMPLATES[0] if rng.random() < 0.6 else TEMPLATES[rng.integers(len(TEMPLATES))]
    text = template.format(" ".join(words))
    style = VIEW_STYLES[rng.choice(4, p=(0.08, 0.12, 0.25, 0.55))]
    phrase = view_phrase(azimuth, elevation, style)
    return f"{text}, {phrase}" if phrase else text


def vocabulary() -> list[str]:
    """Every word a caption can contain, sorted; the teacher's tokenizer is built from it."""
    words = {",", "an", *FAMILIES, *COLOURS, *SYNONYMS}
    for text in (*TEMPLATES, *EIGHT_SIDES, "overhead side view from above below azimuth elevation"):
        words.update(text.replace("{}", "").split())
    words.update(str(v) for v in range(0, 360, 15))
    words.update(str(v) for v in range(-30, 91, 15))
    return sorted(words)
