"""The tab for many pictures, when several things are done to it at once."""

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from utils.page import batch as batch_module
from utils.page import upload_tree
from utils.page.batch import Batch, Batches
from utils.page.batch_tab import BatchTab
from utils.page.server_folders import ServerFolders
from utils.page.sessions import BATCH, Sessions, session_of
from utils.page.settings_form import SettingsForm
from utils.page.upload_tree import Upload
from utils.planning.errors import UserError

VISITOR: Any = SimpleNamespace(session_hash="me")
KEY = session_of(VISITOR, BATCH)


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
    batch.is_running = True
    updates = dropped(tab, late, "late.png")
    assert "choose these files again when it has ended" in updates.pop(tab._about) and not updates
    assert (batch.root, batch.out_folder, len(batch.uploads.names)) == (root, results, 1)
    batch.is_running = False
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


def test_a_batch_that_is_done_gives_its_place_to_no_other_one(sessions, tmp_path):
    batches = Batches(sessions)
    batch = batches.of("me", tmp_path)
    assert batches.of("me", tmp_path) is batch and batches.of("they", tmp_path) is not batch
    batch.is_running = True
    with pytest.raises(UserError, match="when it has ended"):
        batches.of("me")
    batch.is_running = False
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
