"""The form and the schema it is made from."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from utils.page.sessions import Sessions
from utils.page.settings_form import SettingsForm
from utils.page.shared_sampler import SharedSampler
from utils.planning.checked_settings import make_settings, with_overrides
from utils.planning.model_spec import ModelSpec
from utils.planning.presets import preset_values
from utils.planning.schedule import timesteps_for
from utils.planning.settings import COLOR_FIXES, OFFERED, OPTIONS, Settings

SPEC = ModelSpec("stand-in", 4, 8, 4, 16, (1, 1000), False)


@cache  # Gradio takes a second for each
def form_of(settings: Settings, lq_multiple: int = 16, has_text: bool = False) -> SettingsForm:
    shared: Any = SharedSampler(lambda *_: None, settings)  # type: ignore[arg-type, return-value]
    shared._sampler = SimpleNamespace(spec=replace(SPEC, lq_multiple=lq_multiple, has_text=has_text))
    with gr.Blocks():
        return SettingsForm(shared, Sessions(Path("nowhere")))


def widgets(form: SettingsForm) -> dict[str, Any]:
    return {widget.elem_id.removeprefix("setting-"): widget for widget in form.inputs[1:]}


def values(form: SettingsForm, **changed: Any) -> list[Any]:
    base, *_ = form.inputs
    return [base.value, *(changed.get(name.replace("-", "_"), widget.value) for name, widget in widgets(form).items())]


def shown(form: SettingsForm, **changed: Any) -> set[str]:
    """The settings that are visible after a change."""
    updates = form._refresh(*values(form, **changed))
    return {name for name, widget in widgets(form).items() if updates.get(widget, {}).get("visible", widget.visible)}


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"seed": 5, "pch_size": 64, "color_fix": "none", "cfg_scale": 2.5, "timesteps": [300, 30]},
        {"consistency": "auto", "fidelity": 0.33, "smart_chopping": True, "min_overlap": 0.1, "overlap": 0.7, "extra_bs": 2},
        {"edge_enhancement": True, "adaptive_enhancement": True, "enhancement_strength": 0.9, "prompt": "a cat", "negative_prompt": None},
        {"sf": 2.5, "longest_side": 1000},
        {"consistency": 0.4, "restraint": 0.7, "self_ensemble": 3},
        {"hybrid_mode": "seed", "fusion_candidates": "seeds", "guidance_max": 5.0},
    ],
)
def test_a_form_that_was_not_touched_gives_the_settings_it_was_made_from(config):
    settings = make_settings(config)
    form = form_of(settings)
    assert with_overrides(settings, form.overrides(values(form))) == settings


def test_everything_offered_is_there_with_its_label_range_choices_and_help():
    found = widgets(form_of(make_settings()))
    assert set(found) == {*OFFERED, "consistency-auto", "restraint-auto"}
    assert all(found[name].label == OPTIONS[name]["label"] and found[name].info for name in OFFERED)
    assert [choice[1] for choice in found["color_fix"].choices] == list(COLOR_FIXES)
    assert (found["cfg_scale"].minimum, found["cfg_scale"].maximum) == (1, 20)
    assert (found["timesteps"].minimum, found["timesteps"].maximum) == (1, 5)
    assert found["edge_enhancement"].info == "Sharpen edges, by “Enhancement strength”"


@pytest.mark.parametrize(("multiple", "sizes"), [(16, [64, 96, 128, 192, 256, 384, 512]), (64, [64, 128, 192, 256, 384, 512])])
def test_chopping_sizes_are_those_that_the_model_can_do(multiple, sizes):
    assert [choice[1] for choice in widgets(form_of(make_settings(), multiple))["pch_size"].choices] == sizes
    assert 80 in [choice[1] for choice in widgets(form_of(make_settings({"pch_size": 80}), multiple))["pch_size"].choices]


def test_the_scales_that_are_asked_for_most_are_shown_and_another_one_that_is_set():
    assert [choice[1] for choice in widgets(form_of(make_settings()))["sf"].choices] == [2, 3, 4, 8]
    assert [choice[0] for choice in widgets(form_of(make_settings({"sf": 2.5})))["sf"].choices] == ["2", "2.5", "3", "4", "8"]
    form = form_of(make_settings())
    updates = form.showing(make_settings({"sf": 6}))
    assert updates[widgets(form)["sf"]]["value"] == 6 and ("6", 6) in updates[widgets(form)["sf"]]["choices"]


@pytest.mark.parametrize("emptied", [0, None])
def test_without_a_longest_side_the_size_goes_by_the_scale(emptied):
    form = form_of(make_settings())
    given = form.overrides(values(form, sf=2, longest_side=emptied))
    assert (given["sf"], given["longest_side"]) == (2, 0) and "sf" in shown(form, longest_side=emptied)


@pytest.mark.parametrize("steps", range(1, 6))
def test_a_number_of_steps_means_the_published_timesteps(steps):
    form = form_of(make_settings())
    assert form.overrides(values(form, timesteps=steps))["timesteps"] == list(timesteps_for(steps))


def test_more_steps_than_are_offered_can_come_from_a_settings_file():
    steps = widgets(form_of(make_settings({"timesteps": [250, 200, 150, 100, 50, 20]})))["timesteps"]
    assert (steps.maximum, steps.value) == (6, 6)


@pytest.mark.parametrize(
    ("changed", "appear", "vanish"),
    [
        ({"color_fix": "hybrid"}, {"hybrid_mode"}, set()),
        ({"adaptive_scheduler": True}, set(), {"timesteps"}),
        ({"smart_chopping": True}, {"min_overlap", "max_overlap"}, {"overlap"}),
        ({"adaptive_guidance": True}, {"guidance_min", "guidance_max"}, {"cfg_scale"}),
        ({"attention_fusion": True}, {"fusion_method", "fusion_candidates"}, set()),
        ({"edge_enhancement": True}, {"enhancement_strength", "adaptive_enhancement"}, set()),
        ({"consistency_auto": False}, {"consistency"}, set()),
        ({"restraint_auto": False}, {"restraint"}, set()),
    ],
)
def test_options_appear_where_they_matter(changed, appear, vanish):
    form = form_of(make_settings())
    before, after = shown(form), shown(form, **changed)
    assert after == (before | appear) - vanish
    assert not appear & before and vanish <= before


def test_the_scale_stays_in_its_place_and_says_so_while_the_longest_side_decides():
    form = form_of(make_settings())
    scale = widgets(form)["sf"]
    with_side, without = (form._refresh(*values(form, longest_side=side))[scale] for side in (1000, 0))
    assert (with_side["interactive"], without["interactive"]) == (False, True) and "visible" not in with_side
    assert "Not in use" in with_side["info"] and without["info"] == scale.info == "How many times as wide and high the result is"
    assert form.showing(make_settings({"longest_side": 1000}))[scale]["interactive"] is False
    assert widgets(form_of(make_settings({"longest_side": 1000})))["sf"].interactive is False


def test_what_the_picture_may_decide_is_explained_at_its_own_tick():
    found = widgets(form_of(make_settings()))
    assert "auto" not in found["consistency"].info and found["consistency-auto"].info.startswith("Fully, less where")


def test_prompts_are_shown_for_models_that_read_them():
    assert {"prompt", "negative_prompt"} & shown(form_of(make_settings())) == set()
    assert {"prompt", "negative_prompt"} <= shown(form_of(make_settings(), has_text=True))


def test_enhancement_that_is_hidden_is_off():
    settings = make_settings({"adaptive_enhancement": True})
    form = form_of(settings)
    assert form.overrides(values(form))["edge_enhancement"] is True  # shown as what it is
    assert form.overrides(values(form, edge_enhancement=False))["adaptive_enhancement"] is False


def test_what_was_typed_into_an_option_that_is_hidden_again_does_not_count():
    form = form_of(make_settings({"hybrid_mode": "best"}))
    assert form.overrides(values(form, hybrid_mode="seed"))["hybrid_mode"] == "best"
    assert form.overrides(values(form, hybrid_mode="seed", color_fix="hybrid"))["hybrid_mode"] == "seed"


def test_a_preset_fills_the_form_and_keeps_the_seed_and_the_tiles():
    form = form_of(make_settings())
    filled = filled_in(form, "Creative", seed=7, pch_size=256)
    assert (filled["adaptive_guidance"], filled["adaptive_enhancement"]) == (True, True)
    filled = filled_in(form, "Faithful", seed=7, pch_size=256, **{name.replace("-", "_"): value for name, value in filled.items()})
    assert (filled["consistency-auto"], filled["fidelity"], filled["edge_enhancement"]) == (True, 0.5, False)


def filled_in(form: SettingsForm, preset: str, **changed: Any) -> dict[str, Any]:
    """What the preset writes into widgets, by their names; of what it does not decide, nothing."""
    updates = form._apply_preset(preset, *values(form, **changed))
    assert updates[form.inputs[0]].seed == changed["seed"]
    assert not {form._preset, *(widgets(form)[name] for name in ("seed", "pch_size", "sf", "color_fix"))} & updates.keys()
    return {name: updates[widget]["value"] for name, widget in widgets(form).items() if widget in updates}


def test_the_preset_is_named_while_the_form_shows_one():
    form = form_of(with_overrides(make_settings(), preset_values("Balanced")))
    assert form._preset.value == "Balanced"
    assert form._name_preset(*values(form)) == "Balanced"
    assert form._name_preset(*values(form, fidelity=0.5)) == "Faithful"
    assert form._name_preset(*values(form, fidelity=0.4)) is None
    assert form._name_preset(*values(form, seed=-1)) is None


def test_what_follows_from_a_preset_does_not_undo_the_choice_of_the_next_one():
    form = form_of(make_settings())
    assert form._preset not in form._refresh(*values(form))


def suited(form: SettingsForm, to: Settings, **changed: Any) -> dict[str, Any]:
    """What the form shows after another model, with those settings, has taken the place of the one it was made for."""
    held, before = values(form, **changed), form._shared.settings
    form._shared.settings = to
    try:
        updates = form._suit_model(form._followed.value, *held)
    finally:
        form._shared.settings = before
    return {name: updates[widget]["value"] for name, widget in widgets(form).items() if "value" in updates.get(widget, {})}


def test_the_form_takes_the_settings_of_another_model_and_keeps_what_was_changed():
    form = form_of(make_settings({"timesteps": [200], "color_fix": "wavelet"}))
    other = make_settings({"timesteps": [200, 100], "color_fix": "none", "seed": 9, "pretrained_model_name_or_path": "elsewhere"})
    now = suited(form, other, color_fix="ycbcr")
    assert (now["timesteps"], now["color_fix"], now["seed"]) == (2, "ycbcr", 9)
    assert suited(form, form._shared.settings, color_fix="ycbcr") == {}  # the same model: nothing is filled in


def test_what_another_model_cannot_do_is_not_kept():
    form = form_of(make_settings({"pch_size": 64}), 16)
    now = suited(form, make_settings({"pch_size": 128}), pch_size=72, seed=3)
    assert (now["pch_size"], now["seed"]) == (128, 3)
    assert suited(form, make_settings({"pch_size": 128}), seed=-1) == {}  # what no model can do is left to be put right
