"""What a picture should show after an edit, from the instruction and what it shows now."""

import re
from dataclasses import replace

from score3d.teachers.embedded import Thing, World
from score3d.teachers.errors import PromptError

__all__ = ["changes", "described"]

INSTRUCTION = re.compile(
    r"^\W*(?:please\s+)?(?:make|turn|paint|colou?r|change|give)\s+(?:it|this|that|the\s+\w+)\s+"
    r"(?:in)?(?:to\s+)?(.*?)\W*$",
    re.IGNORECASE,
)


def described(instruction: str, source: str, world: World | None) -> str:
    """The description of the goal. An instruction such as "make it blue" is put into the words
    of the embedded teacher's `world` with the help of `source`; a description stays as it is, as
    does everything where there is no world. Raises PromptError."""
    found = INSTRUCTION.match(instruction)
    if world is None or found is None:
        return instruction
    rest, thing = found.group(1), world.parse(source)
    words = [world.synonyms.get(w, w) for w in re.findall(r"\w+", rest.lower())]
    words = [w for w in words if w not in ("a", "an", "the")]
    part = world.second_parts.get(thing.noun)
    if part and len(words) == 2 and words[0] in world.colours and words[1] == part:
        return replace(thing, part=part, second_colour=words[0], material=None).phrase()
    known = [*world.colours, *world.materials]
    if not words or any(w not in known for w in words):
        return world.parse(rest).phrase() if words else instruction
    colours = [w for w in words if w in world.colours]
    materials = [w for w in words if w in world.materials]
    if len(colours) > 1 or len(materials) > 1:
        raise PromptError(f"{instruction!r} asks for more than one colour or material")
    changed = thing
    if colours:
        changed = replace(changed, colour=colours[0])
    if materials:
        if thing.part or thing.relation:
            raise PromptError(f"the embedded teacher knows no {materials[0]} {thing.phrase()}")
        changed = replace(changed, material=None if materials[0] == "matte" else materials[0])
    return changed.phrase()


def changes(source: Thing, target: Thing) -> dict[str, str]:
    """What the target names and the source does not: of noun, colour and material."""
    names = {key: getattr(target, key) for key in ("noun", "colour", "material")}
    return {k: v for k, v in names.items() if v is not None and v != getattr(source, k)}
