"""From what people write to checked settings: files, nested values, keywords and words of a command line."""

import math
import os
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException
from yaml import MarkedYAMLError
from yaml.reader import ReaderError

from utils.planning.errors import UserError
from utils.planning.schedule import check_timesteps
from utils.planning.settings import AUTO, BY_THE_PICTURE, DOTTED_NAMES, Settings, leaves, value_of

RANGES = (("guidance_min", "guidance_max"), ("min_overlap", "max_overlap"))
"""Settings that are the ends of a range: the first must not be above the second."""

KINDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    float | str: f"a number or {AUTO}",
    str: "a text",
    str | None: "a text or null",
    list[int]: "a list of whole numbers such as [200, 100]",
    dict[str, Any] | None: "a group of values",
}
"""How the types of settings are called in messages."""
_MISFITS = (OmegaConfBaseException, TypeError, ValueError, OverflowError)
"""What OmegaConf raises for a value of a wrong type."""
_TOO_DEEP = "The settings lie in groups of groups far deeper than any there are; compare them with configs/sample-tiny.yaml."
_DEEPEST = 8  # dots in a name that are taken for groups; no setting lies as deep
_SHOWN = 60  # characters of what somebody wrote, in messages


def load_config(path: str | Path) -> DictConfig | dict[str, Any]:
    """The settings in the YAML file at `path`, or in a result that was made with them, unchecked; UserError if it cannot be read as settings.

    What is in a result somebody else may have written, so its texts are never looked up as references: they come as plain values.
    """
    try:
        config = OmegaConf.load(path)
    except FileNotFoundError:
        raise UserError(f"The settings file {path} does not exist; the presets are in the folder configs.") from None
    except OSError as error:
        raise UserError(f"The settings file {path} cannot be opened ({error.strerror}); check its name and permissions.") from None
    except RecursionError:
        raise UserError(_TOO_DEEP) from None
    except (UnicodeDecodeError, ReaderError):  # no text
        return _embedded(path)
    except Exception as error:  # the YAML library raises many kinds, and all of them mean the same to the user
        mark = getattr(error, "problem_mark", None)
        why = f"line {mark.line + 1}: {error.problem}" if isinstance(error, MarkedYAMLError) and mark else " ".join(str(error).split())[:200]
        raise UserError(f"The settings file {path} cannot be read as YAML ({why}); correct it or use a preset.") from None
    if not isinstance(config, DictConfig):
        raise UserError(f"The settings file {path} is not a list of names and values; compare it with configs/sample-tiny.yaml.")
    return config


def _embedded(path: str | Path) -> dict[str, Any]:
    from utils.pictures.provenance import read_settings  # here, because plain settings need no pictures

    settings = read_settings(path)
    if settings is None:
        raise UserError(f"{path} is neither text in UTF-8 nor a result with its settings; save it as UTF-8, or give a result that was not edited.")
    return settings


