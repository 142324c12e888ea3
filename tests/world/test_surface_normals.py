"""Normals of rendered shapes, in the camera's axes."""

import numpy as np
import torch

from score3d.cameras import orbit
from score3d.world.raster import surface_normals
from score3d.world.shapes import build


def test_a_sphere_has_the_normals_of_a_sphere():
    """Its mesh has smooth normals; within 3 degrees of the analytic ones away from the rim."""
    sphere = build("sphere", "red", np.random.default_rng(0), 0.5)
    camera = orbit(torch.tensor([30.0]), torch.tensor([20.0]), 2.0, 40.0, 64, 64)
    found = surface_normals(sphere, camera)[0]
    y, x = np.mgrid[:64, :64] + 0.5
    focal = float(camera.Ks[0, 0, 0])
    ray = np.stack([(x - 32) / focal, (y - 32) / focal, np.ones((64, 64))], -1)
    a, b = (ray**2).sum(-1), 2.0 * ray[..., 2]
    under = b**2 - a * (4 - 0.25)
    exact = (ray * ((b - np.sqrt(np.maximum(under, 0))) / a)[..., None] - (0, 0, 2)) / 0.5
    fine = (under > 0) & (exact[..., 2] < -0.4)
    cosine = (found * exact).sum(-1)[fine]
    assert fine.sum() > 500
    assert np.degrees(np.arccos(cosine.clip(-1, 1))).mean() < 3


def test_a_cubes_faces_point_at_the_camera():
    """Three faces are seen from a corner: every normal is one of three directions that are
    perpendicular to each other, and all have z < 0."""
    cube = build("cube", "red", np.random.default_rng(1), 0.5)
    camera = orbit(torch.tensor([40.0]), torch.tensor([30.0]), 2.0, 40.0, 96, 96)
    found = surface_normals(cube, camera, supersample=1)[0].reshape(-1, 3)
    found = found[np.abs(found).sum(1) > 0]
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert (found[:, 2] < 0).all()
    towards = camera.viewmats[0, :3, :3].numpy() @ np.eye(3)
    share = np.abs(found @ towards).max(1) > 0.99
    assert share.mean() > 0.9
