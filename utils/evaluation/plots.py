"""Plots as inline SVG: colours come from the page's style sheet, values show on hovering, and nothing is fetched or run."""

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape

from utils.evaluation.measures import Measure

BOX_PLOT_SIZE = 300, 236
GAIN_WIDTH = 880
LONGEST_NAME = 30
MOST_NAMES = 60
"""Pictures up to which the plot of gains has a named row for each."""


def box_plot(labels: Sequence[str], columns: Sequence[Sequence[float | None]], names: Sequence[str], measure: Measure) -> Markup:
    """A box and all points for each label, one picture's points joined by a line.

    columns: values by label and picture; None and infinite ones are left out, but one must remain.
    """
    width, height = BOX_PLOT_SIZE
    left, right, top, bottom = 46, width - 8, 10, height - 26
    finite = [value for column in columns for value in column if value is not None and math.isfinite(value)]
    ticks = ticks_over(min(finite), max(finite))

    def y(value: float) -> float:
        return bottom - (bottom - top) * (value - ticks[0]) / (ticks[-1] - ticks[0])

    slot = (right - left) / len(labels)
    centres = [left + slot * (k + 0.5) for k in range(len(labels))]
    parts = [_line(left, y(tick), right, y(tick), "grid") + _text(left - 6, y(tick) + 4, number(tick, ticks), "end") for tick in ticks]
    for values in zip(*columns, strict=True):
        points = [f"{x:.1f},{y(v):.1f}" for x, v in zip(centres, values, strict=True) if v is not None and math.isfinite(v)]
        parts.append(f'<polyline class="pair" points="{" ".join(points)}"/>')
    for k, (label, column) in enumerate(zip(labels, columns, strict=True)):
        present = [(name, value) for name, value in zip(names, column, strict=True) if value is not None and math.isfinite(value)]
        parts += [_box([value for _, value in present], centres[k], min(slot * 0.5, 44), y, k)] if present else []
        for name, value in present:
            parts.append(_dot(centres[k], y(value), k, f"{name}: {value:.{measure.decimals}f} {measure.unit} ({label})"))
        parts.append(_text(centres[k], height - 8, _shortened(label, max(6, int(slot / 6.5))), "middle", title=label))
    return _svg(width, height, f"{measure.title} by method", parts)


def gain_plot(labels: Sequence[str], columns: Sequence[Sequence[float | None]], names: Sequence[str], first: int, unit: str) -> Markup:
    """A row for each picture with a dot for each label. columns: gains by label and picture; first: number of the first label's colour."""
    finite = [0.0, *(value for column in columns for value in column if value is not None)]
    ticks = ticks_over(min(finite), max(finite), 10)
    row = 20 if len(names) <= MOST_NAMES else 5
    left, right, top = (210 if len(names) <= MOST_NAMES else 20), GAIN_WIDTH - 14, 8
    bottom = top + row * len(names)

    def x(value: float) -> float:
        return left + (right - left) * (value - ticks[0]) / (ticks[-1] - ticks[0])

    parts = [_line(x(tick), top, x(tick), bottom, "zero" if tick == 0 else "grid") for tick in ticks]
    parts += [_text(x(tick), bottom + 18, number(tick, ticks, signed=True), "middle") for tick in ticks[:-1]]
    parts.append(_text(right + 10, bottom + 18, f"{number(ticks[-1], ticks, signed=True)} {unit}", "end"))
    for k, name in enumerate(names):
        middle = top + row * (k + 0.5)
        present = [(column[k], n) for n, column in enumerate(columns)]
        values = [value for value, _ in present if value is not None]
        if values:
            parts.append(_line(x(min(0, *values)), middle, x(max(0, *values)), middle, "pair"))
        if len(names) <= MOST_NAMES:
            parts.append(_text(left - 12, middle + 4, _shortened(name, LONGEST_NAME), "end", title=name))
        parts += [_dot(x(value), middle, first + n, f"{name}: {value:+.2f} {unit} ({labels[n]})", 4.5) for value, n in present if value is not None]
    return _svg(GAIN_WIDTH, bottom + 26, "Gain by picture", parts)


def ticks_over(least: float, most: float, count: int = 5) -> list[float]:
    """About `count` round numbers, evenly apart, from `least` or less to `most` or more."""
    largest = max(abs(least), abs(most))
    room = most - least
    if room <= 1e-6 * largest:  # equal but for rounding
        room = largest or 1.0
    step = 10 ** math.floor(math.log10(room / count))
    step *= next(factor for factor in (1, 2, 5, 10) if room / (factor * step) <= count)
    first, last = math.floor(least / step + 1e-9), math.ceil(most / step - 1e-9)
    return [k * step for k in range(first, max(last, first + 1) + 1)]


def number(value: float, ticks: Sequence[float], signed: bool = False) -> str:
    """A tick's label, with as many decimals as the distance between ticks asks for."""
    decimals = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    words = f"{value:+.{decimals}f}" if signed and value else f"{value:.{decimals}f}"
    return words.replace("-", "\N{MINUS SIGN}")


def _box(values: Sequence[float], centre: float, width: float, y, k: int) -> str:
    """Quartiles and median; whiskers to the last points within 1.5 times the quartiles' distance (Tukey)."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    reach = 1.5 * (high - low)
    least, most = min(v for v in values if v >= low - reach), max(v for v in values if v <= high + reach)
    left = centre - width / 2
    return (
        f'<g class="box m{k % 8}">'
        + "".join(
            _line(centre, y(a), centre, y(b)) + _line(centre - width / 5, y(b), centre + width / 5, y(b)) for a, b in ((low, least), (high, most))
        )
        + f'<rect x="{left:.1f}" y="{y(high):.1f}" width="{width:.1f}" height="{max(y(low) - y(high), 0.5):.1f}" rx="2"/>'
        + _line(left, y(middle), left + width, y(middle), "median")
        + "</g>"
    )


def _dot(x: float, y: float, k: int, title: str, radius: float = 2.6) -> str:
    return f'<circle class="dot m{k % 8}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"><title>{escape(title)}</title></circle>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str = "stroke") -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, words: str, anchor: str, title: str = "") -> str:
    hover = f"<title>{escape(title)}</title>" if title and title != words else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}{hover}</text>'


def _shortened(words: str, length: int) -> str:
    return words if len(words) <= length else f"{words[: length - 1]}…"


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> Markup:
    return Markup(f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>')
