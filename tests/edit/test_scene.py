"""`edit scene` end to end with the embedded teacher, few steps."""

import hashlib
import json
from dataclasses import fields

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from PIL import Image

from score3d import build
from score3d.config import ConfigError, edit_preset, load_config
from score3d.edit.moved import Moved, NothingMoved
from score3d.edit.scene import edit_scene
from score3d.edit.session import planned
from score3d.files.ply import read_ply, write_ply
from score3d.files.splats import Splats
from score3d.follow import Phase
from score3d.runs.checkpoint import load_checkpoint
from score3d.runs.folder import RunFolder
from tests.edit.conftest import joined, make_ball

SETTINGS = ["run.steps=8", "output.turntable_views=2", "output.picture_size=32"]
CPU = torch.device("cpu")


def settings(path, *more, method="csd-edit", **edit):
    words = {"instruction": "make it blue", "source": "a red sphere", "input": str(path)}
    return load_config(
        edit_preset("scene"), method, [*SETTINGS, *more],
        {"edit": {"task": "scene", **words, **edit}},
    )  # fmt: skip


def run(path, out, *more, checkpoint=None, should_stop=lambda: "", **options):
    config = planned(settings(path, *more, **options))
    opened = RunFolder.open(out) if checkpoint else RunFolder.create(out)
    with opened as folder:
        return list(edit_scene(config, read_ply(path), folder, checkpoint, should_stop))


def rows_equal(a, b, rows):
    return all(
        np.array_equal(getattr(a, f.name)[rows], getattr(b, f.name)[rows]) for f in fields(Splats)
    )


def test_an_edit_writes_a_run_and_leaves_its_input_alone(tmp_path):
    source, out = tmp_path / "ball.ply", tmp_path / "run"
    write_ply(source, make_ball(centre=(50, 0, -9), radius=7.0, degree=2))
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    events = run(source, out)
    phases = [e.name for e in events if isinstance(e, Phase)]
    assert phases == ["load", "optimise", "export", "judge", "done"]
    assert hashlib.sha256(source.read_bytes()).hexdigest() == digest
    before, after = read_ply(source), read_ply(out / "scene.ply")
    assert after.sh_degree == 2
    assert len(after) == len(before)
    assert not np.array_equal(after.sh, before.sh)
    # in the file's coordinates: nothing went far in 8 steps of 0.0015 of a world 14 times smaller
    assert np.abs(after.means - before.means).max() < 1.0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["prompt"] == "a blue sphere"
    assert summary["edit"]["parent"] == {"path": str(source.resolve()), "sha256": digest}
    assert set(summary["edit"]["judge"]["shares"]) == {"noun", "colour"}
    assert summary["edit"]["judge"]["judged_by"] in ("first judge", "second judge")
    assert np.asarray(Image.open(out / "contact_sheet.png")).std() > 5
    # the turntable shows both, side by side
    turntable = next(out.glob("turntable.*"))
    assert next(iter(iio.imiter(turntable))).shape[:2] == (32, 64)
    # config.toml runs again, to the same bits
    config = load_config(str(out / "config.toml"))
    with RunFolder.create(tmp_path / "again") as folder:
        list(edit_scene(planned(config), read_ply(source), folder))
    assert (tmp_path / "again" / "scene.ply").read_bytes() == (out / "scene.ply").read_bytes()


@pytest.mark.parametrize("region", ["sphere:0.3,0,0,0.24", "box:0,-1,-1,1,1,1"])
def test_outside_a_region_every_bit_stays(tmp_path, pair, region):
    splats, labels = pair
    path = tmp_path / "pair.ply"
    write_ply(path, splats)
    run(path, tmp_path / "run", region=region)
    before, after = read_ply(path), read_ply(tmp_path / "run" / "scene.ply")
    assert rows_equal(before, after, labels == 0)
    assert not rows_equal(before, after, labels == 1)
    figures = json.loads((tmp_path / "run" / "summary.json").read_text())["edit"]
    assert figures["selected"] == (labels == 1).sum()
    assert figures["outside_psnr"] == "inf" or figures["outside_psnr"] > 35


