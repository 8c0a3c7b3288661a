"""A job's upscaler that shares its model with other visitors."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.jobs.pipeline import Stopped
from utils.models.stopping import stoppable
from utils.page.cost import work
from utils.page.shared_sampler import SharedSampler
from utils.page.turns import Cancelled

if TYPE_CHECKING:
    import numpy as np

    from sampler_invsr import InvSamplerSR
    from utils.jobs.job import Upscaled
    from utils.pictures.picture import Picture

    OnPicture = Callable[[Path, Picture], None]


class ModelChanged(BaseException):
    """Ends a job whose model is no longer the shared one. Not an Exception, so that nothing takes it for a failure of the file."""


class TurnTaker:
    """The shared sampler as a job's upscaler. It has the model for one picture at a time, and keeps no hold of one that is no longer shared."""

    def __init__(
        self,
        shared: SharedSampler,
        overrides: Mapping[str, Any],
        stop: threading.Event,
        on_read: OnPicture = lambda path, picture: None,
        on_begun: Callable[[Path], None] = lambda path: None,
        on_made: OnPicture = lambda path, picture: None,
        on_place: Callable[[int], None] = lambda before: None,
    ) -> None:
        """on_read(path, picture), on_begun(path) and on_made(path, result) tell how far each file is.

        on_place(before) tells how many are to have the model before the next picture's turn, at last none.
        """
        self._shared, self._overrides, self._stop = shared, overrides, stop
        self._on_read, self._on_begun, self._on_made, self._on_place = on_read, on_begun, on_made, on_place
        first = shared.get(stop)
        self._first = weakref.ref(first)
        self._identity = first.with_settings(**overrides).identity()
        self._paths: dict[int, Path] = {}  # of pictures that were read and not yet upscaled

    def identity(self) -> Mapping[str, Any]:
        return self._identity

    def read(self, path: Path, tolerant: bool) -> Picture:
        picture = self._sampler().read(path, tolerant)
        self._paths[id(picture)] = path
        self._on_read(path, picture)
        return picture

    def output_size(self, picture: Picture) -> tuple[int, int]:
        return self._sampler().output_size(picture)

    def is_huge(self, picture: Picture) -> bool:
        return self._sampler().is_huge(picture)

    def upscaled(self, picture: Picture, on_tile: Callable[[int, int, np.ndarray], None]) -> Upscaled:
        path = self._paths.pop(id(picture))

        def leave_if_stopped() -> None:
            if self._shared.closing.is_set():
                self._stop.set()
            if self._stop.is_set():
                raise Stopped

        def on_tile_while_open(done: int, total: int, preview: np.ndarray) -> None:
            leave_if_stopped()
            on_tile(done, total, preview)

        try:
            with self._shared.turn(self._stop, self._on_place):
                self._on_place(0)
                self._on_begun(path)
                start = time.perf_counter()
                with stoppable(leave_if_stopped):
                    result = self._sampler().upscaled(picture, on_tile_while_open)
                self._shared.note_rate(work(result.plan), time.perf_counter() - start)
        except Cancelled:
            self._stop.set()  # for the job's other threads
            raise Stopped from None
        self._on_made(path, result.picture)
        return result

    def _sampler(self) -> InvSamplerSR:
        try:
            sampler = self._shared.get(self._stop)
        except Cancelled:  # another model is being loaded, and nobody waits for it here any more
            raise Stopped from None
        if sampler is not self._first():
            raise ModelChanged
        return sampler.with_settings(**self._overrides)
