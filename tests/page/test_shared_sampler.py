"""Loading behind the page, and turns."""

import logging
import threading
from types import SimpleNamespace

import pytest

from utils.page.shared_sampler import Cancelled, SharedSampler
from utils.planning.checked_settings import make_settings
from utils.planning.errors import UserError


def stand_in(settings, announce, on_download=None):
    return SimpleNamespace(
        settings=make_settings(settings), spec=SimpleNamespace(name="stand-in"), device=SimpleNamespace(type="cpu"), dtype="torch.float32"
    )


def test_the_sampler_is_made_once_and_named_when_it_is_ready():
    made = []

    def make(*arguments):
        made.append(arguments)
        return stand_in(*arguments)

    shared = SharedSampler(make, make_settings())
    assert shared.state.phase == "loading"
    shared.start()
    assert shared.get() is shared.get()
    assert (shared.state.phase, shared.state.sentence) == ("ready", "Model stand-in ready on cpu, float32")
    assert len(made) == 1


def test_a_download_is_followed():
    held, seen = threading.Event(), threading.Event()

    def make(settings, announce, on_download):
        on_download(645_000_000, 2_580_000_000)
        seen.set()
        assert held.wait(10)
        return stand_in(settings, announce)

    shared = SharedSampler(make, make_settings())
    shared.start()
    assert seen.wait(10)
    assert (shared.state.phase, shared.state.sentence) == ("loading", "Downloading the model: 25% of 2.58 GB")
    held.set()
    shared.get()


@pytest.mark.parametrize(
    "error, sentence",
    [
        (UserError("There is no model folder x; name another."), "There is no model folder x; name another."),
        (MemoryError(), "There was not enough memory"),
        (RuntimeError("inner detail"), "Something went wrong in the program"),
    ],
)
def test_whoever_waits_for_a_model_that_cannot_be_loaded_is_told_why(error, sentence, caplog):
    def make(*arguments):
        raise error

    shared = SharedSampler(make, make_settings())
    shared.start()
    with caplog.at_level(logging.INFO), pytest.raises(UserError) as raised:
        shared.get()
    assert shared.state.phase == "failed"
    assert str(raised.value).startswith(sentence)
    assert "inner detail" not in str(raised.value)


def test_waiting_for_the_model_can_be_cancelled():
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        SharedSampler(stand_in, make_settings()).get(stop)


def test_one_run_at_a_time_and_waiting_for_ones_turn_can_be_cancelled():
    shared, stop = SharedSampler(stand_in, make_settings()), threading.Event()
    with shared.turn(threading.Event()):
        stop.set()
        with pytest.raises(Cancelled), shared.turn(stop):
            pytest.fail("two runs at once")
    with shared.turn(threading.Event()):
        pass  # the turn was given back


def test_how_long_runs_take_is_learnt_from_those_before(monkeypatch):
    shared = SharedSampler(stand_in, make_settings())
    monkeypatch.setattr("utils.page.shared_sampler.work", lambda plan: plan)
    assert shared.seconds_for(100) is None  # type: ignore[arg-type]
    shared.note_rate(10, 1.0)
    assert shared.seconds_for(100) == pytest.approx(10)  # type: ignore[arg-type]
    shared.note_rate(1000, 400.0)
    assert shared.seconds_for(100) == pytest.approx(40, rel=0.01)  # type: ignore[arg-type]  # the larger run counts more
