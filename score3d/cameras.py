"""Cameras on an orbit around the origin.

World: right-handed, +y up, objects face +z. Azimuth 0 looks at the front (the camera stands
on +z), azimuth 90 stands on +x; elevation is positive from above. All angles are degrees.
Matrices are OpenCV world-to-camera (x right, y down, z forward), as gsplat takes them.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Cameras", "orbit", "sphere", "turntable"]


@dataclass(frozen=True)
class Cameras:
    """A batch of B pinhole cameras.

    viewmats [B,4,4]: world-to-camera. Ks [B,3,3]: intrinsics in pixels.
    azimuth, elevation [B]: degrees, kept for view-dependent prompts.
    """

    viewmats: Tensor
    Ks: Tensor
    azimuth: Tensor
    elevation: Tensor
    width: int
    height: int

    def __len__(self) -> int:
        return len(self.viewmats)

    def __getitem__(self, rows: slice) -> "Cameras":
        """The cameras of a slice of the batch."""
        return Cameras(
            self.viewmats[rows],
            self.Ks[rows],
            self.azimuth[rows],
            self.elevation[rows],
            self.width,
            self.height,
        )

    def tile(self, times: int) -> "Cameras":
        """The whole batch `times` times over."""
        return Cameras(
            self.viewmats.repeat(times, 1, 1),
            self.Ks.repeat(times, 1, 1),
            self.azimuth.repeat(times),
            self.elevation.repeat(times),
            self.width,
            self.height,
        )

    def to(self, device: torch.device | str) -> "Cameras":
        """The same cameras with every tensor on `device`."""
        return Cameras(
            self.viewmats.to(device),
            self.Ks.to(device),
            self.azimuth.to(device),
            self.elevation.to(device),
            self.width,
            self.height,
        )


def orbit(
    azimuth: Tensor,
    elevation: Tensor,
    distance: Tensor | float,
    fov: Tensor | float,
    width: int,
    height: int,
) -> Cameras:
    """Cameras that look at the origin from `azimuth`, `elevation` (degrees, [B]).

    distance: world units; fov: vertical field of view in degrees; each a number or [B].
    At elevation +-90 the up vector is degenerate; the azimuth still defines the image's up.
    """
    azimuth = torch.as_tensor(azimuth, dtype=torch.float32)
    elevation = torch.as_tensor(elevation, dtype=torch.float32)
    distance = torch.as_tensor(distance, dtype=torch.float32).expand_as(azimuth)
    fov = torch.as_tensor(fov, dtype=torch.float32).expand_as(azimuth)
    a, e = torch.deg2rad(azimuth), torch.deg2rad(elevation)
    zero = torch.zeros_like(a)
    # Rows of the rotation: image right, image down, viewing direction, in closed form, so
    # that no cross product degenerates at the poles.
    right = torch.stack([a.cos(), zero, -a.sin()], -1)
    down = torch.stack([e.sin() * a.sin(), -e.cos(), e.sin() * a.cos()], -1)
    forward = torch.stack([-e.cos() * a.sin(), -e.sin(), -e.cos() * a.cos()], -1)
    viewmats = torch.eye(4).repeat(len(a), 1, 1)
    viewmats[:, :3, :3] = torch.stack([right, down, forward], 1)
    viewmats[:, 2, 3] = distance
    focal = 0.5 * height / torch.tan(torch.deg2rad(fov) / 2)
    Ks = torch.zeros(len(a), 3, 3)
    Ks[:, 0, 0] = Ks[:, 1, 1] = focal
    Ks[:, 0, 2], Ks[:, 1, 2], Ks[:, 2, 2] = width / 2, height / 2, 1.0
    return Cameras(viewmats, Ks, azimuth, elevation, width, height)


def turntable(
    count: int,
    size: int,
    elevation: float = 15.0,
    distance: float = 2.0,
    fov: float = 40.0,
) -> Cameras:
    """`count` square views, evenly spaced over 360 degrees, the first from the front."""
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    azimuth = torch.arange(count) * (360.0 / count)
    return orbit(azimuth, torch.full_like(azimuth, elevation), distance, fov, size, size)


def sphere(count: int, size: int, distance: float = 2.0, fov: float = 40.0) -> Cameras:
    """`count` square views spread evenly over the sphere (a Fibonacci lattice), `size` pixels a
    side."""
    k = torch.arange(count, dtype=torch.float64) + 0.5
    elevation = torch.rad2deg(torch.asin(1 - 2 * k / count))
    return orbit(k * 137.508 % 360, elevation, distance, fov, size, size)


def wrap_degrees(angle: float) -> float:
    """The same angle in [-180, 180)."""
    return math.fmod(math.fmod(angle + 180.0, 360.0) + 360.0, 360.0) - 180.0
