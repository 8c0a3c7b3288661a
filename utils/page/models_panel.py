"""The models on the page: which are here, which is in use, and the buttons to fetch another one and to use it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from utils.models import model_files
from utils.models.downloading import readable_size
from utils.page import markup
from utils.page.describing import duration
from utils.page.errors import explained
from utils.page.events import LIGHT, Updates
from utils.page.model_download import Progress
from utils.page.models import ModelPreset, Models

_SHARED = "One model is in memory, for everybody who uses this page. Using another one waits for the run in progress and then changes it for all."
_FIXED = "One model is in memory, for everybody who uses this page. Who runs this server decides which."
_OFTEN, _SELDOM = 0.5, 4.0  # seconds between two looks at how the models stand


@dataclass(frozen=True)
class _Card:
    """The components of one preset; without the buttons where visitors must not change the model."""

    preset: ModelPreset
    about: gr.HTML
    use: gr.Button | None = None
    fetch: gr.Button | None = None
    cancel: gr.Button | None = None

    @property
    def components(self) -> list[Any]:
        return [component for component in (self.about, self.use, self.fetch, self.cancel) if component]


class ModelsPanel:
    """Components of the panel, to be made where it is to appear. `follow` keeps them, and what the page says of its model, up to date."""

    def __init__(self, models: Models) -> None:
        self._models, self._shared = models, models.shared
        with gr.Accordion(self._heading(), open=False, elem_id="models") as self._box:
            gr.HTML(markup.paragraph(_SHARED if models.may_change else _FIXED))
            self._message = gr.HTML(elem_id="models-message")
            self._cards = [self._make_card(number, preset) for number, preset in enumerate(models.presets)]
        self._shown = gr.Textbox(visible=False)  # in the browser: only there it is known which answers arrived, and which came last

    def _make_card(self, number: int, preset: ModelPreset) -> _Card:
        about = gr.HTML(self._about(preset), elem_id=f"model-{number}")
        if not self._models.may_change:
            return _Card(preset, about)
        buttons = [
            gr.Button(words, size="sm", visible=False, elem_id=f"model-{number}-{name}")
            for name, words in (("use", f"Use {preset.name}"), ("download", f"Download {preset.name}"), ("cancel", "Cancel the download"))
        ]
        return _Card(preset, about, *buttons)

    def follow(self, page: gr.Blocks, line: gr.HTML, error: gr.HTML) -> None:
        """Show how the models stand when the page is opened and from then on. line, error: what the page says of its model besides."""
        self._line, self._error = line, error
        self._timer = gr.Timer(_OFTEN)
        outputs = [self._shown, self._timer, line, error, self._box, self._message, *(part for card in self._cards for part in card.components)]
        page.load(self._news, self._shown, outputs, **LIGHT)
        self._timer.tick(self._news, self._shown, outputs, **LIGHT)
        for card in self._cards:
            for button, action in ((card.use, self._models.use), (card.fetch, self._models.fetch), (card.cancel, self._models.cancel)):
                if button:  # pressed again before the first answer is there, it counts again
                    button.click(partial(self._act, action, card), None, outputs, trigger_mode="multiple", **LIGHT)

    def _act(self, action: Callable[[ModelPreset], None], card: _Card) -> Updates:
        refused = ""
        try:
            action(card.preset)
        except Exception as error:
            refused = markup.error(explained(error))
        updates = self._news("")
        return updates | {card.about: updates[card.about] + refused}

    def _news(self, shown: str) -> Updates:
        """All that is to be shown, unless its mark is that of what is shown already."""
        updates: Updates = {
            self._timer: gr.update(value=_OFTEN if self._models.is_busy() else _SELDOM),
            self._line: self._line_words(),
            self._error: markup.loading_error(self._shared.state),
            self._box: gr.update(label=self._heading()),
            self._message: markup.error(self._shared.refusal) if self._shared.refusal else "",
        }
        for card in self._cards:
            updates |= self._card_updates(card)
        mark = hashlib.sha256(repr(list(updates.values())).encode()).hexdigest()
        return {self._shown: gr.skip()} if mark == shown else {self._shown: mark, **updates}

    def _line_words(self) -> str:
        used = self._models.used
        return markup.model_line(self._shared.state, self._shared.settings, used.name if used else "")

    def _heading(self) -> str:
        used, progress = self._models.used, self._models.download.progress
        words = f"Model: {used.name}" if used else "Model"
        if progress is None or not progress.is_under_way:
            return words
        return f"{words} · downloading {progress.name}" + (f" {progress.done / progress.total:.0%}" if progress.total else "")

    # ---- one preset ----

    def _card_updates(self, card: _Card) -> Updates:
        updates: Updates = {card.about: self._about(card.preset)}
        if card.use and card.fetch and card.cancel:
            preset, progress = card.preset, self._progress_of(card.preset)
            here, under_way = not preset.missing(), progress is not None and progress.is_under_way
            is_used = preset == self._models.used and self._shared.state.phase != "failed"
            updates[card.use] = gr.update(visible=here and not is_used and preset != self._models.wanted, interactive=self._models.can_switch())
            updates[card.fetch] = gr.update(
                value=self._fetch_label(preset, progress),
                visible=bool(preset.parts) and not here and not under_way,
                interactive=self._models.can_fetch(),
            )
            updates[card.cancel] = gr.update(visible=under_way, interactive=progress is not None and progress.phase == "running")
        return updates

    def _fetch_label(self, preset: ModelPreset, progress: Progress | None) -> str:
        if progress and progress.phase == "failed":
            return f"Try again to download {preset.name}"
        return f"Go on downloading {preset.name}" if preset.bytes_here() else f"Download {preset.name}"

    def _about(self, preset: ModelPreset) -> str:
        rows = [("Size", self._size(preset)), ("From", " and ".join(part.remote.page for part in preset.parts))]
        rows += [("Terms", licence) for licence in markup.licences(preset.settings)]
        content = markup.facts((name, words) for name, words in rows if words)
        progress = self._progress_of(preset)
        if progress is None or not progress.is_under_way:
            content += _lacking(preset)
        return markup.card(preset.name, self._standing(preset), preset == self._models.used, preset.meaning, content + _said(progress))

    def _progress_of(self, preset: ModelPreset) -> Progress | None:
        progress = self._models.download.progress
        return progress if progress and progress.name == preset.name else None

    def _standing(self, preset: ModelPreset) -> str:
        phase, progress = self._shared.state.phase, self._progress_of(preset)
        if preset == self._models.wanted:
            return "Loading" if phase == "loading" else "Waiting for the run in progress"
        if preset == self._models.used and self._models.wanted is None:
            return {"loading": "Loading", "ready": "In use", "failed": "Could not be loaded"}[phase]
        if preset == self._models.used and phase == "ready":
            return "In use"
        if progress and progress.is_under_way:
            return "Downloading"
        return "Not installed" if preset.missing() else "Installed"

    def _size(self, preset: ModelPreset) -> str:
        if not preset.parts:
            return ""
        here = preset.bytes_here()
        if not preset.missing():
            return readable_size(here)
        words = f"about {readable_size(preset.size)} to download"
        return f"{words}, {readable_size(here)} of it here" if here else words


def _lacking(preset: ModelPreset) -> str:
    """The files that are missing and the folders they belong in, to be unfolded."""
    names = [f"{_relative(part.folder / name)}" for part in preset.parts for name in part.missing()] or preset.missing()
    if not names:
        return ""
    return markup.folded("Missing files, for whoever puts them there by hand" if preset.parts else "Missing", ", ".join(names))


def _relative(path: Path) -> str:
    """A path as seen from the program's folder; visitors need not know where that is."""
    return path.relative_to(model_files.PROJECT).as_posix() if path.is_relative_to(model_files.PROJECT) else path.name


def _said(progress: Progress | None) -> str:
    """How a download stands."""
    if progress is None:
        return ""
    if progress.phase == "failed":
        return markup.error(progress.reason)
    if progress.phase == "stopped":
        return markup.notice("Stopped. What has arrived is kept; the download goes on from there.")
    return markup.progress(_progress_words(progress), progress.done / progress.total if progress.total else None)


def _progress_words(progress: Progress) -> str:
    if progress.phase == "stopping":
        return "Stopping"
    if not progress.total:
        return "Asking the hub"
    words = f"{progress.part}: {readable_size(progress.done)} of {readable_size(progress.total)}"
    if progress.speed:
        words += f", {readable_size(int(progress.speed))}/s, about {duration((progress.total - progress.done) / progress.speed)} left"
    return words
