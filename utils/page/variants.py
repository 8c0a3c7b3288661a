"""Settings that are compared: each with a name, and with what sets it apart in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from utils.planning.settings import AUTO, DOTTED_NAMES, OFFERED, OPTIONS, Settings, matters, value_of

_LONGEST_TEXT = 40  # characters of a prompt


@dataclass(frozen=True)
class Variant:
    """overrides: all offered settings, by their last names."""

    title: str
    overrides: Mapping[str, Any]


def differences(compared: Sequence[Settings]) -> list[str]:
    """For each of the settings, where it is not as by default and the others are not all alike."""
    values = [_offered(settings) for settings in compared]
    differing = [name for name in OFFERED if any(held[name] != values[0][name] for held in values)]
    return [_in_words({name: held[name] for name in differing if matters(name, held) and held[name] != _DEFAULTS[name]}) for held in values]


def _in_words(values: Mapping[str, Any]) -> str:
    words = ", ".join(_said(name, value) for name, value in values.items())
    return words[0].upper() + words[1:] if words else "As by default"


def _said(name: str, value: Any) -> str:
    label = OPTIONS[name]["label"].lower()
    if name == "timesteps":
        return f"{len(value)} step{'s' if len(value) > 1 else ''} ({', '.join(map(str, value))})"
    if isinstance(value, bool):
        return label if value else f"no {label}"
    if value is None or value == AUTO:
        return f"{label} by the picture" if value == AUTO else f"no {label}"
    if isinstance(value, str):
        return f"{label} {_shortened(value.replace('_', ' '))}"
    return f"{label} {value:g}" if isinstance(value, float) else f"{label} {value}"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"


def _offered(settings: Settings) -> dict[str, Any]:
    return {name: value_of(settings, DOTTED_NAMES[name]) for name in OFFERED}


_DEFAULTS = _offered(Settings())
