"""Procedural shape families: one function per noun.

Each takes a random generator and returns parts, a list of (geometry, tone): tone "main" takes
the colour of the prompt, any other is a key of `MATERIAL_TONES`. A trailing star marks the
parts that SECOND_PARTS names ("a red chair with blue legs"): they take the caption's second
colour when there is one and the tone before the star when there is none. +y is up and the
front faces +z; handles and spouts lie along x (a mug's handle and a teapot's spout on +x).
Sizes are free: `shapes.build` normalises them.

Every theme module has FAMILIES, SECOND_PARTS and, where it applies, SYMMETRIC.
"""

from collections.abc import Callable
from types import ModuleType

from numpy.random import Generator

from score3d.world.families import (
    buildings,
    crawlers,
    creatures,
    food,
    furniture,
    household,
    mammals,
    plants,
    solids,
    street,
    things,
    tools,
    toys,
    transport,
    vehicles,
    wear,
    wildlife,
)
from score3d.world.families.parts import Parts

__all__ = ["FAMILIES", "SECOND_PARTS", "SYMMETRIC"]

_THEMES: tuple[ModuleType, ...] = (
    buildings, crawlers, creatures, food, furniture, household, mammals, plants, solids, street,
    things, tools, toys, transport, vehicles, wear, wildlife,
)  # fmt: skip

FAMILIES: dict[str, Callable[[Generator], Parts]] = {
    noun: family for theme in _THEMES for noun, family in sorted(theme.FAMILIES.items())
}

# What the starred parts of a noun are called in captions.
SECOND_PARTS: dict[str, str] = {
    noun: part for theme in _THEMES for noun, part in theme.SECOND_PARTS.items()
}

# Nouns whose look does not tell the azimuth, because it repeats within a turn (nearly all round,
# or every 90 or 180 degrees): asking a classifier for their front would be asking for noise.
SYMMETRIC = frozenset(noun for theme in _THEMES for noun in getattr(theme, "SYMMETRIC", "").split())
