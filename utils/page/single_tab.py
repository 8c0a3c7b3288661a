"""The tab for one picture: choose, look, upscale, compare, download."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import gradio as gr

from utils.models.downloading import readable_size
from utils.page import describing, markup
from utils.page.before_after import before_after, pair
from utils.page.chosen import Chosen, choose
from utils.page.clock import WAITING, Clock
from utils.page.describing import wide_by_high
from utils.page.display import comparison, display_size, progress_uri
from utils.page.errors import explained, foreseen, not_started
from utils.page.events import FOLLOWING, LIGHT, Updates, stop_on, stopped
from utils.page.place import PlacePicker, Spot
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
_RESULT, _LOOK = "Result", "Quick look"
_STOPPED = "Stopped. Nothing was kept of the unfinished result."
_PREPARING = gr.update(label="Preparing…", interactive=False)  # of the download
_PASTE = Path(__file__).with_name("paste.js").read_text(encoding="utf-8")


@dataclass(frozen=True)
class View:
    """What is shown of a finished run: HTML, and a `pair`. folder: holds its files, among them `file`, the result; a quick look has none.

    overrides: the settings that it was made with. notes: for each format in which it was written, by its file, sentences on what that cannot hold.
    """

    said: str
    compared: dict[str, Any]
    why: str
    folder: Path
    file: Path | None
    overrides: Mapping[str, Any]
    notes: dict[Path, tuple[str, ...]]


Views = Mapping[str, View]
"""By what they are called: a result, and the quick look that was taken since."""


@dataclass(frozen=True)
class Converted:
    """`source`, a result, in the format called `name`: the file, or None if that failed; and what there is to say of it, as HTML."""

    source: Path | None
    name: str
    file: Path | None
    said: str


class SingleTab:
    """Components of the tab, to be made where it is to appear. `connect` adds the events, once the form exists as well."""

    def __init__(self, shared: SharedSampler, sessions: Sessions) -> None:
        self._shared, self._sessions = shared, sessions
        self.chosen, self._refusal, self._views = gr.State(None), gr.State(""), gr.State({})
        self._converted = gr.State(None)
        with gr.Row():
            with gr.Column(scale=3, min_width=270, elem_id="single-input"):
                self._upload = gr.File(label="Picture: drop, paste or choose", height=140, elem_id="upload")
                self._pasted = gr.File(visible="hidden", elem_id="pasted")
                with gr.Accordion("Camera", open=False, elem_id="camera"):
                    as_seen = gr.WebcamOptions(mirror=False)
                    self._photo = gr.Image(
                        show_label=False,
                        sources=["webcam"],
                        type="filepath",
                        format="png",
                        image_mode=None,  # any other would have Gradio decode what is sent, without the limits of our own reader
                        height=220,
                        webcam_options=as_seen,
                        buttons=[],
                    )
                self._place = PlacePicker("place", "The chosen picture; click on it for a quick look at that place", button="look")
                self._about = gr.HTML(elem_id="about", js_on_load=_PASTE)
                self._process = gr.Button("Process", variant="primary", interactive=False, elem_id="process")
                self._look = gr.Button("Quick look", size="md", interactive=False, elem_id="look")
                self._cancel = gr.Button("Cancel", variant="stop", visible=False, elem_id="cancel")
            with gr.Column(scale=7, min_width=320):
                self._status = gr.HTML(markup.empty(_EMPTY), elem_id="status")
                self._preview = gr.HTML(elem_id="preview")
                self._view = gr.Radio([_RESULT, _LOOK], label="Shown here", visible=False, elem_id="view")
                self._slider = before_after("comparison")
                with gr.Column(visible=False) as self._files:
                    with gr.Row(elem_id="files"):
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
        choice = [self.chosen, self._refusal, self._about, self._process, self._look]
        results = [
            self._status,
            self._preview,
            self._view,
            self._slider,
            self._files,
            self._download,
            self._file_notes,
            self._why,
            self._reasons,
            self._views,
        ]

        for door, used in self._doors:
            used(self._pass_on, door, [self._upload, door], **FOLLOWING)
        self.choice = self._upload.change(self._choose, self._upload, [*choice, *self._place.outputs, *results], **FOLLOWING)
        for event in (self.choice, form.changed):
            self.describe_after(event)
        picked = self._place.connect()
        runs = []
        for event, run in ((self._process.click, self._run), (self._look.click, self._run_look), (picked.then, self._run_look)):
            runs.append(
                event(self._begin, self._views, buttons + results, **LIGHT).then(
                    run,
                    [self.chosen, self._place.spot, self._views, *form.inputs],
                    results,
                    api_visibility="private",
                    concurrency_limit=None,  # they wait for their turn, and know how long
                    show_progress="minimal",
                    show_progress_on=self._status,
                )
            )
            # Cancelling counts as failure; both of these come when the browser is done with it, and only then can it start another run.
            runs[-1].failure(self._explain_no_run, self._views, results + buttons, **LIGHT)
            self.describe_after(runs[-1].then(self._end, None, buttons, **LIGHT))
        stop_on(self._cancel, self._stop, self._status, runs)
        self._view.input(self._switch, [self._views, self._view], results, **FOLLOWING)
        wanted = [self._views, self._format]
        for event in (self._format.input, *(run.then for run in runs)):  # the next result is wanted in the same format
            converted = event(self._offer_kept, wanted, [self._download, self._file_notes], **FOLLOWING).then(
                self._convert,
                wanted,
                self._converted,
                api_visibility="private",
                trigger_mode="always_last",
                show_progress="hidden",
                concurrency_limit=2,
                concurrency_id="conversions",
            )
            converted.success(self._offer_converted, [*wanted, self._converted], [self._download, self._file_notes], **LIGHT)
            converted.failure(self._explain_no_conversion, None, [self._download, self._file_notes], **LIGHT)

    def describe_after(self, event: Any) -> None:
        """Say again what comes out, after an event that may change it."""
        event.then(**self._describing, **FOLLOWING)

    @property
    def _describing(self) -> dict[str, Any]:
        return {
            "fn": self._describe,
            "inputs": [self.chosen, self._refusal, self._views, *self._form.inputs],
            "outputs": [self._about, self._process, self._look],
        }

    # ---- choosing ----

    def _pass_on(self, request: gr.Request, path: str | None) -> tuple[Any, None]:
        """A picture to where pictures are chosen, leaving the place where it came in free for the next one."""
        if path is None:
            return gr.skip(), None
        self._sessions.own_upload(session_of(request), Path(path))  # there it may become another file
        return path, None

    def _choose(self, request: gr.Request, path: str | None) -> Updates:
        # A result stands beside the picture it was made of, or not at all.
        cleared = {**self._cleared(markup.empty(_EMPTY)), self.chosen: None, self._refusal: "", **self._place.empty(), **self._startable(False)}
        if path is None:
            return {**cleared, self._about: ""}
        self._sessions.own_upload(session_of(request), Path(path))
        try:
            chosen = choose(Path(path), self._shared)
        except Exception as error:
            refusal = markup.error(explained(error))
            return {**cleared, self._refusal: refusal, self._about: refusal}
        return {**cleared, self.chosen: chosen, **self._place.showing(chosen.preview, chosen.size), self._about: chosen.summary}

    def _describe(self, chosen: Chosen | None, refusal: str, views: Views, *values: Any) -> Updates:
        """The input and, once the model is there, what is in it and what comes out; nothing can be started that would only fail.

        A function of the choice, the settings and what was made with others, so that it can be asked again after an answer that came too late.
        """
        if chosen is None:
            return {self._about: refusal, **self._startable(False)}
        if self._shared.state.phase == "loading":
            return {self._about: chosen.summary + markup.notice(describing.COMES_WITH_THE_MODEL), **self._startable(True)}
        if self._shared.state.phase == "failed":
            return {self._about: chosen.summary + markup.error(self._shared.state.sentence), **self._startable(True)}
        try:
            sampler = self._shared.get()
            stats = chosen.measure(sampler)
        except Exception as error:
            return {self._about: chosen.summary + markup.error(foreseen(error)), **self._startable(False)}
        seen = chosen.summary + describing.detected(stats)
        try:
            overrides = self._form.overrides(values)
            plan = sampler.plan(chosen.path, stats=stats, **overrides)
        except Exception as error:
            return {self._about: seen + markup.error(foreseen(error)), **self._startable(False)}
        prospect = describing.prospect(plan, sampler, self._shared.seconds_for(plan), chosen.pixel_bytes, chosen.kept_bytes)
        if _RESULT in views and views[_RESULT].overrides != overrides:
            prospect += markup.notice("The result shown was made with other settings; Process makes one with these.")
        return {self._about: seen + prospect, **self._startable(True)}

    def _startable(self, can: bool) -> Updates:
        return {self._process: gr.Button(interactive=can), self._look: gr.Button(interactive=can)}

    # ---- running ----

    def _begin(self, request: gr.Request, views: Views) -> Updates:
        """What was made before is out of sight, and stays until the run has made something else."""
        self._sessions.begin_run(session_of(request), keep=[view.folder for view in views.values()])
        return {**self._busy(), **self._hidden(WAITING)}

    def _busy(self) -> Updates:
        return {
            self._process: gr.Button(visible=False),
            self._look: gr.Button(visible=False),
            self._cancel: gr.Button(visible=True, interactive=True),
            **self._open(False),
        }

    def _run(self, request: gr.Request, chosen: Chosen | None, spot: Spot, views: Views, *values: Any) -> Iterator[Updates]:
        yield from self._followed(session_of(request), chosen, None, views, values)

    def _run_look(self, request: gr.Request, chosen: Chosen | None, spot: Spot, views: Views, *values: Any) -> Iterator[Updates]:
        yield from self._followed(session_of(request), chosen, spot, views, values)

    def _followed(self, session_id: str, chosen: Chosen | None, spot: Spot | None, views: Views, values: tuple[Any, ...]) -> Iterator[Updates]:
        """A run of the whole picture, or a quick look at the spot, from waiting to its result. views: what was there before and stays.

        Nothing is shown of a run while another one is the session's.
        """
        stop = self._sessions.take_run(session_id)
        if stop:
            for updates in self._told(session_id, stop, chosen, spot, views, values):
                if self._sessions.run_stop(session_id) is stop:
                    yield updates
        yield {self._status: gr.skip()}

    def _told(
        self, session_id: str, stop: Event, chosen: Chosen | None, spot: Spot | None, views: Views, values: tuple[Any, ...]
    ) -> Iterator[Updates]:
        try:
            if chosen is None:
                raise UserError("Choose a picture first.")
            chosen.check_kept()
            folder, clock, overrides = self._sessions.new_folder(session_id), Clock(), self._form.overrides(values)
            for news in self._started(chosen, spot, folder, overrides, stop):
                if isinstance(news, Finished):
                    yield self._results(news, chosen, folder, overrides, views)
                    return
                clock.hear(news)
                updates: Updates = {}
                if isinstance(news, Advanced):
                    words = f"The result after {news.done} of {news.total} tiles"
                    updates[self._preview] = markup.picture(progress_uri(news.preview), words, "growing")
                yield updates | {self._status: clock.progress()}
        except Cancelled:
            yield self._back(views, markup.notice(_STOPPED))
        except Exception as error:
            yield self._back(views, markup.error(explained(error)))
        finally:
            stop.set()

    def _started(self, chosen: Chosen, spot: Spot | None, folder: Path, overrides: dict[str, Any], stop: Event) -> Iterator[News]:
        if spot is None:
            return upscale(self._shared, chosen.path, folder, overrides, chosen.measure, stop)
        return quick_look(self._shared, chosen.path, spot, overrides, chosen.measure, stop)

    def _results(self, finished: Finished, chosen: Chosen, folder: Path, overrides: dict[str, Any], views: Views) -> Updates:
        before, after, plan = finished.before, finished.after, finished.plan
        if finished.file is None:
            words = f"A quick look at {wide_by_high(before.size)} pixels of the picture, in {finished.seconds:.1f} s."
            if (seconds := self._shared.seconds_for(plan)) is not None:
                words += f" The whole picture takes about {describing.duration(seconds)}."
            name, file = _LOOK, None
        else:
            name, file = _RESULT, finished.file.rename(finished.file.with_name(_download_name(chosen.path.stem, overrides)))
            words = f"Done in {finished.seconds:.1f} s: {wide_by_high(after.size)} pixels, {readable_size(file.stat().st_size)}."
        shown = display_size(after.size)
        if shown != after.size:
            words += f" The comparison shows a copy reduced to {wide_by_high(shown)}; the download is the full picture."
        assert chosen.stats is not None  # since the run, at the latest
        drawn = describing.plan_picture_uri(plan, chosen.stats, finished.whole)
        compared = pair(*comparison(before, after, folder), shown)
        notes = {file: finished.notes} if file else {}
        view = View(markup.success(words), compared, describing.why(plan, drawn, finished.timings), folder, file, overrides, notes)
        beside = views if name == _LOOK else {}
        return self._shown({**beside, name: view}, name)

    def _offered(self, file: Path, said: str) -> Updates:
        return {self._download: gr.DownloadButton(f"Download {file.name}", value=file, interactive=True), self._file_notes: said}

    def _offer_kept(self, views: Views, name: str) -> Updates:
        """The result in a format in which it is there already; for any other, that it is being prepared."""
        view = views.get(_RESULT)
        file = _in_format(view.file, name) if view and view.file else None
        if view and file in view.notes and file.exists():
            return self._offered(file, _said(view.notes[file]))
        return {self._download: _PREPARING, self._file_notes: ""}

    def _convert(self, views: Views, name: str) -> Converted:
        """The result in another format, beside the one it was written in; not offered yet, for something else may be wanted by then."""
        if _RESULT not in views:
            return Converted(None, name, None, "")
        file, notes = views[_RESULT].file, views[_RESULT].notes
        try:
            if file is None or not file.exists():
                raise UserError("The result is not kept any more; process the picture again.")
            target = _in_format(file, name)
            if target not in notes:
                picture = load(file, int(self._shared.settings.max_output_megapixels * 1e6), 1, own=True)
                notes[target] = save(picture, target, read_texts(file) or {}, overwrite=True)
        except Exception as error:
            return Converted(file, name, None, markup.error(explained(error)))
        return Converted(file, name, target, _said(notes[target]))

    def _offer_converted(self, views: Views, name: str, converted: Converted) -> Updates:
        if (converted.source, converted.name) != (views[_RESULT].file if _RESULT in views else None, name):
            return {self._download: gr.skip()}
        if converted.file is None:
            return {self._download: gr.DownloadButton("Download", interactive=False), self._file_notes: converted.said}
        return self._offered(converted.file, converted.said)

    def _explain_no_conversion(self) -> Updates:
        return {self._download: gr.update(label="Download", interactive=False), self._file_notes: markup.error(not_started())}

    def _stop(self, request: gr.Request) -> Updates:
        return stopped(self._sessions.run_stop(session_of(request)), self._status)

    def _explain_no_run(self, request: gr.Request, views: Views) -> Updates:
        stop = self._sessions.run_stop(session_of(request))
        status = markup.notice(_STOPPED) if stop.is_set() else markup.error(not_started())
        stop.set()
        return {**self._back(views, status), **self._idle()}

    def _end(self, request: gr.Request) -> Updates:
        """The buttons as they were, unless another run was begun meanwhile."""
        return self._idle() if self._sessions.run_stop(session_of(request)).is_set() else {self._process: gr.skip()}

    def _idle(self) -> Updates:
        return {
            self._process: gr.Button(visible=True),
            self._look: gr.Button(visible=True),
            self._cancel: gr.Button(visible=False),
            **self._open(True),
        }

    def _open(self, can: bool) -> Updates:
        """Whether another picture can be chosen."""
        return {door: gr.update(interactive=can) for door in (self._upload, *(door for door, _ in self._doors))}

    # ---- what is shown ----

    def _switch(self, views: Views, name: str) -> Updates:
        if name not in views or not views[name].folder.exists():
            return self._cleared(markup.error(explained(UserError("What was here is not kept any more; process the picture again."))))
        return self._shown(views, name)

    def _shown(self, views: Views, name: str, status: str = "") -> Updates:
        """One of the finished runs; status: what there is to say, if it is not what came of that run."""
        view = views[name]
        return {
            self._status: status or view.said,
            self._preview: "",
            self._view: gr.Radio(value=name, visible=len(views) > 1),
            self._slider: view.compared,
            self._files: gr.Column(visible=view.file is not None),
            self._why: gr.Accordion(visible=True),
            self._reasons: view.why,
            self._views: views,
        }

    def _back(self, views: Views, status: str) -> Updates:
        """What there was before a run that came to nothing."""
        before = next((name for name in (_RESULT, _LOOK) if name in views), None)
        return self._shown(views, before, status) if before else self._cleared(status + markup.empty(_EMPTY))

    def _hidden(self, status: str) -> Updates:
        """Nothing but how far a run is."""
        return {
            self._status: status,
            self._preview: "",
            self._view: gr.Radio(visible=False),
            self._slider: None,
            self._files: gr.Column(visible=False),
            self._download: _PREPARING,
            self._file_notes: "",
            self._why: gr.Accordion(visible=False),
        }

    def _cleared(self, status: str) -> Updates:
        return {**self._hidden(status), self._reasons: "", self._views: {}}


def _in_format(file: Path, name: str) -> Path:
    return file.with_suffix(format_named(name).suffixes[0])


def _said(notes: Sequence[str]) -> str:
    return "".join(map(markup.notice, notes))


def _download_name(stem: str, overrides: Mapping[str, Any]) -> str:
    """Another one than the picture's own, so that the two can lie in one folder."""
    side, scale = overrides["longest_side"], overrides["sf"]
    return f"{stem}_{side}px.png" if side else f"{stem}_x{scale:g}.png"
