"""One upscale in a thread of its own, heard of at least every quarter of a second."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.models.stopping import stoppable
from utils.page.cost import work
from utils.page.shared_sampler import SharedSampler
from utils.page.turns import Cancelled
from utils.pictures.picture import Picture
from utils.planning.geometry import span_around

if TYPE_CHECKING:
    import numpy as np

    from sampler_invsr import InvSamplerSR
    from utils.planning.model_spec import ModelSpec
    from utils.planning.plan import Plan
    from utils.planning.settings import Settings
    from utils.planning.statistics import ImageStats

LOOK_SIDE = 128
"""Pixels of the input, along each axis, that a quick look shows."""
_PULSE = 0.25  # seconds


@dataclass(frozen=True)
class Waiting:
    """The run waits for the model, and `before` others are to have it first."""

    before: int


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
    """A result: the pictures before and after, how it was decided upon, and seconds by step, from having the model on.

    whole: all of the picture, of which a quick look shows a part. file: where it was written, or None for a quick look. notes: sentences on what was
    left out.
    """

    whole: Picture
    before: Picture
    after: Picture
    plan: Plan
    timings: Mapping[str, float]
    file: Path | None
    notes: tuple[str, ...]

    @property
    def seconds(self) -> float:
        return sum(self.timings.values())


News = Waiting | Begun | Advanced | Finished | None
_Tell = Callable[[News], None]
_Job = Callable[["InvSamplerSR", _Tell], Finished]
Measure = Callable[["InvSamplerSR"], "ImageStats"]
"""The picture's statistics by a sampler: asked for while the run has the model, for afterwards another one may have taken its place."""


def upscale(
    shared: SharedSampler, path: Path, folder: Path, overrides: Mapping[str, Any], measure: Measure | None, stop: threading.Event
) -> Iterator[News]:
    """Upscale the file at `path` into `folder`; yields news as they come and None while there are none, so that its reader is never stuck in here.

    measure: without it, the picture is measured only if a decision depends on that. Raises what the run raises; Cancelled after `stop` was set.
    Abandoning the iterator stops the run.
    """
    from utils.pictures.writing import save

    def job(sampler: InvSamplerSR, tell: _Tell) -> Finished:
        watch = _Watch(tell)
        before = sampler.read(path, False)
        tell(Begun(sampler.plan(path, stats=measure and measure(sampler)).tile_count))
        watch.lap("Reading and planning")
        result = sampler.upscaled(before, watch.on_tile)
        watch.lap("Colours and stages")
        file = folder / f"{path.stem}.png"
        notes = save(result.picture, file, result.texts)
        watch.lap("Writing")
        shared.note_rate(work(result.plan), sum(watch.timings.values()))
        return Finished(before, before, result.picture, result.plan, watch.timings, file, (*before.notes, *notes))

    return _followed(shared, job, overrides, stop)


def quick_look(
    shared: SharedSampler, path: Path, spot: tuple[float, float], overrides: Mapping[str, Any], measure: Measure, stop: threading.Event
) -> Iterator[News]:
    """As `upscale`, of the surroundings of `spot` (down and right, in [0,1]) only, decided as for the whole picture and not written."""

    def job(sampler: InvSamplerSR, tell: _Tell) -> Finished:
        watch = _Watch(tell)
        stats = measure(sampler)
        plan = sampler.plan(path, stats=stats)
        whole = sampler.read(path, False)
        before = _surroundings(whole, spot)
        looking = sampler.with_settings(**_for_a_part(plan, sampler.spec), longest_side=_part_of_side(sampler.settings, plan, before.size))
        tell(Begun(looking.plan(before.rgb, stats).tile_count))
        watch.lap("Reading and planning")
        result = looking.upscaled(before, watch.on_tile, stats)
        watch.lap("Colours and stages")
        shared.note_rate(work(result.plan), sum(watch.timings.values()))
        return Finished(whole, before, result.picture, plan, watch.timings, None, ())

    return _followed(shared, job, overrides, stop)


class _Watch:
    """Seconds by step, and news of tiles."""

    def __init__(self, tell: _Tell) -> None:
        self.timings: dict[str, float] = {}
        self._tell, self._last = tell, time.perf_counter()

    def lap(self, step: str) -> None:
        """Count the time since the last lap as that step's."""
        now = time.perf_counter()
        self.timings[step] = self.timings.get(step, 0.0) + now - self._last
        self._last = now

    def on_tile(self, done: int, total: int, preview: np.ndarray) -> None:
        self._tell(Advanced(done, total, preview))
        self.lap("Networks")


def _surroundings(picture: Picture, spot: tuple[float, float]) -> Picture:
    (top, bottom), (left, right) = (span_around(part, length, LOOK_SIDE) for part, length in zip(spot, picture.size, strict=True))
    alpha = None if picture.alpha is None else picture.alpha[top:bottom, left:right]
    return replace(picture, rgb=picture.rgb[top:bottom, left:right], alpha=alpha)


def _for_a_part(plan: Plan, spec: ModelSpec) -> dict[str, Any]:
    """Settings under which the whole picture's statistics decide of a part what they decide of the whole, but for its tiles."""
    return {"pch_size": min(plan.patch, max(LOOK_SIDE // spec.lq_multiple, 1) * spec.lq_multiple), "smart_chopping": False}


def _part_of_side(settings: Settings, plan: Plan, size: tuple[int, int]) -> int:
    """The longest side of a part of the picture, of `size` (h, w), at the scale of the whole; 0 where that goes by the scale."""
    if not settings.basesr.longest_side:
        return 0
    return max(round(max(size) * max(plan.output_size) / max(plan.picture_size)), 1)


def _followed(shared: SharedSampler, job: _Job, overrides: Mapping[str, Any], stop: threading.Event) -> Iterator[News]:
    news: queue.SimpleQueue[News | Exception] = queue.SimpleQueue()
    shared.start_worker(_work, shared, job, overrides, stop, news, name="upscaling")
    try:
        while True:
            item = _latest(news)
            if isinstance(item, Exception):
                raise item
            yield item
            if isinstance(item, Finished):
                return
    except BaseException:
        stop.set()
        raise


def _work(shared: SharedSampler, job: _Job, overrides: Mapping[str, Any], stop: threading.Event, news: queue.SimpleQueue[News | Exception]) -> None:
    def leave_if_stopped() -> None:
        if stop.is_set() or shared.closing.is_set():
            raise Cancelled

    def tell(item: News) -> None:
        leave_if_stopped()
        news.put(item)

    try:
        with shared.lent(stop, lambda before: tell(Waiting(before))) as loaded, stoppable(leave_if_stopped):
            finished = job(loaded.with_settings(**overrides), tell)
        news.put(finished)  # after the turn: a run that begins upon this news does not wait for it
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
