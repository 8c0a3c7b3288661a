"""The line before the model."""

import threading
import time

import pytest

from utils.page.turns import Cancelled, Turns
from utils.planning.errors import UserError


def wait_until(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def in_line(turns: Turns, stop: threading.Event, done: list, name: object, places: list[int] | None = None) -> threading.Thread:
    """A thread that waits for its turn, and is in line when this returns."""

    def run() -> None:
        try:
            with turns.turn(stop, (places if places is not None else []).append):
                done.append(name)
        except Cancelled:
            done.append("cancelled")

    length, thread = len(turns._line), threading.Thread(target=run)
    thread.start()
    wait_until(lambda: len(turns._line) > length)
    return thread


def test_turns_are_had_in_the_order_of_coming():
    turns, done = Turns(), []
    with turns.turn(threading.Event()):
        threads = [in_line(turns, threading.Event(), done, k) for k in range(20)]
        assert done == []
    for thread in threads:
        thread.join()
    assert done == list(range(20))


def test_who_waits_is_told_how_many_are_before_him_whenever_that_changes():
    turns, places, stops = Turns(), [], [threading.Event() for _ in range(3)]
    with turns.turn(threading.Event()):
        threads = [in_line(turns, stop, [], k, [] if k < 2 else places) for k, stop in enumerate(stops)]
        wait_until(lambda: places == [3])
        stops[0].set()  # somebody before gives up
        wait_until(lambda: places == [3, 2])
    for thread in threads:
        thread.join()
    assert places[:2] == [3, 2] and places == sorted(places, reverse=True)


def test_what_is_raised_on_hearing_of_ones_place_leaves_the_line():
    turns = Turns()

    def refuse(before: int) -> None:
        raise KeyError(before)

    with turns.turn(threading.Event()), pytest.raises(KeyError), turns.turn(threading.Event(), refuse):
        pytest.fail("two at once")
    assert not turns._line


def test_who_comes_to_a_full_line_is_refused_in_a_sentence():
    turns, done = Turns(most_waiting=2), []
    with turns.turn(threading.Event()):
        threads = [in_line(turns, threading.Event(), done, k) for k in range(2)]
        with pytest.raises(UserError, match="2 others are waiting already; try again"), turns.turn(threading.Event()):
            pytest.fail("too many")
    for thread in threads:
        thread.join()
    assert done == [0, 1]


def test_closing_sends_those_away_who_wait_and_waits_for_whose_turn_it_is():
    turns, done, entered, leave = Turns(), [], threading.Event(), threading.Event()

    def run() -> None:
        with turns.turn(threading.Event()):
            entered.set()
            leave.wait(20)
            done.append("finished")

    running = threading.Thread(target=run)
    running.start()
    assert entered.wait(20)
    waiting = in_line(turns, threading.Event(), done, "waited")
    turns.close(0.05)
    waiting.join()
    assert done == ["cancelled"]  # the other one takes longer than was waited for
    leave.set()
    turns.close(20)
    assert done == ["cancelled", "finished"]
    running.join()
    with pytest.raises(Cancelled), turns.turn(threading.Event()):
        pytest.fail("closed")
