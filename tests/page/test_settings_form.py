"""The form and the schema it is made from."""

import gradio as gr
import pytest

from utils.page.settings_form import OFFERED, SettingsForm
from utils.planning.schedule import timesteps_for
from utils.planning.settings import COLOR_FIXES, Settings, make_settings, with_overrides


def form_of(settings: Settings) -> SettingsForm:
    with gr.Blocks():
        return SettingsForm(settings)


def values(form: SettingsForm, **changed):
    return [changed.get(name, widget.value) for name, widget in zip(OFFERED, form.widgets, strict=True)]


@pytest.mark.parametrize("config", [{}, {"seed": 5, "pch_size": 64, "color_fix": "none", "cfg_scale": 2.5, "timesteps": [300, 30]}])
def test_a_form_that_was_not_touched_gives_the_settings_it_was_made_from(config):
    settings = make_settings(config)
    form = form_of(settings)
    assert with_overrides(settings, form.overrides(values(form))) == settings


def test_ranges_choices_and_help_are_those_of_the_schema():
    widgets = dict(zip(OFFERED, form_of(make_settings()).widgets, strict=True))
    assert [choice[0] for choice in widgets["color_fix"].choices] == list(COLOR_FIXES)
    assert (widgets["cfg_scale"].minimum, widgets["cfg_scale"].maximum) == (1, 20)
    assert (widgets["timesteps"].minimum, widgets["timesteps"].maximum) == (1, 5)
    assert widgets["pch_size"].info == "Side of a tile, in pixels of the input (1 to 16384)"
    assert all(widget.label and widget.info and widget.elem_id for widget in widgets.values())


@pytest.mark.parametrize("steps", range(1, 6))
def test_a_number_of_steps_means_the_published_timesteps(steps):
    form = form_of(make_settings())
    assert form.overrides(values(form, timesteps=steps))["timesteps"] == list(timesteps_for(steps))


def test_more_steps_than_are_offered_can_come_from_a_settings_file():
    form = form_of(make_settings({"timesteps": [250, 200, 150, 100, 50, 20]}))
    assert (form.widgets[0].maximum, form.widgets[0].value) == (6, 6)
