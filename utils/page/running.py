"""One upscale in a thread of its own, heard of at least every quarter of a second."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.page.shared_sampler import Cancelled, SharedSampler

if TYPE_CHECKING:
    import numpy as np

    from utils.planning.plan import Plan

_PULSE = 0.25  # seconds


@dataclass(frozen=True)
class Begun:
    """The run has the model, and `total` tiles before it."""

    total: int


@dataclass(frozen=True)
class Advanced:
    """`done` of `total` tiles are finished; preview [h, w, 3] uint8."""

    done: int
    total: int
    preview: np.ndarray


@dataclass(frozen=True)
class Finished:
    """The lossless file, how it was decided upon, and the seconds from having the model to having the file."""

    file: Path
    plan: Plan
    seconds: float


News = Begun | Advanced | Finished | None


def upscale(shared: SharedSampler, picture: Path, folder: Path, overrides: Mapping[str, Any], stop: threading.Event) -> Iterator[News]:
    """Upscale `picture` into `folder`; yields news as they come and None while there are none, so that its reader is never stuck in here.

    Raises what the run raises; Cancelled after `stop` was set. Abandoning the iterator stops the run at its next tile batch.
    """
    news: queue.SimpleQueue[News | Exception] = queue.SimpleQueue()
    threading.Thread(target=_work, args=(shared, picture, folder, overrides, stop, news), name="upscaling", daemon=True).start()
    try:
        while True:
            item = _latest(news)
            if isinstance(item, Exception):
                raise item
            yield item
            if isinstance(item, Finished):
                return
    finally:
        stop.set()


def _work(
    shared: SharedSampler, picture: Path, folder: Path, overrides: Mapping[str, Any], stop: threading.Event, news: queue.SimpleQueue[News | Exception]
) -> None:
    try:
        loaded = shared.get(stop)
        with shared.turn(stop):
            start = time.perf_counter()

            def watch(done: int, total: int, preview: np.ndarray) -> None:
                if stop.is_set() or shared.closing.is_set():
                    raise Cancelled
                news.put(Advanced(done, total, preview))

            sampler = loaded.with_settings(**overrides)
            plan = sampler.plan(picture)
            news.put(Begun(len(plan.tiles)))
            (row,) = sampler.inference(picture, folder, on_progress=watch)
            assert row.output is not None  # a single picture that fails raises
            news.put(Finished(row.output, plan, time.perf_counter() - start))
    except Exception as error:  # the reader raises it
        news.put(error)


def _latest(news: queue.SimpleQueue[News | Exception]) -> News | Exception:
    """The next news; where several tiles were finished meanwhile, only the last."""
    item: News | Exception = None
    with contextlib.suppress(queue.Empty):
        item = news.get(timeout=_PULSE)
        while isinstance(item, Advanced):
            item = news.get_nowait()
    return item
