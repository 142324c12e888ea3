"""Scenes to edit."""

import functools

import numpy as np
import pytest

from score3d.files.splats import Splats


def make_ball(count=300, centre=(0, 0, 0), radius=0.4, rgb=(0.8, 0.1, 0.1), seed=0, degree=0):
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    sh = np.zeros((count, (degree + 1) ** 2, 3))
    sh[:, 0] = (np.array(rgb) - 0.5) / 0.28209479177387814
    sh[:, 1:] = 0.02 * rng.normal(size=sh[:, 1:].shape)
    return Splats(
        np.array(centre) + radius * direction,
        rng.normal(size=(count, 4)),
        np.full((count, 3), np.log(0.12 * radius)) + 0.1 * rng.normal(size=(count, 3)),
        np.full(count, 2.0),
        sh,
    )


def joined(*parts):
    names = ("means", "quats", "log_scales", "logit_opacities", "sh")
    return Splats(*(np.concatenate([getattr(p, n) for p in parts]) for n in names))


@pytest.fixture
def ball():
    return make_ball()


@pytest.fixture
def pair():
    """A red ball and a blue one beside it, and the labels 0 and 1."""
    first = make_ball(300, (-0.3, 0, 0), 0.22)
    second = make_ball(200, (0.3, 0, 0), 0.2, (0.1, 0.1, 0.8), 1)
    return joined(first, second), np.repeat([0, 1], [300, 200])


@pytest.fixture(autouse=True)
def one_teacher(monkeypatch):
    """The embedded teacher is loaded once for all tests."""
    from score3d import build

    monkeypatch.setitem(build.TEACHERS, "embedded", lambda device: _embedded())


@functools.cache
def _embedded():
    from score3d.teachers.embedded import EmbeddedTeacher

    return EmbeddedTeacher()
