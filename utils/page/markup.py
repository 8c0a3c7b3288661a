"""The pieces of HTML that the page is written in; everything that comes from a visitor or a file is escaped here."""

import html
import re
from collections.abc import Iterable

from utils.jobs.naming import printable
from utils.models.downloading import INVSR_NOISE_PREDICTOR, SD_TURBO
from utils.page.errors import REQUEST
from utils.page.shared_sampler import LoadingState
from utils.planning.settings import Settings

# Gradio fills in templates twice: what Handlebars makes is the inside of a template literal of JavaScript, which a text must neither end nor fill.
_TEMPLATE = str.maketrans({sign: f"&#{ord(sign)};" for sign in "{}$`\\"})
_ADDRESS = re.compile(r"https://[^\s<]+")

_PICTURE_SIGN = (
    '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">'
    '<rect x="3" y="4" width="18" height="16" rx="2"/><path d="M12 4v16M3 16l4-4 5 5M12 13l3-3 6 6"/><circle cx="16.5" cy="8" r="1.2"/></svg>'
)


def text(words: str) -> str:
    """Words as HTML that shows just these words."""
    return html.escape(printable(words)).translate(_TEMPLATE)


def heading(title: str, explanation: str) -> str:
    return f'<h1 class="sr-title">{text(title)}</h1><p class="sr-explanation">{text(explanation)}</p>'


def section(title: str) -> str:
    return f'<h2 class="sr-section">{text(title)}</h2>'


def model_line(state: LoadingState, settings: Settings, preset: str = "") -> str:
    """How loading stands, in a few words, and under which terms the model may be used. It is another text for another preset."""
    words = "The model could not be loaded" if state.phase == "failed" else state.sentence
    notes = "".join(f"<p>{_linked(note, 'the terms')}</p>" for note in licences(settings))
    return (
        f'<div class="sr-model {state.phase}" role="status" data-preset="{text(preset)}"><span class="sr-dot"></span>{text(words)}</div>'
        f'<div class="sr-licences">{notes}</div>'
    )


def loading_error(state: LoadingState) -> str:
    """Why the model could not be loaded, or nothing."""
    return error(state.sentence) if state.phase == "failed" else ""


def licences(settings: Settings) -> list[str]:
    """A sentence for each part of the model that others publish under terms of their own."""
    notes = []
    if settings.sd_pipe.params.pretrained_model_name_or_path.rstrip("/").rsplit("/", 1)[-1] == SD_TURBO.repo_id.rsplit("/", 1)[-1]:
        notes.append(f"SD-Turbo: {SD_TURBO.licence}")
    if (settings.model_start.ckpt_path or "").rsplit("/", 1)[-1] in INVSR_NOISE_PREDICTOR.patterns:
        notes.append(f"Noise predictor: {INVSR_NOISE_PREDICTOR.licence}")
    return notes


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Names and values in two columns; addresses in values are links."""
    cells = "".join(f"<dt>{text(name)}</dt><dd>{_linked(value)}</dd>" for name, value in rows)
    return f'<dl class="sr-facts">{cells}</dl>'


def picture(uri: str, description: str, css_class: str) -> str:
    return f'<img class="sr-{css_class}" src="{uri}" alt="{text(description)}" decoding="sync" draggable="false">'


def card(name: str, standing: str, is_current: bool, meaning: str, content: str) -> str:
    """One of several things to choose from: what it is called and how it stands, what it is for, and content (HTML)."""
    current = " current" if is_current else ""
    head = f'<p class="sr-card-head"><strong>{text(name)}</strong><span class="sr-chip{current}" role="status">{text(standing)}</span></p>'
    return f'<div class="sr-card">{head}{f"<p>{text(meaning)}</p>" if meaning else ""}{content}</div>'


def folded(summary: str, words: str) -> str:
    """Words that are shown when somebody asks for them."""
    return f'<details class="sr-folded"><summary>{text(summary)}</summary><p>{text(words)}</p></details>'


def paragraph(words: str) -> str:
    return f'<p class="sr-paragraph">{text(words)}</p>'


def notice(sentence: str) -> str:
    return f'<p class="sr-notice">{text(sentence)}</p>'


def success(sentence: str) -> str:
    return f'<p class="sr-success" role="status">{text(sentence)}</p>'


def empty(sentence: str) -> str:
    """What stands where nothing is yet."""
    return f'<div class="sr-empty">{_PICTURE_SIGN}<p>{text(sentence)}</p></div>'


def error(sentence: str) -> str:
    """A sentence of `errors.explained`, its request id set apart."""
    words = REQUEST.sub(r" <small>\1</small>", text(sentence))
    return f'<p class="sr-error" role="alert">{words}</p>'


def place(uri: str, description: str, shares: tuple[float, float], button: str, choice: str) -> str:
    """A picture with a movable mark in its middle that covers these shares of its height and width; button: see `PlacePicker`.

    choice: another one whenever a picture is chosen, be it the same: a text that stays the same would leave the mark where it was moved to.
    """
    down, right = shares
    at = f"top:{50 * (1 - down):.4f}%;left:{50 * (1 - right):.4f}%;height:{100 * down:.4f}%;width:{100 * right:.4f}%"
    words = "The place to look at; the arrow keys move it" + (", Enter looks" if button else "")
    mark = f'<button type="button" class="sr-mark" style="{at}" data-down="0.5" data-right="0.5" aria-label="{words}"></button>'
    return f'<div class="sr-place" data-button="{button}" data-choice="{choice}">{picture(uri, description, "chosen")}{mark}</div>'


def progress(sentence: str, part: float | None) -> str:
    """A bar, `part` of it full, or moving where that is not known."""
    if part is None:
        return f'<div class="sr-progress"><p role="status">{text(sentence)}</p><div class="sr-bar unknown"><div></div></div></div>'
    percent = f"{part:.1%}"
    return (
        f'<div class="sr-progress"><p>{text(sentence)}</p><div class="sr-bar" role="progressbar" aria-valuemin="0" aria-valuemax="100"'
        f' aria-valuenow="{part * 100:.0f}" aria-label="{text(sentence)}"><div style="width:{percent}"></div></div></div>'
    )


def reasons(sentences: Iterable[str]) -> str:
    return f'<ul class="sr-reasons">{"".join(f"<li>{text(sentence)}</li>" for sentence in sentences)}</ul>'


def _linked(words: str, label: str = "") -> str:
    """Words with their addresses as links, called `label` or by the address itself."""
    return _ADDRESS.sub(lambda match: f'<a href="{match[0]}" target="_blank" rel="noopener noreferrer">{label or match[0]}</a>', text(words))
