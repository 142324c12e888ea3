"""Procedural shape families: one function per noun.

Each takes a random generator and returns parts, a list of (geometry, tone): tone "main" takes
the colour of the prompt, any other is a key of `MATERIAL_TONES`. +y is up and the front faces
+z; handles and spouts lie along x (a mug's handle and a teapot's spout on +x). Sizes are free:
`shapes.build` normalises them.
"""

from score3d.world.families.creatures import dog, duck, pig, snowman
from score3d.world.families.household import (
    bottle,
    chair,
    hat,
    house,
    lamp,
    mug,
    sofa,
    table,
    teapot,
    vase,
)
from score3d.world.families.plants import apple, cactus, fir, mushroom, tree
from score3d.world.families.solids import cube, pyramid, sphere, the_cone, the_cylinder, the_torus
from score3d.world.families.vehicles import aeroplane, boat, car, robot, rocket

__all__ = ["FAMILIES", "SYMMETRIC"]

FAMILIES = {
    "aeroplane": aeroplane,
    "apple": apple,
    "boat": boat,
    "bottle": bottle,
    "cactus": cactus,
    "car": car,
    "chair": chair,
    "cone": the_cone,
    "cube": cube,
    "cylinder": the_cylinder,
    "dog": dog,
    "duck": duck,
    "fir": fir,
    "hat": hat,
    "house": house,
    "lamp": lamp,
    "mug": mug,
    "mushroom": mushroom,
    "pig": pig,
    "pyramid": pyramid,
    "robot": robot,
    "rocket": rocket,
    "snowman": snowman,
    "sofa": sofa,
    "sphere": sphere,
    "table": table,
    "teapot": teapot,
    "torus": the_torus,
    "tree": tree,
    "vase": vase,
}

# Nouns whose look does not tell the azimuth, because it repeats within a turn (nearly all round,
# or every 90 or 180 degrees): asking a classifier for their front would be asking for noise.
SYMMETRIC = frozenset(
    [
        "apple",
        "bottle",
        "cactus",
        "cone",
        "cube",
        "cylinder",
        "fir",
        "hat",
        "lamp",
        "mushroom",
        "pyramid",
        "sphere",
        "table",
        "torus",
        "tree",
        "vase",
    ]
)
