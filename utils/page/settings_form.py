"""The form of settings: ranges, choices and help come from the settings' schema, and what it is filled in with becomes overrides."""

from collections.abc import Sequence
from dataclasses import Field
from typing import Any

import gradio as gr

from utils.planning.schedule import PUBLISHED, timesteps_for
from utils.planning.settings import DOTTED_NAMES, Settings, leaves, value_of

OFFERED = {
    "timesteps": "Number of steps",
    "pch_size": "Chopping size",
    "color_fix": "Colour fix",
    "cfg_scale": "Guidance",
    "seed": "Random seed",
}
"""Settings by their last names, in the order of the form, and what they are called there."""

_WIDEST_SLIDER = 100  # a range of more than that is typed
_LARGEST_EXACT = 2**53 - 1  # whole numbers of browsers


class SettingsForm:
    """Widgets for the offered settings, showing those of `settings` at first. To be made where the form is to appear."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        fields = dict(leaves())
        self.widgets = [self._widget(name, fields[DOTTED_NAMES[name]]) for name in OFFERED]

    def overrides(self, values: Sequence[Any]) -> dict[str, Any]:
        """What the widgets hold, in their order, as overrides of the settings the form began with."""
        given = dict(zip(OFFERED, values, strict=True))
        steps = int(given["timesteps"])
        # A settings file may name other timesteps than the published ones; they hold until another number of steps is chosen.
        given["timesteps"] = list(self._settings.timesteps if steps == len(self._settings.timesteps) else timesteps_for(steps))
        return given

    def _widget(self, name: str, item: Field) -> gr.components.Component:
        rules, value = item.metadata, value_of(self._settings, DOTTED_NAMES[name])
        shared: dict[str, Any] = {"label": OFFERED[name], "info": _sentence(rules["meaning"]), "elem_id": f"setting-{name}"}
        if name == "timesteps":
            shared["info"] = "Each step runs the diffusion network once more"
            return gr.Slider(min(PUBLISHED), max(*PUBLISHED, len(value)), len(value), step=1, precision=0, buttons=[], **shared)
        if rules["choices"]:
            return gr.Dropdown(list(rules["choices"]), value=value, **shared)
        low, high = rules["low"], min(rules["high"], _LARGEST_EXACT)
        if high - low <= _WIDEST_SLIDER:
            return gr.Slider(low, high, value, step=0.1 if item.type is float else 1, buttons=[], **shared)
        # Without limits in the browser: a value outside them is answered beside the plan, in the words of the settings.
        if high < _LARGEST_EXACT:
            shared["info"] += f" ({low} to {high})"
        return gr.Number(value, precision=0, **shared)


def _sentence(meaning: str) -> str:
    return meaning[0].upper() + meaning[1:]
