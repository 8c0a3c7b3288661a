"""What a visitor's batch is: where its pictures come from, where its results go, and what has become of every file."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from utils.jobs.inputs import Inputs, find_inputs
from utils.jobs.report import Row, summarised, write_report
from utils.page.batch_running import BatchFile, BatchRun
from utils.page.describing import duration
from utils.page.figures import unbroken
from utils.page.sessions import Sessions
from utils.page.upload_tree import MOST_FILES, UploadTree
from utils.pictures.formats import READABLE
from utils.pictures.reading import picture_size
from utils.planning.errors import UserError

_NOT_REACHED = "Not done, for the batch was stopped before."


@dataclass
class Batch:
    """folder: of this visitor, holds all that is kept of the batch. files, inputs: what `look` found, by names relative to `root`.

    source: a folder of this computer to be done instead of the uploads. results: where they go instead of into `folder`. run: the last go at it.
    receiving: to be held while files are put in, looked at or judged, for the next ones may come meanwhile.
    """

    folder: Path
    uploads: UploadTree
    source: Path | None = None
    results: Path | None = None
    files: dict[PurePosixPath, BatchFile] = field(default_factory=dict)
    inputs: Inputs | None = None
    run: BatchRun | None = None
    receiving: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def within(cls, folder: Path) -> Batch:
        """A batch without files, in an empty folder."""
        batch = cls(folder, UploadTree(folder / "in"))
        batch.thumbnails.mkdir()
        return batch

    @property
    def thumbnails(self) -> Path:
        return self.folder / "thumbnails"

    @property
    def root(self) -> Path:
        """The folder of the pictures."""
        return self.source or self.uploads.root

    @property
    def out_folder(self) -> Path:
        """The folder of the results; another one where names are relative to another folder, so that no result stands in the way of one."""
        return self.results or self.folder / ("out" if self.root == self.uploads.folder else "out-of-folder")

    @property
    def title(self) -> str:
        """What the whole is called: as the chosen folder, if there is one."""
        return "batch" if self.root == self.uploads.folder else self.root.name

    @property
    def is_running(self) -> bool:
        """Whether it is being done, or its results are put together. A run that nobody follows any more goes on to its next tiles."""
        return self.run is not None and (self.run.is_followed or not self.run.ended.is_set())

    def check_idle(self) -> None:
        """UserError while it is being done: with other files, names would be relative to another folder, and results would go into another one."""
        if self.is_running:
            raise UserError("The batch is being done; choose these files again when it has ended.")

    def look(self) -> Inputs:
        """The pictures that are there now, and `files` accordingly; what is known of a file is kept. UserError if there is no picture."""
        known = {file.path: file for file in self.files.values()}
        self.files, self.inputs, others = {}, None, set[PurePosixPath]()
        if self.source is None:
            top = self.uploads.root.relative_to(self.uploads.folder)
            others = {name.relative_to(top) for name in self.uploads.names}
        try:
            inputs = find_inputs(self.root, self.out_folder, recursive=True)
        except UserError:
            self._list(sorted(others), Inputs(self.root, ()), {})
            if self.source is None:
                raise UserError(f"There is no picture among these files; this page takes {', '.join(READABLE[:-1])} and {READABLE[-1]}.") from None
            raise
        self._list(sorted({*inputs.names, *others}), inputs, known)
        self.inputs = inputs
        return inputs

    def report(self) -> None:
        """Write report.json and report.csv of what has become of the files, in words for the visitor, into the folder of the results."""
        rows = [
            Row(file.path, None, "failed", 0.0, file.message if file.status == "refused" else _NOT_REACHED)
            if file.is_ahead
            else Row(file.path, file.output, file.status, file.seconds, file.message)
            for file in self.pictures
        ]
        stopped = _NOT_REACHED if self.files_left else ""
        write_report(rows, summarised(rows, sum(row.seconds for row in rows), stopped), self.root, self.out_folder)

    @property
    def pictures(self) -> list[BatchFile]:
        return [file for file in self.files.values() if file.status != "left out"]

    @property
    def results_made(self) -> list[BatchFile]:
        return [file for file in self.pictures if file.status in ("done", "skipped")]

    @property
    def files_left(self) -> int:
        """How many wait for another go that may do them."""
        return self._number("waiting")

    def found(self) -> str:
        """What there is to do, in a sentence or two."""
        pictures, sizes = self.pictures, [file.size for file in self.pictures if file.size]
        words = f"{_counted(len(pictures), 'picture')}"
        if sizes and len(sizes) == len(pictures):
            words += ", " + unbroken(f"{max(sum(h * w for h, w in sizes) / 1e6, 0.1):.1f} megapixels")
        return words + "." + self._left_out()

    def became(self, seconds: float) -> str:
        """What has been done in that time, in sentences."""
        words = f"{'Stopped: ' if self.files_left else ''}{len(self.results_made)} of {_counted(len(self.pictures), 'picture')} done"
        for status, what in (("failed", "failed"), ("refused", "cannot be done")):
            words += f", {number} {what}" if (number := self._number(status)) else ""
        words += f", in {unbroken(duration(seconds))}."
        if self.files_left:
            words += f" Resume does the other {self.files_left}." if self.results_made else " Resume goes on."
        return words + self._left_out()

    def _number(self, status: str) -> int:
        return sum(file.status == status for file in self.pictures)

    def _left_out(self) -> str:
        number = len(self.files) - len(self.pictures)
        if not number:
            return ""
        return " 1 file is not a picture and is left out." if number == 1 else f" {number} files are not pictures and are left out."

    def _list(self, names: Sequence[PurePosixPath], inputs: Inputs, known: dict[Path, BatchFile]) -> None:
        pictures = set(inputs.names)
        for name in names:
            path = self.root / name
            file = self.files[name] = known.get(path) or BatchFile(name, path)
            file.name = name
            if name not in pictures:
                file.status, file.message = "left out", "This is not a picture."
            elif name not in inputs.refused and file.size is None and len(self.files) <= MOST_FILES:
                with contextlib.suppress(UserError):  # said when its turn comes
                    file.size = picture_size(path)


class Batches:
    """The batch that each session works with: the same one for events of a browser that come at the same time, or not in their order."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._batches: dict[str, list[Batch]] = {}  # the one it works with is the last
        self._lock = threading.Lock()

    def get(self, session_id: str) -> Batch | None:
        """The session's batch, as long as its files are kept."""
        return next(reversed(self._kept(session_id)), None)

    @contextlib.contextmanager
    def kept(self, session_id: str, batch: Batch) -> Iterator[None]:
        """To write into the batch's folder. UserError, and nothing is left of it, if the session's batch is another one by then, or none."""
        try:
            yield
        finally:
            if self.get(session_id) is not batch:
                self._sessions.drop_folder(session_id, batch.folder)
                raise UserError("These files are not kept any more; choose them again.")

    def of(self, session_id: str, source: Path | None = None, results: Path | None = None) -> Batch:
        """The session's batch of these folders, or of uploads: the one that there is, also if another one was named since, or a new one.

        UserError while another one is being done.
        """
        with self._lock:
            kept = self._kept(session_id)
            batch = next((batch for batch in kept if (batch.source, batch.results) == (source, results)), None)
            if kept and kept[-1] is not batch:
                kept[-1].check_idle()
            if batch is None:
                batch = Batch.within(self._sessions.new_folder(session_id))
                batch.source, batch.results = source, results
            self._batches = {key: found for key in self._batches if (found := self._kept(key))}
            self._batches[session_id] = [*(other for other in kept if other is not batch), batch]
            return batch

    def _kept(self, session_id: str) -> list[Batch]:
        """The session's batches whose files are kept."""
        return [batch for batch in self._batches.get(session_id, []) if self._sessions.keeps(session_id, batch.folder)]


def _counted(number: int, what: str) -> str:
    return unbroken(f"{number} {what}{'' if number == 1 else 's'}")
