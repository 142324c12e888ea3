"""All nouns: those with a procedural family and those that only real models have.

A label of a picture is an index into NOUNS. The procedural ones come first, so that real nouns can
be added without changing what cached shards mean.
"""

from score3d.world.families import FAMILIES
from score3d.world.families import SYMMETRIC as PROCEDURAL_SYMMETRIC

__all__ = ["NOUNS", "REAL_ONLY", "SYMMETRIC"]

# Nouns of scripts/real_models.json without a family.
REAL_ONLY: tuple[str, ...] = ()

NOUNS: tuple[str, ...] = (*sorted(FAMILIES), *REAL_ONLY)

# Nouns whose look does not tell the azimuth.
SYMMETRIC = PROCEDURAL_SYMMETRIC | frozenset(())
