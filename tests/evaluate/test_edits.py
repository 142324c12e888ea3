"""When an edit counts as fulfilled, by a judge that says what the test wants."""

import numpy as np
import pytest
import torch

from score3d.cameras import orbit
from score3d.evaluate.edits import fulfilment, named_colours, recoloured
from score3d.evaluate.judge import Verdict
from score3d.evaluate.motion import feature_distance, geometry_flow, warp_error
from score3d.evaluate.two_tower import TwoTower
from score3d.scenes.photograph import photograph
from score3d.world.palette import COLOURS, sample_colour
from score3d.world.raster import render_shape
from score3d.world.shapes import build
from tests.edit.conftest import make_ball

VIEWS = np.zeros((8, 4, 4, 3), np.float32)


class Says:
    """The verdicts on the pictures before, then on those after."""

    def __init__(self, *answers):
        self.answers = iter(answers)

    def __call__(self, rgb):
        nouns, colours = next(self.answers)
        nothing = torch.zeros(len(nouns), 1)
        return Verdict(nouns, colours, ["matte"] * len(nouns), [0.0] * 8, nothing, nothing)


BEFORE = (["car"] * 8, ["red"] * 8)


@pytest.mark.parametrize(
    ("cars", "blues", "fulfilled"),
    [(8, 8, True), (6, 6, True), (5, 8, False), (8, 5, False), (0, 8, False), (8, 0, False)],
)
def test_both_the_noun_and_the_colour_must_be_seen_in_three_quarters(cars, blues, fulfilled):
    after = (["car"] * cars + ["duck"] * (8 - cars), ["blue"] * blues + ["red"] * (8 - blues))
    found = fulfilment(VIEWS, VIEWS, "car", {"colour": "blue"}, Says(BEFORE, after))
    assert found["fulfilled"] is fulfilled
    assert found["shares"]["noun"] == {"before": 1.0, "after": cars / 8}
    assert found["shares"]["colour"] == {"before": 0.0, "after": blues / 8}


def test_blue_spots_on_ochre_are_not_a_blue_thing():
    """Red over eight pictures, of which a share becomes blue, in light and shade; gray stays."""
    before = np.full((8, 10, 10, 3), 0.8, np.float32)
    before[:, 2:8, 2:8] = (0.8, 0.1, 0.1)
    before[:, 5:8, 2:8] *= 0.6
    after = before.copy()
    after[:, 2:8, 2:8] = (0.7, 0.45, 0.1)
    after[:, 2:8, 2:4] = (0.1, 0.3, 0.85)
    assert recoloured(before, after, "red", "blue") == pytest.approx(1 / 3)
    assert recoloured(before, after, "green", "blue") is None
    said = (["car"] * 8, ["blue"] * 8)
    for pictures, fulfilled in ((after, False), (before[..., [1, 1, 0]], True)):
        found = fulfilment(before, pictures, "car", {"colour": "blue"}, Says(BEFORE, said), "red")
        assert found["fulfilled"] is fulfilled


def test_every_colour_has_its_own_name():
    rng, names = np.random.default_rng(0), list(COLOURS)
    for name in names:
        drawn = np.array([sample_colour(name, rng) for _ in range(50)], np.float32)
        right = np.mean(named_colours(drawn[None])[0] == name)
        assert right >= 0.9, name


def test_a_swap_asks_for_the_new_noun():
    after = (["duck"] * 8, ["red"] * 8)
    found = fulfilment(VIEWS, VIEWS, "duck", {"noun": "duck"}, Says(BEFORE, after))
    assert found["fulfilled"]
    assert found["shares"]["noun"] == {"before": 0.0, "after": 1.0}


def test_nothing_asked_is_nothing_fulfilled():
    assert not fulfilment(VIEWS, VIEWS, "car", {}, Says(BEFORE, BEFORE))["fulfilled"]


def test_the_motion_of_a_turning_ball_is_known():
    """Dense balls on a sphere of radius 0.4: a pixel's flow to a camera turned by 8 degrees against
    that of the point of the sphere it shows, worked out ray by ray. Half a pixel of 96: depths
    are wrong by the balls' size, which the turn shows as about 0.15 of that."""
    ball = make_ball(6000, seed=2)
    ball.log_scales[:] = np.log(0.012)
    ball.logit_opacities[:] = 6.0
    ball.sh[:, 0] = np.sin(20 * ball.means)
    first, second = (
        orbit(torch.tensor([a]), torch.tensor([0.0]), 2.0, 40.0, 96, 96) for a in (0.0, 8.0)
    )
    flow, visible = geometry_flow(ball, first, second)
    y, x = np.mgrid[:96, :96] + 0.5
    k = first.Ks[0].numpy()
    ray = np.stack([(x - k[0, 2]) / k[0, 0], (y - k[1, 2]) / k[1, 1], np.ones_like(x)], -1)
    a, b, c = (ray**2).sum(-1), -4 * ray[..., 2], 4 - 0.4**2
    root = b**2 - 4 * a * c
    depth = (-b - np.sqrt(np.maximum(root, 0))) / (2 * a)
    there = [v.viewmats[0].double().numpy() for v in (first, second)]
    world = (ray * depth[..., None] - there[0][:3, 3]) @ there[0][:3, :3]
    seen = world @ there[1][:3, :3].T + there[1][:3, 3]
    expected = np.stack([k[i, i] * seen[..., i] / seen[..., 2] + k[i, 2] for i in (0, 1)], -1)
    inside = visible & (root > 0) & (np.hypot(x - 48, y - 48) < 20)
    assert inside.sum() > 800
    gap = np.linalg.norm(flow + np.stack([x, y], -1) - expected, axis=-1)[inside]
    assert np.median(gap) < 0.5
    pictures = photograph(ball, first, 0.8)[0], photograph(ball, second, 0.8)[0]
    assert warp_error(*pictures, flow, visible) < 0.5 * warp_error(*pictures, 0 * flow, visible)
    assert not visible[0].any()


def test_a_light_gray_background_is_not_the_white_thing():
    before = np.full((1, 8, 8, 3), 0.8, np.float32)
    before[:, 2:6, 2:6] = 0.97
    after = before.copy()
    after[:, 2:6, 2:6] = (0.05, 0.1, 0.8)
    assert named_colours(before)[0, 0, 0] == "white"
    assert recoloured(before, after, "white", "blue", background=0.8) == 1.0
    assert recoloured(before, after, "white", "blue") == 0.25


def test_feature_distance_grows_with_what_a_frame_shows():
    """Zero of a frame with itself; a small turn is nearer than another colour."""
    shape = build("mug", "red", np.random.default_rng(3))
    cameras = orbit(torch.tensor([30.0, 36.0]), torch.tensor([15.0, 15.0]), 2.0, 40.0, 64, 64)
    light = (0.54, 0.27, 0.22, np.array([0.3, 0.8, 0.52]))
    first, turned = render_shape(shape, cameras, np.full((2, 3), 0.8), light)[0]
    model = TwoTower()
    assert abs(feature_distance(first, first, model)) < 1e-5  # float32 of a sum of 128 squares
    other = feature_distance(first, first[..., ::-1], model)
    assert feature_distance(first, turned, model) < 0.5 * other
