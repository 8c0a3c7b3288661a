"""The form of settings: everything in it comes from the settings' schema, and what it is filled in with becomes overrides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from utils.page import markup, settings_file
from utils.page.errors import explained, in_labels
from utils.page.events import FOLLOWING, LIGHT, Updates
from utils.page.sessions import Sessions, session_of
from utils.page.shared_sampler import SharedSampler
from utils.planning.checked_settings import with_overrides
from utils.planning.errors import UserError
from utils.planning.plan import check_model_can
from utils.planning.presets import DECIDED, PRESETS, preset_of, preset_values
from utils.planning.schedule import PUBLISHED, timesteps_for
from utils.planning.settings import (
    AUTO,
    BASICS,
    BY_THE_PICTURE,
    DOTTED_NAMES,
    LEAST_CONSISTENCY,
    OFFERED,
    OPTIONS,
    Settings,
    leaves,
    matters,
    turned_on,
    value_of,
)

_FEW = 4  # values that are shown at once
_WIDEST_SLIDER = 100  # a range of more than that is typed
_TYPES = {name: dict(leaves())[DOTTED_NAMES[name]].type for name in OFFERED}
_AUTOMATIC = {name: f"{name}:{AUTO}" for name in BY_THE_PICTURE}
"""Settings that are a number or "auto", with the name of the widget that decides which."""
_BY_HAND = {"consistency": LEAST_CONSISTENCY, "restraint": 1.0}
"""What they show at first once the picture is not to decide."""
_ALWAYS_SHOWN = {"sf": "Not in use: “Longest side”, below, decides"}
"""Settings that stay in their place while they do not matter, with what is then said of them: many look for the scale, and wonder where it went."""
_OF_THE_MODEL = ("pch_size", "timesteps")
"""Settings of which a model cannot do every value."""
_DEFAULTS = Settings()
_THROW_DICE = "() => Math.floor(Math.random() * 2 ** 31)"
_SAVE = """(text) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], {type: "application/yaml"}));
    link.download = "%s";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}"""


class SettingsForm:
    """Widgets for the offered settings, showing those of the page at first. To be made where the form is to appear.

    `inputs` are to be handed to `overrides`; `changed` is the event after which it gives other ones.
    """

    def __init__(self, shared: SharedSampler, sessions: Sessions) -> None:
        self._shared, self._sessions = shared, sessions
        self._widgets: dict[str, Any] = {}
        self._base, self._followed = gr.State(self._settings), gr.State(self._settings)
        self._load = gr.File(label="Restore settings: result or file", height=96, elem_id="load-settings")
        self._message = gr.HTML(elem_id="settings-message")
        with gr.Row(elem_id="settings-buttons"):
            self._save = gr.Button("Save settings", size="sm", min_width=100, elem_id="save-settings")
            self._reset = gr.Button("Reset", size="sm", min_width=100, elem_id="reset-settings")
        self._dice = gr.Button("⚄ Roll", size="sm", elem_id="dice")  # beside the seed
        self._preset = gr.Radio(
            list(PRESETS),
            value=preset_of(self._settings),
            label="Preset",
            info=" ".join(f"{name} {preset.meaning}." for name, preset in PRESETS.items()),
            elem_id="preset",
        )
        for section in dict.fromkeys(OPTIONS[name]["section"] for name in sorted(OFFERED, key=lambda name: OPTIONS[name]["section"] != BASICS)):
            names = [name for name in OFFERED if OPTIONS[name]["section"] == section]
            if section == BASICS:
                self._make_widgets(names)
            else:
                with gr.Accordion(section, open=False, elem_id=f"section-{section.lower()}"):
                    self._make_widgets(names)
        self._text = gr.Textbox(visible=False)
        self._connect()

    @property
    def inputs(self) -> list[Any]:
        return [self._base, *self._widgets.values()]

    def overrides(self, values: Sequence[Any]) -> dict[str, Any]:
        """What the inputs hold, in their order, as overrides of the page's settings; a setting that does not matter is as it was at first."""
        base, *held = values
        given = self._given(base, held)
        return {name: value if self._matters(name, given) else _unused(name, base) for name, value in given.items()}

    @property
    def outputs(self) -> list[Any]:
        """What `showing` updates."""
        return [self._base, self._preset, *self._widgets.values()]

    def suit_model_on(self, listen: Any) -> Any:
        """Follow the model in place when `listen`, as in `component.change`, tells that it may be another; the event, for what is to come after."""
        return listen(self._suit_model, [self._followed, *self.inputs], [self._followed, *self.outputs], **FOLLOWING)

    @property
    def _settings(self) -> Settings:
        """Those of the page, with the model in place."""
        return _as_shown(self._shared.settings)

    @property
    def _dependent(self) -> list[str]:
        """Settings that matter, or not, by what other widgets hold."""
        return [name for name in OFFERED if OPTIONS[name]["needs"] or name in _AUTOMATIC]

    @property
    def _decided(self) -> list[str]:
        """Widgets of what every preset sets."""
        return [name for name in self._widgets if name.removesuffix(f":{AUTO}") in DECIDED]

    # ---- making ----

    def _make_widgets(self, names: list[str]) -> None:
        values = _shown_values(self._settings)
        for name in names:
            if name in _AUTOMATIC:
                label, info = f"{OPTIONS[name]['label']} by the picture", _sentence(_meanings(name)[1])
                self._widgets[_AUTOMATIC[name]] = gr.Checkbox(values[_AUTOMATIC[name]], label=label, info=info, elem_id=f"setting-{name}-{AUTO}")
            self._widgets[name] = self._widget(name, values)

    def _widget(self, name: str, values: Mapping[str, Any]) -> gr.components.Component:
        rules, value = OPTIONS[name], values[name]
        shared: dict[str, Any] = {
            "label": rules["label"],
            "info": _sentence(_meanings(name)[0]),
            "elem_id": f"setting-{name}",
            **self._standing(name, values),
        }
        if name == "timesteps":
            shared["info"] = "Each step runs the diffusion network once more"
            return gr.Slider(min(PUBLISHED), max(*PUBLISHED, value), value, step=1, precision=0, buttons=[], **shared)
        if rules["usual"]:
            widget = gr.Radio if len(rules["usual"]) <= _FEW else gr.Dropdown
            return widget(self._values(name, value), value=value, **shared)
        if _TYPES[name] is bool:
            return gr.Checkbox(value, **shared)
        if _TYPES[name] in (str, str | None) and not rules["choices"]:
            return gr.Textbox(value or "", lines=2, **shared)
        if rules["choices"] and name not in _AUTOMATIC:
            return gr.Dropdown([(choice.replace("_", " "), choice) for choice in rules["choices"]], value=value, **shared)
        low, high = rules["low"], min(rules["high"], settings_file.LARGEST_EXACT)
        if high - low <= _WIDEST_SLIDER:
            return gr.Slider(low, high, value, step=0.05 if high - low <= 1 else 0.1, buttons=[], **shared)
        # Without limits and rounding in the browser: what cannot be used is answered beside the plan, in the words of the settings.
        return gr.Number(value, buttons=[self._dice] if name == "seed" else None, **shared)

    def _values(self, name: str, current: float) -> list[tuple[str, float]]:
        """The usual values of a setting, of chopping sizes those that the model can do, as far as it is known; and the one that is set."""
        usual, spec = OPTIONS[name]["usual"], self._shared.spec
        if name == "pch_size" and spec:
            usual = [size for size in usual if size % spec.lq_multiple == 0]
        return [(f"{value:g}", value) for value in sorted({current, *usual})]

    def _standing(self, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Whether a widget is shown; or, where it always is, whether it can be used and what is said of it."""
        if name not in _ALWAYS_SHOWN:
            return {"visible": self._is_visible(name, values)}
        used = self._is_visible(name, values)
        return {"interactive": used, "info": _sentence(_meanings(name)[0]) if used else _ALWAYS_SHOWN[name]}

    def _is_visible(self, name: str, values: Mapping[str, Any]) -> bool:
        if name in _AUTOMATIC and values[_AUTOMATIC[name]]:
            return False
        return self._matters(name, values)

    def _matters(self, name: str, values: Mapping[str, Any]) -> bool:
        """`matters`, with the loaded model."""
        spec = self._shared.spec
        if OPTIONS[name]["needs_text"] and not (spec and spec.has_text):
            return False
        return matters(name, values)

    # ---- living ----

    def _connect(self) -> None:
        changes = [widget.change for widget in self._widgets.values()]
        # The one listener to them; all else follows by `then`. Several that were late would have Gradio's page call one another without an end.
        self.changed = gr.on(changes, self._refresh, self.inputs, [self._widgets[name] for name in self._dependent], **FOLLOWING)
        # Neither writes what it answers to, or what it has no part in: an answer that comes late would undo what the visitor has chosen since.
        decided = [self._widgets[name] for name in self._decided]
        gr.on([widget.input for widget in decided], self._name_preset, self.inputs, self._preset, **FOLLOWING)
        self._preset.input(self._apply_preset, [self._preset, *self.inputs], [self._base, *decided], **FOLLOWING)
        self._dice.click(None, None, self._widgets["seed"], js=_THROW_DICE, api_visibility="private")
        self._load.upload(self._restore, self._load, [self._load, self._message, *self.outputs], **FOLLOWING)
        self._reset.click(lambda: {self._message: "", **self.showing(self._settings)}, None, [self._message, *self.outputs], **FOLLOWING)
        saved = self._save.click(self._write, self.inputs, [self._text, self._message], **LIGHT)
        saved.success(None, self._text, None, js=_SAVE % settings_file.FILE_NAME, api_visibility="private")

    def _refresh(self, *values: Any) -> Updates:
        """Show what matters."""
        shown = self._shown(values[1:])
        return {self._widgets[name]: gr.update(**self._standing(name, shown)) for name in self._dependent}

    def _name_preset(self, *values: Any) -> str | None:
        """The preset that this is."""
        try:
            return preset_of(with_overrides(self._settings, self.overrides(values)))
        except UserError:  # said beside the plan
            return None

    def _apply_preset(self, preset: str, *values: Any) -> Updates:
        base, *held = values
        others = {name: value for name, value in self._given(base, held).items() if name not in DECIDED}
        try:
            settings = with_overrides(self._settings, others | preset_values(preset))
        except UserError:  # of the others, as is said beside the plan already
            settings = with_overrides(base, preset_values(preset))
        updates = self.showing(settings)
        return {self._base: updates[self._base], **{self._widgets[name]: updates[self._widgets[name]] for name in self._decided}}

    def _restore(self, request: gr.Request, path: str) -> Updates:
        self._sessions.own_upload(session_of(request), Path(path))
        try:
            settings, notes = settings_file.restored(Path(path), self._settings)
        except Exception as error:
            return {self._load: None, self._message: markup.error(explained(error))}
        said = markup.success(f"These are the settings of {Path(path).name}.") + "".join(markup.notice(note) for note in notes)
        return {self._load: None, self._message: said, **self.showing(settings)}

    def _write(self, *values: Any) -> Updates:
        try:
            return {self._text: settings_file.written(with_overrides(self._settings, self.overrides(values))), self._message: ""}
        except UserError as error:
            raise gr.Error(explained(error), print_exception=False) from None

    def _suit_model(self, followed: Settings, *values: Any) -> Updates:
        """Offer what the model in place can do; if it came with other settings, they take the place of those that the visitor has not changed."""
        settings = self._settings
        if settings != followed and (suited := self._kept(followed, settings, *values)):
            return {self._followed: settings, **self.showing(suited)}
        shown = self._shown(values[1:])
        sizes = gr.update(choices=self._values("pch_size", shown["pch_size"]))
        updates: Updates = {self._followed: settings, self._widgets["pch_size"]: sizes}
        for name in OFFERED:
            if OPTIONS[name]["needs_text"]:
                updates[self._widgets[name]] = gr.update(visible=self._is_visible(name, shown))
        return updates

    def _kept(self, before: Settings, settings: Settings, base: Settings, *held: Any) -> Settings | None:
        """`settings` with what the form shows other than `before`, as far as the model can do it; None if it shows what no model can."""
        changed = {name: value for name, value in self._given(base, held).items() if value != _plain(value_of(before, DOTTED_NAMES[name]))}
        try:
            kept = with_overrides(settings, changed)
        except UserError:  # said beside the plan
            return None
        try:
            if spec := self._shared.spec:
                check_model_can(kept, spec)
        except UserError:
            return with_overrides(settings, {name: value for name, value in changed.items() if name not in _OF_THE_MODEL})
        return kept

    # ---- between widgets and settings ----

    def showing(self, settings: Settings) -> Updates:
        """The form showing these settings."""
        settings = _as_shown(settings)
        values = _shown_values(settings)
        updates: Updates = {self._base: settings, self._preset: preset_of(settings)}
        for name, widget in self._widgets.items():
            updates[widget] = gr.update(value=values[name], **(self._standing(name, values) if name in OFFERED else {}))
        for name in OFFERED:
            if OPTIONS[name]["usual"]:
                updates[self._widgets[name]]["choices"] = self._values(name, values[name])
        updates[self._widgets["timesteps"]]["maximum"] = max(*PUBLISHED, values["timesteps"])
        return updates

    def _shown(self, held: Sequence[Any]) -> dict[str, Any]:
        """What the widgets hold, by their names; an emptied longest side is none."""
        shown = dict(zip(self._widgets, held, strict=True))
        return shown | {"longest_side": shown["longest_side"] or 0}

    def _given(self, base: Settings, held: Sequence[Any]) -> dict[str, Any]:
        """The settings that the widgets show, by last names, mattering or not."""
        shown = self._shown(held)
        given = {name: AUTO if shown.get(_AUTOMATIC.get(name, "")) else shown[name] for name in OFFERED}
        given |= {name: given[name] or None for name in OFFERED if _TYPES[name] == str | None}
        steps = int(shown["timesteps"])
        # A settings file may name other timesteps than the published ones; they hold until another number of steps is chosen.
        given["timesteps"] = list(base.timesteps if steps == len(base.timesteps) else timesteps_for(steps))
        return given


def _as_shown(settings: Settings) -> Settings:
    """The same settings in the way the form has them: what is on together with another setting shows below that one."""
    return with_overrides(settings, turned_on(settings))


def _shown_values(settings: Settings) -> dict[str, Any]:
    """What the widgets show of the settings, by the widgets' names."""
    values = {name: value_of(settings, DOTTED_NAMES[name]) for name in OFFERED}
    for name, widget in _AUTOMATIC.items():
        values[widget] = values[name] == AUTO
        values[name] = _BY_HAND[name] if values[widget] else values[name]
    return values | {"timesteps": len(settings.timesteps)}


def _unused(name: str, base: Settings) -> Any:
    """What a setting is sent as while it does not matter: as it was, or off where it would matter by being sent."""
    return _plain(value_of(_DEFAULTS if OPTIONS[name]["turns_on"] else base, DOTTED_NAMES[name]))


def _plain(value: Any) -> Any:
    """A setting's value as an override: timesteps are a list there."""
    return list(value) if isinstance(value, tuple) else value


def _meanings(name: str) -> tuple[str, str]:
    """The help text of a setting's value, and that of leaving it to the picture."""
    value, _, automatic = OPTIONS[name]["meaning"].partition(f"; {AUTO}: ")
    return value, automatic


def _sentence(meaning: str) -> str:
    return in_labels(meaning[0].upper() + meaning[1:])
