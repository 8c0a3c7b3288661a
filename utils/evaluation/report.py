"""A comparison as files: results.csv for tables, results.json for programs, report.html for people."""

import base64
import csv
import io
import json
import math
import os
import platform
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from utils.evaluation.comparison import Comparison, Detail, Measured
from utils.evaluation.measures import MEASURES, Measure
from utils.evaluation.plots import box_plot, gain_plot
from utils.evaluation.summary import Gain, Spread, folders, gain, gains, ranked, spread, summary
from utils.jobs.naming import printable, spreadsheet_text
from utils.jobs.output_folder import check_folder, make_folder
from utils.pictures.whole_files import begins_with, write_whole
from utils.planning.errors import UserError

HERE = Path(__file__).parent
MAKER = "evaluate.py"
PACKAGES = ("torch", "diffusers", "numpy", "pillow", "scikit-image", "lpips")
CSV_COLUMNS = ("picture", "method", "width", "height", *MEASURES)
MARKS = {
    "results.csv": ",".join(CSV_COLUMNS[:5]).encode(),
    "results.json": f'{{\n "made_by": "{MAKER}"'.encode(),
    "report.html": f"<!doctype html><!-- made by {MAKER} -->".encode(),
}
"""The files of a report and how each begins, by which it is known as ours."""
PLOTTED = ("psnr_y", "ssim_y", "lpips_alex", "lpips_vgg", "feature_distance", "lr_consistency", "color_error")
IN_FOLDERS = ("psnr_y", "ssim_y", "lpips_alex", "feature_distance")


@dataclass(frozen=True)
class Facts:
    """How a comparison was made, for its readers. protocol: sentences; methods: label -> facts; absent: measure -> why it is missing."""

    protocol: tuple[str, ...]
    methods: dict[str, dict[str, Any]]
    absent: dict[str, str]


def check_targets(folder: Path) -> None:
    """UserError if a report cannot be put into `folder`, as far as that is seen without writing; a file that is not ours is never replaced."""
    check_folder(folder, "for the report")
    for name, mark in MARKS.items():
        path = folder / name
        if os.path.lexists(path) and not begins_with(path, mark):
            raise UserError(f"{path} was not made by this program and is not replaced; name another folder.")


def write_report(comparison: Comparison, facts: Facts, folder: Path) -> list[Path]:
    """The three files in `folder`, which is made if missing; each appears whole or not at all. UserError if one cannot be written."""
    check_targets(folder)
    make_folder(folder)
    contents = {"results.csv": as_csv(comparison), "results.json": as_json(comparison, facts), "report.html": as_html(comparison, facts)}
    for name, text in contents.items():
        data = printable(text).encode()
        assert data.startswith(MARKS[name])
        write_whole(folder / name, lambda stream, data=data: stream.write(data))
    return [folder / name for name in contents]


