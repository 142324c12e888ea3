"""Geometric solids. Conventions: see the package."""

from numpy.random import Generator

from score3d.world.families.parts import Parts
from score3d.world.primitives import (
    box,
    cone,
    cylinder,
    ellipsoid,
    rotated,
    torus,
)


def cube(r: Generator) -> Parts:
    return [(box(1, r.uniform(0.92, 1.08), r.uniform(0.92, 1.08)), "main")]


def sphere(r: Generator) -> Parts:
    return [(ellipsoid(0.5, 0.5, 0.5, segments=28), "main")]


def the_cone(r: Generator) -> Parts:
    return [(cone(r.uniform(0.35, 0.5), 0, r.uniform(0.9, 1.2), 32), "main")]


def the_cylinder(r: Generator) -> Parts:
    return [(cylinder(r.uniform(0.25, 0.42), 0, r.uniform(0.8, 1.2), segments=32), "main")]


def pyramid(r: Generator) -> Parts:
    return [(box(1, r.uniform(0.75, 1.05), 1, taper=0.0), "main")]


def the_torus(r: Generator) -> Parts:
    g = torus(0.5, r.uniform(0.14, 0.2))
    return [(rotated(g, "x", 90) if r.random() < 0.5 else g, "main")]


FAMILIES = {
    "cone": the_cone,
    "cube": cube,
    "cylinder": the_cylinder,
    "pyramid": pyramid,
    "sphere": sphere,
    "torus": the_torus,
}
SYMMETRIC = "cone cube cylinder pyramid sphere torus"
SECOND_PARTS: dict[str, str] = {}
