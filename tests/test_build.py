import pytest
import torch

from score3d import build
from score3d.config import ConfigError, load_config


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
