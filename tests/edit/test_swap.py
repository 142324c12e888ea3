"""Turning a scene into another thing."""

import numpy as np

from score3d.config import edit_preset, load_config
from score3d.edit.session import suited
from score3d.edit.swap import imagined_with
from score3d.files.splats import Splats


def scene_of(count: int, bands: int) -> Splats:
    rng = np.random.default_rng(0)
    quats = np.tile([1.0, 0, 0, 0], (count, 1))
    return Splats(
        rng.normal(0, 0.2, (count, 3)), quats, np.full((count, 3), -4.0), np.zeros(count),
        rng.normal(size=(count, bands, 3)),
    )  # fmt: skip


def test_the_number_and_the_degree_of_the_scene_stay():
    config = load_config(
        edit_preset("scene-swap"), "sds", [], {"run": {"prompt": "a green car", "seed": 3}}
    )
    for count, bands in ((700, 1), (9, 4)):
        start = scene_of(count, bands)
        found = imagined_with(config, start)
        assert len(found) == count
        assert found.sh.shape == start.sh.shape
        assert (found.sh[:, 1:] == 0).all()
        assert np.linalg.norm(found.means, axis=1).max() < 0.65
        assert np.array_equal(found.means, imagined_with(config, start).means)


def test_what_the_prior_does_not_know_begins_with_what_is_there():
    known = suited("scene", "turn it into a cat", "a red car", None, "cpu")
    pair = suited("scene", "a red cube on top of a blue cylinder", "a red car", None, "cpu")
    assert load_config(known.file, known.method).scene.start == "prior"
    assert pair.method == "sds"
    assert load_config(pair.file, pair.method).scene.start == ""
