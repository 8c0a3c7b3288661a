"""The tab for choosing settings by looking: two to four of them on one picture, side by side."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import gradio as gr
from gradio.data_classes import FileData
from PIL import Image

from utils.page import describing, markup
from utils.page.chosen import Chosen
from utils.page.clock import WAITING, Clock
from utils.page.contact_sheet import WIDTH, Column, at_place, contact_sheet, fitted
from utils.page.display import display_size, displayed, save_copy
from utils.page.errors import explained, foreseen, not_started
from utils.page.events import FOLLOWING, LIGHT, Updates, stop_on, stopped
from utils.page.place import PlacePicker
from utils.page.running import LOOK_SIDE, Finished, News, quick_look, upscale
from utils.page.scripts import ZOOM
from utils.page.sessions import COMPARISON, Sessions, session_of
from utils.page.settings_form import SettingsForm
from utils.page.shared_sampler import SharedSampler
from utils.page.single_tab import SingleTab
from utils.page.turns import Cancelled
from utils.page.variants import Variant, differences
from utils.pictures.picture import Picture
from utils.planning.checked_settings import with_overrides
from utils.planning.errors import UserError
from utils.planning.presets import PRESETS, preset_values
from utils.planning.settings import Settings

FEWEST, MOST = 2, 4
_AT_ONCE = 4  # visitors
_PART, _WHOLE = "Marked part", "Whole picture"
_EMPTY = "Two to four ways of upscaling appear here side by side, beside the picture enlarged without a model."
_NO_PICTURE = "Choose a picture here or in the tab “Single image”."
_STOPPED = "Stopped. What was finished before is shown."
_CLOSEST = 4  # screen pixels for a pixel of the result, about, when a column of the sheet is zoomed as far as it goes
_TEMPLATE, _LIVING = (Path(__file__).with_name(f"sheet.{kind}").read_text(encoding="utf-8") for kind in ("html", "js"))


class CompareTab:
    """Components of the tab, to be made where it is to appear. `connect` adds the events, after the single tab's."""

    def __init__(self, shared: SharedSampler, sessions: Sessions, single: SingleTab) -> None:
        self._shared, self._sessions, self._single = shared, sessions, single
        self._kept, self._compared = gr.State([]), gr.State([])
        with gr.Row():
            with gr.Column(scale=3, min_width=270, elem_id="compare-input"):
                self._upload = gr.File(label="Picture: drop, paste or choose", height=96, elem_id="compare-upload")
                self._place = PlacePicker("compare-place", "The chosen picture; click on it to mark the part that is compared")
                self._variants = gr.CheckboxGroup(
                    list(PRESETS), value=list(PRESETS), label="Settings to compare", info="Two to four.", elem_id="variants"
                )
                self._keep = gr.Button("Add the settings of the form", size="sm", elem_id="keep")
                self._part = gr.Radio([_PART, _WHOLE], value=_PART, label="What to compare", elem_id="part")
                self._about = gr.HTML(markup.notice(_NO_PICTURE), elem_id="compare-about")
                self._start = gr.Button("Compare", variant="primary", interactive=False, elem_id="compare")
                self._cancel = gr.Button("Cancel", variant="stop", visible=False, elem_id="cancel-compare")
            with gr.Column(scale=7, min_width=320):
                self._status = gr.HTML(markup.empty(_EMPTY), elem_id="compare-status")
                self._sheet = gr.HTML(None, html_template=_TEMPLATE, js_on_load=ZOOM + _LIVING, elem_id="sheet")
                self._download = gr.DownloadButton("Download the sheet", visible=False, elem_id="download-sheet")
                self._files = gr.File(label="The results", file_count="multiple", interactive=False, visible=False, elem_id="compared-files")
        single.take_from(self._upload)

    def connect(self, form: SettingsForm) -> None:
        """Wire the events."""
        self._form = form
        results = [self._status, self._sheet, self._compared, self._download, self._files]
        buttons = [self._start, self._cancel, self._keep]
        describing_it: dict[str, Any] = {
            "fn": self._describe,
            "inputs": [self._single.chosen, self._variants, self._part, self._kept, *form.inputs],
            "outputs": [self._about, self._start],
        }
        shown = self._single.choice.then(self._show_choice, self._single.chosen, [*self._place.outputs, *results], **FOLLOWING)
        for event in (shown, form.changed):
            event.then(**describing_it, **FOLLOWING)
        gr.on([self._variants.change, self._part.change], **describing_it, **FOLLOWING)
        self._place.connect()
        self._keep.click(self._add, [self._kept, self._variants, *form.inputs], [self._kept, self._variants, self._status], **LIGHT)
        self._sheet.use(self._use, self._compared, [self._status, *form.outputs], **LIGHT)
        run = self._start.click(self._begin, None, buttons + results, **LIGHT).then(
            self._run,
            [self._single.chosen, self._place.spot, self._variants, self._part, self._kept, *form.inputs],
            results,
            api_visibility="private",
            concurrency_limit=_AT_ONCE,  # they take turns at the model from one of their settings to the next
            concurrency_id="compare",
            show_progress="minimal",
            show_progress_on=self._status,
        )
        # Cancelling counts as failure; both of these come when the browser is done with it, and only then can it start another run.
        run.failure(self._explain_no_run, None, [self._status, *buttons], **LIGHT)
        run.then(self._end, None, buttons, **LIGHT)
        stop_on(self._cancel, self._stop, self._status, [run])

    # ---- choosing ----

    def _show_choice(self, request: gr.Request, chosen: Chosen | None) -> Updates:
        """Another picture; a comparison of the one before it ends, and shows nothing more."""
        session_id = session_of(request, COMPARISON)
        self._sessions.go_on(session_id)  # its files go with the next one: until it has noticed, it writes some
        self._sessions.run_stop(session_id).set()
        shown = self._place.showing(chosen.preview, chosen.size) if chosen else self._place.empty()
        return {**shown, **self._cleared(markup.empty(_EMPTY))}

    def _describe(self, chosen: Chosen | None, titles: list[str], part: str, kept: list[Variant], *values: Any) -> Updates:
        """What will be compared and how long that takes; only what can be compared can be started."""
        refused = self._why_not(chosen, titles)
        if refused or chosen is None:
            return {self._about: markup.notice(refused), self._start: gr.Button(interactive=False)}
        if part == _PART or self._shared.state.phase != "ready":
            on = f"{LOOK_SIDE} × {LOOK_SIDE} pixels around the mark" if part == _PART else "the whole picture"
            return {self._about: markup.notice(f"{len(titles)} settings on {on}."), self._start: gr.Button(interactive=True)}
        try:
            sampler = self._shared.get()
            plans = [sampler.plan(chosen.path, stats=chosen.stats, **variant.overrides) for variant in self._chosen_variants(titles, kept, values)]
        except Exception as error:
            return {self._about: markup.error(foreseen(error)), self._start: gr.Button(interactive=False)}
        seconds = [self._shared.seconds_for(plan) for plan in plans]
        known = [one for one in seconds if one is not None]  # all, or none before the first run
        words = f"{len(titles)} settings on the whole picture" + (f", about {describing.duration(sum(known))} together." if known else ".")
        return {self._about: markup.notice(words), self._start: gr.Button(interactive=True)}

    @staticmethod
    def _why_not(chosen: Chosen | None, titles: list[str]) -> str:
        if chosen is None:
            return _NO_PICTURE
        return "" if FEWEST <= len(titles) <= MOST else f"Tick {FEWEST} to {MOST} settings to compare, not {len(titles)}."

    def _add(self, kept: list[Variant], titles: list[str], *values: Any) -> Updates:
        """The form's settings of this moment as one more choice."""
        try:
            added = Variant(f"Own {len(kept) + 1}", self._form.overrides(values))
            self._settings(added)
        except Exception as error:
            return {self._status: markup.error(explained(error))}
        known = next((variant for variant in kept if variant.overrides == added.overrides), None)
        kept = kept if known else [*kept, added]
        ticked = list(dict.fromkeys([*titles, (known or added).title]))
        return {self._kept: kept, self._variants: gr.CheckboxGroup(self._choices(kept), value=ticked)}

    def _choices(self, kept: list[Variant]) -> list[tuple[str, str]]:
        words = [differences([self._settings(variant), self._shared.settings])[0] for variant in kept]
        return [(name, name) for name in PRESETS] + [(f"{variant.title}: {said}", variant.title) for variant, said in zip(kept, words, strict=True)]

    def _chosen_variants(self, titles: list[str], kept: list[Variant], values: tuple[Any, ...]) -> list[Variant]:
        """What is ticked; presets leave tiles, views, colours and seed as the form has them."""
        form = self._form.overrides(values)
        offered = [Variant(name, form | preset_values(name)) for name in PRESETS] + kept
        return [variant for variant in offered if variant.title in titles]

    def _settings(self, variant: Variant) -> Settings:
        return with_overrides(self._shared.settings, variant.overrides)

    # ---- running ----

    def _begin(self, request: gr.Request) -> Updates:
        self._sessions.begin_run(session_of(request, COMPARISON))
        return {
            self._start: gr.Button(visible=False),
            self._cancel: gr.Button(visible=True, interactive=True),
            self._keep: gr.Button(interactive=False),
            **self._cleared(WAITING),
        }

    def _cleared(self, status: str) -> Updates:
        return {
            self._status: status,
            self._sheet: None,
            self._compared: [],
            self._download: gr.DownloadButton(visible=False),
            self._files: gr.File(visible=False),
        }

    def _run(
        self, request: gr.Request, chosen: Chosen | None, spot: tuple[float, float], titles: list[str], part: str, kept: list[Variant], *values: Any
    ) -> Iterator[Updates]:
        """A comparison from waiting to its results. Nothing is shown of one while another one is the session's."""
        session_id = session_of(request, COMPARISON)
        stop = self._sessions.take_run(session_id)
        if stop:
            for updates in self._told(session_id, stop, chosen, spot, titles, part, kept, values):
                if self._sessions.run_stop(session_id) is stop:
                    yield updates
        yield {self._status: gr.skip()}

    def _told(
        self,
        session_id: str,
        stop: Event,
        chosen: Chosen | None,
        spot: tuple[float, float],
        titles: list[str],
        part: str,
        kept: list[Variant],
        values: tuple[Any, ...],
    ) -> Iterator[Updates]:
        try:
            if chosen is None or self._why_not(chosen, titles):
                raise UserError(self._why_not(chosen, titles))
            chosen.check_kept()
            variants = self._chosen_variants(titles, kept, values)
            words = differences([self._settings(variant) for variant in variants])
            sheet = _Sheet(self._sessions.new_folder(session_id), spot if part == _WHOLE else None)
            for k, (variant, said) in enumerate(zip(variants, words, strict=True)):
                clock = Clock(f"{variant.title} ({k + 1} of {len(variants)})")
                for news in self._started(chosen, spot, part, variant, sheet.folder_for(variant.title), stop):
                    if isinstance(news, Finished):
                        sheet.add(variant.title, said, news)
                        yield {self._sheet: sheet.figures(), self._compared: [one.overrides for one in variants[: k + 1]]}
                        continue
                    clock.hear(news)
                    yield {self._status: clock.progress()}
            yield self._offered(sheet, chosen)
        except Cancelled:
            yield {self._status: markup.notice(_STOPPED)}
        except Exception as error:
            yield {self._status: markup.error(explained(error))}
        finally:
            stop.set()

    def _started(self, chosen: Chosen, spot: tuple[float, float], part: str, variant: Variant, folder: Path, stop: Event) -> Iterator[News]:
        if part == _PART:
            return quick_look(self._shared, chosen.path, spot, variant.overrides, chosen.measure, stop)
        return upscale(self._shared, chosen.path, folder, variant.overrides, chosen.measure, stop)

    def _offered(self, sheet: _Sheet, chosen: Chosen) -> Updates:
        file = sheet.written(f"{chosen.path.stem} compared.png")
        words = f"{chosen.path.name} in {len(sheet.seconds)} ways, in {sum(sheet.seconds):.1f} s."
        return {
            self._status: markup.success(words),
            self._download: gr.DownloadButton("Download the sheet", value=file, visible=True),
            self._files: gr.File(value=list(map(str, sheet.files)), visible=True) if sheet.files else gr.File(visible=False),
        }

    def _use(self, event: gr.EventData, compared: list[dict[str, Any]]) -> Updates:
        number = event.number
        if not isinstance(number, int) or not 1 <= number <= len(compared):
            return {self._status: markup.error("These settings are not there any more; compare again.")}
        said = markup.success("The form has these settings now; “Process” in the tab “Single image” goes by them.")
        return {self._status: said, **self._form.showing(with_overrides(self._shared.settings, compared[number - 1]))}

    def _stop(self, request: gr.Request) -> Updates:
        return stopped(self._sessions.run_stop(session_of(request, COMPARISON)), self._status)

    def _explain_no_run(self, request: gr.Request) -> Updates:
        stop = self._sessions.run_stop(session_of(request, COMPARISON))
        status = markup.notice(_STOPPED) if stop.is_set() else markup.error(not_started())
        stop.set()
        return {self._status: status, **self._idle()}

    def _end(self, request: gr.Request) -> Updates:
        """The buttons as they were, unless another comparison was begun meanwhile."""
        return self._idle() if self._sessions.run_stop(session_of(request, COMPARISON)).is_set() else {self._start: gr.skip()}

    def _idle(self) -> Updates:
        return {self._start: gr.Button(visible=True), self._cancel: gr.Button(visible=False), self._keep: gr.Button(interactive=True)}


