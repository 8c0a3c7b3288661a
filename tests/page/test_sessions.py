"""Files of visitors."""

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from utils.page import sessions as sessions_module
from utils.page.sessions import Sessions
from utils.planning.errors import UserError


def upload(root: Path, name: str) -> Path:
    path = root / "upload" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"picture")
    return path


@pytest.mark.parametrize("session_id", ["plain", "../../outside", "/etc", ""])
def test_an_id_chosen_by_a_browser_never_becomes_part_of_a_path(tmp_path, session_id):
    folder = Sessions(tmp_path).new_folder(session_id)
    assert folder.is_dir()
    assert folder.parent.parent == tmp_path
    assert not session_id or session_id not in str(folder.relative_to(tmp_path))


def test_folders_differ_from_run_to_run_and_cannot_be_guessed(tmp_path):
    sessions = Sessions(tmp_path)
    folders = {sessions.new_folder("a") for _ in range(3)} | {sessions.new_folder("b")}
    assert len({folder.name for folder in folders}) == 4
    assert all(len(folder.name) == 32 for folder in folders)


def test_leaving_deletes_the_sessions_files_stops_its_run_and_nothing_else(tmp_path):
    sessions = Sessions(tmp_path)
    mine, theirs = upload(tmp_path, "mine.png"), upload(tmp_path, "theirs.png")
    sessions.own_upload("me", mine)
    sessions.own_upload("they", theirs)
    folders = sessions.new_folder("me"), sessions.new_folder("they")
    stop = sessions.run_stop("me")
    sessions.leave("me")
    assert stop.is_set()
    assert (mine.exists(), folders[0].exists()) == (False, False)
    assert (theirs.exists(), folders[1].exists()) == (True, True)
    assert not sessions.run_stop("they").is_set()


