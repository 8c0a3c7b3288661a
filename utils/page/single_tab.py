"""The tab for one picture: choose, look, upscale, compare, download."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from utils.models.downloading import readable_size
from utils.page import describing, markup
from utils.page.chosen import Chosen, choose, read
from utils.page.clock import WAITING, Clock
from utils.page.describing import wide_by_high
from utils.page.display import comparison, display_size, progress_uri
from utils.page.errors import explained
from utils.page.events import LIGHT, NOT_STARTED, Updates
from utils.page.place import PlacePicker
from utils.page.running import Advanced, Finished, News, quick_look, upscale
from utils.page.sessions import Sessions, session_of
from utils.page.settings_form import SettingsForm
from utils.page.shared_sampler import SharedSampler
from utils.page.turns import Cancelled
from utils.pictures.formats import OUTPUT_FORMATS, format_named
from utils.pictures.provenance import read_texts
from utils.pictures.reading import load
from utils.pictures.writing import save
from utils.planning.errors import UserError

_EMPTY = "The result appears here, beside the picture it was made from."
_STOPPED = "Stopped. Nothing was kept of the unfinished result."
_PASTE = Path(__file__).with_name("paste.js").read_text(encoding="utf-8")


class SingleTab:
    """Components of the tab, to be made where it is to appear. `connect` adds the events, once the form exists as well."""

    def __init__(self, shared: SharedSampler, sessions: Sessions) -> None:
        self._shared, self._sessions = shared, sessions
        self.chosen, self._result = gr.State(None), gr.State(None)
        with gr.Row():
            with gr.Column(scale=3, min_width=270, elem_id="single-input"):
                self._upload = gr.File(label="Picture: drop, paste or choose", height=140, elem_id="upload")
                self._pasted = gr.File(visible="hidden", elem_id="pasted")
                with gr.Accordion("Camera", open=False, elem_id="camera"):
                    as_seen = gr.WebcamOptions(mirror=False)
                    self._photo = gr.Image(
                        show_label=False, sources=["webcam"], type="filepath", format="png", height=220, webcam_options=as_seen, buttons=[]
                    )
                self._place = PlacePicker("place", "The chosen picture; click on it for a quick look at that place", button="look")
                self._about = gr.HTML(elem_id="about", js_on_load=_PASTE)
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
        self._doors: list[tuple[Any, Any]] = [(self._pasted, self._pasted.upload), (self._photo, self._photo.input)]

    def take_from(self, upload: gr.File) -> None:
        """Have what is uploaded there chosen here."""
        self._doors.append((upload, upload.upload))

    def connect(self, form: SettingsForm) -> None:
        """Wire the events."""
        self._form = form
        buttons = [self._process, self._look, self._cancel, self._upload, *(door for door, _ in self._doors)]
        described = [self._about, self.chosen, self._process, self._look]
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

        for door, used in self._doors:
            used(_pass_on, door, [self._upload, door], **LIGHT)
        self.choice = self._upload.change(self._choose, self._upload, [*described, *self._place.outputs, *results], **LIGHT)
        self.choice.then(**self._describing, **LIGHT)
        gr.on(form.changes, **self._describing, **LIGHT, trigger_mode="always_last")
        picked = self._place.connect()
        runs = []
        for event, run in ((self._process.click, self._run), (self._look.click, self._run_look), (picked.then, self._run_look)):
            runs.append(
                event(self._begin, None, buttons + results, **LIGHT).then(
                    run,
                    [self.chosen, self._place.spot, *form.inputs],
                    results,
                    api_visibility="private",
                    concurrency_limit=None,  # they wait for their turn, and know how long
                    show_progress="minimal",
                    show_progress_on=self._status,
                )
            )
            # Cancelling counts as failure; both of these come when the browser is done with it, and only then can it start another run.
            runs[-1].failure(self._explain_no_run, None, results, **LIGHT)
            runs[-1].then(self._end, None, buttons, **LIGHT)
        self._cancel.click(self._stop, None, [self._status, self._cancel], cancels=runs, **LIGHT)
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
        event.then(**self._describing, **LIGHT)

    @property
    def _describing(self) -> dict[str, Any]:
        return {
            "fn": self._describe,
            "inputs": [self.chosen, *self._form.inputs],
            "outputs": [self._about, self.chosen, self._process, self._look],
        }

    # ---- choosing ----

    def _choose(self, request: gr.Request, path: str | None) -> Updates:
        # A result stands beside the picture it was made of, or not at all.
        cleared = {**self._only_status(markup.empty(_EMPTY)), self.chosen: None, **self._place.empty(), **self._startable(False)}
        if path is None:
            return {**cleared, self._about: ""}
        self._sessions.own_upload(session_of(request), Path(path))
        try:
            chosen = choose(Path(path), self._shared)
        except Exception as error:
            return {**cleared, self._about: markup.error(explained(error))}
        return {**cleared, self.chosen: chosen, **self._place.showing(chosen.preview, chosen.size), self._about: chosen.summary}

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
            return {self._about: seen + markup.error(explained(error)), self.chosen: known, **self._startable(False)}
        prospect = describing.prospect(plan, sampler, self._shared.seconds_for(plan), chosen.pixel_bytes)
        return {self._about: seen + prospect, self.chosen: known, **self._startable(True)}

    def _startable(self, can: bool) -> Updates:
        return {self._process: gr.Button(interactive=can), self._look: gr.Button(interactive=can)}

    # ---- running ----

    def _begin(self, request: gr.Request) -> Updates:
        self._sessions.begin_run(session_of(request))
        return {
            self._process: gr.Button(visible=False),
            self._look: gr.Button(visible=False),
            self._cancel: gr.Button(visible=True, interactive=True),
            **self._open(False),
            **self._only_status(WAITING),
        }

    def _run(self, request: gr.Request, chosen: Chosen | None, spot: tuple[float, float], *values: Any) -> Iterator[Updates]:
        yield from self._followed(session_of(request), chosen, None, values)

    def _run_look(self, request: gr.Request, chosen: Chosen | None, spot: tuple[float, float], *values: Any) -> Iterator[Updates]:
        yield from self._followed(session_of(request), chosen, spot, values)

    def _followed(self, session_id: str, chosen: Chosen | None, spot: tuple[float, float] | None, values: tuple[Any, ...]) -> Iterator[Updates]:
        """A run of the whole picture, or a quick look at the spot, from waiting to its result."""
        stop = self._sessions.run_stop(session_id)
        try:
            if chosen is None:
                raise UserError("Choose a picture first.")
            chosen.check_kept()
            folder, clock = self._sessions.new_folder(session_id), Clock()
            for news in self._started(chosen, spot, folder, self._form.overrides(values), stop):
                if isinstance(news, Finished):
                    yield self._results(news, chosen, folder)
                    return
                clock.hear(news)
                updates: Updates = {}
                if isinstance(news, Advanced):
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
            drawn = describing.plan_picture_uri(plan, stats, read(chosen.path, self._shared))
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
            target, notes = file.with_suffix(format_named(name).suffixes[0]), ()
            if not target.exists():
                notes = save(load(file, int(self._shared.settings.max_output_megapixels * 1e6), 1), target, read_texts(file) or {})
        except Exception as error:
            return {self._download: gr.DownloadButton(interactive=False), self._file_notes: markup.error(explained(error))}
        return {
            self._download: gr.DownloadButton(f"Download {target.name}", value=target, interactive=True),
            self._file_notes: "".join(map(markup.notice, notes)),
        }

    def _stop(self, request: gr.Request) -> Updates:
        self._sessions.run_stop(session_of(request)).set()
        return {self._status: markup.progress("Stopping", None), self._cancel: gr.Button(interactive=False)}

    def _explain_no_run(self, request: gr.Request) -> Updates:
        if self._sessions.run_stop(session_of(request)).is_set():
            return self._only_status(markup.notice(_STOPPED))
        return self._only_status(markup.error(NOT_STARTED))

    def _end(self) -> Updates:
        return {
            self._process: gr.Button(visible=True),
            self._look: gr.Button(visible=True),
            self._cancel: gr.Button(visible=False),
            **self._open(True),
        }

    def _open(self, can: bool) -> Updates:
        """Whether another picture can be chosen."""
        return {door: gr.update(interactive=can) for door in (self._upload, *(door for door, _ in self._doors))}

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


def _pass_on(path: str | None) -> tuple[Any, None]:
    """A picture to where pictures are chosen, leaving the place where it came in free for the next one."""
    return path or gr.skip(), None
