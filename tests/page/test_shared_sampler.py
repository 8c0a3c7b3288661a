"""Loading behind the page, and turns."""

import logging
import re
import threading
import weakref
from types import SimpleNamespace
from typing import Any

import pytest

from utils.page.cost import tile_work
from utils.page.shared_sampler import SharedSampler
from utils.page.turns import Cancelled, Turns
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


def test_the_first_rate_is_that_of_the_best_trial_for_the_machine_may_be_busy_while_the_page_starts(monkeypatch):
    clock, lengths = [0.0], iter((1.4, 0.1, 0.05, 0.8, 0.8, 0.8))
    monkeypatch.setattr("utils.page.shared_sampler.time", SimpleNamespace(perf_counter=lambda: clock[0]))
    monkeypatch.setattr("utils.page.shared_sampler.work", lambda plan: plan)

    def sample_patches(lq):
        clock[0] += next(lengths)

    def make(settings, announce, on_download):
        spec = SimpleNamespace(name="stand-in", lq_multiple=16)
        return SimpleNamespace(**{**vars(stand_in(settings, announce)), "spec": spec, "sample_patches": sample_patches})

    shared = SharedSampler(make, make_settings())
    shared._load()
    assert shared.seconds_for(tile_work(64, 1, 1, 1)) == pytest.approx(0.05)  # type: ignore[arg-type]
    assert clock[0] == pytest.approx(3.15)  # no further one after three seconds


# ---- another model ----

OTHER = make_settings({"seed": 2})


class Standing(SimpleNamespace):
    """A sampler that can be watched by a weak reference."""


def made_of(settings, announce, on_download) -> Any:
    return Standing(**vars(stand_in(settings, announce)))


def loaded(make) -> SharedSampler:
    shared = SharedSampler(make, make_settings({"seed": 1}))
    shared.start()
    shared.get()
    return shared


def settled(shared: SharedSampler) -> None:
    """Wait for the switch that was asked for."""
    for _ in range(1000):
        if shared.wanted is None:
            return
        threading.Event().wait(0.01)
    pytest.fail("the switch does not end")


def test_the_model_before_is_freed_before_the_next_one_is_loaded():
    made, still_there = [], []

    def make(*arguments):
        still_there.extend(old() is not None for old in made)
        sampler = made_of(*arguments)
        made.append(weakref.ref(sampler))
        return sampler

    shared = loaded(make)
    shared.switch(OTHER)
    settled(shared)
    assert (len(made), still_there) == (2, [False])
    assert shared.settings == shared.get().settings == OTHER
    assert (shared.state.phase, shared.refusal) == ("ready", "")


def test_a_switch_waits_for_the_run_in_progress_and_runs_that_wait_get_the_new_model():
    shared, got = loaded(made_of), []

    def run():
        with shared.lent(threading.Event()) as sampler:
            got.append(sampler.settings.seed)

    waiting = threading.Thread(target=run)
    with shared.lent(threading.Event()) as sampler:
        shared.switch(OTHER)
        with pytest.raises(UserError, match="being loaded"):
            shared.switch(OTHER)
        assert shared.get() is sampler and shared.wanted == OTHER
        del sampler
    settled(shared)
    waiting.start()
    waiting.join(10)
    assert got == [2]


def test_a_run_whose_turn_comes_has_the_model_that_is_there_then():
    shared, held, got = loaded(made_of), threading.Event(), []
    loads = shared._make

    def slow(*arguments):
        assert held.wait(10)
        return loads(*arguments)

    shared._make = slow
    shared.switch(OTHER)
    while shared.state.phase != "loading":
        threading.Event().wait(0.01)
    assert shared.spec is None
    waiting = threading.Thread(target=lambda: got.append(shared.get().settings.seed))
    waiting.start()
    held.set()
    waiting.join(10)
    assert got == [2]


def test_a_model_that_cannot_be_loaded_leaves_its_place_to_the_one_before():
    def make(settings, *others):
        if settings["seed"] == 2:
            raise UserError("The model is damaged.")
        return made_of(settings, *others)

    shared = loaded(make)
    shared.switch(OTHER)
    settled(shared)
    assert re.fullmatch(r"The model is damaged\. \(request \w+\) The model from before is in use again\.", shared.refusal)
    assert shared.state.phase == "ready" and shared.get().settings.seed == shared.settings.seed == 1


def test_where_neither_can_be_loaded_everybody_is_told_and_another_one_may_be_tried():
    works = [True, False, False, True]

    def make(*arguments):
        if works.pop(0):
            return made_of(*arguments)
        raise UserError("The disk is gone.")

    shared = loaded(make)
    shared.switch(OTHER)
    settled(shared)
    with pytest.raises(UserError, match="The disk is gone"):
        shared.get()
    shared.switch(OTHER)
    settled(shared)
    assert shared.get().settings.seed == 2


def test_a_switch_that_finds_the_line_full_is_refused_and_can_be_asked_for_again():
    shared = loaded(made_of)
    shared._turns = Turns(most_waiting=0)
    with shared.lent(threading.Event()):
        shared.switch(OTHER)
        settled(shared)
    assert "others are waiting already" in shared.refusal and shared.get().settings.seed == 1
    shared.switch(OTHER)
    settled(shared)
    assert (shared.refusal, shared.get().settings.seed) == ("", 2)


@pytest.mark.parametrize("part", ["_drop", "_try_out"])
def test_whatever_goes_wrong_in_a_switch_nobody_waits_for_a_model_that_does_not_come(part, monkeypatch):
    def break_down(shared: SharedSampler) -> None:
        if part == "_drop":
            shared._sampler = None
        raise RuntimeError("the device is lost")

    shared = loaded(made_of)
    monkeypatch.setattr(SharedSampler, part, break_down)
    shared.switch(OTHER)
    settled(shared)
    monkeypatch.undo()
    if part == "_drop":
        with pytest.raises(UserError, match=r"request [0-9a-f]{8}"):
            shared.get()
        assert shared.state.phase == "failed"
        shared.switch(OTHER)
        settled(shared)
    assert shared.state.phase == "ready" and shared.get().settings.seed == 2


def test_a_model_s_rate_is_not_that_of_the_next_one(monkeypatch):
    monkeypatch.setattr("utils.page.shared_sampler.work", lambda plan: plan)
    shared = loaded(made_of)
    shared.note_rate(10, 1.0)
    shared.switch(OTHER)
    settled(shared)
    assert shared.seconds_for(100) is None  # type: ignore[arg-type]


def test_whoever_waits_for_a_model_when_the_program_ends_is_let_go():
    shared = SharedSampler(made_of, make_settings())
    shared.closing.set()
    with pytest.raises(Cancelled):
        shared.get()
