"""The command line of the sampler: `python sampler_invsr.py --help`."""

from __future__ import annotations

import argparse
import importlib
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, NoReturn, Self

from utils import VERSION
from utils.planning.arguments import OneLineParser, show_any_name
from utils.planning.checked_settings import make_settings, parse_assignments
from utils.planning.errors import UserError
from utils.planning.settings import DOTTED_NAMES, OPTIONS, hindrance, turned_on, value_of

if TYPE_CHECKING:
    import numpy as np

    from sampler_invsr import InvSamplerSR
    from utils.jobs.options import JobOptions
    from utils.jobs.report import Row, Summary
    from utils.planning.settings import Settings


def main(make: type[InvSamplerSR], default_config: Path, arguments: list[str] | None = None) -> int:
    """Run the command line with samplers of the class `make`; returns the exit code."""
    options = _parser(default_config).parse_intermixed_args(arguments)
    show_any_name()
    warnings.filterwarnings("ignore", module=r"PIL\.")  # what is wrong with a picture, the reader says in its own words
    try:
        return _self_check(make, options) if options.self_check else _upscale_paths(make, options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; finished pictures are kept. The same command again goes on from there.", file=sys.stderr)
        return 130


class _Parser(OneLineParser):
    """Knows that a setting may have been written like an option."""

    def error(self, message: str) -> NoReturn:
        option = re.match(r"unrecognized arguments: --?([\w.-]+)", message)
        name = option[1].replace("-", "_") if option else ""
        super().error(f"{name} is a setting: write {name}=VALUE, without dashes" if name in DOTTED_NAMES else message)


def _parser(default_config: Path) -> argparse.ArgumentParser:
    parser = _Parser(
        description="Upscale a picture, or every picture in a folder.",
        epilog="configs/sample-tiny.yaml holds every setting and says what it is. Exit codes: 0 all written, or a sane self-check; 1 a self-check"
        " that is not sane; 2 wrong usage, settings or single input, nothing written; 3 some files of a folder failed, or its report cannot be"
        " written; 130 stopped. In a folder, what is done and unchanged is not done again.",
    )
    parser.add_argument("-i", "--input", metavar="IN", help="a picture or a folder of pictures")
    parser.add_argument("-o", "--output", metavar="OUT", help="the folder for the results, made if missing; each is OUT/<stem>.png")
    parser.add_argument("--config", default=str(default_config), help="settings file, or a result (default: the embedded model)")
    parser.add_argument("--recursive", action="store_true", help="look into subfolders too; the results lie in the same tree")
    parser.add_argument("--format", default="png", help="of the results: png, webp, tiff or jpg (default: png; all but jpg are lossless)")
    parser.add_argument("--no-metadata", action="store_true", help="keep neither EXIF (with places) and XMP, nor how the result was made")
    parser.add_argument("--tolerant", action="store_true", help="of damaged pictures, take what can be decoded")
    parser.add_argument("--overwrite", action="store_true", help="also replace files that this program did not make")
    parser.add_argument("--shard", default="1/1", metavar="I/N", help="do the I-th of N equal parts of a folder; the others may run elsewhere")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="only load the model (downloaded if it is missing) and tell what would be done and, if some of it is done already, about how long the"
        " rest would take",
    )
    parser.add_argument("--version", action="version", version=f"InvSamplerSR {VERSION}")
    parser.add_argument("--bs", type=int, default=1, help="pictures worked on at the same time (default: 1)")
    parser.add_argument(
        "--self-check",
        action="store_true",
        help="only upscale a small shipped picture and report whether this machine does it right",
    )
    parser.add_argument("settings", nargs="*", metavar="key=value", help="settings by name, for example timesteps=200,100 color_fix=ycbcr")
    return parser


def _upscale_paths(make: type[InvSamplerSR], options: argparse.Namespace) -> int:
    from utils.jobs.inputs import PICTURE_SUFFIXES, find_inputs
    from utils.jobs.job import Watcher

    if not options.input or not options.output:
        raise UserError("Name a picture or a folder with -i and a folder for the results with -o; --help tells more.")
    given = parse_assignments(options.settings)
    _refuse_options(given, options)
    settings, how = make_settings(options.config, given), _job_options(options)
    if options.bs < 1:
        raise UserError(f"--bs must be at least 1, not {options.bs}.")
    output = Path(options.output)
    inputs = find_inputs(Path(options.input), output, how.recursive)  # wrong paths are known before a model is loaded
    if output.suffix.lower() in PICTURE_SUFFIXES and not output.exists():  # whoever writes that may expect a file
        _say(f"note: {output} is the name of a folder here; what is written goes into it.")
    sampler = _load(make, settings)
    for name in given:
        if why := _idle(name, settings, sampler.spec.has_text):
            _say(f"note: {name} has no effect {why}.")
    if options.dry_run:
        print(sampler.forecast(options.input, options.output, **asdict(how)))
        return 0
    ends: list[Summary] = []

    def on_end(summary: Summary) -> None:
        ends.append(summary)
        if not inputs.alone:
            _print_summary(summary, options.output)

    with _Progress(inputs.root, len(how.part_of(inputs.names))) as progress:
        watcher = Watcher(progress.on_tile, progress.on_row, on_end)
        sampler.inference(options.input, options.output, options.bs, watcher=watcher, **asdict(how))
    return 3 if any(summary.failed or summary.unreported for summary in ends) else 0