def make_settings(config: Mapping[str, Any] | DictConfig | str | Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Checked settings from nested values (or a file for `load_config`) over the defaults, and `overrides` by last or dotted name over both."""
    if isinstance(config, str | Path):
        config = load_config(config)
    try:
        given: dict[Any, Any] = dict(OmegaConf.to_container(config, resolve=True) if isinstance(config, DictConfig) else config or {})  # type: ignore[arg-type]
    except InterpolationKeyError as error:
        raise UserError(f"The settings refer to something that is not there: {str(error).splitlines()[0]}.") from None
    except (OmegaConfBaseException, TypeError, ValueError):
        raise UserError("Settings must be a mapping of names to values, an OmegaConf config or the path of a settings file.") from None
    try:
        return _checked([_nested(name, value) for values in (given, dict(overrides or {})) for name, value in _plain(values).items()])
    except RecursionError:
        raise UserError(_TOO_DEEP) from None


def with_overrides(settings: Settings, overrides: Mapping[str, Any]) -> Settings:
    """Settings changed by `overrides` (last or dotted names); the given ones stay as they are."""
    return make_settings(settings.to_dict(), overrides) if overrides else settings


def parse_assignments(words: list[str]) -> dict[str, Any]:
    """Words like `timesteps=200,100` -> {"timesteps": [200, 100]}; values are read as YAML, texts taken as they are, null as None."""
    kinds = {name: item.type for name, item in leaves()}
    parsed: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            hint = "-i takes one picture or a folder of them" if os.path.exists(word) else "write name=value, for example seed=7"
            raise UserError(f"'{word}' is not a setting; {hint}.")
        kind = kinds.get(DOTTED_NAMES.get(name, name))
        if kind in (str, str | None):
            parsed[name] = None if text == "null" else text
            continue
        if kind == list[int]:
            text = f"[{text.strip('[]')}]"  # brackets need quotes in some shells
        try:
            parsed[name] = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))["value"]  # type: ignore[index]
        except Exception:  # the YAML library raises many kinds, and all of them mean the same to the user
            raise UserError(f"The value of '{name}' cannot be read; write it as in YAML, for example timesteps=200,100.") from None
    return parsed


def _plain(values: dict[Any, Any]) -> dict[Any, Any]:
    """Nested OmegaConf and numpy values as plain ones, null colour fix as "none", one timestep as a list, whole numbers as wide as their type."""
    plain: dict[Any, Any] = {name: _plain_value(value) for name, value in values.items()}
    _refuse_special_texts(plain)
    if plain.get("color_fix", "none") is None:
        plain["color_fix"] = "none"
    if isinstance(plain.get("timesteps"), int):
        plain["timesteps"] = [plain["timesteps"]]
    for name in BY_THE_PICTURE:
        if type(plain.get(name)) is int:  # OmegaConf takes the types of a union literally
            plain[name] = float(plain[name])
    return plain


def _plain_value(value: Any) -> Any:
    if OmegaConf.is_config(value):
        return OmegaConf.to_container(value)
    if isinstance(value, list | tuple):
        return [_plain_value(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value  # numpy's scalars and arrays, without importing numpy


def _nested(name: Any, value: Any) -> dict[str, Any]:
    """{"pch_size": 64} and {"basesr.chopping.pch_size": 64} both as {"basesr": {"chopping": {"pch_size": 64}}}."""
    nested: Any = value
    for part in reversed(DOTTED_NAMES.get(str(name), str(name)).split(".", _DEEPEST)):
        nested = {part: nested}
    return nested


def _checked(layers: list[dict[str, Any]]) -> Settings:
    """The layers over the defaults, with all names checked, and types and ranges of the values that none replaces."""
    given: dict[str, Any] = {}
    for layer in layers:
        _check_names(layer, Settings)
        _update(given, layer)
    try:
        merged = OmegaConf.merge(_schema(), given)  # all at once, for one merge takes milliseconds
    except _MISFITS:
        raise UserError(_misfit(given)) from None
    settings = OmegaConf.to_object(merged)
    assert isinstance(settings, Settings)
    for name, item in leaves():
        _check_value(name.rsplit(".", 1)[-1], value_of(settings, name), item.metadata)
    check_timesteps(settings.timesteps)
    for low, high in RANGES:
        if value_of(settings, low) > value_of(settings, high):
            raise UserError(f"{low} must not be above {high}, and {value_of(settings, low):g} is above {value_of(settings, high):g}.")
    return settings


@cache
def _schema() -> DictConfig:
    """The defaults, typed; made once, for that takes milliseconds too."""
    return OmegaConf.structured(Settings)


def _misfit(given: Mapping[str, Any]) -> str:
    """What the first value of a wrong type must be."""
    for name, item in leaves():
        value: Any = given
        for part in name.split("."):
            value = value.get(part, MISSING) if isinstance(value, Mapping) else MISSING
        try:
            OmegaConf.merge(_schema(), {} if value is MISSING else _nested(name, value))
        except _MISFITS:
            return f"{name.rsplit('.', 1)[-1]} must be {_kind(item)}."
    raise AssertionError("values that fit one by one do together")


def _update(given: dict[str, Any], layer: Mapping[str, Any]) -> None:
    """Puts the values of `layer` over those of `given`, group by group."""
    for name, value in layer.items():
        if isinstance(value, Mapping):
            group = given.get(name)
            given[name] = dict(group) if isinstance(group, Mapping) else {}
            _update(given[name], value)
        else:
            given[name] = value


def _check_names(given: Mapping[Any, Any], schema: type, prefix: str = "") -> None:
    groups = {item.name: type(item.default_factory()) for item in fields(schema) if callable(item.default_factory)}
    known = {item.name for item in fields(schema)}
    for name, value in given.items():
        if name not in known:
            written = str(name)[:_SHOWN]
            nearest = get_close_matches(written.lower(), sorted(known | set(DOTTED_NAMES)), n=1, cutoff=0.5)
            hint = f"did you mean {nearest[0]}?" if nearest else "the presets in the folder configs list them all."
            raise UserError(f"There is no setting {prefix}{written}; {hint}")
        if is_dataclass(groups.get(name)):
            if not isinstance(value, Mapping):
                raise UserError(f"{prefix}{name} is a group of settings, not a value; set one of {', '.join(f.name for f in fields(groups[name]))}.")
            _check_names(value, groups[name], f"{prefix}{name}.")


def _refuse_special_texts(value: Any) -> None:
    """OmegaConf would look a text like ${oc.env:NAME} up, in the environment of the server for instance, and take ??? for no value."""
    if isinstance(value, Mapping):
        for item in value.values():
            _refuse_special_texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_special_texts(item)
    elif isinstance(value, str) and ("${" in value or value.strip() == "???"):
        raise UserError("A setting must not be '???' or contain '${'; write the value itself.")


def _kind(item: Field | None) -> str:
    """What a setting must be, with its range."""
    kind = KINDS.get(item.type, "") if item else ""
    if not item or not kind:
        return "of another kind"
    return f"{kind} {_allowed(item.metadata)}" if item.type in (int, float) and item.metadata["low"] is not None else kind


def _check_value(name: str, value: Any, rules: Mapping[str, Any]) -> None:
    if name == "timesteps" and not all(isinstance(t, int) for t in value):
        raise UserError(f"timesteps must be {KINDS[list[int]]}.")
    if isinstance(value, str) and rules.get("choices") and value not in rules["choices"]:
        nearest = get_close_matches(value.lower(), rules["choices"], n=1)
        hint = f"; did you mean '{nearest[0]}'?" if nearest else "."
        raise UserError(f"{name} must be {_allowed(rules)}, not '{value}'{hint}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = rules.get("low"), rules.get("high")
        is_nan = isinstance(value, float) and math.isnan(value)
        if is_nan or (low is not None and value < low) or (high is not None and value > high):
            raise UserError(f"{name} must be {_allowed(rules)}, not {str(value).removesuffix('.0')[:_SHOWN]}.")


def _allowed(rules: Mapping[str, Any]) -> str:
    words = [f"from {_in_digits(rules['low'])} to {_in_digits(rules['high'])}"] if rules["low"] is not None else []
    if choices := rules.get("choices"):
        words.append(choices[0] if words else f"one of {', '.join(choices)}")
    return " or ".join(words)


def _in_digits(number: int | float) -> str:
    """Digits alone: neither an exponent nor zeros that say nothing."""
    return str(number) if isinstance(number, int) else f"{number:.6f}".rstrip("0").rstrip(".")
