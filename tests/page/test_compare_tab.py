"""The tab for comparing settings, without a browser."""

from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from utils.page.chosen import Chosen, choose
from utils.page.compare_tab import CompareTab
from utils.page.sessions import COMPARISON, Sessions, session_of
from utils.page.settings_form import SettingsForm
from utils.page.single_tab import SingleTab

VISITOR: Any = SimpleNamespace(session_hash="me")


@pytest.fixture
def tab(shared, tmp_path) -> CompareTab:
    sessions = Sessions(tmp_path / "files")
    with gr.Blocks():
        single = SingleTab(shared, sessions)
        tab, form = CompareTab(shared, sessions, single), SettingsForm(shared, sessions)
        for part in (single, tab):
            part.connect(form)
    return tab


@pytest.fixture
def chosen(tab, tmp_path) -> Chosen:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(tmp_path / "picture.png")
    return choose(tmp_path / "picture.png", tab._shared)


def test_a_comparison_of_a_picture_that_is_no_longer_the_chosen_one_ends_and_shows_nothing_more(tab, chosen):
    values = [part.value for part in tab._form.inputs]
    tab._begin(VISITOR)
    running = tab._run(VISITOR, chosen, (0.5, 0.5), ["Faithful", "Creative"], "Marked part", [], *values)
    stop = tab._sessions.run_stop(session_of(VISITOR, COMPARISON))
    next(updates for updates in running if updates.get(tab._sheet))
    cleared = tab._show_choice(VISITOR, None)
    assert cleared[tab._sheet] is None and stop.is_set()
    assert list(running) == [{tab._status: gr.skip()}]
    assert set(tab._end(VISITOR)) == set(tab._idle())
