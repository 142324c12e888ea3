"""What a family returns."""

from score3d.world.primitives import Geometry

__all__ = ["Parts"]

Parts = list[tuple[Geometry, str]]
