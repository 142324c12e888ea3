"""Labels from masks: the sum itself, the vote, and two objects."""

import numpy as np
import pytest
import torch

from score3d.cameras import sphere, turntable
from score3d.edit.lifting import coverage, label_weights, lift, vote
from score3d.render import rasterization


def masks_of(splats, labels, cameras):
    """Labels 0..E-1 (0: none or background) from what each object makes up of a pixel."""
    parts = [coverage(splats, labels == e, cameras) for e in range(1, labels.max() + 1)]
    rest = 1 - sum(parts)
    return np.argmax(np.stack([rest, *parts]), 0)


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_the_gradient_is_the_sum_of_alpha_and_transmittance(pair):
    """Against alpha_i(p) T_i(p) written out in float64: one Gaussian's colour 1, all others' 0, by
    the reference renderer. 1e-3 of a pixel: float32 over a 24 x 24 picture."""
    splats, _ = pair
    splats = splats.select(np.arange(290, 312))
    cameras = turntable(2, 24)
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 5, (2, 24, 24))
    found = label_weights(splats, cameras, masks).numpy()
    tensors = [
        torch.from_numpy(a.astype(np.float64))
        for a in (splats.means, splats.quats, splats.log_scales, splats.logit_opacities)
    ]
    expected = np.zeros((5, len(splats)))
    for i in range(len(splats)):
        colours = torch.zeros(len(splats), 3, dtype=torch.float64)
        colours[i] = 1.0
        weight = rasterization(
            tensors[0], tensors[1], tensors[2].exp(), tensors[3].sigmoid(), colours,
            cameras.viewmats.double(), cameras.Ks.double(), 24, 24,
        )[0][..., 0].numpy()  # fmt: skip
        for e in range(5):
            expected[e, i] = weight[masks == e].sum()
    assert np.abs(found - expected).max() < 1e-3
    assert found.sum() > 50


def test_two_objects_are_told_apart(pair):
    splats, labels = pair
    cameras = sphere(10, 64)
    masks = (masks_of(splats, labels + 1, cameras) == 2).astype(int)
    lifted = lift(splats, cameras, masks)
    assert iou(lifted.labels[lifted.seen] == 1, labels[lifted.seen] == 1) >= 0.95


def test_flipped_pixels_do_little_harm(pair):
    splats, labels = pair
    cameras = sphere(10, 64)
    masks = (masks_of(splats, labels + 1, cameras) == 2).astype(int)
    flipped = np.random.default_rng(0).random(masks.shape) < 0.1
    lifted = lift(splats, cameras, np.where(flipped, 1 - masks, masks))
    assert iou(lifted.labels[lifted.seen] == 1, labels[lifted.seen] == 1) >= 0.9


def test_the_bias_takes_and_gives():
    weights = torch.tensor([[0.6, 0.4, 0.0], [0.4, 0.6, 0.0]])
    assert vote(weights, 0.0).labels.tolist() == [0, 1, 0]
    assert vote(weights, 0.3).labels.tolist() == [0, 0, 0]
    assert vote(weights, -0.3).labels.tolist() == [1, 1, 0]
    assert vote(weights).seen.tolist() == [True, True, False]


def test_what_no_view_shows_is_said_to_be_unseen(pair):
    splats, _ = pair
    camera = turntable(1, 32)
    behind = splats.means[:, 2] > 5
    assert not behind.any()
    far = splats.means.copy()
    far[:10] = (0, 0, 50)  # behind the camera
    from score3d.files.splats import Splats

    moved = Splats(far, splats.quats, splats.log_scales, splats.logit_opacities, splats.sh)
    lifted = lift(moved, camera, np.ones((1, 32, 32), int))
    assert not lifted.seen[:10].any()
    assert (lifted.labels[:10] == 0).all()


def test_masks_of_another_size_are_refused(pair):
    with pytest.raises(ValueError, match="masks of shape"):
        lift(pair[0], turntable(2, 24), np.zeros((2, 8, 8), int))
