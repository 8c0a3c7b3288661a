"""The tab for many pictures, when several things are done to it at once."""

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from threading import Event
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from utils.page import batch as batch_module
from utils.page import upload_tree
from utils.page.batch import Batch, Batches
from utils.page.batch_running import BatchFile
from utils.page.batch_tab import BatchTab
from utils.page.server_folders import ServerFolders
from utils.page.sessions import BATCH, Sessions, session_of
from utils.page.settings_form import SettingsForm
from utils.page.upload_tree import Upload
from utils.planning.errors import UserError

VISITOR: Any = SimpleNamespace(session_hash="me")
KEY = session_of(VISITOR, BATCH)
RUNNING: Any = SimpleNamespace(is_followed=True, ended=Event())


@pytest.fixture
def sessions(tmp_path, monkeypatch) -> Sessions:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return Sessions(tmp_path)


@pytest.fixture
def tab(shared, sessions) -> BatchTab:
    with gr.Blocks():
        tab = BatchTab(shared, sessions, ServerFolders())
        tab.connect(SettingsForm(shared, sessions))
    return tab


def uploaded(folder: Path, name: str) -> Path:
    """A picture where the server puts an upload."""
    path = folder / hashlib.sha256(name.encode()).hexdigest() / Path(name).name
    path.parent.mkdir()
    Image.new("RGB", (8, 8)).save(path)
    return path


def dropped(tab: BatchTab, path: Path, name: str) -> Any:
    """What the page answers when the picture arrives under that name."""
    event: Any = SimpleNamespace(files=[{"name": name, "path": str(path)}], lost=[])
    return tab._receive(event, VISITOR)


def batch_of(tab: BatchTab) -> Batch:
    batch = tab._batches.get(KEY)
    assert batch
    return batch


def test_of_two_drops_at_once_neither_swallows_the_other(tab, tmp_path, monkeypatch):
    def within(folder: Path) -> Batch:
        time.sleep(0.2)  # time for the other one
        return original(folder)

    original = Batch.within
    monkeypatch.setattr(batch_module.Batch, "within", within)
    names = ["first.png", "second.png"]
    paths = [uploaded(tmp_path, name) for name in names]
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda path, name: dropped(tab, path, name), paths, names))
    assert [str(name) for name in batch_of(tab).uploads.names] == names
    assert [str(name) for name in batch_of(tab).files] == names


def test_files_that_arrive_while_the_batch_is_done_are_refused_and_change_nothing_of_it(tab, sessions, tmp_path):
    dropped(tab, uploaded(tmp_path, "holiday/a.png"), "holiday/a.png")
    batch = batch_of(tab)
    root, results, late = batch.root, batch.out_folder, uploaded(tmp_path, "late.png")
    batch.run = RUNNING
    updates = dropped(tab, late, "late.png")
    assert "choose these files again when it has ended" in updates.pop(tab._about) and not updates
    assert (batch.root, batch.out_folder, len(batch.uploads.names)) == (root, results, 1)
    batch.run = None
    dropped(tab, late, "late.png")
    assert len(batch.uploads.names) == 2
    sessions.leave(KEY)
    assert not late.exists()


@pytest.mark.parametrize("what", ["links", "copies"])
def test_of_files_that_arrive_while_their_visitor_leaves_nothing_is_kept(tab, sessions, tmp_path, monkeypatch, what):
    def link(source: Path, target: Path) -> None:
        sessions.leave(KEY)
        target.parent.mkdir(parents=True, exist_ok=True)
        if what == "copies":
            raise OSError
        target.touch()

    first, second = uploaded(tmp_path, "a.png"), uploaded(tmp_path, "b.png")
    dropped(tab, first, "a.png")
    batch = batch_of(tab)
    monkeypatch.setattr(upload_tree.os, "link", link)
    updates = dropped(tab, second, "b.png")
    assert "not kept any more" in updates.pop(tab._about) and not updates
    assert tab._batches.get(KEY) is None and not batch.folder.exists() and not any(tmp_path.glob("session-*"))


def test_a_batch_whose_folder_was_made_anew_is_not_alive(sessions, tmp_path):
    batches = Batches(sessions)
    batch = batches.of("me")
    sessions.leave("me")
    batch.folder.mkdir(parents=True)
    assert batches.get("me") is None and batches.of("me") is not batch


