import pytest
import torch

from score3d import build
from score3d.config import ConfigError, load_config, loss_names
from score3d.evaluate.judge import Judge
from score3d.teachers.embedded import EmbeddedTeacher, load_world


@pytest.mark.parametrize("slot", ["noise", "guide", "baseline", "weight", "couple", "consistency"])
def test_unknown_slot_fillers_are_named(slot):
    config = load_config(None, None, [f"distill.{slot}=nonsense"])
    with pytest.raises(ConfigError, match=f"unknown {slot} 'nonsense'; .*known: "):
        build.build_rule(config)


@pytest.mark.parametrize(
    ("setting", "builder"),
    [("teacher.name=embeded", build.build_teacher), ("scene.kind=gausians", build.build_scene)],
)
def test_unknown_names_get_a_suggestion(setting, builder):
    with pytest.raises(ConfigError, match="did you mean"):
        builder(load_config(None, None, [setting]), torch.device("cpu"))


def test_devices():
    assert build.build_device("cpu").type == "cpu"
    with pytest.raises(ConfigError, match="unknown device"):
        build.build_device("gpuu")
    if not torch.cuda.is_available():
        assert build.build_device("auto").type == "cpu"
        with pytest.raises(ConfigError, match="--device cpu"):
            build.build_device("cuda")


@pytest.mark.parametrize("name", ["min-max", "best", "softmax"])
def test_rewards_are_the_judges_and_need_its_world(name):
    config = load_config(
        None, None, [f"distill.weight=reward-{name}", "run.prompt=a red mushroom"]
    )  # fmt: skip
    build.validate(config)
    with pytest.raises(ConfigError, match=f"reward-{name} needs the judge"):
        build.build_rule(config)

    class Teacher:
        world = load_world()

    made = []
    rule = build.build_rule(config, Teacher(), lambda: made.append(1) or Judge())
    assert made
    assert rule.weight.reward(torch.rand(2, 3, 64, 64)).shape == (2,)


def test_no_other_weight_loads_the_judge():
    rule = build.build_rule(load_config(), None, lambda: pytest.fail("loaded"))
    assert rule.state_dict() == {}


class OfGrids:
    capabilities = frozenset({"grid"})


class OfSingles:
    capabilities = frozenset()


def test_grids_are_asked_about_where_that_is_possible():
    assert build.asks_grids(load_config(), OfGrids())
    assert not build.asks_grids(load_config(), OfSingles())
    for setting in ("views.layout=single", "views.count=6", "distill.guide=perp-neg"):
        assert not build.asks_grids(load_config(None, None, [setting]), OfGrids())


@pytest.mark.parametrize(
    ("teacher", "setting", "says"),
    [
        (OfSingles(), "views.count=4", "not trained on grids"),
        (OfGrids(), "views.count=6", "not a multiple of 4"),
        (OfGrids(), "distill.guide=perp-neg", "perp-neg steers single views"),
        (OfGrids(), "distill.pair_angle=10", "pairs single views"),
        (OfGrids(), "scene.kind=image", "is a single view"),
    ],
)
def test_grids_that_cannot_be_are_refused(teacher, setting, says):
    config = load_config(None, None, ["views.layout=grid", setting])
    with pytest.raises(ConfigError, match=says):
        build.asks_grids(config, teacher)


@pytest.fixture(scope="module")
def embedded():
    return EmbeddedTeacher()


@pytest.mark.parametrize("loss", loss_names())
def test_every_row_builds_and_names_itself(loss, embedded):
    config = load_config(None, loss, None, {"run": {"prompt": "a red mushroom"}})
    build.validate(config, source=True)
    build.build_rule(config, embedded, Judge)
    assert config.distill.loss == loss


@pytest.mark.parametrize("loss", ["dds", "pds", "csd-edit", "csd-contrast", "contrast"])
def test_what_edits_needs_a_source(loss):
    with pytest.raises(ConfigError, match="edits something that exists"):
        build.validate(load_config(None, loss))


def test_a_student_needs_a_teacher_and_a_reward_the_embedded_one():
    with pytest.raises(ConfigError, match="part of the teacher's network"):
        build.build_rule(load_config(None, "vsd"))
    with pytest.raises(ConfigError, match="needs the judge"):
        build.validate(load_config(None, "reward-sds", ["teacher.name=."]))