def _refuse_options(given: Mapping[str, Any], options: argparse.Namespace) -> None:
    """UserError for what is no setting but was written like one."""
    for name, value in given.items():
        if name in vars(options) and name not in DOTTED_NAMES:
            words = f"--{name.replace('_', '-')}" + (f" {value}" if not isinstance(getattr(options, name), bool) else "")
            raise UserError(f"{name} is not a setting but an option: write {words}.")


def _idle(name: str, settings: Settings, has_text: bool) -> str:
    """Why a setting, by its last or dotted name, changes nothing beside the others or with the model; empty if it does."""
    last = name.rsplit(".", 1)[-1]
    rules = OPTIONS.get(last)
    if rules is None:
        return ""
    if rules["needs_text"] and not has_text:
        return "with this model, which has no text conditioning"
    values = {other: value_of(settings, dotted) for other, dotted in DOTTED_NAMES.items()}
    values |= turned_on(settings)
    other = hindrance(last, values)
    return f"with {other}={str(values[other]).lower()}" if other else ""


def _load(make: type[InvSamplerSR], settings: Settings) -> InvSamplerSR:
    from utils.jobs.interrupts import interrupts_set

    if sys.stderr.isatty():
        _say("Loading the model ...")  # and PyTorch, for some seconds without a sign of life
    with interrupts_set(Event()):  # within an import, Python and the libraries turn Ctrl-C into errors of their own
        importlib.import_module("utils.models.model_loading")
    return make(settings.to_dict(), _say, _download_bar())


def _job_options(options: argparse.Namespace) -> JobOptions:
    from utils.jobs.options import JobOptions, parse_shard

    return JobOptions(
        recursive=options.recursive,
        overwrite=options.overwrite,
        keep_metadata=not options.no_metadata,
        tolerant=options.tolerant,
        format=options.format,
        shard=parse_shard(options.shard),
    )


def _print_summary(summary: Summary, folder: str) -> None:
    from tqdm import tqdm

    from utils.jobs.job import STOPPED

    report = f"Results: {folder}. There is no report: {summary.unreported}" if summary.unreported else f"Results and report: {folder}."
    tqdm.write(f"{summary} {report}", file=sys.stderr)
    if summary.stopped not in ("", STOPPED):  # of Ctrl-C, `main` has the last word
        tqdm.write(f"The job ended early: {summary.stopped} The same command again goes on from there.", file=sys.stderr)


class _Progress:
    """How far a job is: a bar over its pictures, on a terminal only, and lines about each that is done."""

    def __init__(self, root: Path, pictures: int) -> None:
        """root: what their names are to be read from."""
        from tqdm import tqdm

        self._root, self._settled = root, 0
        self._begun: dict[Path, float] = {}  # how much of each is done
        self._bar = tqdm(total=pictures, disable=None, bar_format="{percentage:3.0f}%|{bar}| {desc}[{elapsed}<{remaining}]")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def on_tile(self, path: Path, done: int, total: int, preview: np.ndarray) -> None:
        self._begun[path] = done / total
        which = f"picture {self._settled + len(self._begun)} of {self._bar.total}, " if self._bar.total > 1 else ""
        self._bar.set_description_str(f"{which}tile {done} of {total} ", refresh=False)
        self._move()

    def on_row(self, row: Row) -> None:
        """The result on stdout, what is to be known of it on stderr."""
        self._settled += 1
        self._begun.pop(row.input, None)
        self._move()
        if row.output:
            self._bar.write(str(row.output), file=sys.stdout)
            sys.stdout.flush()  # for whoever reads along in a pipe
        if sentences := " ".join(filter(None, ("Already done, unchanged." if row.status == "skipped" else "", row.message))):
            name, sentences = row.input.relative_to(self._root), sentences.removeprefix(f"{row.input.name} ")
            self._bar.write(f"{'note' if row.output else 'failed'}: {name}: {sentences}", file=sys.stderr)

    def _move(self) -> None:
        self._bar.update(self._settled + sum(self._begun.values()) - self._bar.n)


def _download_bar() -> Callable[[int, int], None]:
    """on_download(done, total) that shows a bar of bytes for each download, on a terminal only."""
    from tqdm import tqdm

    bars: list[Any] = []

    def on_download(done: int, total: int) -> None:
        if not bars or bars[-1].total != total:
            bars.append(tqdm(total=total, unit="B", unit_scale=True, desc="downloading", disable=None))
        bars[-1].update(done - bars[-1].n)

    return on_download


def _self_check(make: type[InvSamplerSR], options: argparse.Namespace) -> int:
    from utils.jobs.self_check import self_check

    sampler = _load(make, make_settings(options.config, parse_assignments(options.settings)))
    report, sane = self_check(sampler)
    print(report)
    return 0 if sane else 1


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)
