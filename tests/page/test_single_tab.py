"""The tab for one picture, without a browser."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest

from utils.page.chosen import choose
from utils.page.sessions import Sessions, session_of
from utils.page.settings_form import SettingsForm
from utils.page.shared_sampler import LoadingState
from utils.page.single_tab import SingleTab
from utils.pictures.picture import Picture
from utils.pictures.writing import save
from utils.planning.errors import UserError

VISITOR: Any = SimpleNamespace(session_hash="me")


@pytest.fixture
def tab(shared, tmp_path) -> SingleTab:
    sessions = Sessions(tmp_path / "files")
    with gr.Blocks():
        tab = SingleTab(shared, sessions)
        tab.connect(SettingsForm(shared, sessions))
    return tab


@pytest.fixture
def picture(tmp_path) -> Path:
    """With 16 bits, which JPEG cannot hold."""
    save(Picture(np.random.default_rng(0).integers(0, 65536, (40, 48, 3), dtype=np.uint16)), tmp_path / "picture.png", {})
    return tmp_path / "picture.png"


def ran(tab: SingleTab, picture: Path, run: Any) -> Any:
    """What is shown of a run at its end; of one that does not come to it, the test is told within a minute."""
    chosen, values = choose(picture, tab._shared), [part.value for part in tab._form.inputs]
    with ThreadPoolExecutor(1) as thread:
        updates = thread.submit(lambda: list(run(VISITOR, chosen, (0.5, 0.5), {}, *values)))
        try:
            return updates.result(60)[-2]  # the last one says nothing
        finally:
            tab._shared.closing.set()  # whoever waits for the model


@pytest.mark.parametrize(("run", "name"), [(SingleTab._run, "Result"), (SingleTab._run_look, "Quick look")])
def test_a_result_is_shown_although_the_model_went_and_the_picture_was_deleted_as_soon_as_it_was_done(tab, picture, run, name, monkeypatch):
    shared, lent = tab._shared, tab._shared.lent

    @contextmanager
    def lent_once(*arguments):
        with lent(*arguments) as sampler:
            yield sampler
        shared._sampler, shared.state = None, LoadingState("loading", "")
        picture.unlink()

    monkeypatch.setattr(shared, "lent", lent_once)
    shown = ran(tab, picture, lambda *arguments: run(tab, *arguments))
    assert name in shown[tab._views] and "alert" not in shown[tab._status]
    assert tab._sessions.run_stop(session_of(VISITOR)).is_set()


def test_what_a_format_cannot_hold_is_said_whenever_it_is_chosen(tab, picture):
    views = ran(tab, picture, tab._run)[tab._views]
    said = [tab._offer_converted(views, name, tab._convert(views, name))[tab._file_notes] for name in ("JPEG", "PNG", "JPEG")]
    assert "JPEG holds 8 bits" in said[0] and said == [said[0], "", said[0]]


def test_what_is_sent_as_the_camera_s_picture_comes_to_our_reader_undecoded(tab, tmp_path):
    path = tmp_path / "image.png"
    save(Picture(np.random.default_rng(0).integers(0, 256, (40, 48, 1), dtype=np.uint8).repeat(3, -1), grey=True), path, {})
    path.write_bytes(path.read_bytes()[:400])
    sent: Any = SimpleNamespace(path=str(path), url=None, orig_name=path.name)
    assert tab._photo.preprocess(sent) == str(path)
    with pytest.raises(UserError, match="damaged"):
        choose(path, tab._shared)
