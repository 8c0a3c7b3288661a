"""How far a run is, in words."""

import pytest

from utils.page import clock as clock_module
from utils.page.clock import WAITING, Clock


@pytest.fixture
def at(monkeypatch):
    """at(seconds): what the time is."""
    return lambda seconds: monkeypatch.setattr(clock_module.time, "monotonic", lambda: 100.0 + seconds)


def test_time_left_is_that_of_the_tiles_that_are_left(at):
    clock = Clock("Faithful (1 of 3)")
    assert clock.progress() == WAITING
    at(0)
    clock.start(10)
    assert "Faithful (1 of 3): Tile 0 of 10 · 0 s<" in clock.progress()
    at(8)
    clock.advance(4)
    at(9)
    assert "Tile 4 of 10 · 9 s, about 11 s left" in clock.progress()
    assert "width:40.0%" in clock.progress()
    at(500)
    assert "about 1 s left" in clock.progress()  # it takes longer than it seemed
    clock.advance(10)
    assert "Faithful (1 of 3): Finishing" in clock.progress()


def test_minutes_are_said_as_minutes(at):
    clock = Clock()
    at(0)
    clock.start(100)
    at(60)
    clock.advance(10)
    assert "about 9 min left" in clock.progress()
