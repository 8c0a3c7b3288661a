"""How the program starts and ends, with a stand-in for the page."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import app
from utils.page.shared_sampler import SharedSampler

SHARED_ADDRESS = "https://0123456789.gradio.live"
ENDS = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


class Page:
    """Takes note of how it is launched; Ctrl-C is pressed as soon as it is served. `at_ctrl_c` is what happens before."""

    def __init__(self, sessions: Any) -> None:
        self.sessions, self.launched, self.closed, self.at_ctrl_c = sessions, {}, False, lambda: None

    def launch(self, **options: Any) -> tuple[None, str, str | None]:
        self.launched = options
        return None, "http://127.0.0.1:7860/", SHARED_ADDRESS if options["share"] else None

    @property
    def is_running(self) -> bool:
        self.at_ctrl_c()
        raise KeyboardInterrupt

    def close(self, verbose: bool) -> None:
        self.closed = True


@pytest.fixture
def pages(monkeypatch) -> Iterator[list[Page]]:
    made: list[Page] = []

    def build_page(shared: Any, folders: Any, models: Any, sessions: Any) -> Page:
        made.append(Page(sessions))
        made[-1].models, made[-1].shared = models, shared  # type: ignore[attr-defined]
        return made[-1]

    monkeypatch.setattr(app, "build_page", build_page)
    monkeypatch.setattr(SharedSampler, "start", lambda self: None)
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    before = {number: signal.getsignal(number) for number in ENDS}
    yield made
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_shared_page_asks_for_the_login_and_keeps_all_else_as_it_is(pages, capsys):
    assert app.main(["--share", "--auth", "anna:secret", "--port", "7999"]) == 0
    launched = pages[0].launched
    assert (launched["share"], launched["auth"]) == (True, [("anna", "secret")])
    assert (launched["server_name"], launched["server_port"]) == ("127.0.0.1", 7999)
    assert (launched["allowed_paths"], launched["enable_monitoring"], launched["mcp_server"]) == ([], False, False)
    assert (launched["max_file_size"], launched["state_session_capacity"]) == (app.LARGEST_UPLOAD, app.MOST_SESSIONS)
    assert pages[0].models.may_change is False  # visitors are not this machine's own
    said = capsys.readouterr().out
    assert SHARED_ADDRESS in said and "has no login" not in said and "secret" not in said


def test_a_page_that_is_not_shared_is_launched_for_this_machine_alone(pages):
    assert app.main([]) == 0
    launched = pages[0].launched
    assert (launched["share"], launched["auth"], launched["server_name"]) == (False, None, "127.0.0.1")
    assert pages[0].models.may_change is True


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ([], "127.0.0.1"),
        (["--host", "localhost"], "localhost"),
        (["--insecure"], None),
        (["--auth", "anna:secret"], None),
        (["--share", "--auth", "anna:secret"], None),
        (["--host", "0.0.0.0", "--insecure"], None),
    ],
)
def test_a_page_goes_by_other_names_than_its_machines_own_only_where_others_may_see_it(pages, arguments, name):
    assert app.main(arguments) == 0
    gate, _ = pages[0].launched["app_kwargs"]["middleware"]
    assert gate.kwargs == {"only_as": name}


def test_without_a_way_to_the_sharing_service_the_program_ends_with_a_sentence(pages, monkeypatch, capsys):
    monkeypatch.setattr(Page, "launch", lambda self, **options: (None, "http://127.0.0.1:7860/", None))
    assert app.main(["--share", "--auth", "anna:secret"]) == 2
    assert "check the internet connection" in capsys.readouterr().err


@pytest.mark.parametrize("chosen", [True, False])
def test_ctrl_c_is_answered_at_once_and_stops_what_runs_and_deletes_the_files_of_visitors(pages, chosen, monkeypatch, tmp_path, capsys):
    if chosen:
        monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
        (tmp_path / "other.txt").touch()
    seen: dict[str, Any] = {}

    def run(page: Any) -> None:
        with page.shared.turn(threading.Event()):
            seen["began"] = True
            page.shared.closing.wait(20)
        time.sleep(0.2)
        seen["noted"] = True  # what was done and what was not

    def at_ctrl_c(page: Page) -> None:
        seen["folder"] = page.sessions.new_folder("visitor")
        page.shared.start_worker(run, page, name="run")  # type: ignore[attr-defined]
        while "began" not in seen:
            time.sleep(0.01)

    monkeypatch.setattr(Page, "is_running", property(lambda page: (at_ctrl_c(page), (_ for _ in ()).throw(KeyboardInterrupt))))
    start = time.monotonic()
    assert app.main([]) == 0
    assert time.monotonic() - start < 10 and seen["noted"] and pages[0].closed
    assert capsys.readouterr().out.splitlines()[-1] == "Stopping ..."
    folder: Path = seen["folder"]
    assert not folder.exists() and not folder.parent.exists()
    assert not folder.parent.parent.exists()
    assert not chosen or (folder.parent.parent.parent, [path.name for path in tmp_path.iterdir()]) == (tmp_path, ["other.txt"])
    assert os.environ.get("GRADIO_TEMP_DIR") == (str(tmp_path) if chosen else None)


@pytest.mark.parametrize("number", ENDS)
def test_the_files_of_visitors_are_deleted_also_when_the_program_is_ended_or_its_terminal_is_closed(pages, number, monkeypatch):
    seen: dict[str, Any] = {}

    def end(page: Page) -> bool:
        if "folder" in seen:
            pytest.fail("it goes on")
        seen["folder"] = page.sessions.new_folder("visitor")
        signal.raise_signal(number)
        return True

    def close(page: Page, verbose: bool) -> None:
        seen["closed"] = True
        if number != signal.SIGTERM:
            signal.raise_signal(number)  # a terminal says it more than once

    monkeypatch.setattr(Page, "is_running", property(end))
    monkeypatch.setattr(Page, "close", close)
    monkeypatch.setattr(app, "print", print_to_nowhere, raising=False)
    signal.signal(number, signal.SIG_DFL)  # whatever the tests themselves were started with
    assert app.main([]) == 0
    assert seen["closed"] and not seen["folder"].exists()


def print_to_nowhere(words: str, **options: Any) -> None:
    """As after the terminal was closed."""
    if words == "Stopping ...":
        raise OSError("Input/output error")


@pytest.mark.skipif(len(ENDS) < 2, reason="this system has no such signal")
def test_a_program_that_is_to_outlive_its_terminal_does(pages):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert app.main([]) == 0
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_without_a_place_for_files_the_program_ends_with_a_sentence(pages, monkeypatch, tmp_path, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "file"))
    assert app.main([]) == 2
    assert "There is no place for files in" in capsys.readouterr().err and os.environ["GRADIO_TEMP_DIR"] == str(tmp_path / "file")
