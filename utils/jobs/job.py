"""A job: the pictures of a folder, one after another from file to result, none of them stopping the rest. One engine for every entrance."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

from utils.jobs.fingerprints import data_hash, file_hash, input_hash
from utils.jobs.inputs import Inputs
from utils.jobs.interrupts import interrupts_set
from utils.jobs.manifest import Entry, Manifest
from utils.jobs.naming import folded, name_outputs, possible_names
from utils.jobs.options import JobOptions
from utils.jobs.output_folder import is_disk_full, make_folder
from utils.jobs.pipeline import Stopped, pipelined
from utils.jobs.report import NOT_REACHED, Row, Summary, check_report, summarised, write_report
from utils.models.stopping import stoppable
from utils.pictures.encoding import check_transparency
from utils.pictures.file_state import FileState, file_state
from utils.pictures.writing import check_target, save
from utils.planning.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from utils.pictures.picture import Picture
    from utils.planning.plan import Plan

STOPPED = "It was stopped."
GO_ON = "The same command again goes on from there."


@dataclass(frozen=True)
class Upscaled:
    """A result before it is written; `texts` say how it was made."""

    picture: Picture
    plan: Plan
    texts: Mapping[str, str]


class Upscaler(Protocol):
    """What a job needs of a sampler."""

    def read(self, path: Path, tolerant: bool) -> Picture: ...
    def is_huge(self, picture: Picture) -> bool:
        """Whether no other result like that of this picture should be in memory at the same time."""
        ...

    def output_size(self, picture: Picture) -> tuple[int, int]:
        """(h, w) of the result."""
        ...

    def upscaled(self, picture: Picture, on_tile: Callable[[int, int, np.ndarray], None]) -> Upscaled: ...
    def identity(self) -> Mapping[str, Any]:
        """All that decides a result beside the picture, as plain data, with at least `model` and `seed`."""
        ...


@dataclass(frozen=True)
class Watcher:
    """How a job is followed and ended from outside; whatever a function raises ends it too, and is raised by `Job.run`.

    on_tile(input, done, total, preview): after every tile batch, in the thread that computes. on_row(row): after every file. on_end(summary): when
    there are no more. stop: set it to end the job at once, as Ctrl-C does. What is finished is kept each time.
    """

    on_tile: Callable[[Path, int, int, np.ndarray], None] = lambda path, done, total, preview: None
    on_row: Callable[[Row], None] = lambda row: None
    on_end: Callable[[Summary], None] = lambda summary: None
    stop: Event = field(default_factory=Event)

    def telling_too(self, on_progress: Callable[[int, int, np.ndarray], None] | None) -> Watcher:
        """A watcher that also tells `on_progress` of tiles, of whichever file."""
        if on_progress is None:
            return self

        def on_tile(path: Path, done: int, total: int, preview: np.ndarray) -> None:
            self.on_tile(path, done, total, preview)
            on_progress(done, total, preview)

        return replace(self, on_tile=on_tile)


@dataclass
class _Work:
    """A file on its way, and what is known of it so far."""

    name: PurePosixPath
    path: Path
    seconds: float = 0.0
    input_sha256: str = ""
    target: PurePosixPath | None = None
    picture: Picture | None = None
    upscaled: Upscaled | None = None
    entry: Entry | None = None  # as soon as it is settled
    skipped: bool = False


class Job:
    """Decides what is done with every file, does it, and writes down what was done."""

    def __init__(self, inputs: Inputs, out_folder: Path, upscaler: Upscaler, options: JobOptions) -> None:
        """Nothing is written before `run`. UserError for a part of a single picture, and where the manifest in `out_folder` cannot be read, or where
        that or the report is something else.
        """
        if inputs.alone and options.shard != (1, 1):
            raise UserError("A single picture has no parts; leave out --shard, or name its folder.")
        if not inputs.alone and not options.overwrite:
            check_report(out_folder)
        self.inputs, self.out_folder, self.options = inputs, out_folder, options
        self.outputs = name_outputs(inputs.names, options.suffix)
        self.manifest = Manifest(out_folder)
        self._upscaler = upscaler
        self._taken = {folded(output) for output in self.outputs.values()}
        self._root = data_hash({"root": str(inputs.root.resolve())})
        self._rows: dict[PurePosixPath, Row] = {}
        self.names = options.part_of(inputs.names)

    # ---- the whole ----

    def run(self, at_once: int = 1, watcher: Watcher | None = None) -> list[Row]:
        """Read ahead, compute `at_once` pictures together, write behind; rows in the order of the names.

        A file that cannot be used fails alone, and its row says why; a full disk ends the job, with rows that say so. The job of a single picture
        raises UserError instead, and writes no report. UserError too if the folder of results cannot be used. Ctrl-C sets the watcher's `stop`, and
        KeyboardInterrupt is raised when everything is noted.
        """
        watcher = watcher or Watcher()
        with interrupts_set(watcher.stop):
            return self._run(at_once, watcher)

    def _run(self, at_once: int, watcher: Watcher) -> list[Row]:
        start = time.perf_counter()
        if not self.inputs.alone or self.manifest.path.exists():  # one picture that fails leaves nothing behind
            self._open_manifest()
        stopped = STOPPED
        try:
            with closing(self._rows_as_they_finish(at_once, watcher)) as rows:
                for row in rows:
                    watcher.on_row(row)
            stopped = STOPPED if len(self._rows) < len(self.names) else ""
        except UserError as error:
            if self.inputs.alone:
                self.manifest.discard_if_new()
                raise
            stopped = str(error)
        finally:
            summary = self._finish(stopped, start)
            self.manifest.close()
        watcher.on_end(summary)
        return self._sorted_rows()

    def _rows_as_they_finish(self, at_once: int, watcher: Watcher) -> Generator[Row]:
        stop = watcher.stop

        def leave_if_stopped() -> None:
            if stop.is_set():
                raise Stopped

        def compute(work: _Work) -> _Work:
            def on_tile(done: int, total: int, preview: np.ndarray) -> None:
                leave_if_stopped()
                try:
                    watcher.on_tile(work.path, done, total, preview)
                except BaseException as error:
                    raise _Cancelled from error

            with stoppable(leave_if_stopped):
                return self._step(work, lambda work: self._compute(work, on_tile))

        try:
            yield from pipelined(self.names, self._read_step, compute, self._write_step, at_once, stop, self._is_huge)
        except _Cancelled as cancelled:
            assert cancelled.__cause__ is not None
            raise cancelled.__cause__ from None

    def _finish(self, stopped: str, start: float) -> Summary:
        """Rows for the files that were not reached, and the report."""
        for name in self.names:
            if name not in self._rows:
                self._rows[name] = Row(self.inputs.root / name, None, "failed", message=f"{NOT_REACHED}the job ended early: {stopped} {GO_ON}")
        summary = summarised(self._sorted_rows(), time.perf_counter() - start, stopped)
        if not self.inputs.alone:
            try:
                self._write_report(summary)
            except UserError as error:
                summary = replace(summary, unreported=str(error))
        return summary

    def _write_report(self, summary: Summary) -> None:
        """Of all files of the folder of which something is known, also from those who do other parts of it at the same time."""
        while True:
            size = self.manifest.size()
            rows = {**self._rows_of_others(), **self._rows}
            ordered = [rows[name] for name in self.inputs.names if name in rows]
            write_report(ordered, summarised(ordered, summary.seconds, summary.stopped), self.inputs.root, self.out_folder)
            if self.options.shard == (1, 1) or self.manifest.size() == size:
                return

    def _rows_of_others(self) -> dict[PurePosixPath, Row]:
        if self.options.shard == (1, 1):
            return {}
        latest = {entry.input: entry for entry in self.manifest.entries() if entry.root == self._root and entry.status != "started"}
        others = set(self.inputs.names) - set(self.names)
        return {name: self._row(name, latest[str(name)]) for name in others if str(name) in latest}

    def _sorted_rows(self) -> list[Row]:
        return [self._rows[name] for name in self.names]

    # ---- one file, step by step ----

    def _read_step(self, name: PurePosixPath) -> _Work:
        return self._step(_Work(name, self.inputs.root / name), self._read)

    def _write_step(self, work: _Work) -> Row:
        try:
            self._step(work, self._write)
        except Exception:  # whatever it is, it goes on up; the manifest only hears of it first
            if self.manifest.is_open:
                with suppress(UserError):
                    self.manifest.append(self._entry(work, "failed"))
            raise
        row = self._row(work.name, self._settled(work))
        self._rows[work.name] = row
        return row

    def _step(self, work: _Work, action: Callable[[_Work], None]) -> _Work:
        """The action on a file that is not settled yet; a failure settles it."""
        if work.entry is not None:
            return work
        start = time.perf_counter()
        try:
            action(work)
        except Exception as error:
            if self.inputs.alone or is_disk_full(error):
                raise
            unforeseen = f"{work.name} failed in a way that was not foreseen ({type(error).__name__}: {error}); please report it."
            work.picture = work.upscaled = None
            work.entry = self._entry(work, "failed", str(error) if isinstance(error, UserError) else " ".join(unforeseen.split()))
        work.seconds += time.perf_counter() - start
        return work

    def _read(self, work: _Work) -> None:
        """Settle a file that is done and unchanged; of others, decide the name of the result and decode the picture."""
        if work.name in self.inputs.refused:
            raise UserError(self.inputs.refused[work.name])
        before = file_state(work.path)
        work.input_sha256 = input_hash(work.path, before)
        work.target, claim = self.choose_target(work.name, work.input_sha256)
        if self.is_unchanged(claim, work.input_sha256):
            work.entry, work.skipped = claim, True
            return
        self.check_replaceable(work.target)
        self.manifest.claim(self._entry(work, "started"))
        picture = self._read_unchanged(work, before)
        self.options.kind.check_size(self._upscaler.output_size(picture))  # before any time is spent on what could not be written
        check_transparency(picture, self.options.kind)
        work.picture = picture

    def _is_huge(self, work: _Work) -> bool:
        return work.picture is not None and self._upscaler.is_huge(work.picture)

    def _compute(self, work: _Work, on_tile: Callable[[int, int, np.ndarray], None]) -> None:
        assert work.picture is not None
        picture, work.picture = work.picture, None
        work.upscaled = self._upscaler.upscaled(picture, on_tile)

    def _write(self, work: _Work) -> None:
        assert work.upscaled is not None and work.target is not None
        upscaled, work.upscaled, parent = work.upscaled, None, (self.out_folder / work.target).parent
        if not parent.resolve().is_relative_to(self.out_folder.resolve()):
            raise UserError(f"{parent} is a link that leads out of the folder for the results; remove it.")
        make_folder(parent)
        target = self.out_folder / self._claimed(work)
        sha256 = ""

        def note(whole: Path) -> None:
            """What is about to get the result's name, so that it is known for ours even if that is the last that is done."""
            nonlocal sha256
            sha256 = file_hash(whole)
            self.manifest.append(replace(self._entry(work, "started"), output_sha256=sha256))

        replaceable = self.check_replaceable(work.target) or self.options.overwrite
        notes = save(upscaled.picture, target, upscaled.texts, keep_metadata=self.options.keep_metadata, overwrite=replaceable, before_naming=note)
        done = self._entry(work, "done", " ".join((*upscaled.picture.notes, *notes)))
        work.entry = replace(done, output_sha256=sha256, tiles=upscaled.plan.tile_count)

    def _claimed(self, work: _Work) -> PurePosixPath:
        """The target, noted before anything is written, so that others leave its name."""
        assert work.target is not None
        if not self.manifest.is_open:
            self._open_manifest()
        self.manifest.append(self._entry(work, "started"))
        while self._shares_folder:  # the line that came first counts
            self.manifest.reload_name(work.target)
            if self._is_free(work.target, work.name, work.input_sha256):
                break
            work.target, _ = self.choose_target(work.name, work.input_sha256)
            self.manifest.append(self._entry(work, "started"))
        return work.target

    def _settled(self, work: _Work) -> Entry:
        """What became of it, noted unless it was known."""
        entry = work.entry
        assert entry is not None
        if work.skipped:
            return replace(entry, seconds=work.seconds, status="skipped")
        entry = replace(entry, seconds=round(work.seconds, 3))
        self.manifest.append(entry)
        return entry

    # ---- decisions on files ----

    def choose_target(self, name: PurePosixPath, input_sha256: str) -> tuple[PurePosixPath, Entry | None]:
        """The first name for the result that is not that of another input, and what is noted of the result that has it.

        UserError if the result of a file would take its own place.
        """
        primary, path = self.outputs[name], self.inputs.root / name
        if (self.out_folder / primary).exists() and (self.out_folder / primary).samefile(path):
            raise UserError(f"The result of {path} would take its place; name another folder for the results.")
        if self._is_free(primary, name, input_sha256):
            return primary, self.manifest.claimed(primary)
        others = (option for option in possible_names(name, self.options.suffix) if folded(option) not in self._taken)
        target = next(option for option in others if self._is_free(option, name, input_sha256))
        return target, self.manifest.claimed(target)

    def _is_free(self, output: PurePosixPath, name: PurePosixPath, input_sha256: str) -> bool:
        claim = self.manifest.claimed(output)
        return claim is None or claim.is_of(self._root, name, input_sha256)

    def is_unchanged(self, claim: Entry | None, input_sha256: str) -> bool:
        """Whether the result that is there is the one that would be made again."""
        if claim is None or (claim.status, claim.input_sha256, claim.settings_sha256) != ("done", input_sha256, self.settings_sha256):
            return False
        target = self.out_folder / claim.output
        return target.is_file() and file_hash(target) == claim.output_sha256

    def check_replaceable(self, output: PurePosixPath) -> bool:
        """Whether what may be at the target is known to be an earlier result, as it was made. UserError for anything that must be spared."""
        target, known = self.out_folder / output, self.manifest.results(output)
        if not known:
            check_target(target, overwrite=self.options.overwrite)
            return False
        if target.exists() and not self.options.overwrite and file_hash(target) not in known:
            raise UserError(f"{target} was changed after it was made and is not replaced; move it away, or allow it with --overwrite.")
        return True

    def _read_unchanged(self, work: _Work, before: FileState) -> Picture:
        """The decoded picture; UserError if its file was written to meanwhile."""
        try:
            picture = self._upscaler.read(work.path, self.options.tolerant)
        except UserError:
            if file_state(work.path) == before:
                raise
            picture = None
        if picture is None or file_state(work.path) != before:
            raise UserError(f"{work.path.name} was changed while it was read; run again when it is complete.")
        return picture

    # ---- what is noted ----

    @cached_property
    def _identity(self) -> Mapping[str, Any]:
        return self._upscaler.identity()

    @cached_property
    def settings_sha256(self) -> str:
        """Of all that decides a result beside the picture."""
        return data_hash({**self._identity, **self.options.deciding()})

    @property
    def _shares_folder(self) -> bool:
        """Whether others may write results into the folder at the same time: single pictures, and parts of a job."""
        return self.inputs.alone or self.options.shard != (1, 1)

    def _open_manifest(self) -> None:
        folders = {self.out_folder, *((self.out_folder / output).parent for output in self.outputs.values())}
        self.manifest.open(shared=self._shares_folder, folders=folders)

    def _entry(self, work: _Work, status: str, message: str = "") -> Entry:
        target = "" if work.target is None else str(work.target)
        model, seed = self._identity["model"], self._identity["seed"]
        return Entry(self._root, str(work.name), status, self.settings_sha256, model, seed, work.input_sha256, target, message=message)

    def _row(self, name: PurePosixPath, entry: Entry) -> Row:
        output = None if entry.status == "failed" else self.out_folder / entry.output
        return Row(self.inputs.root / name, output, entry.status, entry.seconds, entry.message)


class _Cancelled(BaseException):
    """Carries what a watcher raised past those who take an exception for a failure of the file."""
