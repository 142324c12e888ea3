import math

import pytest
import torch

from score3d.cameras import orbit, turntable, wrap_degrees


def project(cameras, point):
    """Pixel of a world point in camera 0, by hand."""
    local = cameras.viewmats[0] @ torch.tensor([*point, 1.0])
    pixel = cameras.Ks[0] @ local[:3]
    return pixel[:2] / pixel[2], local[2]


@pytest.mark.parametrize(
    ("azimuth", "elevation", "position"),
    [(0, 0, (0, 0, 2)), (90, 0, (2, 0, 0)), (180, 0, (0, 0, -2)), (0, 90, (0, 2, 0))],
)
def test_positions(azimuth, elevation, position):
    c = orbit(torch.tensor([float(azimuth)]), torch.tensor([float(elevation)]), 2.0, 40.0, 64, 64)
    eye = -c.viewmats[0, :3, :3].T @ c.viewmats[0, :3, 3]
    assert torch.allclose(eye, torch.tensor(position, dtype=torch.float32), atol=1e-6)


def test_axes_on_screen():
    c = orbit(torch.zeros(1), torch.zeros(1), 2.0, 40.0, 64, 48)
    right, _ = project(c, (0.3, 0, 0))
    top, _ = project(c, (0, 0.3, 0))
    assert right[0] > 32
    assert right[1] == pytest.approx(24)
    assert top[1] < 24
    assert top[0] == pytest.approx(32)


def test_rotations_are_proper():
    c = orbit(torch.linspace(-180, 180, 9), torch.linspace(-90, 90, 9), 2.0, 40.0, 64, 64)
    r = c.viewmats[:, :3, :3]
    assert torch.allclose(r @ r.mT, torch.eye(3).expand(9, 3, 3), atol=1e-6)
    assert torch.allclose(torch.linalg.det(r), torch.ones(9), atol=1e-6)


def test_field_of_view():
    c = orbit(torch.zeros(1), torch.zeros(1), 2.0, 40.0, 64, 64)
    edge, _ = project(c, (0, 2 * math.tan(math.radians(20)), 0))
    assert edge[1] == pytest.approx(0, abs=1e-4)


def test_turntable_turns():
    c = turntable(8, 32)
    assert c.azimuth.tolist() == [45.0 * k for k in range(8)]
    assert len(c[1:3]) == 2
    assert c[1:2].azimuth.item() == 45
    with pytest.raises(ValueError, match="at least 1"):
        turntable(0, 32)


@pytest.mark.parametrize(
    ("angle", "wrapped"), [(0, 0), (180, -180), (270, -90), (-190, 170), (725, 5)]
)
def test_wrap(angle, wrapped):
    assert wrap_degrees(angle) == pytest.approx(wrapped)
