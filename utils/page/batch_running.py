"""A batch behind the page: the job engine in a thread of its own, taking turns with other visitors from picture to picture."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from utils.jobs.inputs import Inputs
from utils.jobs.job import STOPPED, Job, Watcher
from utils.jobs.options import JobOptions
from utils.jobs.pipeline import Stopped
from utils.page.display import thumbnail
from utils.page.errors import explained, in_labels
from utils.page.shared_sampler import SharedSampler
from utils.page.turn_taker import ModelChanged, TurnTaker
from utils.page.turns import Cancelled
from utils.pictures.reading import picture_size
from utils.planning.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from utils.jobs.report import Row, Summary
    from utils.pictures.picture import Picture

_MODEL_CHANGED = "The model was changed meanwhile; Resume does the rest with the new one."


@dataclass
class BatchFile:
    """A file of a batch and what has become of it.

    status: waiting, refused (waiting, and foreseen to fail), working, done, failed, skipped (done before and unchanged) or left out (no picture).
    size, result_size: (h, w), the latter as foreseen while the file waits. part: of its tiles, in [0,1]. message: sentences for the visitor, as
    foreseen while the file waits. failed_with: the hash of the settings with which it last failed. thumbnail: a small copy, of the result when it is
    there.
    """

    name: PurePosixPath
    path: Path
    status: str = "waiting"
    size: tuple[int, int] | None = None
    result_size: tuple[int, int] | None = None
    part: float = 0.0
    seconds: float = 0.0
    message: str = ""
    failed_with: str = ""
    output: Path | None = None
    thumbnail: Path | None = None

    @property
    def is_ahead(self) -> bool:
        """Whether its turn has not come."""
        return self.status in ("waiting", "refused")


class BatchRun:
    """One go at a batch. `thumbnails` is a folder in the one that holds all of the batch for the visitor.

    is_followed: whether somebody waits for its end, to put its results together. begun: when it had the model, or None. before: how many others have
    the model before the next picture. message: why it ended early, for the visitor, or empty. changes: counts whatever is to be seen.
    """

    def __init__(
        self,
        shared: SharedSampler,
        inputs: Inputs,
        out_folder: Path,
        files: Mapping[PurePosixPath, BatchFile],
        thumbnails: Path,
        stop: threading.Event,
    ) -> None:
        """files: by their names, those of the inputs at least; they are told of what becomes of them, and keep it for the next go."""
        self._shared, self._inputs, self._out_folder, self._thumbnails, self._stop = shared, inputs, out_folder, thumbnails, stop
        self._files = {name: files[name] for name in inputs.names}
        self.ended = threading.Event()
        self.is_followed = True
        self.begun: float | None = None
        self.before = 0
        self.message = ""
        self.is_reported = True
        self.changes = 0
        self._settings_sha256 = ""
        for file in self._files.values():
            if not file.is_ahead:  # of the others stays known what was foreseen
                file.status, file.message = "waiting", ""
            file.part, file.output = 0.0, None

    def start(self, overrides: Mapping[str, Any], options: JobOptions, foresee: Callable[[], object] = lambda: None) -> None:
        """Begin; `ended` is set when it is over. Whatever is wrong is then said in `message`.

        foresee: called once the model is there, to tell the files what is foreseen of them.
        """
        self._shared.start_worker(self._run, overrides, options, foresee, name="batch")

    @property
    def settled(self) -> int:
        """How many files need nothing more."""
        return sum(not file.is_ahead and file.status != "working" for file in self._files.values())

    def seconds_left(self) -> float | None:
        """By the pixels that were done since the beginning, without those of refused files; None before the first tile."""
        known = [file.size[0] * file.size[1] for file in self._files.values() if file.size]
        usual = sum(known) / len(known) if known else 1.0
        done = left = 0.0
        for file in self._files.values():
            pixels = file.size[0] * file.size[1] if file.size else usual
            done += pixels * file.part if file.status in ("working", "done") else 0.0
            left += pixels * (1 - file.part) if file.status in ("working", "waiting") else 0.0
        return None if self.begun is None or not done else (time.monotonic() - self.begun) / done * left

    def _run(self, overrides: Mapping[str, Any], options: JobOptions, foresee: Callable[[], object]) -> None:
        try:
            upscaler = TurnTaker(self._shared, overrides, self._stop, self._on_read, self._on_begun, self._on_made, self._on_place)
            foresee()
            self.changes += 1
            self.begun = time.monotonic()
            job = Job(self._inputs, self._out_folder, upscaler, options)
            self._settings_sha256 = job.settings_sha256
            job.run(1, Watcher(self._on_tile, self._on_row, self._on_end, self._stop))
        except (Cancelled, Stopped):
            pass
        except ModelChanged:
            self.message = _MODEL_CHANGED
        except Exception as error:
            if self._thumbnails.exists():
                self.message = explained(error)
        for file in self._files.values():
            if file.status == "working":
                file.status, file.part = "waiting", 0.0
        if not self._thumbnails.exists():  # the visitor left: nobody is told, and what was written since would be nobody's
            shutil.rmtree(self._thumbnails.parent, ignore_errors=True)
        self.ended.set()

    def _file(self, path: Path) -> BatchFile:
        self.changes += 1
        return self._files[PurePosixPath(path.relative_to(self._inputs.root).as_posix())]

    def _on_read(self, path: Path, picture: Picture) -> None:
        file = self._file(path)
        file.size, file.thumbnail = picture.size, file.thumbnail or thumbnail(picture, self._thumbnails)

    def _on_begun(self, path: Path) -> None:
        self._file(path).status = "working"

    def _on_made(self, path: Path, picture: Picture) -> None:
        file = self._file(path)
        file.result_size, file.thumbnail = picture.size, thumbnail(picture, self._thumbnails)

    def _on_place(self, before: int) -> None:
        self.before = before

    def _on_tile(self, path: Path, done: int, total: int, preview: np.ndarray) -> None:
        self._file(path).part = done / total

    def _on_row(self, row: Row) -> None:
        file = self._file(row.input)
        file.status, file.part, file.output = row.status, 1.0, row.output
        if row.status != "skipped":
            file.seconds = row.seconds
        elif row.output:
            with contextlib.suppress(UserError):
                file.result_size = picture_size(row.output)
        if row.status == "failed":
            file.message, file.failed_with = explained(UserError(row.message)), self._settings_sha256
        else:
            file.message = in_labels(row.message)

    def _on_end(self, summary: Summary) -> None:
        self.is_reported = not summary.unreported
        reasons = (summary.stopped if summary.stopped != STOPPED else "", summary.unreported)
        if any(reasons):
            self.message = explained(UserError(" ".join(filter(None, reasons))))
