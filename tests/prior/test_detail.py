"""The detail of the 3D prior: finer cells, against interpolation, and where they are."""

import numpy as np
import pytest
import torch
import trimesh

from score3d.prior.detail import VolumeDetail
from score3d.prior.volumes import ShapePrior, mesh_of
from score3d.world.shapes import Shape
from score3d.world.volumes import CELL, SIDE, volume_of

from .test_prior import ball, folder  # noqa: F401


def moved(net: VolumeDetail) -> VolumeDetail:
    """With weights where it begins at zero."""
    torch.manual_seed(1)
    for p in net.parameters():
        if not p.any():
            torch.nn.init.normal_(p, std=0.05)
    return net.eval().requires_grad_(False)


def test_it_begins_as_interpolation():
    volumes = torch.rand(2, 4, 8, 12, 4)
    made = VolumeDetail(3)(volumes, torch.tensor([0, 3]))
    assert made.shape == (2, 4, 16, 24, 8)
    plain = torch.nn.functional.interpolate(volumes, scale_factor=2, mode="trilinear")
    assert torch.equal(made, plain)


def test_cells_stay_where_they_are():
    """The finer cells of one cell lie in it: a bias of `leave` per finer cell, +x the last."""
    net = VolumeDetail(1, (8, 8, 8))
    with torch.no_grad():
        net.leave.bias[:8] = torch.arange(8.0)
    made = net(torch.zeros(1, 4, 4, 4, 4), torch.tensor([1]))[0]
    x, y, z = np.indices((8, 8, 8)) % 2
    assert np.array_equal(made[0].detach().numpy(), 4 * x + 2 * y + z)
    assert not made[1:].any()


def test_what_is_drawn_elsewhere_is_the_same_there():
    """Moved by a multiple of four cells, the coarsest scale's, and far from the border."""
    net = moved(VolumeDetail(2, (8, 8, 8)))
    volumes = torch.zeros(1, 4, 64, 28, 28)
    volumes[0, :, 26:34, 12:16, 12:16] = torch.rand(4, 8, 4, 4)
    noun = torch.tensor([2])
    made, other = net(volumes, noun), net(volumes.roll(4, 2), noun)
    inside = slice(44, 84)
    assert torch.allclose(made.roll(8, 2)[:, :, inside], other[:, :, inside], atol=1e-5)
    assert not torch.allclose(made, net(volumes, torch.tensor([1])), atol=1e-3)  # it reads the noun


def test_a_prior_with_detail_has_finer_cells_around_what_it_made(folder):  # noqa: F811
    prior = ShapePrior(folder)
    volume = ball(0.3)
    assert prior.detailed(volume, "chair") is volume  # none in this folder
    prior.detail = VolumeDetail(2)
    fine = prior.detailed(volume, "chair")
    assert fine.shape == (4, 2 * SIDE, 2 * SIDE, 2 * SIDE)
    whole = torch.nn.functional.interpolate(
        torch.from_numpy(volume)[None], scale_factor=2, mode="trilinear"
    )[0].numpy()
    where = whole[0] > 0.1
    assert np.allclose(fine[:, where], whole[:, where], atol=1e-6)
    radii = np.linalg.norm(mesh_of(fine).vertices, axis=1)
    assert np.abs(radii - 0.3).max() < 0.1 * CELL
    assert prior.detailed(np.zeros_like(volume), "chair").shape == volume.shape


def test_a_shape_that_touches_the_border_is_whole(folder):  # noqa: F811
    """Its parts are multiples of four cells, wherever it begins and ends."""
    prior = ShapePrior(folder)
    prior.detail = VolumeDetail(2)
    for low, high in ((0, 3), (1, 36), (31, 36), (13, 14)):
        volume = np.zeros((4, SIDE, SIDE, SIDE), np.float32)
        volume[:, low:high, 5:9, 30:] = 1
        fine = prior.detailed(volume, "mushroom")
        assert (fine[0, 2 * low : 2 * high, 10:18, 60:] > 0.4).all()


@pytest.mark.parametrize("extents", [(0.5, 0.3, 0.4), (0.6, 0.02, 0.025)])
def test_finer_cells_are_nearer_to_the_truth(extents):
    """A box, and a rod two thirds of a cell wide: points of the surfaces, from the true one."""
    box = trimesh.creation.box(extents)
    grays = np.full((len(box.faces), 3), 0.5, np.float32)
    shape = Shape(box.vertices, box.faces, grays)
    far = []
    for side in (SIDE, 2 * SIDE):
        volume = volume_of(shape, side)
        assert volume.shape == (4, side, side, side)
        past = np.abs(mesh_of(volume).vertices) - np.array(extents) / 2
        outside = np.linalg.norm(past.clip(0), axis=1)
        far.append(np.mean(outside + np.abs(past.max(1).clip(max=0))))
    assert far[1] < 0.7 * far[0]
    assert far[1] < 0.35 * CELL
