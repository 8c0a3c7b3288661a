"""Who may use the model next: whoever has waited longest, with everybody told how many are before him."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from utils.planning.errors import UserError

MOST_WAITING = 48
"""How many runs may wait at the same time; who comes after them is refused."""
_POLL = 0.2  # seconds between two looks at whether a waiting run was cancelled


class Cancelled(Exception):
    """The visitor no longer wants the run."""


class Turns:
    """One run at a time, in the order of their coming."""

    def __init__(self, most_waiting: int = MOST_WAITING) -> None:
        self._most_waiting = most_waiting
        self._line: deque[object] = deque()  # whose turn it is, then those who wait
        self._changed = threading.Condition()
        self._closed = False

    @contextmanager
    def turn(self, stop: threading.Event, on_place: Callable[[int], None] = lambda before: None) -> Iterator[None]:
        """Wait in line and have a turn. on_place(before) tells how many are to come before, now and whenever that changes; it may raise to leave.

        Cancelled if `stop` is set or the line is closed meanwhile; UserError if too many wait already.
        """
        ticket = object()
        with self._changed:
            if len(self._line) > self._most_waiting:
                raise UserError(f"{self._most_waiting} others are waiting already; try again in a few minutes.")
            self._line.append(ticket)
        try:
            self._wait(ticket, stop, on_place)
            yield
        finally:
            with self._changed:
                self._line.remove(ticket)
                self._changed.notify_all()

    def close(self, seconds: float) -> None:
        """Send those who wait away, and wait for whose turn it is, at most so long."""
        deadline = time.monotonic() + seconds
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            while self._line and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)

    def _wait(self, ticket: object, stop: threading.Event, on_place: Callable[[int], None]) -> None:
        told = 0
        while before := self._before(ticket, stop):
            if before != told:
                on_place(before)
                told = before
            with self._changed:
                if self._line.index(ticket) == before:
                    self._changed.wait(_POLL)

    def _before(self, ticket: object, stop: threading.Event) -> int:
        with self._changed:
            if self._closed or stop.is_set():
                raise Cancelled
            return self._line.index(ticket)
