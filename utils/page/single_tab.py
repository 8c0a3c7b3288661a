"""The tab for one picture: choose, look, upscale, compare, download."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from utils.models.downloading import readable_size
from utils.page import markup
from utils.page.display import comparison, display_size, preview_uri, progress_uri
from utils.page.errors import explained
from utils.page.running import Advanced, Begun, Finished, upscale
from utils.page.sessions import Sessions
from utils.page.settings_form import SettingsForm
from utils.page.shared_sampler import Cancelled, SharedSampler
from utils.pictures.image_io import Picture, load
from utils.planning.errors import UserError
from utils.planning.plan import Plan

Updates = dict[Any, Any]  # component -> its new value

_EMPTY = "The result appears here, beside the picture it was made from."
_STOPPED = "Stopped. Nothing was kept of the unfinished result."
_NOT_STARTED = "This could not be started; check the settings, or try again in a few minutes if many others are waiting."
_WAITING = markup.progress("Waiting for the model", None)
_LIGHT: dict[str, Any] = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}
"""For events that do not run the model: they never wait in the queue."""


@dataclass(frozen=True)
class Chosen:
    """A picture that was uploaded and could be read: its file, colour profile, and what the page says and shows of it."""

    path: Path
    icc: bytes | None
    summary: str


class SingleTab:
    """Components of the tab, to be made where it is to appear. `connect` adds the events, once the form exists as well."""

    def __init__(self, shared: SharedSampler, sessions: Sessions) -> None:
        self._shared, self._sessions = shared, sessions
        self._chosen = gr.State(None)
        with gr.Row():
            with gr.Column(scale=3, min_width=270):
                self._upload = gr.File(label="Picture", height=140, elem_id="upload")
                self._about = gr.HTML(elem_id="about")
                self._process = gr.Button("Process", variant="primary", interactive=False, elem_id="process")
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
                self._download = gr.DownloadButton("Download", variant="primary", visible=False, elem_id="download")
                with gr.Accordion("Why", open=False, visible=False, elem_id="why") as self._why:
                    self._reasons = gr.HTML()

    def connect(self, form: SettingsForm) -> None:
        """Wire the events."""
        self._form = form
        buttons = [self._process, self._cancel, self._upload]
        results = [self._status, self._preview, self._slider, self._download, self._why, self._reasons]

        self._upload.change(self._choose, self._upload, [self._chosen, self._process, self._about, *results], **_LIGHT).then(
            **self._describing, **_LIGHT
        )
        gr.on([widget.change for widget in form.widgets], **self._describing, **_LIGHT, trigger_mode="always_last")
        run = self._process.click(self._begin, None, buttons + results, **_LIGHT).then(
            self._run,
            [self._chosen, *form.widgets],
            results,
            api_visibility="private",
            concurrency_limit=1,
            concurrency_id="model",
            show_progress="minimal",
            show_progress_on=self._status,
        )
        # Cancelling counts as failure; both of these come when the browser is done with it, and only then can it start another run.
        run.failure(self._explain_no_run, None, results, **_LIGHT)
        run.then(self._end, None, buttons, **_LIGHT)
        self._cancel.click(self._stop, None, [self._status, self._cancel], cancels=[run], **_LIGHT)

    def describe_after(self, event: Any) -> None:
        """Say again what comes out, after an event that may change it."""
        event.then(**self._describing, **_LIGHT)

    @property
    def _describing(self) -> dict[str, Any]:
        return {"fn": self._describe, "inputs": [self._chosen, *self._form.widgets], "outputs": self._about}

    # ---- choosing ----

    def _choose(self, request: gr.Request, path: str | None) -> Updates:
        cleared = self._only_status(markup.empty(_EMPTY))  # a result stands beside the picture it was made of, or not at all
        if path is None:
            return {**cleared, self._chosen: None, self._process: gr.Button(interactive=False), self._about: ""}
        self._sessions.own_upload(_session_id(request), Path(path))
        try:
            picture = self._load(Path(path))
        except Exception as error:
            return {**cleared, self._chosen: None, self._process: gr.Button(interactive=False), self._about: markup.error(explained(error))}
        return {
            **cleared,
            self._chosen: Chosen(Path(path), picture.icc, _summary(picture)),
            self._process: gr.Button(interactive=True),
            self._about: gr.skip(),
        }

    def _load(self, path: Path) -> Picture:
        if not path.exists():
            raise UserError("The uploaded file is not kept any more; choose it again.")
        settings = self._shared.settings
        return load(path, int(settings.max_output_megapixels * 1e6), settings.basesr.sf)

    def _describe(self, chosen: Chosen | None, *values: Any) -> Any:
        """The input and, once the model is there, what comes out."""
        if chosen is None:
            return gr.skip()
        if self._shared.state.phase == "loading":
            return chosen.summary + markup.notice("What comes out of it is said here as soon as the model is loaded.")
        try:
            plan = self._shared.get().plan(chosen.path, **self._form.overrides(values))
        except Exception as error:
            return chosen.summary + markup.error(explained(error))
        return chosen.summary + _prospect(plan)

    # ---- running ----

    def _begin(self, request: gr.Request) -> Updates:
        self._sessions.begin_run(_session_id(request))
        return {
            self._process: gr.Button(visible=False),
            self._cancel: gr.Button(visible=True, interactive=True),
            self._upload: gr.File(interactive=False),
            **self._only_status(_WAITING),
        }

    def _run(self, request: gr.Request, chosen: Chosen | None, *values: Any) -> Iterator[Updates]:
        session_id = _session_id(request)
        stop = self._sessions.run_stop(session_id)
        try:
            if chosen is None:
                raise UserError("Choose a picture first.")
            before, folder = self._load(chosen.path), self._sessions.new_folder(session_id)
            clock = _Clock()
            for news in upscale(self._shared, chosen.path, folder, self._form.overrides(values), stop):
                if isinstance(news, Finished):
                    yield self._results(before, news, folder)
                    return
                if isinstance(news, Begun):
                    clock.start(news.total)
                updates: Updates = {}
                if isinstance(news, Advanced):
                    clock.advance(news.done)
                    words = f"The result after {news.done} of {news.total} tiles"
                    updates[self._preview] = markup.picture(progress_uri(news.preview, chosen.icc), words, "growing")
                yield updates | {self._status: clock.progress()}
        except Cancelled:
            yield self._only_status(markup.notice(_STOPPED))
        except Exception as error:
            yield self._only_status(markup.error(explained(error)))
        finally:
            stop.set()

    def _results(self, before: Picture, finished: Finished, folder: Path) -> Updates:
        plan = finished.plan
        h, w = plan.output_size
        after = load(finished.file, h * w, 1)
        shown_h, shown_w = display_size(after.size)
        words = f"Done in {finished.seconds:.1f} s: {_wide_by_high(after.size)} pixels, {readable_size(finished.file.stat().st_size)}."
        if (shown_h, shown_w) != after.size:
            words += f" The comparison shows a copy reduced to {shown_w} × {shown_h}; the download is the full picture."
        return {
            **self._only_status(markup.success(words)),
            self._slider: gr.ImageSlider(comparison(before, after, folder), visible=True),
            self._download: gr.DownloadButton(f"Download {finished.file.name}", value=finished.file, visible=True),
            self._why: gr.Accordion(visible=True),
            self._reasons: markup.reasons(plan.reasons),
        }

    def _stop(self, request: gr.Request) -> Updates:
        self._sessions.run_stop(_session_id(request)).set()
        return {self._status: markup.progress("Stopping", None), self._cancel: gr.Button(interactive=False)}

    def _explain_no_run(self, request: gr.Request) -> Updates:
        if self._sessions.run_stop(_session_id(request)).is_set():
            return self._only_status(markup.notice(_STOPPED))
        return self._only_status(markup.error(_NOT_STARTED))

    def _end(self) -> Updates:
        return {self._process: gr.Button(visible=True), self._cancel: gr.Button(visible=False), self._upload: gr.File(interactive=True)}

    def _only_status(self, status: str) -> Updates:
        return {
            self._status: status,
            self._preview: "",
            self._slider: gr.ImageSlider(visible=False),
            self._download: gr.DownloadButton(visible=False),
            self._why: gr.Accordion(visible=False),
            self._reasons: "",
        }


class _Clock:
    """How far a run is and how long it has taken, in words."""

    def __init__(self) -> None:
        self.done, self._total = 0, 0

    def start(self, total: int) -> None:
        self._total, self._start = total, time.monotonic()
        self._advanced = self._start

    def advance(self, done: int) -> None:
        self.done, self._advanced = done, time.monotonic()

    def progress(self) -> str:
        if not self._total:
            return _WAITING
        if self.done == self._total:
            return markup.progress("Finishing", 1.0)
        seconds = time.monotonic() - self._start
        words = f"Tile {self.done} of {self._total} · {seconds:.0f} s"
        if self.done:
            left = (self._advanced - self._start) / self.done * (self._total - self.done)
            words += f", about {max(left - (time.monotonic() - self._advanced), 1):.0f} s left"
        return markup.progress(words, self.done / self._total)


def _summary(picture: Picture) -> str:
    """A small copy of the input, its facts and what could not be read of it."""
    depth = {"uint8": "8-bit", "uint16": "16-bit"}.get(picture.rgb.dtype.name, "floating-point")
    kept = [name for name, value in (("transparency", picture.alpha), ("colour profile", picture.icc), ("EXIF", picture.exif)) if value is not None]
    facts = [("Input", f"{_wide_by_high(picture.size)}, {depth} {'grey' if picture.grey else 'colour'}")]
    if kept:
        facts.append(("Kept", ", ".join(kept)))
    notes = "".join(markup.notice(f"Note: {note}") for note in picture.notes)
    return markup.picture(preview_uri(picture), "The chosen picture", "chosen") + markup.facts(facts) + notes


def _prospect(plan: Plan) -> str:
    """What comes out, and the work it takes."""
    n, batches = len(plan.tiles), -(-len(plan.tiles) // plan.tile_batch)
    work = f"{n} tile{'s' if n > 1 else ''} of {plan.patch} × {plan.patch}"
    if batches > 1:
        work += f", {plan.tile_batch} at a time"
    return markup.facts([("Output", f"{_wide_by_high(plan.output_size)} ({plan.scale} times)"), ("Work", work)])


def _wide_by_high(size: tuple[int, int]) -> str:
    return f"{size[1]} × {size[0]}"


def _session_id(request: gr.Request) -> str:
    return str(request.session_hash)
