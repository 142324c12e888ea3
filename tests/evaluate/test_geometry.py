"""Generated geometry against the world's: known shapes must come out near themselves."""

import numpy as np
import pytest

from score3d.evaluate.geometry import (
    chamfer,
    compare_geometry,
    holes,
    nearest_instance,
    normalised,
    one_sided,
    visible_points,
)
from score3d.files.splats import SH_C0, Splats
from score3d.world.clouds import instance_clouds, sample_surface
from score3d.world.shapes import build


def splats_at(points, size=0.012):
    n = len(points)
    quats = np.tile([1.0, 0, 0, 0], (n, 1))
    sh = np.full((n, 1, 3), 0.3 / SH_C0)
    return Splats(points, quats, np.full((n, 3), np.log(size)), np.full(n, 4.0), sh)


def covered(noun, seed, points=6000):
    """A noun's surface covered with small splats, inside and out."""
    shape = build(noun, "red", np.random.default_rng(seed))
    return sample_surface(shape.vertices, shape.faces, points, np.random.default_rng(1))


def test_chamfer_of_shifted_points():
    """A shift shorter than half the points' spacing is every point's distance, both ways."""
    grid = np.stack(np.meshgrid(*[np.arange(4.0)] * 3), -1).reshape(-1, 3)
    assert chamfer(grid, grid + np.array([0.25, 0, 0])) == pytest.approx(0.5)
    assert chamfer(grid, grid) == 0.0


def test_normalised_forgets_place_and_size():
    points = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    moved = points * 3 + np.float32([1, 2, 3])
    assert np.allclose(normalised(points), normalised(moved), atol=1e-5)


def test_visible_points_lie_on_the_outer_surface():
    """A sphere of splats around a smaller one: only the outer is seen (within a splat)."""
    rng = np.random.default_rng(0)
    direction = rng.normal(size=(8000, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    radii = np.where(np.arange(8000) < 6000, 0.5, 0.2)
    seen = np.linalg.norm(visible_points(splats_at(direction * radii[:, None], 0.02)), axis=1)
    assert np.quantile(seen, 0.02) > 0.44
    assert np.quantile(seen, 0.98) < 0.56
    with pytest.raises(ValueError, match="opaque"):
        visible_points(splats_at(np.zeros((0, 3))))


def test_a_noun_is_nearer_to_itself_wherever_it_stands():
    points = covered("chair", 900)
    chair = compare_geometry(splats_at(points), "chair")
    moved = compare_geometry(splats_at(points * 0.6 + [0.1, 0.05, -0.1]), "chair")
    mug = compare_geometry(splats_at(points), "mug")
    assert chair.iou > 0.7
    assert chair.chamfer < 0.12
    assert moved.chamfer == pytest.approx(chair.chamfer, abs=0.03)
    assert moved.iou == pytest.approx(chair.iou, abs=0.08)
    assert mug.iou < chair.iou - 0.15
    assert mug.chamfer > chair.chamfer + 0.05


def test_instances_do_not_depend_on_how_many_there_are():
    assert np.array_equal(instance_clouds("mug", 2, 64), instance_clouds("mug", 4, 64)[:2])


def test_holes_are_what_a_filled_silhouette_lacks():
    ring = np.zeros((2, 20, 20), bool)
    ring[0, 2:18, 2:18] = True
    ring[0, 6:14, 6:14] = False
    assert holes(ring) == pytest.approx(64 / 256)  # the empty picture does not count
    assert holes(np.zeros((1, 4, 4), bool)) == 0.0


HALF_TURN = np.float32([-1, 1, -1])


def box(low, high, points, seed):
    """Points of a box's surface."""
    at = np.random.default_rng(seed).uniform(low, high, (points, 3))
    axis = np.arange(points) % 3
    side = np.random.default_rng(seed + 1).random(points) < 0.5
    at[np.arange(points), axis] = np.where(side, np.take(low, axis), np.take(high, axis))
    return at.astype(np.float32)


def test_a_part_of_one_side_must_be_there_and_not_on_the_other():
    seat = box((-0.4, -0.1, -0.4), (0.4, 0.1, 0.4), 1500, 0)
    back = box((-0.4, 0.1, -0.4), (0.4, 0.9, -0.3), 500, 2)
    chair = np.concatenate([seat, back])
    again = np.concatenate([seat, box((-0.4, 0.1, -0.4), (0.4, 0.8, -0.25), 500, 4)])
    assert one_sided(again, chair) is True
    assert one_sided(again * HALF_TURN, chair) is False
    assert one_sided(np.concatenate([chair, back * HALF_TURN]), chair) is False
    assert one_sided(seat, chair) is False
    assert one_sided(seat, seat) is None


@pytest.mark.parametrize("noun", ["mug", "teapot", "chair", "car"])
def test_true_objects_have_their_parts_on_one_side(noun):
    """Of these four, three held-out instances each; turned, none."""
    for cloud in instance_clouds(noun, 3, 2048, seed=11):
        distance, parts = nearest_instance(normalised(cloud), noun)
        assert parts is True
        assert distance < 0.15
        assert nearest_instance(normalised(cloud * HALF_TURN), noun)[1] in (False, None)


def test_parts_of_one_side_of_a_scene():
    assert compare_geometry(splats_at(covered("chair", 900)), "chair").one_sided is True
    turned = covered("chair", 900) * HALF_TURN
    assert compare_geometry(splats_at(turned), "chair").one_sided is False
    assert compare_geometry(splats_at(covered("apple", 900)), "apple").one_sided is None