def as_csv(comparison: Comparison) -> str:
    """A line for each picture and method; empty where there is no value, `inf` where it is infinite."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for picture in comparison.pictures:
        for label, values in picture.values.items():
            numbers = ["" if (value := values.get(measure)) is None else f"{value:.8g}" for measure in MEASURES]
            writer.writerow([spreadsheet_text(picture.name), spreadsheet_text(label), picture.size[1], picture.size[0], *numbers])
    return stream.getvalue()


def as_json(comparison: Comparison, facts: Facts) -> str:
    """Everything but the pixels; infinite values are the text "inf"."""
    first, *others = comparison.labels
    document = {
        "made_by": MAKER,
        "date": date.today().isoformat(),
        "protocol": facts.protocol,
        "methods": {label: facts.methods.get(label, {}) for label in comparison.labels},
        "versions": versions(),
        "machine": machine(),
        "measures": {name: asdict(measure) | {"absent": facts.absent.get(name)} for name, measure in MEASURES.items()},
        "means": {label: {name: asdict(value) for name, value in row.items() if value is not None} for label, row in summary(comparison).items()},
        "gains": {
            "over": first,
            "of": {label: {name: asdict(found) for name in MEASURES if (found := gain(comparison, label, name)) is not None} for label in others},
        },
        "pictures": [
            {"name": picture.name, "width": picture.size[1], "height": picture.size[0], "values": picture.values} for picture in comparison.pictures
        ],
        "skipped": [asdict(skipped) for skipped in comparison.skipped],
    }
    return json.dumps(_finite(document), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def as_table(comparison: Comparison, facts: Facts) -> str:
    """Means and spreads as text, one line for each measure."""
    rows = [["", *comparison.labels]]
    means = summary(comparison)
    for name, measure in _shown(comparison, facts).items():
        title = f"{measure.title}, {measure.unit}" if measure.unit else measure.title
        if name in facts.absent:
            rows.append([title, *[facts.absent[name]] * len(comparison.labels)])
            continue
        rows.append([title, *(_plain_cell(means[label][name], gain(comparison, label, name), measure) for label in comparison.labels)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def as_html(comparison: Comparison, facts: Facts) -> str:
    """One page that needs no other file and no network."""
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(value=_value, signed=_signed, mean=lambda part, label, name: spread(part.values(label, name)))
    names = [picture.name for picture in comparison.pictures]
    shown = _shown(comparison, facts)
    plotted = [name for name in PLOTTED if name in shown and name not in facts.absent and _has_finite(comparison, name)]
    return environment.get_template("report.html.jinja").render(
        mark=Markup(MARKS["report.html"].decode()),
        style=Markup((HERE / "report.css").read_text()),
        date=date.today().isoformat(),
        comparison=comparison,
        facts=facts,
        measures=MEASURES,
        shown=shown,
        means=summary(comparison),
        gain=lambda label, name: gain(comparison, label, name),
        best={name: _best(comparison, name) for name in shown},
        folders=folders(comparison),
        in_folders=[name for name in IN_FOLDERS if name in plotted],
        box_plots={
            name: box_plot(comparison.labels, [comparison.values(label, name) for label in comparison.labels], names, MEASURES[name])
            for name in plotted
        },
        gain_plot=_gain_plot(comparison),
        examples=_examples(comparison),
        versions=versions(),
        machine=machine(),
    )


def versions() -> dict[str, str]:
    """Of Python and of the packages that figures depend on, as far as they are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def machine() -> dict[str, str]:
    """What figures of time depend on."""
    facts = {"system": platform.system(), "processor": platform.machine(), "threads": str(torch.get_num_threads())}
    return facts | {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else facts


def _shown(comparison: Comparison, facts: Facts) -> dict[str, Measure]:
    """The measures that have a line in tables: those with values, and those that somebody would look for."""
    missed = {name for name, reason in facts.absent.items() if name.startswith("lpips") and reason != "not asked for"}
    present = {name for name in MEASURES for label in comparison.labels if any(value is not None for value in comparison.values(label, name))}
    return {name: measure for name, measure in MEASURES.items() if name in present | missed}


def _has_finite(comparison: Comparison, name: str) -> bool:
    return any(value is not None and math.isfinite(value) for label in comparison.labels for value in comparison.values(label, name))


def _best(comparison: Comparison, name: str) -> set[str]:
    """The labels with the best mean; none where one method stands alone or no direction is better."""
    better = MEASURES[name].better
    present = {label: value.mean * better for label in comparison.labels if (value := spread(comparison.values(label, name))) is not None}
    return {label for label, value in present.items() if value == max(present.values())} if better and len(present) > 1 else set()


def _gain_plot(comparison: Comparison) -> Markup | None:
    """Gains in PSNR-Y over the first method; None without a second one or where all are infinite."""
    order = [picture for picture, _ in ranked(comparison)]
    if len(comparison.labels) < 2 or not order:
        return None
    part = replace(comparison, pictures=tuple(order))
    others = comparison.labels[1:]
    return gain_plot(others, [gains(part, label, "psnr_y") for label in others], [picture.name for picture in order], 1, "dB")


def _examples(comparison: Comparison) -> list[dict[str, Any]]:
    """Best, median and worst picture, each once."""
    order = ranked(comparison)
    chosen: dict[int, str] = {}
    for place, title in ((0, "Best"), (len(order) - 1, "Worst"), (len(order) // 2, "Median")):
        if order:
            chosen.setdefault(place, title)
    return [_example(title, *order[place]) for place, title in sorted(chosen.items())]


def _example(title: str, picture: Measured, value: float) -> dict[str, Any]:
    h, w = picture.size
    box = picture.detail.box
    marker = {"left": box.left / w, "top": box.top / h, "width": box.size[1] / w, "height": box.size[0] / h}
    return {
        "title": title,
        "picture": picture,
        "value": value,
        "thumbnail": _data_uri(picture.thumbnail, "JPEG"),
        "marker": {side: f"{100 * share:.2f}%" for side, share in marker.items()},
        "crops": _crops(picture.detail),
    }


def _crops(detail: Detail) -> dict[str, str]:
    pixels = {"original": detail.hr, **({} if detail.lq is None else {"input": detail.lq}), **{f"result {k}": v for k, v in detail.results.items()}}
    return {name: _data_uri(Image.fromarray(np.ascontiguousarray(crop)), "PNG") for name, crop in pixels.items()}


def _data_uri(image: Image.Image, kind: str) -> str:
    stream = io.BytesIO()
    image.save(stream, kind, **({"quality": 88} if kind == "JPEG" else {"optimize": True}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"


def _value(number: float | None, measure: Measure) -> str:
    if number is None:
        return "\N{EN DASH}"
    return "∞" if math.isinf(number) else f"{number:.{measure.decimals}f}"


def _signed(number: float, measure: Measure) -> str:
    return f"{number:+.{measure.decimals}f}".replace("-", "\N{MINUS SIGN}")


def _plain_cell(value: Spread | None, gained: Gain | None, measure: Measure) -> str:
    if value is None:
        return "-"
    words = _value(value.mean, measure) + ("" if value.deviation is None else f" ± {_value(value.deviation, measure)}")
    return words if gained is None or not measure.better or gained.spread.mean == 0 else f"{words} ({gained.spread.mean:+.{measure.decimals}f})"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float):
        return round(value, 8) if math.isfinite(value) else str(value)
    return value
