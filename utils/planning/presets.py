"""Ways of upscaling with a name: how far a result may go beyond what the input shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from utils.planning.settings import DOTTED_NAMES, Settings, matters, value_of


@dataclass(frozen=True)
class Preset:
    """meaning: what it does, to be read after its name. values: by last names, what it sets other than to the default."""

    meaning: str
    values: Mapping[str, Any]


PRESETS = {
    "Faithful": Preset("stays close to what the input surely shows", {"fidelity": 0.5}),
    "Balanced": Preset("lets the model add detail, but none that the input contradicts", {}),
    "Creative": Preset(
        "lets it imagine, with guidance and sharper edges where the picture is detailed",
        {
            "consistency": 0.0,
            "restraint": 0.0,
            "adaptive_scheduler": True,
            "adaptive_guidance": True,
            "edge_enhancement": True,
            "adaptive_enhancement": True,
        },
    ),
}

DECIDED = (
    "timesteps",
    "adaptive_scheduler",
    "cfg_scale",
    "adaptive_guidance",
    "guidance_min",
    "guidance_max",
    "attention_fusion",
    "consistency",
    "restraint",
    "fidelity",
    "edge_enhancement",
    "enhancement_strength",
    "adaptive_enhancement",
)
"""What every preset sets; tiles, views, colours and the seed it leaves as they are."""


def preset_values(name: str) -> dict[str, Any]:
    """All that the preset sets, by last names."""
    return {item: value_of(_DEFAULTS, DOTTED_NAMES[item]) for item in DECIDED} | dict(PRESETS[name].values)


def preset_of(settings: Settings) -> str | None:
    """The preset that these settings are, where they matter; None for ones of somebody's own."""
    given = {item: value_of(settings, DOTTED_NAMES[item]) for item in DECIDED}
    return next((name for name in PRESETS if _effective(given) == _effective(preset_values(name))), None)


def _effective(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if matters(name, values)}


_DEFAULTS = Settings()
