"""The one sampler that all visitors share: loaded behind the page, with one run at a time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from utils.page.cost import tile_work, work
from utils.page.errors import explained
from utils.planning.errors import UserError
from utils.planning.settings import Settings

if TYPE_CHECKING:
    from sampler_invsr import InvSamplerSR
    from utils.planning.plan import Plan

LOG = logging.getLogger("invsr.page")
_LONGEST_CLOSING = 60  # seconds
_POLL = 0.2  # seconds between two looks at whether a waiting run was cancelled
_TRIAL_SIDE = 64  # pixels of the tile that the model is tried on
_SLOW_TRIAL = 1.0  # seconds; a longer one is not repeated


class Cancelled(Exception):
    """The visitor no longer wants the run."""


@dataclass(frozen=True)
class LoadingState:
    """Where loading stands, with a sentence for the page."""

    phase: Literal["loading", "ready", "failed"]
    sentence: str


class SharedSampler:
    """Makes a sampler in the background and lends it to one run after another.

    `make(settings, announce, on_download)` is InvSamplerSR or something that behaves like it.
    """

    def __init__(self, make: Callable[..., InvSamplerSR], settings: Settings) -> None:
        self.settings = settings
        self.state = LoadingState("loading", "Loading the model…")
        self._make = make
        self._sampler: InvSamplerSR | None = None
        self._finished = threading.Event()
        self._turn = threading.Lock()
        self._measured = (0.0, 0.0)  # work and its seconds, older runs counting half as much as the next
        self.closing = threading.Event()

    def start(self) -> None:
        """Begin loading; to be called once, when the page is up."""
        threading.Thread(target=self._load, name="loading", daemon=True).start()

    def get(self, stop: threading.Event | None = None) -> InvSamplerSR:
        """The sampler, as soon as it is loaded. UserError if it cannot be; Cancelled if `stop` is set before."""
        while not self._finished.wait(_POLL):
            if stop and stop.is_set():
                raise Cancelled
        if self._sampler is None:
            raise UserError(self.state.sentence)
        return self._sampler

    @contextmanager
    def turn(self, stop: threading.Event) -> Iterator[None]:
        """Have the model alone. A run that was cancelled keeps its turn until it notices, so the next one may wait here; Cancelled ends the wait,
        also when all is closed."""
        while not self._turn.acquire(timeout=_POLL):
            if stop.is_set() or self.closing.is_set():
                raise Cancelled
        try:
            yield
        finally:
            self._turn.release()

    def note_rate(self, amount: float, seconds: float) -> None:
        """Learn from a run how long `amount` of work takes."""
        before, took = self._measured
        self._measured = (before / 2 + amount, took / 2 + seconds)

    def seconds_for(self, plan: Plan) -> float | None:
        """How long a run will take, by those before it; None before the first."""
        amount, seconds = self._measured
        return work(plan) * seconds / amount if amount else None

    def close(self) -> None:
        """Stop the run under way and wait for it: a thread that still computes while the process ends would abort it."""
        self.closing.set()
        self._turn.acquire(timeout=_LONGEST_CLOSING)

    def _load(self) -> None:
        try:
            sampler = self._make(self.settings.to_dict(), LOG.info, self._report_download)
            precision = str(sampler.dtype).removeprefix("torch.")
            self._sampler = sampler
            self.state = LoadingState("ready", f"Model {sampler.spec.name} ready on {sampler.device.type}, {precision}")
            LOG.info(self.state.sentence)
        except Exception as error:  # whatever it is, the page must not say "loading" for ever
            self.state = LoadingState("failed", explained(error))
        self._finished.set()
        if self._sampler is not None:
            self._try_out(self._sampler)

    def _try_out(self, sampler: InvSamplerSR) -> None:
        """Measure the model on a small tile, so that there is a rate before the first run; twice, for the first time is slow in its own way."""
        import torch

        with self._turn:
            try:
                multiple = sampler.spec.lq_multiple
                side = -(-_TRIAL_SIDE // multiple) * multiple
                amount = tile_work(side, len(sampler.settings.timesteps), sampler.settings.cfg_scale)
                for _ in range(2):
                    start = time.perf_counter()
                    sampler.sample_patches(torch.zeros(1, 3, side, side))
                    self._measured = amount, time.perf_counter() - start
                    if self._measured[1] > _SLOW_TRIAL:
                        return
            except Exception as error:  # the first run will say so, to somebody who wants to know
                LOG.warning("The model could not be tried out: %s", error)

    def _report_download(self, done: int, total: int) -> None:
        self.state = LoadingState("loading", f"Downloading the model: {done / total:.0%} of {total / 1e9:.2f} GB")