def test_interrupted_and_resumed_equals_uninterrupted(tmp_path):
    path = tmp_path / "ball.ply"
    write_ply(path, make_ball(120))
    run(path, tmp_path / "whole")
    count = iter(range(100))
    run(path, tmp_path / "parts", should_stop=lambda: "interrupted" if next(count) == 4 else "")
    run(path, tmp_path / "parts", checkpoint=load_checkpoint(tmp_path / "parts" / "checkpoint"))
    for name in ("scene.ply", "metrics.jsonl"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


def test_edits_chain(tmp_path):
    path = tmp_path / "ball.ply"
    write_ply(path, make_ball(100))
    run(path, tmp_path / "first", "run.steps=6")
    config = planned(settings(tmp_path / "first", "run.steps=6", source="a blue sphere",
                              instruction="make it green"))  # fmt: skip
    with RunFolder.create(tmp_path / "second") as folder:
        list(edit_scene(config, read_ply(tmp_path / "first" / "scene.ply"), folder))
    parent = json.loads((tmp_path / "second" / "summary.json").read_text())["edit"]["parent"]
    assert parent["prompt"] == "a blue sphere"
    assert parent["parent"]["path"] == str(path.resolve())


@pytest.mark.parametrize(
    "method", ["contrast", "csd-contrast", "csd-edit", "dds", "pds", "sds", "dataset-update"]
)
def test_every_method_takes_a_step(tmp_path, method):
    path = tmp_path / "ball.ply"
    write_ply(path, make_ball(60))
    run(path, tmp_path / "run", "run.steps=1", method=method)
    assert (tmp_path / "run" / "scene.ply").exists()


def edited(splats, *more):
    return build.build_edited_scene(settings("x", *more), splats, CPU)


def stepped(scene):
    for p in scene.parameters().values():
        p.grad = torch.ones_like(p)
    scene.step(0)


def seen(scene):
    from score3d.cameras import turntable

    return lambda: scene.render(turntable(2, 24), torch.full((2, 3), 0.5)).rgb


def test_parameters_move_after_loading_and_after_pruning(ball):
    """The optimisers must hold the parameters that there are, not those that there were."""
    scene = edited(ball)
    stepped(scene)
    state = {k: v.clone() for k, v in scene.state_dict().items()}
    for change in (lambda: scene.load_state_dict(state), lambda: scene.prune(0.05)):
        change()
        before = {k: v.detach().clone() for k, v in scene.parameters().items()}
        stepped(scene)
        assert all(not torch.equal(before[k], v) for k, v in scene.parameters().items())


def test_stale_optimisers_are_noticed(ball):
    scene = edited(ball)
    moved = Moved(scene, seen(scene), 2)
    for name in list(scene.params):  # what loading without new optimisers would leave
        scene.params[name] = torch.nn.Parameter(scene.params[name].detach().clone())
    stepped(scene)
    moved(1)
    with pytest.raises(NothingMoved, match="no parameter has moved"):
        moved(2)


def test_a_change_that_nobody_can_see_is_noticed(ball):
    hidden = make_ball(20, radius=0.05, seed=4)
    hidden = Splats(hidden.means, hidden.quats, hidden.log_scales, hidden.logit_opacities - 30,
                    hidden.sh)  # fmt: skip
    both = joined(ball, hidden)
    frozen = torch.arange(len(both)) < len(ball)
    scene = build.build_edited_scene(settings("x"), both, CPU, frozen)
    moved = Moved(scene, seen(scene), 1)
    stepped(scene)
    with pytest.raises(NothingMoved, match="cannot be seen"):
        moved(1)


def test_black_does_not_stay_black_for_want_of_a_gradient():
    """max(colour, 0) passes nothing on below 0; what may change is kept above, what may not keeps
    its bits."""
    splats = make_ball(40, rgb=(-0.3, 0.5, 0.5))
    frozen = torch.arange(40) < 20
    scene = build.build_edited_scene(settings("x"), splats, CPU, frozen)
    stepped(scene)
    assert rows_equal(scene.splats(), splats, np.arange(20))
    seen(scene)().sum().backward()
    grad = scene.params["sh0"].grad[:, 0, 0]
    assert (scene.splats().rgb[20:, 0] > 0).all()
    assert (grad[20:].abs() > 0).any()


def test_bounds_of_the_settings_do_not_touch_what_is_there():
    """Larger, finer and farther Gaussians than `generate` makes."""
    splats = make_ball(50, radius=3.0)
    wide = splats.log_scales.copy()
    wide[:5], wide[5:10] = np.log(2.0), np.log(1e-5)
    splats = Splats(splats.means, splats.quats, wide, splats.logit_opacities, splats.sh)
    scene = edited(splats)
    for p in scene.parameters().values():
        p.grad = torch.zeros_like(p)
    scene.step(0)
    assert rows_equal(scene.splats(), splats, slice(None))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"source": ""}, "needs what is there now in words"),
        ({"instruction": "make it red"}, "nothing to change"),
        ({"instruction": " "}, "the prompt is empty"),
        ({"instruction": "a red zeppelin"}, "does not know 'zeppelin'"),
    ],
)
def test_what_cannot_be_edited_is_said_before_anything_is_loaded(changes, says):
    with pytest.raises((ConfigError, ValueError), match=says):
        planned(settings("x.ply", **changes))


@pytest.mark.parametrize(
    ("region", "says"),
    [
        ("roof 2", "expected box:"),
        ("the roof", "words are for"),
        ("box:1,2,3", "expected box:"),
        ("box:1,1,1,0,2,2", "below the second"),
        ("sphere:0,0,0,-1", "must be positive"),
        ("sphere:9,9,9,1", "selects nothing"),
        ("mask:nowhere", "no transforms.json"),
    ],
)
def test_bad_regions_are_one_line(ball, region, says):
    from score3d.edit.frame import Frame
    from score3d.edit.region import select

    with pytest.raises(ConfigError, match=says):
        select(ball, Frame.of(ball), region)
