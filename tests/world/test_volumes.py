"""Shapes as volumes against shapes whose inside is known."""

import numpy as np
import pytest
import trimesh

from score3d.world.shapes import Shape, build
from score3d.world.volumes import BOUND, CELL, SIDE, SURFACE, volume_of

MIDDLES = (np.arange(SIDE) + 0.5) * CELL - BOUND
GRID = np.stack(np.meshgrid(MIDDLES, MIDDLES, MIDDLES, indexing="ij"), -1)


def shape_of(mesh, colour=(0.8, 0.2, 0.1)) -> Shape:
    faces = np.asarray(mesh.faces, np.int64)
    return Shape(np.asarray(mesh.vertices, float), faces, np.tile(colour, (len(faces), 1)))


def test_a_ball_is_full_to_its_surface_and_no_further():
    volume = volume_of(shape_of(trimesh.creation.icosphere(4, 0.4)))
    far = np.linalg.norm(GRID, axis=-1) - 0.4
    assert (volume[0][far < -1.5 * CELL] > 0.9).all()
    assert (volume[0][far > 3 * CELL] == 0).all()
    # 26 views leave a little between the cones that they cut: the surface is up to a cell outside
    full = (volume[0] > SURFACE).sum() * CELL**3
    assert full == pytest.approx(4 / 3 * np.pi * 0.4**3, rel=0.15)


def test_colours_are_the_surface_and_stay_there():
    volume = volume_of(shape_of(trimesh.creation.icosphere(4, 0.4), (0.9, 0.3, 0.1)))
    far = np.abs(np.linalg.norm(GRID, axis=-1) - 0.4)
    rgb = volume[1:][:, far < 0.5 * CELL] + 0.5
    # lit: every channel by the same factor, brightest above
    assert np.allclose(rgb[1] / rgb[0], 0.3 / 0.9, atol=0.02)
    assert (volume[1:][:, far > 3 * CELL] == 0).all()
    top, bottom = volume[1, SIDE // 2, ::-1, SIDE // 2], volume[1, SIDE // 2, :, SIDE // 2]
    assert top[np.nonzero(top)[0][0]] > bottom[np.nonzero(bottom)[0][0]]


def test_a_cup_is_hollow_and_stands_upright():
    volume = volume_of(build("mug", "red", np.random.default_rng(5)))
    middle = volume[0, SIDE // 2, :, SIDE // 2]
    full = np.nonzero(middle > SURFACE)[0]
    assert full.max() < SIDE // 2  # the bottom, and nothing above it
    assert (volume[0].max((0, 2)) > SURFACE).sum() > SIDE // 2  # the walls go up


@pytest.mark.parametrize("extents", [(0.7, 0.7, 0.002), (0.9, 0.008, 0.008)])
def test_what_is_thinner_than_a_cell_stays(extents):
    """A sheet and a rod, of one connected piece, and hardly thicker than two cells."""
    from scipy.ndimage import label

    volume = volume_of(shape_of(trimesh.creation.box(extents)))
    full = volume[0] > SURFACE
    assert label(full, np.ones((3, 3, 3)))[1] == 1
    reach = [np.ptp(GRID[full][:, k]) + CELL for k in range(3)]
    for found, true in zip(reach, extents, strict=True):
        assert true - 1.1 * CELL < found < true + 3 * CELL


def test_faces_inside_are_not_seen():
    outer, inner = trimesh.creation.box((0.6,) * 3), trimesh.creation.box((0.2,) * 3)
    both = trimesh.util.concatenate([outer, inner])
    assert np.array_equal(volume_of(shape_of(both))[0], volume_of(shape_of(outer))[0])
