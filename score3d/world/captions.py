"""Captions of the world: prompt phrases, synonyms and the view phrases the teacher knows."""

from numpy.random import Generator

from score3d.articles import with_article
from score3d.cameras import wrap_degrees
from score3d.world.families import SECOND_PARTS
from score3d.world.finish import MATERIALS
from score3d.world.nouns import NOUNS
from score3d.world.palette import COLOURS
from score3d.world.shapes import RELATIONS

__all__ = [
    "PHRASES",
    "SYNONYMS",
    "VIEW_STYLES",
    "caption",
    "grid_phrase",
    "phrase_of",
    "view_phrase",
    "vocabulary",
]

# Every name is one word; a caption sometimes says the synonym instead.
SYNONYMS: dict[str, str] = {
    "airplane": "aeroplane",
    "armoire": "wardrobe",
    "automobile": "car",
    "ball": "sphere",
    "basin": "sink",
    "bike": "bicycle",
    "blimp": "airship",
    "block": "cube",
    "bookcase": "bookshelf",
    "bunny": "rabbit",
    "burger": "hamburger",
    "checked": "checkered",
    "chopper": "helicopter",
    "cog": "gear",
    "cogwheel": "gear",
    "computer": "laptop",
    "cooker": "stove",
    "cot": "crib",
    "couch": "sofa",
    "crescent": "moon",
    "cup": "mug",
    "cupboard": "cabinet",
    "daisy": "flower",
    "dino": "dinosaur",
    "doghouse": "kennel",
    "donut": "doughnut",
    "dotted": "spotted",
    "dustbin": "bin",
    "fortress": "castle",
    "gem": "diamond",
    "giftbox": "gift",
    "glossy": "shiny",
    "grey": "gray",
    "heater": "radiator",
    "hen": "chicken",
    "kitten": "cat",
    "ladybird": "ladybug",
    "lamb": "sheep",
    "lamppost": "streetlamp",
    "lavatory": "toilet",
    "letterbox": "mailbox",
    "loupe": "magnifier",
    "motorbike": "motorcycle",
    "parcel": "gift",
    "piglet": "pig",
    "pitcher": "jug",
    "plane": "aeroplane",
    "polished": "shiny",
    "pony": "horse",
    "pram": "stroller",
    "present": "gift",
    "puppy": "dog",
    "purse": "handbag",
    "refrigerator": "fridge",
    "rucksack": "backpack",
    "sailboat": "boat",
    "saucer": "ufo",
    "serpent": "snake",
    "shed": "hut",
    "skillet": "pan",
    "sledge": "sled",
    "sneaker": "shoe",
    "spaceship": "rocket",
    "spade": "shovel",
    "spanner": "wrench",
    "stairs": "staircase",
    "steamer": "ship",
    "tap": "faucet",
    "tipi": "tent",
    "toadstool": "mushroom",
    "torch": "flashlight",
    "tortoise": "turtle",
    "trainer": "shoe",
    "trashcan": "bin",
    "tub": "bathtub",
    "tv": "television",
    "violet": "purple",
    "washbasin": "sink",
    "zeppelin": "airship",
}

# What people write as two words; prompts are rewritten by this before they are split.
PHRASES: dict[str, str] = {
    "alarm clock": "clock",
    "bean bag": "beanbag",
    "bedside table": "nightstand",
    "bow and arrow": "bow",
    "bunk bed": "bunkbed",
    "chess pawn": "pawn",
    "chess rook": "rook",
    "coffee maker": "coffeemaker",
    "dart board": "dartboard",
    "dog house": "kennel",
    "doll house": "dollhouse",
    "fire extinguisher": "extinguisher",
    "fire hydrant": "hydrant",
    "flying saucer": "ufo",
    "fork lift": "forklift",
    "french fries": "fries",
    "gift box": "gift",
    "hanging lamp": "pendant",
    "high chair": "highchair",
    "hot dog": "hotdog",
    "house plant": "houseplant",
    "ice cream": "icecream",
    "lawn mower": "mower",
    "letter box": "mailbox",
    "magnifying glass": "magnifier",
    "mail box": "mailbox",
    "palm tree": "palm",
    "pizza slice": "pizza",
    "polka dot": "spotted",
    "potted plant": "houseplant",
    "remote control": "remote",
    "sand glass": "hourglass",
    "soccer ball": "football",
    "street lamp": "streetlamp",
    "street light": "streetlamp",
    "teddy bear": "teddy",
    "traffic light": "stoplight",
    "trash can": "bin",
    "washing machine": "washer",
    "wheel chair": "wheelchair",
    "white board": "whiteboard",
    "wine glass": "goblet",
}

