"""Groups of Gaussians that touch, and specks beside them."""

import numpy as np

from score3d.files.floaters import attached
from tests.edit.conftest import joined, make_ball


def test_specks_go_and_what_touches_stays():
    """A ball, a second one beside it (two objects are no specks), three specks far away, and one
    that touches the first."""
    ball, other = make_ball(300), make_ball(200, (1.2, 0, 0), 0.3, seed=1)
    specks = make_ball(4, seed=2)
    specks.means[:] = [(0, 2, 0), (0, -2, 0), (2, 2, 0), (0.0, 0.42, 0)]
    scene = joined(ball, other, specks)
    kept = attached(scene, 0.004)  # a speck is one Gaussian of 504
    assert kept[:500].all()
    assert kept[500:].tolist() == [False, False, False, True]


def test_what_is_left_when_nothing_or_everything_is_a_speck():
    far = make_ball(3)
    far.means[:] = [(0, 0, 0), (9, 0, 0), (0, 9, 0)]
    far.log_scales[1] += 1
    assert attached(far, 0.0).all()
    assert attached(far, 1.0).tolist() == [False, True, False]
    assert attached(far.select(np.array([0])), 0.5).tolist() == [True]
    assert attached(far.select(np.zeros(3, bool)), 0.5).tolist() == []
