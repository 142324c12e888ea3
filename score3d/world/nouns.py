"""All nouns: those with a procedural family and those that only real models have.

A label of a picture is an index into NOUNS. The procedural ones come first, so that real nouns can
be added without changing what cached shards mean.
"""

from score3d.world.families import FAMILIES
from score3d.world.families import SYMMETRIC as PROCEDURAL_SYMMETRIC

__all__ = ["NOUNS", "REAL_ONLY", "SYMMETRIC"]

# Nouns of scripts/real_models.json that have no family.
_REAL_ONLY = """
armchair basketball beanbag bidet bin box boy briefcase bunkbed cabinet calendar cap carton
chandelier coffeemaker column container crate crib curtain dartboard doll dollhouse door dresser
drill dustpan escalator extinguisher faucet fence fireplace flashlight football forklift freezer
fries gamepad girl glass glasses grinder hammock handbag hanger headphones hedge highchair hood
hoop hotdog hut jacket jacuzzi jug kennel lipstick locker lounger man mattress microwave mixer
mower nightstand oven pallet pendant phone plate playground pool potty printer projector
radiator radio railing remote rock safe scale scooter seesaw shower sink slippers speaker
squeezer staircase stapler steak stereo stove stroller swing tape toilet towel trampoline
treadmill tricycle urinal van washer watch wheelbarrow wheelchair whiteboard window woman
workbench xylophone
"""
REAL_ONLY: tuple[str, ...] = tuple(_REAL_ONLY.split())

NOUNS: tuple[str, ...] = (*sorted(FAMILIES), *REAL_ONLY)

# Nouns whose look does not tell the azimuth.
_REAL_SYMMETRIC = """
basketball bin box chandelier column crate curtain door fence football fries glass hanger hedge
jacuzzi mattress pallet pendant plate pool railing rock trampoline window
"""
SYMMETRIC = PROCEDURAL_SYMMETRIC | frozenset(_REAL_SYMMETRIC.split())
