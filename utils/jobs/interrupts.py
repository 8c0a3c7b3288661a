"""Ctrl-C as a request to end, where breaking off anywhere would leave something done that is not noted."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread, current_thread, main_thread
from types import FrameType


@contextmanager
def interrupts_set(stop: Event) -> Iterator[None]:
    """Meanwhile Ctrl-C sets `stop`, however often it comes; KeyboardInterrupt is raised when what is within has ended.

    Only in the main thread, which alone hears of it, and where nobody else has decided what Ctrl-C does.
    """
    if current_thread() is not main_thread() or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    interrupted = False

    def request_stop(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        Thread(target=stop.set, name="stopping").start()  # this one may be within `stop`, and would wait for itself

    signal.signal(signal.SIGINT, request_stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if interrupted:
        raise KeyboardInterrupt
