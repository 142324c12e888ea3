"""What a family returns, and shorthands that families share."""

from score3d.world.primitives import Geometry, cylinder, ellipsoid, moved, rotated, tube

__all__ = ["Parts", "ball", "disc", "eyes", "rod", "wheels"]

# (geometry, tone): see the package for tones and their trailing star
Parts = list[tuple[Geometry, str]]


def ball(x: float, y: float, z: float, rx: float, ry=None, rz=None, segments: int = 12) -> Geometry:
    """An ellipsoid at (x, y, z); a missing half axis is the first one."""
    return ellipsoid(rx, ry or rx, rz or rx, (x, y, z), segments)


def rod(p, q, radius: float, end: float | None = None, segments: int = 8) -> Geometry:
    """A round bar from p to q whose radius may change to `end`."""
    return tube([p, q], [radius, radius if end is None else end], segments)


def disc(x, y, z, radius: float, width: float, axis: str = "x", segments: int = 18) -> Geometry:
    """A cylinder centred at (x, y, z) that turns about the axis 'x' or 'z'."""
    g = cylinder(radius, -width / 2, width / 2, segments=segments)
    return moved(rotated(g, "z", 90) if axis == "x" else rotated(g, "x", 90), x, y, z)


def eyes(x: float, y: float, z: float, radius: float, tone: str = "dark") -> Parts:
    """Two balls at (+-x, y, z)."""
    return [(ball(s * x, y, z, radius, segments=8), tone) for s in (-1, 1)]


def wheels(x: float, zs, radius: float, width: float = 0.1, tone: str = "dark*") -> Parts:
    """Wheels with metal hubs at (+-x, radius, z) for each z."""
    parts: Parts = []
    for s in (-1, 1):
        for z in zs:
            parts.append((disc(s * x, radius, z, radius, width), tone))
            parts.append(
                (disc(s * x, radius, z, radius * 0.45, width + 0.02, segments=10), "metal")
            )
    return parts
