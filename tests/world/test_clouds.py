import numpy as np
import pytest

from score3d.evaluate.geometry import chamfer
from score3d.world.clouds import instance_clouds, sample_surface, visible_faces
from score3d.world.primitives import box
from score3d.world.shapes import BOUNDING_RADIUS, Shape, build


def test_samples_are_uniform_by_area():
    """A box of 1 x 2 x 4: a pair of faces gets its share of the points (3 standard errors)."""
    v, f = box(1, 2, 4)
    points = sample_surface(v, f, 20000, np.random.default_rng(0))
    for axis, half, area in ((0, 0.5, 8), (1, 1, 4), (2, 2, 2)):
        share = (np.abs(np.abs(points[:, axis]) - half) < 1e-9).mean()
        assert share == pytest.approx(area / 14, abs=0.011)
    with pytest.raises(ValueError, match="without area"):
        sample_surface(np.zeros((3, 3)), np.array([[0, 1, 2]]), 10, np.random.default_rng(0))


def test_hidden_faces_are_left_out():
    outer, inner = box(1, 1, 1), box(0.3, 0.3, 0.3)
    v = np.concatenate([outer[0], inner[0]]) * 0.6
    f = np.concatenate([outer[1], inner[1] + 8])
    seen = visible_faces(Shape(v, f, np.ones((24, 3))))
    assert seen[:12].all()
    assert not seen[12:].any()


def test_clouds_have_the_promised_shape_and_repeat():
    a = instance_clouds("chair", 64, 256, seed=1)
    assert a.shape == (64, 256, 3)
    assert a.dtype == np.float32
    assert np.linalg.norm(a, axis=2).max() <= BOUNDING_RADIUS + 1e-6
    assert np.array_equal(a[:4], instance_clouds("chair", 64, 256, seed=1)[:4])
    assert not np.array_equal(a[0], a[1])
    with pytest.raises(KeyError):
        instance_clouds("velociraptor", 1)


def test_the_nearest_instance_tells_nouns_apart():
    """A chair not among the instances is nearer to the nearest chair than to any mug or car."""
    known = {noun: instance_clouds(noun, 24, 512) for noun in ("chair", "mug", "car")}
    for seed in range(100, 104):
        shape = build("chair", "red", np.random.default_rng(seed))
        faces = shape.faces[visible_faces(shape)]
        cloud = sample_surface(shape.vertices, faces, 512, np.random.default_rng(0))
        best = {noun: min(chamfer(cloud, c) for c in clouds) for noun, clouds in known.items()}
        assert min(best, key=best.get) == "chair"