TEMPLATES = (
    "{a}",
    "{plain}",
    "a photo of {a}",
    "a 3d render of {a}",
    "a picture of {a}",
    "a rendering of {a}",
    "a model of {a}",
    "one {plain}",
)

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


def grid_phrase(azimuth: float, elevation: float) -> str:
    """The words for a 2x2 grid of views a quarter turn apart, whose first stands at `azimuth`."""
    a, e = 15 * round(azimuth % 360 / 15) % 360, 15 * round(elevation / 15)
    return f"four views, azimuth {a}, elevation {e}"


def phrase_of(
    noun: str,
    colour: str = "",
    material: str = "matte",
    second_colour: str | None = None,
    relation: str | None = None,
    second_noun: str | None = None,
) -> str:
    """The canonical words for an object, without an article: "shiny red car", "red chair with
    blue legs", "red cube on top of a blue cylinder". Raises KeyError for a second colour of a
    noun without second parts."""
    words = " ".join(w for w in ("" if material == "matte" else material, colour, noun) if w)
    if relation is not None:
        return f"{words} {relation} {with_article(f'{second_colour} {second_noun}')}"
    if second_colour is not None:
        return f"{words} with {second_colour} {SECOND_PARTS[noun]}"
    return words


def caption(
    noun: str,
    colour: str,
    azimuth: float,
    elevation: float,
    rng: Generator,
    *,
    material: str = "matte",
    second_colour: str | None = None,
    relation: str | None = None,
    second_noun: str | None = None,
    grid: bool = False,
) -> str:
    """A training caption with natural variation: template, synonyms, word order, view style.

    grid: the caption of four views (`grid_phrase`) instead of one. A material other than
    "matte" is always said, so that a caption without one stands for the plain look; a brown
    wooden thing often goes without its colour. An empty colour or material is never said. Other
    arguments as `phrase_of`.
    """

    def varied(word: str) -> str:
        if rng.random() >= 0.1:
            return word
        others = [s for s, target in SYNONYMS.items() if target == word]
        return others[rng.integers(len(others))] if others else word

    if not material:
        said = ""
    elif material == "matte":
        said = "matte" if relation is None and second_colour is None and rng.random() < 0.1 else ""
    else:
        said = varied(material)
    unsaid = 0.6 if material == "wooden" and colour == "brown" else 0.06
    told = bool(colour) and (relation is not None or rng.random() >= unsaid)
    tint = varied(colour) if told else ""
    order = (said, tint) if rng.random() < 0.8 else (tint, said)
    words = " ".join(w for w in (*order, varied(noun)) if w)
    if relation is not None:
        words += f" {relation} " + with_article(f"{varied(str(second_colour))} {second_noun}")
    elif second_colour is not None:
        words += f" with {varied(second_colour)} {SECOND_PARTS[noun]}"
    template = TEMPLATES[0] if rng.random() < 0.6 else TEMPLATES[rng.integers(len(TEMPLATES))]
    text = template.format(a=with_article(words), plain=words)
    if grid:
        told = rng.random() < 0.85
        return f"{text}, {grid_phrase(azimuth, elevation) if told else 'four views'}"
    style = VIEW_STYLES[rng.choice(4, p=(0.08, 0.12, 0.25, 0.55))]
    phrase = view_phrase(azimuth, elevation, style)
    return f"{text}, {phrase}" if phrase else text


def vocabulary() -> list[str]:
    """Every word a caption can contain, sorted; the teacher's tokenizer is built from it."""
    words = {",", "a", "an", "with"}
    words.update(NOUNS, COLOURS, SYNONYMS, MATERIALS, SECOND_PARTS.values())
    for text in (
        *(t.format(a="", plain="") for t in TEMPLATES),
        *EIGHT_SIDES,
        *RELATIONS,
        "overhead side view from above below azimuth elevation four views",
    ):
        words.update(text.split())
    words.update(str(v) for v in range(0, 360, 15))
    words.update(str(v) for v in range(-30, 91, 15))
    return sorted(words)
