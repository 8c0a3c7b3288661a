"""The tab for many pictures: choose them, upscale them one after another, take the results together."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from threading import Event
from typing import Any

import gradio as gr

from utils.jobs.naming import printable
from utils.jobs.options import JobOptions
from utils.jobs.report import REPORT_CSV, REPORT_JSON
from utils.page import markup
from utils.page.archive import pack
from utils.page.batch import Batch, Batches
from utils.page.batch_prospect import described, look_ahead
from utils.page.batch_running import BatchRun
from utils.page.batch_table import MOST_ROWS, table
from utils.page.clock import WAITING
from utils.page.describing import COMES_WITH_THE_MODEL, duration
from utils.page.drop_zone import drop_zone
from utils.page.errors import explained, foreseen, not_started
from utils.page.events import FOLLOWING, LIGHT, Updates, stop_on, stopped
from utils.page.figures import unbroken
from utils.page.server_folders import ServerFolders
from utils.page.sessions import BATCH, Sessions, session_of
from utils.page.settings_form import SettingsForm
from utils.page.shared_sampler import SharedSampler
from utils.page.upload_tree import Upload, received
from utils.pictures.formats import OUTPUT_FORMATS, format_named
from utils.planning.errors import UserError

_EMPTY = "The files are listed here, and each row tells what becomes of its file."
_CUT_OFF = "Stopped, for the connection was cut. What is done is kept."
_PULSE = 0.3  # seconds between two looks at a batch
_TABLE_PULSE = 1.0  # seconds between two tables while no file is finished
_MOST_BATCHES = 8  # that go on side by side; they take turns with the model
_UPLOADS, _SERVER = "My files", "A folder of the server"


class BatchTab:
    """Components of the tab, to be made where it is to appear. `connect` adds the events, once the form exists as well."""

    def __init__(self, shared: SharedSampler, sessions: Sessions, folders: ServerFolders) -> None:
        self._shared, self._sessions, self._folders = shared, sessions, folders
        self._uploads_root = Path(gr.utils.get_upload_folder())
        self._batches = Batches(sessions)  # not in the browser's state, of which two events at the same time have one each
        with gr.Row():
            with gr.Column(scale=3, min_width=270):
                self._from = gr.Radio([_UPLOADS, _SERVER], value=_UPLOADS, label="From", visible=bool(folders), elem_id="batch-from")
                self._zone = drop_zone("batch-drop")
                with gr.Column(visible=False, elem_id="batch-server") as self._server:
                    self._source = gr.Textbox(label="Folder of pictures", info="With its subfolders", elem_id="batch-source")
                    self._results = gr.Textbox(
                        label="Folder for the results",
                        info="The same folder again goes on with what is left. Empty: the results are for download only",
                        elem_id="batch-results",
                    )
                self._about = gr.HTML(elem_id="batch-about")
                self._prospect = gr.HTML(elem_id="batch-prospect")
                self._format = gr.Radio([kind.name for kind in OUTPUT_FORMATS], value="PNG", label="File format", elem_id="batch-format")
                self._process = gr.Button("Process", variant="primary", interactive=False, elem_id="batch-process")
                self._cancel = gr.Button("Cancel", variant="stop", visible=False, elem_id="batch-cancel")
                self._clear = gr.Button("Clear", size="md", visible=False, elem_id="batch-clear")
            with gr.Column(scale=7, min_width=320):
                self._status = gr.HTML(markup.empty(_EMPTY), elem_id="batch-status")
                self._download = gr.DownloadButton("Download", variant="primary", visible=False, elem_id="batch-download")
                self._gallery = gr.Gallery(
                    label="Small copies of the results",
                    show_label=False,
                    visible=False,
                    interactive=False,
                    columns=4,
                    height="auto",
                    object_fit="contain",
                    buttons=["fullscreen"],
                    elem_id="batch-gallery",
                )
                self._table = gr.HTML(elem_id="batch-table")

    def connect(self, form: SettingsForm) -> None:
        """Wire the events."""
        self._form = form
        places = [self._from, self._source, self._results]
        sources = [self._zone, self._server]
        results = [self._status, self._table, self._gallery, self._download]
        controls = [self._process, self._cancel, self._clear, self._format, *places, *sources]
        listed = [self._about, self._prospect, *results, *controls]

        self._zone.input(self._own, None, None, trigger_mode="multiple", **LIGHT)
        chosen = [self._zone.upload(self._receive, None, listed, trigger_mode="multiple", **LIGHT)]  # none may get lost
        named = [self._source.submit, self._source.blur, self._results.submit, self._results.blur]
        chosen.append(gr.on(named, self._name_folder, places, listed, **FOLLOWING))
        gr.on([self._from.input, self._clear.click], self._forget, self._from, listed, **FOLLOWING)
        run = self._process.click(self._begin, None, [self._status, *controls], **LIGHT).then(
            self._run,
            [*places, self._format, *form.inputs],
            results,
            api_visibility="private",
            concurrency_limit=_MOST_BATCHES,
            concurrency_id="batch",
            show_progress="minimal",
            show_progress_on=self._status,
        )
        run.failure(self._explain_no_run, self._from, [self._status, *controls], **LIGHT)
        ended = run.then(self._end, self._from, controls, **LIGHT)
        for event in (*chosen, ended, form.changed):
            self.describe_after(event)
        self._format.change(**self._describing, **FOLLOWING)
        stop_on(self._cancel, self._stop, self._status)

    def describe_after(self, event: Any) -> None:
        """Say again what comes out, after an event that may change it."""
        event.then(**self._describing, **FOLLOWING)

    @property
    def _describing(self) -> dict[str, Any]:
        return {
            "fn": self._describe,
            "inputs": [self._format, *self._form.inputs],
            "outputs": [self._prospect, self._table, self._process],
        }

    # ---- choosing ----

    def _own(self, event: gr.EventData, request: gr.Request) -> None:
        """Have what has arrived so far deleted with the session, which may end before all is there."""
        with contextlib.suppress(UserError):  # said of all files, when they are there
            self._taken(session_of(request, BATCH), event.files)

    def _taken(self, key: str, files: Any) -> list[Upload]:
        uploads = received(files, self._uploads_root)
        for upload in uploads:
            self._sessions.own_upload(key, upload.path)
        return uploads

    def _receive(self, event: gr.EventData, request: gr.Request) -> Updates:
        key, notes = session_of(request, BATCH), _about_lost(event.lost)
        try:
            uploads = self._taken(key, event.files)
            batch = self._batches.of(key)
            with batch.receiving:
                batch.check_idle()
                with self._batches.kept(key, batch):
                    try:
                        batch.uploads.add(uploads)
                    except UserError as error:
                        notes.append(explained(error))
                return self._listed(batch, notes)
        except UserError as error:
            return {self._about: "".join(map(markup.error, [*notes, explained(error)]))}

    def _name_folder(self, request: gr.Request, place: str, source: str, results: str) -> Updates:
        if place != _SERVER or not source.strip():
            return {self._about: gr.skip()}
        before = self._batches.get(session_of(request, BATCH))
        try:
            named = self._of_server(request, source, results)
            if named is before:
                return {self._about: gr.skip()}
            with named.receiving:
                return {self._about: gr.skip()} if named.is_running else self._listed(named, [])
        except UserError as error:
            return {self._about: markup.error(explained(error)), self._table: ""}

    def _of_server(self, request: gr.Request, source: str, results: str) -> Batch:
        """The batch of these folders: the one that there is, or a new one."""
        pictures, target = self._folders.existing(source), self._folders.for_results(results) if results.strip() else None
        return self._batches.of(session_of(request, BATCH), pictures, target)

    def _listed(self, batch: Batch, notes: list[str]) -> Updates:
        """The files before they are worked on."""
        updates: Updates = {self._clear: gr.Button(visible=batch.source is None), self._process: gr.Button("Process", interactive=True)}
        about = "".join(map(markup.error, notes))
        if batch.uploads.names or batch.source:
            try:
                batch.look()
                about = markup.notice(batch.found()) + about
            except UserError as error:
                about, updates[self._process] = markup.error(explained(error)) + about, gr.Button(interactive=False)
        else:
            updates[self._process] = gr.Button(interactive=False)
        return {**updates, self._about: about, **self._shown(batch, "")}

    def _describe(self, request: gr.Request, file_format: str, *values: Any) -> Updates:
        """What the batch will do, once the model is there; nothing can be started that would only fail."""
        batch = self._batches.get(session_of(request, BATCH))
        if batch is None:
            return {self._prospect: ""}
        sampler = self._shared.get() if self._shared.state.phase == "ready" else None
        with batch.receiving:
            if batch.is_running:
                return {self._prospect: gr.skip()}
            if batch.inputs is None:
                return {self._prospect: ""}
            if sampler is None:
                return {self._prospect: markup.notice(COMES_WITH_THE_MODEL) if self._shared.state.phase == "loading" else ""}
            try:
                sampler = sampler.with_settings(**self._form.overrides(values))
                said = described(look_ahead(batch, sampler, _options(file_format)), self._shared.seconds_for)
            except Exception as error:
                return {self._prospect: markup.error(foreseen(error)), self._process: gr.Button(interactive=False)}
            return {self._prospect: said, self._table: table(list(batch.files.values()), batch.folder), self._process: gr.Button(interactive=True)}

    def _forget(self, request: gr.Request, place: str) -> Updates:
        self._sessions.leave(session_of(request, BATCH))
        return {
            self._about: "",
            self._prospect: "",
            self._status: markup.empty(_EMPTY),
            self._table: "",
            self._gallery: gr.Gallery(visible=False, value=None),
            self._download: gr.DownloadButton(visible=False),
            self._process: gr.Button("Process", interactive=place == _SERVER),
            self._clear: gr.Button(visible=False),
            **self._of_place(place),
        }

    def _of_place(self, place: str) -> Updates:
        return {self._zone: gr.HTML(visible=place == _UPLOADS), self._server: gr.Column(visible=place == _SERVER)}

    # ---- running ----

    def _begin(self, request: gr.Request) -> Updates:
        self._sessions.go_on(session_of(request, BATCH))
        return {
            self._process: gr.Button(visible=False),
            self._cancel: gr.Button(visible=True, interactive=True),
            self._clear: gr.Button(visible=False),
            self._zone: gr.HTML(visible=False),
            **{part: gr.update(interactive=False) for part in (self._from, self._source, self._results, self._format)},
            self._status: WAITING,
        }

    def _run(self, request: gr.Request, place: str, source: str, results: str, file_format: str, *values: Any) -> Iterator[Updates]:
        """A batch from waiting to its results; also when it is stopped, these are those that were done."""
        key = session_of(request, BATCH)
        stop, start, run = self._sessions.take_run(key), time.monotonic(), None
        if stop is None:  # begun twice at once
            yield {self._status: gr.skip()}
            return
        try:
            batch = self._of_server(request, source, results) if place == _SERVER else self._batches.get(key)
            if batch is None:
                raise UserError("The files are not kept any more; choose them again.")
            run = self._started(batch, stop, self._form.overrides(values), _options(file_format))
            yield self._shown(batch, WAITING)
            yield from self._followed(run, batch, key, stop)
            yield {self._status: markup.progress("Packing the results", None)}
            with self._batches.kept(key, batch):
                offered = self._offered(batch)
            yield {**self._shown(batch, self._said(run, batch, time.monotonic() - start)), **offered}
        except Exception as error:
            yield {self._status: markup.error(explained(error))}
        finally:
            stop.set()
            if run:
                run.is_followed = False

    def _started(self, batch: Batch, stop: Event, overrides: dict[str, Any], options: JobOptions) -> BatchRun:
        def foresee() -> None:
            sampler = self._shared.get(stop).with_settings(**overrides)
            with batch.receiving:
                look_ahead(batch, sampler, options)

        if batch.run:
            batch.run.ended.wait()  # it was stopped, but would still write the file that it was at
        with batch.receiving:
            run = BatchRun(self._shared, batch.look(), batch.out_folder, batch.files, batch.thumbnails, stop)
            run.start(overrides, options, foresee)
            batch.run = run
        return run

    def _followed(self, run: BatchRun, batch: Batch, key: str, stop: Event) -> Iterator[Updates]:
        seen, drawn, settled = -1, 0.0, 0
        while not run.ended.wait(_PULSE):
            if not stop.is_set():
                self._sessions.run_stop(key)  # so that the session counts as used
            updates: Updates = {self._status: markup.progress("Stopping", None) if stop.is_set() else _progress(run, batch)}
            if run.changes != seen and (run.settled != settled or time.monotonic() - drawn > _TABLE_PULSE):
                seen, drawn, settled = run.changes, time.monotonic(), run.settled
                updates[self._table] = table(list(batch.files.values()), batch.folder)
            yield updates

    def _said(self, run: BatchRun, batch: Batch, seconds: float) -> str:
        words = batch.became(seconds)
        if batch.results and batch.results_made:
            words += f" The results are in the folder that you named{', with a report' if run.is_reported else ''}."
        said = markup.success(words) if len(batch.results_made) == len(batch.pictures) else markup.notice(words)
        return said + (markup.error(run.message) if run.message else "")

    def _offered(self, batch: Batch) -> Updates:
        """The results to look at and to take."""
        made = batch.results_made
        if not made:
            return {self._gallery: gr.Gallery(visible=False), self._download: gr.DownloadButton(visible=False)}
        small = [
            (str(file.thumbnail), printable(file.output.relative_to(batch.out_folder).as_posix())) for file in made if file.thumbnail and file.output
        ]
        updates: Updates = {self._gallery: gr.Gallery(small[:MOST_ROWS], visible=bool(small))}
        if batch.results is None:
            batch.report()
            archive = batch.folder / f"{printable(batch.title)}-upscaled.zip"
            members = {file.output.relative_to(batch.out_folder).as_posix(): file.output for file in made if file.output}
            pack(members | {name: batch.out_folder / name for name in (REPORT_CSV, REPORT_JSON)}, archive)
            updates[self._download] = gr.DownloadButton(f"Download all {len(made)}" if len(made) > 1 else "Download", value=archive, visible=True)
        return updates

    def _shown(self, batch: Batch, status: str) -> Updates:
        """The table, and nothing of earlier results."""
        return {
            self._status: status or ("" if batch.files else markup.empty(_EMPTY)),
            self._table: table(list(batch.files.values()), batch.folder) if batch.files else "",
            self._gallery: gr.Gallery(visible=False),
            self._download: gr.DownloadButton(visible=False),
        }

    def _stop(self, request: gr.Request) -> Updates:
        return stopped(self._sessions.run_stop(session_of(request, BATCH)), self._status)

    def _explain_no_run(self, request: gr.Request, place: str) -> Updates:
        key = session_of(request, BATCH)
        stop, batch = self._sessions.run_stop(key), self._batches.get(key)
        was_begun = stop.is_set() or (batch is not None and batch.is_running)
        stop.set()
        return {self._status: markup.notice(_CUT_OFF) if was_begun else markup.error(not_started()), **self._idle(request, place)}

    def _end(self, request: gr.Request, place: str) -> Updates:
        """The controls as they were, unless the batch was begun again meanwhile."""
        ended = self._sessions.run_stop(session_of(request, BATCH)).is_set()
        return self._idle(request, place) if ended else {self._process: gr.skip()}

    def _idle(self, request: gr.Request, place: str) -> Updates:
        batch = self._batches.get(session_of(request, BATCH))
        left = batch is not None and bool(batch.files_left)
        return {
            self._process: gr.Button("Resume" if left else "Process", visible=True),
            self._cancel: gr.Button(visible=False),
            self._clear: gr.Button(visible=batch is not None and place == _UPLOADS),
            **self._of_place(place),
            **{part: gr.update(interactive=True) for part in (self._from, self._source, self._results, self._format)},
        }


def _options(file_format: str) -> JobOptions:
    return JobOptions(recursive=True, format=format_named(file_format).suffixes[0].removeprefix("."))


def _progress(run: BatchRun, batch: Batch) -> str:
    if run.begun is None:
        return WAITING
    pictures = batch.pictures
    words = unbroken(f"Picture {min(run.settled + 1, len(pictures))} of {len(pictures)}")
    if run.before:
        words += f" · waiting for the model: {run.before} before you"
    elif (left := run.seconds_left()) is not None:
        words += f" · about {unbroken(duration(left))} left"
    return markup.progress(words, sum(file.part for file in pictures) / len(pictures))


def _about_lost(names: Any) -> list[str]:
    """A sentence on files that did not arrive, which the browser names, if there are any."""
    if not isinstance(names, list) or not names:
        return []
    named = ", ".join(PurePosixPath(str(name)).name for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return [explained(UserError(f"Not uploaded: {named}. A file may be unreadable or too large for this page, or the connection was cut."))]
