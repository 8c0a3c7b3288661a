"""Work for programs, and what is kept of it."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from utils.page.calls import Calls
from utils.page.sessions import Sessions
from utils.page.turns import Cancelled


@pytest.fixture
def sessions(tmp_path) -> Sessions:
    return Sessions(tmp_path)


def done(shared: Any, sessions: Sessions, folder: Path, work: Callable[[threading.Event], Any]) -> Any:
    """What a call gives, in a loop of its own: in this thread a browser's may be running."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(Calls(shared, sessions)._done("me", work, folder))).result()


def test_what_a_call_made_is_kept_when_it_came_to_its_end(shared, sessions):
    folder = sessions.new_folder("me")
    assert done(shared, sessions, folder, lambda stop: (folder / "result.png").write_bytes(b"made")) == 4
    assert (folder / "result.png").exists()


@pytest.mark.parametrize("error", [Cancelled(), MemoryError()])
def test_nothing_is_kept_of_a_call_that_did_not(shared, sessions, error):
    folder = sessions.new_folder("me")

    def work(stop: threading.Event) -> None:
        (folder / "part.png").touch()
        raise error

    with pytest.raises(type(error)):
        done(shared, sessions, folder, work)
    assert not folder.exists()


def test_nothing_is_kept_of_a_call_whose_visitor_left_although_it_went_on(shared, sessions, tmp_path):
    folder = sessions.new_folder("me")

    def work(stop: threading.Event) -> None:
        sessions.leave("me")
        folder.mkdir(parents=True)

    with pytest.raises(Cancelled):
        done(shared, sessions, folder, work)
    assert not any(tmp_path.iterdir())


def test_nothing_is_kept_of_a_cancelled_call_whose_work_goes_on_for_a_while(shared, sessions):
    folder, begun, cancelled = sessions.new_folder("me"), threading.Event(), threading.Event()
    told = []

    def work(stop: threading.Event) -> None:
        begun.set()
        told.append(cancelled.wait(20) and stop.is_set())
        (folder / "late.png").touch()

    async def cancel() -> None:
        calls = Calls(shared, sessions)
        call = asyncio.create_task(calls._done("me", work, folder))
        while not begun.is_set():
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert folder.exists()
        cancelled.set()
        calls._threads.shutdown()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, cancel()).result()
    assert told == [True] and not folder.exists()
