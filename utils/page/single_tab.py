"""The tab for one picture: choose, look, upscale, compare, download."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from utils.models.downloading import readable_size
from utils.page import describing, markup
from utils.page.describing import wide_by_high
from utils.page.display import comparison, display_size, progress_uri
from utils.page.errors import explained
from utils.page.running import Advanced, Begun, Finished, News, Waiting, quick_look, upscale
from utils.page.sessions import Sessions
from utils.page.settings_form import SettingsForm
from utils.page.shared_sampler import Cancelled, SharedSampler
from utils.pictures.formats import OUTPUT_FORMATS
from utils.pictures.picture import Picture
from utils.pictures.provenance import read_texts
from utils.pictures.reading import load
from utils.pictures.writing import save
from utils.planning.errors import UserError
from utils.planning.statistics import ImageStats

Updates = dict[Any, Any]  # component -> its new value

_EMPTY = "The result appears here, beside the picture it was made from."
_STOPPED = "Stopped. Nothing was kept of the unfinished result."
_NOT_STARTED = "This could not be started; check the settings, or try again in a few minutes if many others are waiting."
_WAITING = markup.progress("Waiting for the model", None)
_MIDDLE = (0.5, 0.5)
_LIGHT: dict[str, Any] = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}
"""For events that do not run the model: they never wait in the queue."""
# The picture is clickable while there is a button that does the same.
_PICK = """element.addEventListener("click", event => {
    const image = event.target.closest("img.sr-chosen");
    if (!image || !document.querySelector("#look:not([disabled])")) return;
    const box = image.getBoundingClientRect();
    trigger("click", {down: (event.clientY - box.top) / box.height, right: (event.clientX - box.left) / box.width});
});"""


@dataclass(frozen=True)
class Chosen:
    """A picture that was uploaded and could be read: its file, what the page says and shows of it, and what was measured of it."""

    path: Path
    summary: str
    stats: ImageStats | None = None


class SingleTab:
    """Components of the tab, to be made where it is to appear. `connect` adds the events, once the form exists as well."""

    def __init__(self, shared: SharedSampler, sessions: Sessions) -> None:
        self._shared, self._sessions = shared, sessions
        self._chosen, self._spot, self._result = gr.State(None), gr.State(_MIDDLE), gr.State(None)
        with gr.Row():
            with gr.Column(scale=3, min_width=270):
                self._upload = gr.File(label="Picture", height=140, elem_id="upload")
                self._about = gr.HTML(elem_id="about", js_on_load=_PICK)
                self._process = gr.Button("Process", variant="primary", interactive=False, elem_id="process")
                self._look = gr.Button("Quick look", size="md", interactive=False, elem_id="look")
                self._cancel = gr.Button("Cancel", variant="stop", visible=False, elem_id="cancel")
            with gr.Column(scale=7, min_width=320):
                self._status = gr.HTML(markup.empty(_EMPTY), elem_id="status")
                self._preview = gr.HTML(elem_id="preview")
                self._slider = gr.ImageSlider(
                    label="Before: bicubic enlargement. After: the result.",
                    show_label=False,
                    format="png",
                    interactive=False,
                    visible=False,
                    max_height=640,
                    buttons=["fullscreen"],
                    elem_id="comparison",
                )
                with gr.Row(visible=False, elem_id="files") as self._files:
                    self._format = gr.Radio([kind.name for kind in OUTPUT_FORMATS], value="PNG", label="File format", elem_id="format")
                    self._download = gr.DownloadButton("Download", variant="primary", elem_id="download")
                self._file_notes = gr.HTML(elem_id="file-notes")
                with gr.Accordion("Why", open=False, visible=False, elem_id="why") as self._why:
                    self._reasons = gr.HTML()

    def connect(self, form: SettingsForm) -> None:
        """Wire the events."""
        self._form = form
        buttons = [self._process, self._look, self._cancel, self._upload]
        described = [self._about, self._chosen, self._process, self._look]
        results = [
            self._status,
            self._preview,
            self._slider,
            self._files,
            self._format,
            self._download,
            self._file_notes,
            self._why,
            self._reasons,
            self._result,
        ]

        self._upload.change(self._choose, self._upload, [*described, self._spot, *results], **_LIGHT).then(**self._describing, **_LIGHT)
        gr.on(form.changes, **self._describing, **_LIGHT, trigger_mode="always_last")
        picked = self._about.click(self._pick, None, self._spot, **_LIGHT)
        runs = []
        for event, run in ((self._process.click, self._run), (self._look.click, self._run_look), (picked.then, self._run_look)):
            runs.append(
                event(self._begin, None, buttons + results, **_LIGHT).then(
                    run,
                    [self._chosen, self._spot, *form.inputs],
                    results,
                    api_visibility="private",
                    concurrency_limit=None,  # they wait for their turn, and know how long
                    show_progress="minimal",
                    show_progress_on=self._status,
                )
            )
            # Cancelling counts as failure; both of these come when the browser is done with it, and only then can it start another run.
            runs[-1].failure(self._explain_no_run, None, results, **_LIGHT)
            runs[-1].then(self._end, None, buttons, **_LIGHT)
        self._cancel.click(self._stop, None, [self._status, self._cancel], cancels=runs, **_LIGHT)
        self._format.input(
            self._convert,
            [self._result, self._format],
            [self._download, self._file_notes],
            api_visibility="private",
            show_progress_on=self._download,
            concurrency_limit=2,
        )

    def describe_after(self, event: Any) -> None:
        """Say again what comes out, after an event that may change it."""
        event.then(**self._describing, **_LIGHT)

    @property
    def _describing(self) -> dict[str, Any]:
        return {
            "fn": self._describe,
            "inputs": [self._chosen, *self._form.inputs],
            "outputs": [self._about, self._chosen, self._process, self._look],
        }

    # ---- choosing ----

    def _choose(self, request: gr.Request, path: str | None) -> Updates:
        # A result stands beside the picture it was made of, or not at all.
        cleared = {**self._only_status(markup.empty(_EMPTY)), self._chosen: None, self._spot: _MIDDLE, **self._startable(False)}
        if path is None:
            return {**cleared, self._about: ""}
        self._sessions.own_upload(_session_id(request), Path(path))
        try:
            picture = self._load(Path(path))
        except Exception as error:
            return {**cleared, self._about: markup.error(explained(error))}
        return {**cleared, self._chosen: Chosen(Path(path), describing.summary(picture)), self._about: gr.skip()}

    def _load(self, path: Path) -> Picture:
        if not path.exists():
            raise UserError("The uploaded file is not kept any more; choose it again.")
        settings = self._shared.settings
        return load(path, int(settings.max_output_megapixels * 1e6), settings.basesr.sf)

    def _describe(self, chosen: Chosen | None, *values: Any) -> Updates:
        """The input and, once the model is there, what is in it and what comes out; nothing can be started that would only fail."""
        if chosen is None:
            return {self._about: gr.skip()}
        if self._shared.state.phase == "loading":
            waiting = markup.notice("What comes out of it is said here as soon as the model is loaded.")
            return {self._about: chosen.summary + waiting, **self._startable(True)}
        if self._shared.state.phase == "failed":
            return {self._about: chosen.summary + markup.error(self._shared.state.sentence), **self._startable(True)}
        try:
            sampler = self._shared.get()
            stats = chosen.stats or sampler.measure(chosen.path)
            known = replace(chosen, stats=stats)
        except Exception as error:
            return {self._about: chosen.summary + markup.error(explained(error)), **self._startable(False)}
        seen = chosen.summary + describing.detected(stats)
        try:
            plan = sampler.plan(chosen.path, stats=stats, **self._form.overrides(values))
        except Exception as error:
            return {self._about: seen + markup.error(explained(error)), self._chosen: known, **self._startable(False)}
        prospect = describing.prospect(plan, sampler, self._shared.seconds_for(plan))
        return {self._about: seen + prospect, self._chosen: known, **self._startable(True)}

    def _startable(self, can: bool) -> Updates:
        return {self._process: gr.Button(interactive=can), self._look: gr.Button(interactive=can)}

    def _pick(self, event: gr.EventData) -> tuple[float, float]:
        down, right = (float(value) if isinstance(value, int | float) else 0.5 for value in (event.down, event.right))
        return min(max(down, 0.0), 1.0), min(max(right, 0.0), 1.0)

    # ---- running ----

    def _begin(self, request: gr.Request) -> Updates:
        self._sessions.begin_run(_session_id(request))
        return {
            self._process: gr.Button(visible=False),
            self._look: gr.Button(visible=False),
            self._cancel: gr.Button(visible=True, interactive=True),
            self._upload: gr.File(interactive=False),
            **self._only_status(_WAITING),
        }

    def _run(self, request: gr.Request, chosen: Chosen | None, spot: tuple[float, float], *values: Any) -> Iterator[Updates]:
        yield from self._followed(_session_id(request), chosen, None, values)

    def _run_look(self, request: gr.Request, chosen: Chosen | None, spot: tuple[float, float], *values: Any) -> Iterator[Updates]:
        yield from self._followed(_session_id(request), chosen, spot, values)

    def _followed(self, session_id: str, chosen: Chosen | None, spot: tuple[float, float] | None, values: tuple[Any, ...]) -> Iterator[Updates]:
        """A run of the whole picture, or a quick look at the spot, from waiting to its result."""
        stop = self._sessions.run_stop(session_id)
        try:
            if chosen is None:
                raise UserError("Choose a picture first.")
            if not chosen.path.exists():
                raise UserError("The uploaded file is not kept any more; choose it again.")
            folder, clock = self._sessions.new_folder(session_id), _Clock()
            for news in self._started(chosen, spot, folder, self._form.overrides(values), stop):
                if isinstance(news, Finished):
                    yield self._results(news, chosen, folder)
                    return
                if isinstance(news, Waiting):
                    clock.before = news.before
                if isinstance(news, Begun):
                    clock.start(news.total)
                updates: Updates = {}
                if isinstance(news, Advanced):
                    clock.advance(news.done)
                    words = f"The result after {news.done} of {news.total} tiles"
                    updates[self._preview] = markup.picture(progress_uri(news.preview), words, "growing")
                yield updates | {self._status: clock.progress()}
        except Cancelled:
            yield self._only_status(markup.notice(_STOPPED))
        except Exception as error:
            yield self._only_status(markup.error(explained(error)))
        finally:
            stop.set()

    def _started(self, chosen: Chosen, spot: tuple[float, float] | None, folder: Path, overrides: dict[str, Any], stop: Any) -> Iterator[News]:
        if spot is None:
            return upscale(self._shared, chosen.path, folder, overrides, chosen.stats, stop)
        return quick_look(self._shared, chosen.path, spot, overrides, chosen.stats, stop)

    def _results(self, finished: Finished, chosen: Chosen, folder: Path) -> Updates:
        before, after, plan = finished.before, finished.after, finished.plan
        stats = chosen.stats or self._shared.get().measure(chosen.path)
        if finished.file is None:
            words = f"A quick look at {wide_by_high(before.size)} pixels of the picture, in {finished.seconds:.1f} s."
            if (seconds := self._shared.seconds_for(plan)) is not None:
                words += f" The whole picture takes about {describing.duration(seconds)}."
            drawn = describing.plan_picture_uri(plan, stats, self._load(chosen.path))
        else:
            words = f"Done in {finished.seconds:.1f} s: {wide_by_high(after.size)} pixels, {readable_size(finished.file.stat().st_size)}."
            drawn = describing.plan_picture_uri(plan, stats, before)
        shown = display_size(after.size)
        if shown != after.size:
            words += f" The comparison shows a copy reduced to {wide_by_high(shown)}; the download is the full picture."
        return {
            **self._only_status(markup.success(words)),
            self._slider: gr.ImageSlider(comparison(before, after, folder), visible=True),
            self._why: gr.Accordion(visible=True),
            self._reasons: describing.why(plan, drawn, finished.timings),
            self._file_notes: "".join(map(markup.notice, finished.notes)),
            **({} if finished.file is None else self._offered(finished.file)),
        }

    def _offered(self, file: Path) -> Updates:
        return {
            self._files: gr.Row(visible=True),
            self._format: "PNG",
            self._download: gr.DownloadButton(f"Download {file.name}", value=file),
            self._result: file,
        }

    def _convert(self, file: Path | None, name: str) -> Updates:
        """The result in another format, beside the one it was written in."""
        try:
            if file is None or not file.exists():
                raise UserError("The result is not kept any more; process the picture again.")
            (suffix,) = (kind.suffixes[0] for kind in OUTPUT_FORMATS if kind.name == name)
            target, notes = file.with_suffix(suffix), ()
            if not target.exists():
                notes = save(load(file, int(self._shared.settings.max_output_megapixels * 1e6), 1), target, read_texts(file) or {})
        except Exception as error:
            return {self._download: gr.DownloadButton(interactive=False), self._file_notes: markup.error(explained(error))}
        return {
            self._download: gr.DownloadButton(f"Download {target.name}", value=target, interactive=True),
            self._file_notes: "".join(map(markup.notice, notes)),
        }

    def _stop(self, request: gr.Request) -> Updates:
        self._sessions.run_stop(_session_id(request)).set()
        return {self._status: markup.progress("Stopping", None), self._cancel: gr.Button(interactive=False)}

    def _explain_no_run(self, request: gr.Request) -> Updates:
        if self._sessions.run_stop(_session_id(request)).is_set():
            return self._only_status(markup.notice(_STOPPED))
        return self._only_status(markup.error(_NOT_STARTED))

    def _end(self) -> Updates:
        return {
            self._process: gr.Button(visible=True),
            self._look: gr.Button(visible=True),
            self._cancel: gr.Button(visible=False),
            self._upload: gr.File(interactive=True),
        }

    def _only_status(self, status: str) -> Updates:
        return {
            self._status: status,
            self._preview: "",
            self._slider: gr.ImageSlider(visible=False),
            self._files: gr.Row(visible=False),
            self._download: gr.DownloadButton(interactive=True),
            self._file_notes: "",
            self._why: gr.Accordion(visible=False),
            self._reasons: "",
            self._result: None,
        }


class _Clock:
    """How far a run is and how long it has taken, in words."""

    def __init__(self) -> None:
        self.done, self._total, self.before = 0, 0, 0

    def start(self, total: int) -> None:
        self._total, self._start = total, time.monotonic()
        self._advanced = self._start

    def advance(self, done: int) -> None:
        self.done, self._advanced = done, time.monotonic()

    def progress(self) -> str:
        if not self._total:
            return markup.progress(f"Waiting for the model: {self.before} before you", None) if self.before else _WAITING
        if self.done == self._total:
            return markup.progress("Finishing", 1.0)
        seconds = time.monotonic() - self._start
        words = f"Tile {self.done} of {self._total} · {seconds:.0f} s"
        if self.done:
            left = (self._advanced - self._start) / self.done * (self._total - self.done)
            words += f", about {max(left - (time.monotonic() - self._advanced), 1):.0f} s left"
        return markup.progress(words, self.done / self._total)


def _session_id(request: gr.Request) -> str:
    return str(request.session_hash)