def test_a_file_outside_of_the_folder_is_nobodys_upload_and_stays(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside.png"
    root.mkdir()
    outside.touch()
    (root / "link.png").symlink_to(outside)
    sessions = Sessions(root)
    for path in (outside, root / ".." / "outside.png", root / "link.png"):
        with pytest.raises(UserError, match="must be a file that was uploaded"):
            sessions.own_upload("me", path)
    sessions.leave("me")
    assert outside.exists()


def test_a_file_that_two_visitors_uploaded_stays_until_both_have_left(tmp_path):
    sessions, path = Sessions(tmp_path), upload(tmp_path, "same.png")
    sessions.own_upload("me", path)
    sessions.own_upload("they", path)
    sessions.leave("me")
    assert path.exists()
    sessions.leave("they")
    assert not path.exists()
    assert not path.parent.exists()


def test_a_file_that_somebody_has_just_uploaded_and_not_named_yet_stays(tmp_path):
    sessions, path = Sessions(tmp_path), upload(tmp_path, "same.png")
    sessions.own_upload("me", path)
    again = tmp_path / "incoming"
    again.write_bytes(b"picture")
    again.rename(path)  # as the server does it
    sessions.leave("me")
    assert path.exists()
    sessions.own_upload("they", path)
    sessions.leave("they")
    assert not path.exists()


def test_a_file_that_was_uploaded_again_in_the_place_of_itself_goes_with_the_last_of_its_owners(tmp_path):
    sessions, path = Sessions(tmp_path), upload(tmp_path, "same.png")
    sessions.own_upload("me", path)
    again = tmp_path / "incoming"
    again.write_bytes(b"picture")
    again.rename(path)
    sessions.own_upload("they", path)
    sessions.leave("they")
    assert path.exists()
    sessions.leave("me")
    assert not path.exists()


def test_a_file_that_cannot_be_deleted_does_not_keep_the_others(tmp_path, monkeypatch):
    def unlink(path, missing_ok=False):
        if path.name == "stuck.png":
            raise PermissionError
        original(path, missing_ok)

    original = Path.unlink
    monkeypatch.setattr(Path, "unlink", unlink)
    sessions = Sessions(tmp_path)
    for visitor, name in (("me", "stuck.png"), ("me", "mine.png"), ("they", "theirs.png")):
        sessions.own_upload(visitor, upload(tmp_path, name))
    sessions.leave_all()
    assert [path.name for path in (tmp_path / "upload").iterdir()] == ["stuck.png"]


def test_a_new_run_stops_the_one_before_it_deletes_its_files_and_is_not_stopped_itself(tmp_path):
    sessions = Sessions(tmp_path)
    sessions.begin_run("me")
    first, folder = sessions.run_stop("me"), sessions.new_folder("me")
    sessions.begin_run("me")
    assert first.is_set()
    assert not folder.exists()
    assert not sessions.run_stop("me").is_set()
    assert sessions.new_folder("me").is_dir()


def test_a_new_run_leaves_the_folder_that_is_to_be_kept(tmp_path):
    sessions = Sessions(tmp_path)
    kept, other = sessions.new_folder("me"), sessions.new_folder("me")
    sessions.begin_run("me", keep=[kept])
    assert (kept.exists(), other.exists()) == (True, False)
    sessions.begin_run("me")
    assert not kept.exists()


@pytest.mark.parametrize("next_visitor", ["another", "the same"])
def test_old_files_go_by_age_whether_their_session_said_nothing_more_or_lives_on(tmp_path, monkeypatch, next_visitor):
    sessions = Sessions(tmp_path)
    old = sessions.new_folder("the same")
    now = time.monotonic()
    monkeypatch.setattr(sessions_module.time, "monotonic", lambda: now + sessions_module.LONGEST_STAY + 1)
    new = sessions.new_folder(next_visitor)
    sessions.leave_overdue()
    assert (old.exists(), new.exists()) == (False, True)


def later(monkeypatch) -> None:
    """The time is that after the longest stay."""
    then = time.monotonic() + sessions_module.LONGEST_STAY + 1
    monkeypatch.setattr(sessions_module.time, "monotonic", lambda: then)


@pytest.mark.parametrize("begin", [Sessions.take_run, Sessions.begin_call])
def test_of_a_session_in_which_something_goes_on_nothing_is_deleted_however_old(tmp_path, monkeypatch, begin):
    sessions = Sessions(tmp_path)
    path, folder = upload(tmp_path, "mine.png"), sessions.new_folder("me")
    sessions.own_upload("me", path)
    stop = begin(sessions, "me")
    later(monkeypatch)
    sessions.leave_overdue()
    assert path.exists() and folder.exists() and stop and not stop.is_set()
    stop.set()
    sessions.leave_overdue()
    assert not path.exists() and not folder.exists()


@pytest.mark.parametrize("use", [Sessions.go_on, Sessions.run_stop])
def test_files_of_a_run_are_as_old_as_its_last_use(tmp_path, monkeypatch, use):
    sessions = Sessions(tmp_path)
    folder = sessions.new_folder("me")
    later(monkeypatch)
    use(sessions, "me")
    sessions.leave_overdue()
    assert folder.exists()


def test_files_of_a_call_are_as_old_as_its_end_and_those_of_another_one_are_not(tmp_path, monkeypatch):
    sessions = Sessions(tmp_path)
    older, folder = sessions.new_folder("me"), sessions.new_folder("me")
    later(monkeypatch)
    sessions.keep_folder("me", folder)
    sessions.leave_overdue()
    assert (older.exists(), folder.exists()) == (False, True)


def test_a_folder_that_is_made_anew_after_its_session_left_is_dropped_without_a_trace(tmp_path):
    sessions = Sessions(tmp_path)
    folder = sessions.new_folder("me")
    sessions.leave("me")
    folder.mkdir(parents=True)
    sessions.drop_folder("me", folder)
    assert not any(tmp_path.iterdir())


def test_calls_of_one_session_run_beside_each_other_and_all_end_with_it(tmp_path):
    sessions = Sessions(tmp_path)
    calls = sessions.begin_call("me"), sessions.begin_call("me")
    other = sessions.begin_call("they")
    sessions.begin_run("me")
    assert not any(stop.is_set() for stop in calls)
    sessions.leave("me")
    assert all(stop.is_set() for stop in calls) and not other.is_set()


def test_of_two_runs_begun_at_once_one_is_the_sessions_run(tmp_path):
    sessions = Sessions(tmp_path)
    sessions.begin_run("me")
    sessions.begin_run("me")
    stop = sessions.take_run("me")
    assert stop is sessions.run_stop("me") and sessions.take_run("me") is None
    sessions.begin_run("me")
    assert stop.is_set() and sessions.take_run("me") not in (stop, None)


def test_an_upload_that_was_cut_short_goes_when_nothing_came_for_an_hour_and_nothing_else_does(tmp_path):
    sessions, past = Sessions(tmp_path), time.time() - sessions_module.LONGEST_PAUSE - 1
    for name in ("tmpab12cd_3", "tmpzz12cd_3", "tmp-notes.txt", "picture.png"):
        (tmp_path / name).touch()
        if name != "tmpzz12cd_3":
            os.utime(tmp_path / name, (past, past))
    (tmp_path / "tmpfolder_1").mkdir()
    os.utime(tmp_path / "tmpfolder_1", (past, past))
    sessions.leave_overdue()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["picture.png", "tmp-notes.txt", "tmpfolder_1", "tmpzz12cd_3"]


def drop_first(sessions: Sessions) -> None:
    (folder,) = sessions._sessions["me"].used
    sessions.drop_folder("me", folder)


@pytest.mark.parametrize(
    "delete", [lambda sessions: sessions.begin_run("me"), lambda sessions: sessions.leave("me"), Sessions.leave_overdue, drop_first]
)
def test_nobody_waits_for_the_files_of_somebody_else_to_be_deleted(tmp_path, monkeypatch, delete: Callable[[Sessions], None]):
    sessions = Sessions(tmp_path)
    folder, begun, go = sessions.new_folder("me"), threading.Event(), threading.Event()
    later(monkeypatch)

    def rmtree(path, ignore_errors):
        begun.set()
        assert go.wait(20)
        original(path, ignore_errors)

    original = shutil.rmtree
    monkeypatch.setattr(shutil, "rmtree", rmtree)
    deleting = threading.Thread(target=delete, args=(sessions,))
    deleting.start()
    assert begun.wait(20)
    asking = threading.Thread(target=sessions.run_stop, args=("they",), daemon=True)
    asking.start()
    asking.join(2)
    answered = not asking.is_alive()
    go.set()
    deleting.join(20)
    assert answered and not folder.exists()


def test_a_folder_that_is_made_anew_after_its_session_left_is_not_the_sessions(tmp_path):
    sessions = Sessions(tmp_path)
    folder = sessions.new_folder("me")
    assert sessions.keeps("me", folder) and not sessions.keeps("they", folder)
    sessions.leave("me")
    folder.mkdir(parents=True)
    sessions.run_stop("me")
    assert not sessions.keeps("me", folder)
