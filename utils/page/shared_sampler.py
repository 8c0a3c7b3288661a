"""The one sampler that all visitors share: loaded behind the page, with one run at a time, and replaced by that of another model when asked."""

from __future__ import annotations

import logging
import math
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from utils.page.cost import tile_work, work
from utils.page.errors import explained
from utils.page.turns import Cancelled, Turns
from utils.planning.errors import UserError
from utils.planning.settings import Settings

if TYPE_CHECKING:
    from sampler_invsr import InvSamplerSR
    from utils.planning.model_spec import ModelSpec
    from utils.planning.plan import Plan

LOG = logging.getLogger("invsr.page")
_LONGEST_CLOSING = 5  # seconds
_POLL = 0.2  # seconds between two looks at whether somebody who waits for the model was cancelled
_TRIAL_SIDE = 64  # pixels of the tile that the model is tried on
_TRIALS = 8
_LONGEST_TRIAL = 3.0  # seconds, after which it is not repeated: longer than the first time of a small model on a busy machine
_NOTHING = (0.0, 0.0)  # work and its seconds; older runs count half as much as the next
_LOADING = "Loading the model…"


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
        self.state = LoadingState("loading", _LOADING)
        self._make = make
        self._sampler: InvSamplerSR | None = None
        self._finished = threading.Event()
        self._turns = Turns()
        self._measured = _NOTHING
        self.closing = threading.Event()
        self.wanted: Settings | None = None
        """The settings of the model that is about to take this one's place."""
        self.refusal = ""
        """Why the last model that was wanted did not take it; empty if it did."""
        self._asking = threading.Lock()
        self._workers: weakref.WeakSet[threading.Thread] = weakref.WeakSet()

    def start(self) -> None:
        """Begin loading; to be called once, when the page is up."""
        threading.Thread(target=self._load, name="loading", daemon=True).start()

    def get(self, stop: threading.Event | None = None) -> InvSamplerSR:
        """The sampler, as soon as it is loaded. UserError if it cannot be; Cancelled if `stop` is set before.

        What runs its networks goes through `lent`: a model that is held on to while others have their turn is in memory beside the next one.
        """
        while (sampler := self._sampler) is None:
            if self.state.phase == "failed":
                raise UserError(self.state.sentence)
            if self.closing.is_set() or (stop and stop.is_set()):
                raise Cancelled
            self._finished.wait(_POLL)
        return sampler

    @property
    def spec(self) -> ModelSpec | None:
        """What the loaded model can do; None while there is none."""
        sampler = self._sampler
        return sampler.spec if sampler else None

    @contextmanager
    def lent(self, stop: threading.Event, on_place: Callable[[int], None] = lambda before: None) -> Iterator[InvSamplerSR]:
        """The sampler for one run, alone: that of the model which is in place when the run's turn comes. Raises as `get` and `turn`."""
        with self.turn(stop, on_place):
            yield self.get(stop)

    def switch(self, settings: Settings) -> None:
        """Have another model take this one's place, in the background, as soon as nobody runs it; if it cannot be loaded, this one comes back.

        This one is freed first, for there may not be memory for both. UserError while another one is on its way.
        """
        with self._asking:
            if self.wanted or self.state.phase == "loading":
                raise UserError("A model is being loaded; wait until it is there.")
            self.wanted, self.refusal = settings, ""
        threading.Thread(target=self._switch, args=(settings,), name="switching", daemon=True).start()

    def turn(self, stop: threading.Event, on_place: Callable[[int], None] = lambda before: None) -> AbstractContextManager[None]:
        """Have the model alone, as `Turns.turn` says. A run that was cancelled keeps its turn until it notices."""
        return self._turns.turn(stop, on_place)

    def note_rate(self, amount: float, seconds: float) -> None:
        """Learn from a run how long `amount` of work takes."""
        before, took = self._measured
        self._measured = (before / 2 + amount, took / 2 + seconds)

    def seconds_for(self, plan: Plan) -> float | None:
        """How long a run will take, by those before it; None before the first."""
        amount, seconds = self._measured
        return work(plan) * seconds / amount if amount else None

    def start_worker(self, work: Callable[..., None], *arguments: Any, name: str) -> None:
        """A thread that has turns, and that `close` waits for."""
        thread = threading.Thread(target=work, args=arguments, name=name, daemon=True)
        self._workers.add(thread)
        thread.start()

    def close(self) -> None:
        """Stop what runs at its next tiles, and wait a while for it to note what was done and what was not."""
        deadline = time.monotonic() + _LONGEST_CLOSING
        self.closing.set()
        self._turns.close(_LONGEST_CLOSING)
        for thread in list(self._workers):
            thread.join(max(deadline - time.monotonic(), 0))

    def _load(self) -> None:
        if reason := self._put(self.settings):
            self.state = LoadingState("failed", reason)
        self._finished.set()
        if self._sampler is not None:
            with suppress(Cancelled, UserError), self.turn(self.closing):  # the latter where many wait already: a trial is not needed
                self._try_out()

    def _switch(self, settings: Settings) -> None:
        try:
            self._switch_in_turn(settings)
        except Cancelled:
            pass
        except Exception as error:  # too many wait for their turn already, or whatever it is: the page must not say "loading" for ever
            reason = explained(error)
            if self.state.phase == "loading":
                self.state = LoadingState("failed", reason)
            else:
                self.refusal = reason
            self.wanted = None
            self._finished.set()

    def _switch_in_turn(self, settings: Settings) -> None:
        with self.turn(self.closing):
            self.state = LoadingState("loading", _LOADING)
            self._finished.clear()
            before = self.settings if self._sampler else None
            self._drop()
            if reason := self._put(settings):
                if before and not self._put(before):
                    self.refusal = f"{reason} The model from before is in use again."
                else:
                    self.state = LoadingState("failed", reason)
            self.wanted = None
            self._finished.set()
            self._try_out()

    def _drop(self) -> None:
        """Have no model, and its memory back."""
        from utils.models.device import free_memory

        if self._sampler is not None:
            device, self._sampler, self._measured = self._sampler.device, None, _NOTHING
            free_memory(device)

    def _put(self, settings: Settings) -> str:
        """Load the model of these settings; why that failed, or nothing."""
        try:
            sampler = self._make(settings.to_dict(), LOG.info, self._report_download)
            precision = str(sampler.dtype).removeprefix("torch.")
            sentence = f"Model {sampler.spec.name} ready on {sampler.device.type}, {precision}"
        except Exception as error:  # whatever it is, the page must not say "loading" for ever
            return explained(error)
        self.settings, self._sampler = settings, sampler
        self.state = LoadingState("ready", sentence)
        LOG.info(sentence)
        return ""

    def _try_out(self) -> None:
        """Measure the model on a small tile, for a rate before the first run: the best of several, for the first is slow in its own way."""
        import torch

        sampler = self._sampler
        if sampler is None or self._measured != _NOTHING:
            return
        try:
            multiple = sampler.spec.lq_multiple
            side = -(-_TRIAL_SIDE // multiple) * multiple
            settings = sampler.settings
            amount = tile_work(side, len(settings.timesteps), settings.cfg_scale, settings.self_ensemble)
            begun, took = time.perf_counter(), math.inf
            for _ in range(_TRIALS):
                start = time.perf_counter()
                sampler.sample_patches(torch.zeros(1, 3, side, side))
                took = min(took, time.perf_counter() - start)
                self._measured = amount, took
                if time.perf_counter() - begun > _LONGEST_TRIAL:
                    return
        except Exception as error:  # the first run will say so, to somebody who wants to know
            LOG.warning("The model could not be tried out: %s", str(error))  # not the error itself, which holds the sampler by its traceback

    def _report_download(self, done: int, total: int) -> None:
        if self.closing.is_set():
            raise Cancelled
        self.state = LoadingState("loading", f"Downloading the model: {done / total:.0%} of {total / 1e9:.2f} GB")
