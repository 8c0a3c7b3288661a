"""Reading, computing and writing at the same time."""

import threading
import time
from threading import Event

import pytest

from utils.jobs.pipeline import Stopped, pipelined

SLOW = 10  # seconds, and never waited for unless something is wrong


def same(item):
    return item


@pytest.mark.parametrize("at_once", [1, 3])
def test_every_item_goes_through_every_step(at_once):
    done = pipelined(range(50), lambda k: k + 1, lambda k: k * 10, str, at_once, Event())
    assert sorted(done, key=int) == [str((k + 1) * 10) for k in range(50)]


def test_reading_computing_and_writing_overlap():
    together = threading.Barrier(3)

    met = []

    def meet(place):
        def work(item):
            if item == {"read": 2, "compute": 1, "write": 0}[place]:
                together.wait(SLOW)  # only if the three are in their steps at once
                met.append(place)
            return item

        return work

    assert list(pipelined(range(3), meet("read"), meet("compute"), meet("write"), 1, Event())) == [0, 1, 2]
    assert sorted(met) == ["compute", "read", "write"]


def test_only_a_few_items_are_in_memory_at_a_time():
    alive, most = 0, 0
    lock = threading.Lock()

    def count(step):
        def work(item):
            nonlocal alive, most
            with lock:
                alive += step
                most = max(most, alive)
            return item

        return work

    def slow(item):
        time.sleep(0.002)
        return item

    assert len(list(pipelined(range(100), count(1), slow, count(-1), 2, Event()))) == 100
    assert most <= 7  # read, waiting, two computed, waiting, written, and one counted early


@pytest.mark.parametrize("at_once", [1, 3])
def test_of_huge_items_only_one_is_in_memory_and_others_pass_it_meanwhile(at_once):
    """Of the 20 items every fifth is huge; the first is written only when another has been computed, so there is no waiting for what is small."""
    alive, most, passed = set(), [], Event()

    def compute(item):
        if item % 5 == 0:
            alive.add(item)
            most.append(len(alive))
        elif item == 1:
            passed.set()
        return item

    def write(item):
        assert item or passed.wait(SLOW)
        time.sleep(0.002)
        alive.discard(item)
        return item

    done = pipelined(range(20), same, compute, write, at_once, Event(), is_huge=lambda item: item % 5 == 0)
    assert sorted(done) == list(range(20)) and most == [1, 1, 1, 1]


def test_who_waits_with_a_huge_item_leaves_when_the_one_before_cannot_be_written():
    def write(item):
        raise RuntimeError("broken")

    before = threading.active_count()
    with pytest.raises(RuntimeError, match="broken"):
        list(pipelined(range(9), same, same, write, 2, Event(), is_huge=lambda item: True))
    assert threading.active_count() == before


@pytest.mark.parametrize("broken", ["read", "compute", "write"])
def test_an_exception_in_any_step_ends_all_and_is_raised(broken):
    def fail(item):
        if item == 3:
            raise RuntimeError("broken")
        return item

    steps = [fail if name == broken else same for name in ("read", "compute", "write")]
    before = threading.active_count()
    with pytest.raises(RuntimeError, match="broken"):
        list(pipelined(range(1000), *steps, 2, Event()))
    assert threading.active_count() == before


def test_stopping_writes_what_is_computed_and_reads_no_more():
    stop, reads, written = Event(), [], []

    def compute(item):
        if item == 5:
            stop.set()
            raise Stopped
        return item

    list(pipelined(range(1000), lambda k: reads.append(k) or k, compute, written.append, 1, stop))
    assert written == [0, 1, 2, 3, 4] and len(reads) < 10


def test_whoever_leaves_the_loop_stops_it():
    stop, before = Event(), threading.active_count()
    for _ in (rows := pipelined(range(1000), same, same, same, 1, stop)):
        break
    rows.close()
    assert stop.is_set() and threading.active_count() == before
