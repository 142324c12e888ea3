import pytest

from score3d.config import ConfigError, load_config, loss_names, preset_names, to_toml
from score3d.resources import resource


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize("loss", loss_names())
def test_every_preset_loads_and_round_trips(preset, loss, tmp_path):
    config = load_config(preset, loss)
    file = tmp_path / "config.toml"
    file.write_text(to_toml(config))
    assert load_config(str(file)) == config


def test_presets_are_there():
    assert preset_names() == ["draft", "high", "standard"]
    assert "sds" in loss_names()
    assert resource("configs").is_dir()


def test_prompts_survive_toml(tmp_path):
    prompt = 'a "red" \\ mushroom 🍄 [x] = #'
    config = load_config(options={"run": {"prompt": prompt}})
    (tmp_path / "c.toml").write_text(to_toml(config), encoding="utf-8")
    assert load_config(str(tmp_path / "c.toml")).run.prompt == prompt


def test_precedence():
    config = load_config("draft", None, ["run.steps=7", "scene.adapt=none"], {"run": {"seed": 3}})
    assert (config.run.steps, config.run.seed, config.scene.adapt) == (7, 3, "none")
    assert config.scene.count == 1500


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"preset": "standart"}, "did you mean 'standard'"),
        ({"loss": "sdss"}, "did you mean 'sds'"),
        ({"overrides": ["scene.cuont=5"]}, r"unknown setting 'scene.cuont'; did you mean 'count'"),
        ({"overrides": ["scen.count=5"]}, r"unknown setting 'scen'; did you mean 'scene'"),
        ({"overrides": ["count=5"]}, r"expected section\.key=value"),
        ({"overrides": ["scene.count=many"]}, r"setting 'scene.count'.*got 'many'"),
        ({"overrides": ["scene.count=0"]}, r"greater than or equal to 1, got 0"),
        ({"overrides": ["distill.t_min=0.9", "distill.t_max_end=0.5"]}, "t_min must be below"),
        ({"preset": "no/such.toml"}, "cannot be read"),
    ],
)
def test_mistakes_are_one_line_with_a_way_out(arguments, says):
    with pytest.raises(ConfigError, match=says) as caught:
        load_config(**arguments)
    assert "\n" not in str(caught.value)


def test_broken_toml_is_named(tmp_path):
    (tmp_path / "x.toml").write_text("[run\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config(str(tmp_path / "x.toml"))
