"""The one download of a model that may be under way, and how it stands; it goes on when the visitor who began it leaves."""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from utils.models.downloading import fetch
from utils.models.model_files import PROJECT, PublishedPart
from utils.page.errors import explained
from utils.page.turns import Cancelled
from utils.planning.errors import UserError

LOG = logging.getLogger("invsr.page")
_SPEED_OVER = 5.0  # seconds
_PIECES = 4096  # the most reports that are remembered for it


@dataclass(frozen=True)
class Progress:
    """How the download of the model `name` stands.

    part: what is being fetched, and which of how many parts it is. done, total: bytes of that part; total is 0 before the hub has answered.
    speed: bytes in a second, None while unknown. reason: why it failed.
    """

    name: str
    phase: Literal["running", "stopping", "stopped", "failed"]
    part: str = ""
    done: int = 0
    total: int = 0
    speed: float | None = None
    reason: str = ""

    @property
    def is_under_way(self) -> bool:
        return self.phase in ("running", "stopping")


class ModelDownload:
    """`progress` is of the download under way, or of one that did not come to its end; None if there is nothing to say."""

    def __init__(self) -> None:
        self.progress: Progress | None = None
        self._stop = threading.Event()
        self._lock = threading.Lock()

    def start(self, name: str, parts: Sequence[PublishedPart]) -> None:
        """Begin to fetch what is missing of the parts, in the background. UserError while another download is under way."""
        with self._lock:
            if self.progress and self.progress.is_under_way:
                raise UserError(f"{self.progress.name} is being downloaded; wait until it is there, or cancel that.")
            self.progress = Progress(name, "running")
            self._stop.clear()
        threading.Thread(target=self._run, args=(name, parts), name="downloading", daemon=True).start()

    def cancel(self) -> None:
        """End it at the next piece; what has arrived is kept, and the next download goes on from there."""
        with self._lock:
            if self.progress and self.progress.phase == "running":
                self.progress = replace(self.progress, phase="stopping")
                self._stop.set()

    def _run(self, name: str, parts: Sequence[PublishedPart]) -> None:
        try:
            lacking = [part for part in parts if part.missing()]
            for number, part in enumerate(lacking, 1):
                self._fetch(part, f"{part.remote.repo_id} ({number} of {len(lacking)})")
            ended = None
        except Cancelled:
            ended = Progress(name, "stopped")
        except UserError as error:
            ended = Progress(name, "failed", reason=explained(UserError(str(error).replace(f"{PROJECT}{os.sep}", ""))))
        except Exception as error:  # whatever it is, the page must not say "downloading" for ever
            ended = Progress(name, "failed", reason=explained(error))
        with self._lock:
            self.progress = ended

    def _fetch(self, part: PublishedPart, words: str) -> None:
        reports: deque[tuple[float, int]] = deque(maxlen=_PIECES)

        def on_progress(done: int, total: int) -> None:
            if self._stop.is_set():
                raise Cancelled
            reports.append((time.monotonic(), done))
            while reports[-1][0] - reports[0][0] > _SPEED_OVER:
                reports.popleft()
            with self._lock:
                if self.progress:
                    self.progress = replace(self.progress, part=words, done=done, total=total, speed=_speed(reports))

        if self._stop.is_set():
            raise Cancelled
        fetch(part.remote, part.folder, LOG.info, on_progress)


def _speed(reports: Sequence[tuple[float, int]]) -> float | None:
    (start, first), (end, last) = reports[0], reports[-1]
    return (last - first) / (end - start) if end - start > 0.1 else None
