"""The settings of a run from TOML presets and `--set section.key=value`.

Order of precedence: the defaults of `score3d.settings`, a preset of `configs/`, a loss preset,
`--set`, and the command line's own options. An unknown key is an error that suggests a known one.
"""

import difflib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from score3d.resources import resource
from score3d.settings import Config

__all__ = [
    "Config",
    "ConfigError",
    "edit_preset",
    "load_config",
    "preset_names",
    "suited_preset",
    "to_toml",
]


class ConfigError(ValueError):
    """A setting is unknown or out of range; one line."""


def preset_names() -> list[str]:
    """The scale presets that ship with the package."""
    return sorted(p.stem for p in resource("configs").glob("*.toml"))


def edit_preset(task: str) -> str:
    """The file of settings that suit `score3d edit <task>`."""
    return str(resource("configs", "edits") / f"{task}.toml")


def loss_names() -> list[str]:
    """The loss presets (rows of the table of methods) that ship with the package."""
    return sorted(p.stem for p in resource("configs", "losses").glob("*.toml"))


def suited_preset(kind: str, name: str, scale: str | None) -> dict[str, Any]:
    """The settings published for a teacher (kind "teachers") or that suit a run which begins with
    something ("starts"), {} if there are none. A table named like the scale preset ([draft.run])
    overrides them for that scale."""
    path = resource("configs", kind) / f"{name}.toml"
    if not re.fullmatch(r"[\w-]+", name) or not path.is_file():
        return {}
    data = _read_toml(path)
    data.pop("about", None)
    scales = {key: data.pop(key, {}) for key in preset_names()}
    return _merge(data, scales.get(scale or "", {}))


def suggestion(word: str, known: list[str]) -> str:
    """ "(did you mean ...?) " or "", then what is known."""
    close = difflib.get_close_matches(word, known, 1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known: {', '.join(known)}"


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not valid TOML ({error})") from error


def read_preset(name: str, kind: str, folder: Path, names: list[str]) -> dict[str, Any]:
    """The table of a shipped file or of a path that ends in .toml. Raises ConfigError."""
    path = Path(name)
    if path.suffix == ".toml":
        return _read_toml(path)
    if name not in names:
        raise ConfigError(f"unknown {kind} {name!r}; {suggestion(name, names)}")
    return _read_toml(folder / f"{name}.toml")


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if nested else value
    return merged


def _assignment(text: str) -> dict[str, Any]:
    """ "scene.count=500" -> {"scene": {"count": 500}}; values are TOML, bare words strings."""
    key, equals, value = text.partition("=")
    section, dot, name = key.strip().partition(".")
    if not equals or not dot or not section or not name:
        raise ConfigError(f"--set {text!r}: expected section.key=value, like scene.count=500")
    try:
        parsed = tomllib.loads(f"v = {value}")["v"]
    except ValueError:
        parsed = value.strip()
    return {section: {name: parsed}}


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    if first["type"] == "value_error":  # our own, across settings: it names them itself
        return first["msg"].removeprefix("Value error, ")
    where = ".".join(str(p) for p in first["loc"])
    if first["type"] == "extra_forbidden":
        model: type[BaseModel] = Config
        for part in first["loc"][:-1]:
            annotation = model.model_fields[str(part)].annotation
            if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
                break
            model = annotation
        hint = suggestion(str(first["loc"][-1]), list(model.model_fields))
        return f"unknown setting {where!r}; {hint}"
    return f"setting {where!r}: {first['msg']}, got {first['input']!r}"


def load_config(
    preset: str | None = None,
    loss: str | None = None,
    overrides: list[str] | None = None,
    options: dict[str, dict[str, Any]] | None = None,
    stage: dict[str, Any] | None = None,
    start: dict[str, Any] | None = None,
) -> Config:
    """The resolved settings. preset, loss: names of shipped presets or paths of .toml files.
    overrides: `section.key=value` strings. options: sections given by command-line options; a
    teacher named there brings its own preset, below the loss. stage: sections of a recipe's stage,
    above the loss; start: sections of a beginning, below it. Raises ConfigError."""
    data: dict[str, Any] = {}
    if preset:
        data = read_preset(preset, "preset", resource("configs"), preset_names())
    teacher = (options or {}).get("teacher", {}).get("name", "")
    data = _merge(_merge(data, suited_preset("teachers", teacher, preset)), start or {})
    if loss:
        row = read_preset(loss, "loss", resource("configs", "losses"), loss_names())
        row.pop("about", None)
        data = _merge(data, row)
    data = _merge(data, stage or {})
    for text in overrides or []:
        data = _merge(data, _assignment(text))
    data = _merge(data, options or {})
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise ConfigError(_explain(error)) from error


def to_toml(config: Config) -> str:
    """The settings as TOML that `load_config` reads back."""
    lines = []
    for section, values in config.model_dump(mode="json").items():
        lines.append(f"[{section}]")
        # JSON's numbers, strings, booleans and arrays are TOML's too.
        lines += [f"{k} = {json.dumps(v, ensure_ascii=False)}" for k, v in values.items()]
        lines.append("")
    return "\n".join(lines)