@dataclass
class _Sheet:
    """Results as they come, beginning with the picture enlarged without a model. spot: of the whole picture, what is to be seen closely as well."""

    folder: Path
    spot: tuple[float, float] | None
    seconds: list[float] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    _closely: bool = False
    _run: str = field(default_factory=lambda: secrets.token_hex(4))
    _figures: list[dict[str, Any]] = field(default_factory=list)
    _columns: list[Column] = field(default_factory=list)

    def folder_for(self, title: str) -> Path:
        folder = self.folder / title
        folder.mkdir()
        return folder

    def add(self, title: str, words: str, result: Finished) -> None:
        if not self._figures:
            self._closely = self.spot is not None and max(result.after.size) > WIDTH
            self._add_column("Before", "The picture, enlarged bicubically", result.before, result.after.size, 0)
        self.seconds.append(result.seconds)
        self._add_column(title, f"{words}. {result.seconds:.1f}\u00a0s", result.after, result.after.size, len(self.seconds))
        if result.file:
            self.files.append(result.file.rename(result.file.with_name(f"{result.file.stem} {title}.png")))

    def figures(self) -> dict[str, Any]:
        """What the template of the sheet shows."""
        closest = max(figure["width"] for figure in self._figures) * _CLOSEST / WIDTH
        return {"run": self._run, "zoom": max(_CLOSEST, round(closest)), "spot": self.spot or (0.5, 0.5), "figures": list(self._figures)}

    def written(self, name: str) -> Path:
        """The contact sheet as a file."""
        contact_sheet(self._columns).save(self.folder / name)
        return self.folder / name

    def _add_column(self, title: str, words: str, picture: Picture, size: tuple[int, int], number: int) -> None:
        """number: that of the settings, from 1 on, or 0 for what has none."""
        h, w = display_size(size)
        copy = self.folder / f"{title} {secrets.token_hex(8)}.png"
        save_copy(picture, (h, w), copy)
        whole = displayed(picture, size)
        self._columns.append(Column(title, words, self._looked_at(whole)))
        image = FileData(path=str(copy)).model_dump()
        said = {"title": markup.text(title), "words": markup.text(words)}  # as HTML: what Handlebars escapes is not safe in Gradio's templates
        self._figures.append({**said, "image": image, "width": w, "height": h, "number": number})

    def _looked_at(self, picture: Image.Image) -> list[Image.Image]:
        if self.spot is None or not self._closely:
            return [picture]
        return [fitted(picture), at_place(picture, self.spot)]