def test_what_has_arrived_goes_with_its_visitor_although_more_was_to_come(tab, sessions, tmp_path):
    path = uploaded(tmp_path, "a.png")
    event: Any = SimpleNamespace(files=[{"name": "a.png", "path": str(path)}])
    tab._own(event, VISITOR)
    tab._own(SimpleNamespace(files=[{"name": "b.png", "path": "/etc/passwd"}]), VISITOR)
    assert path.exists() and tab._batches.get(KEY) is None
    sessions.leave(KEY)
    assert not path.exists()


def test_folders_that_are_named_again_are_the_batch_that_was_done_there(sessions, tmp_path):
    """Events may come out of their order: what a field held before may be heard of after the run that was begun with what it holds now."""
    batches = Batches(sessions)
    batch = batches.of("me", tmp_path, tmp_path / "results")
    late = batches.of("me", tmp_path)
    assert late is not batch and batches.get("me") is late
    assert batches.of("me", tmp_path, tmp_path / "results") is batch and batches.get("me") is batch
    assert batches.of("me", tmp_path) is late
    sessions.leave("me")
    assert batches.of("me", tmp_path) is not late


def test_a_batch_that_is_done_gives_its_place_to_no_other_one(sessions, tmp_path):
    batches = Batches(sessions)
    batch = batches.of("me", tmp_path)
    assert batches.of("me", tmp_path) is batch and batches.of("they", tmp_path) is not batch
    batch.run = RUNNING
    with pytest.raises(UserError, match="when it has ended"):
        batches.of("me")
    batch.run = None
    assert batches.of("me") is not batch
    sessions.leave("me")
    assert batches.get("me") is None


def test_a_batch_is_neither_judged_nor_begun_while_files_are_put_into_it(tab, tmp_path):
    dropped(tab, uploaded(tmp_path, "a.png"), "a.png")
    batch = batch_of(tab)
    values = [part.value for part in tab._form.inputs]
    with ThreadPoolExecutor(2) as threads:
        with batch.receiving:
            judged = threads.submit(tab._describe, VISITOR, "PNG", *values)
            begun = threads.submit(lambda: list(tab._run(VISITOR, "My files", "", "", "PNG", *values)))
            time.sleep(0.5)
            batch.uploads.add([Upload("b.png", uploaded(tmp_path, "b.png"))])
            assert not judged.done() and not batch.is_running
        judged.result(60)
        begun.result(60)
    assert [file.status for file in batch.files.values()] == ["done", "done"]


def test_a_run_that_is_cut_off_goes_on_to_its_next_tiles_and_counts_as_one_until_then(tab, shared, sessions, tmp_path):
    dropped(tab, uploaded(tmp_path, "a.png"), "a.png")
    batch, values = batch_of(tab), [part.value for part in tab._form.inputs]
    looking, going_on = Event(), Event()

    def get(stop: Any = None) -> Any:
        if stop:
            looking.set()
            assert going_on.wait(20)
        return sampler

    sampler, shared.get = shared.get(), get
    following = tab._run(VISITOR, "My files", "", "", "PNG", *values)
    next(following)
    assert looking.wait(20)
    following.close()  # as the server does it
    assert batch.is_running
    said = tab._explain_no_run(VISITOR, "My files")[tab._status]
    assert "the connection was cut" in said and "could not be started" not in said
    assert "when it has ended" in dropped(tab, uploaded(tmp_path, "b.png"), "b.png")[tab._about]
    first = batch.run
    assert first

    tab._begin(VISITOR)
    with ThreadPoolExecutor(1) as thread:
        again = thread.submit(lambda: list(tab._run(VISITOR, "My files", "", "", "PNG", *values)))
        time.sleep(0.5)
        assert batch.run is first and not first.ended.is_set()
        going_on.set()
        again.result(60)
    assert first.ended.is_set() and not batch.is_running
    assert [file.status for file in batch.files.values()] == ["done"]


def test_a_run_that_the_server_did_not_take_is_said_not_to_have_been_started(tab, tmp_path):
    dropped(tab, uploaded(tmp_path, "a.png"), "a.png")
    tab._begin(VISITOR)
    assert "could not be started" in tab._explain_no_run(VISITOR, "My files")[tab._status]


def test_results_of_a_folder_whose_name_is_no_unicode_can_be_taken(tab, tmp_path):
    batch, name = tab._batches.of(KEY, tmp_path / "caf\udce9"), PurePosixPath("a.png")
    batch.out_folder.mkdir()
    made = batch.out_folder / name
    made.touch()
    batch.files[name] = BatchFile(name, batch.root / name, "done", output=made)
    button = tab._offered(batch)[tab._download]
    assert Path(button.value["path"]).name == "caf\\udce9-upscaled.zip"
