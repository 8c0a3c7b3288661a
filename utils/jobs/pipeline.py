"""Three steps over many items at once: one is read while another is computed and a third is written."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, Full, Queue, SimpleQueue
from threading import Event, Lock, Thread
from typing import Any, TypeVar

_POLL = 0.05  # seconds between two looks at whether all is to stop
_END = object()

Item = TypeVar("Item")
Work = TypeVar("Work")
Done = TypeVar("Done")


class Stopped(BaseException):
    """Raised by a `compute` that leaves because `stop` was set. Not an Exception, so that nothing takes it for a failure."""


def pipelined(
    items: Iterable[Item],
    read: Callable[[Item], Work],
    compute: Callable[[Work], Work],
    write: Callable[[Work], Done],
    at_once: int,
    stop: Event,
    is_huge: Callable[[Work], bool] = lambda work: False,
) -> Iterator[Done]:
    """write(compute(read(item))) of every item, as they finish: a reading and a writing thread, and `at_once` computing ones.

    At most two items wait on either side of the computing threads, so memory does not grow with their number; and of those that are huge, as what is
    read of them tells, only one at a time is being computed, waits or is written. Setting `stop` ends it: nothing more
    is read or computed, for which a long `compute` must watch, but what is computed is written. The first exception of a step, or one
    in the caller's loop, sets `stop`, and is raised when all threads have ended.
    """
    to_compute, to_write, written = Queue[Any](1), Queue[Any](1), SimpleQueue[Any]()
    errors: list[BaseException] = []
    computing, last = [at_once], Lock()
    huge = Lock()  # held from before an item is computed until it is written, so by one thread and then another

    def fail(error: BaseException) -> None:
        errors.append(error)
        stop.set()

    def reading() -> None:
        try:
            for item in items:
                if stop.is_set() or not _offer(to_compute, read(item), stop):
                    return
            for _ in range(at_once):
                _offer(to_compute, _END, stop)
        except BaseException as error:
            fail(error)

    def computing_one_by_one() -> None:
        try:
            for work in _taken(to_compute, stop):
                if holds := is_huge(work):
                    _acquire(huge, stop)
                to_write.put((compute(work), holds))
        except Stopped:
            pass
        except BaseException as error:
            fail(error)
        with last:
            computing[0] -= 1
            if computing[0] == 0:
                to_write.put(_END)

    def writing() -> None:
        broken = False
        while (computed := to_write.get()) is not _END:
            work, holds = computed
            try:
                if not broken:
                    written.put(write(work))
            except BaseException as error:
                broken = True  # the rest is taken, so that nobody waits for ever, but not written
                fail(error)
            if holds:
                huge.release()
        written.put(_END)

    threads = [Thread(target=target, name=target.__name__) for target in (reading, *[computing_one_by_one] * at_once, writing)]
    for thread in threads:
        thread.start()
    try:
        while (done := written.get()) is not _END:
            yield done
    except BaseException:
        stop.set()
        raise
    finally:
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


def _offer(queue: "Queue[Any]", item: Any, stop: Event) -> bool:
    """Put the item as soon as there is room; False if `stop` came first."""
    while not stop.is_set():
        with contextlib.suppress(Full):
            queue.put(item, timeout=_POLL)
            return True
    return False


def _acquire(lock: Lock, stop: Event) -> None:
    """As soon as it is free; Stopped if `stop` came first."""
    while not lock.acquire(timeout=_POLL):
        if stop.is_set():
            raise Stopped


def _taken(queue: "Queue[Any]", stop: Event) -> Iterator[Any]:
    """The items of the queue until its end or `stop`."""
    while not stop.is_set():
        with contextlib.suppress(Empty):
            item = queue.get(timeout=_POLL)
            if item is _END:
                return
            yield item
