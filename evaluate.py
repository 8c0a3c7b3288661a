"""Measures picture quality: `compare` methods, `score` results, `degrade` good pictures into test sets.

Example: python evaluate.py compare --hr PICTURES --methods bicubic lanczos tiny --out runs/comparison
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.planning.arguments import OneLineParser, show_any_name
from utils.planning.errors import UserError

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from utils.evaluation.comparison import Reading, Upscaling
    from utils.evaluation.measures import Measuring
    from utils.evaluation.picture_sets import Skipped
    from utils.pictures.degradations import Degradation

KERNELS = ("bicubic", "bilinear", "lanczos", "area", "aliased", "nearest")
EXIT_CODES = "Exit codes: 0 all done; 2 wrong usage, or no picture could be used; 3 some pictures were left out, each named with its reason."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = build_parser().parse_args(arguments)
    show_any_name()
    warnings.filterwarnings("ignore", module=r"PIL\.")  # what is wrong with a picture, the reader says in its own words
    try:
        return options.command(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130


# ---- the three commands ----


def compare(options: argparse.Namespace) -> int:
    """Run methods on low-resolution pictures and measure the results."""
    how = _degradation(options)
    _refuse_recipe_beside_lr(options)
    measuring = _prepared(options, options.hr, options.lr)
    from sampler_invsr import InvSamplerSR
    from utils.evaluation.comparison import Upscaling
    from utils.evaluation.lr_sets import describe
    from utils.evaluation.methods import make_methods

    methods = make_methods(options.methods, how.factor, lambda settings: InvSamplerSR(settings.to_dict(), announce=_say))
    made = "Low-resolution pictures were taken as given." if options.lr else describe(how, options.seed or 0)
    protocol = (f"Originals are cropped at the bottom and right to multiples of {how.factor}.", made)
    source = Upscaling(options.hr, options.lr, methods, how, options.seed or 0)
    return _measure(source, measuring, protocol, {method.label: method.facts for method in methods}, options.out)


def score(options: argparse.Namespace) -> int:
    """Measure results that exist already."""
    measuring = _prepared(options, options.hr, options.lr, *options.sr)
    from utils.evaluation.comparison import Reading

    source = Reading(options.hr, options.lr, options.sr, options.factor)
    protocol = (f"Results were read from folders; originals larger than them are cropped at the bottom and right to multiples of {options.factor}.",)
    return _measure(source, measuring, protocol, {}, options.out)


def degrade(options: argparse.Namespace) -> int:
    """Make low-resolution pictures."""
    from utils.evaluation.lr_sets import make_lr_set
    from utils.evaluation.picture_sets import find_tree

    with _bar(len(find_tree(options.source))) as on_done:
        written, skipped = make_lr_set(options.source, options.target, _degradation(options), options.seed or 0, on_done)
    for path in written:
        print(path)
    _say(f"{len(written)} of {len(written) + len(skipped)} pictures written to {options.target}.")
    return _exit_code(skipped, any_done=bool(written))


# ---- their steps ----


def _degradation(options: argparse.Namespace) -> Degradation:
    from utils.pictures.degradations import Degradation

    blur = options.blur or 0.0
    return Degradation(
        factor=options.factor,
        kernel=options.kernel or KERNELS[0],
        blur_sigma=(blur, blur),
        sharpening=options.sharpen or 0.0,
        noise_sd=(options.noise or 0.0) / 255,
        jpeg_quality=options.jpeg,
    )


def _refuse_recipe_beside_lr(options: argparse.Namespace) -> None:
    given = [f"--{name}" for name in ("kernel", "blur", "sharpen", "noise", "jpeg", "seed") if getattr(options, name) is not None]
    if options.lr and given:
        raise UserError(f"With --lr the low-resolution pictures are taken as they are; leave out {' and '.join(given)}, or --lr.")


def _prepared(options: argparse.Namespace, *sources: Path | None) -> Measuring:
    """The measures, after everything that can be wrong with paths has been looked at: before a model is loaded or a picture touched."""
    from utils.evaluation.measures import make_measuring
    from utils.evaluation.picture_sets import check_apart, find_tree
    from utils.evaluation.report import check_targets

    for source in sources:
        if source is not None:
            find_tree(source)
    if options.out:
        check_apart(options.out, *sources)
        check_targets(options.out)
    border = options.factor if options.border is None else options.border
    return make_measuring(border, () if options.no_lpips else ("alex", "vgg"), options.feature_weights)


def _measure(source: Upscaling | Reading, measuring: Measuring, protocol: tuple[str, ...], methods: dict[str, Any], out: Path | None) -> int:
    """Measure, print the table and write the report."""
    from utils.evaluation.comparison import run
    from utils.evaluation.measures import CONVENTIONS
    from utils.evaluation.picture_sets import find_tree
    from utils.evaluation.report import Facts, as_table, write_report

    with _bar(len(find_tree(source.hr))) as on_done:
        comparison = run(source, measuring, on_done)
    facts = Facts((*protocol, *(sentence.format(border=measuring.border) for sentence in CONVENTIONS)), methods, measuring.absent)
    print(as_table(comparison, facts))
    if out:
        for path in write_report(comparison, facts, out):
            print(path)
    _say(f"{len(comparison.pictures)} of {len(comparison.pictures) + len(comparison.skipped)} pictures measured.")
    return _exit_code(comparison.skipped, any_done=True)


def _exit_code(skipped: Sequence[Skipped], any_done: bool) -> int:
    for picture in skipped:
        _say(f"skipped: {picture.picture}: {picture.reason}")
    return 0 if not skipped else 3 if any_done else 2


@contextmanager
def _bar(total: int) -> Any:
    """A function to be told of every picture that is done, which moves a bar; on a terminal only."""
    from tqdm import tqdm

    with tqdm(total=total, unit="picture", disable=None) as bar:

        def on_done(name: PurePosixPath) -> None:
            bar.update()

        yield on_done


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)


# ---- the options ----


def build_parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="evaluate.py", description="Measures picture quality, and makes pictures to measure with.", epilog=EXIT_CODES)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser(
        "compare",
        help="run methods on the same pictures and compare the results with the originals",
        description="Run methods on the same low-resolution pictures and compare the results with the originals. "
        "OUT gets results.csv, results.json and report.html, which needs no other file.",
        epilog=EXIT_CODES,
    )
    command.set_defaults(command=compare)
    command.add_argument("--hr", type=Path, required=True, metavar="DIR", help="originals; subfolders too")
    command.add_argument("--lr", type=Path, metavar="DIR", help="their low-resolution pictures, called alike; without it, they are made")
    command.add_argument(
        "--methods",
        nargs="+",
        required=True,
        metavar="METHOD",
        help="bicubic, lanczos, tiny, sd-turbo or a settings file; the others are compared with the first. Settings of a model go behind colons, for "
        "example tiny:timesteps=[200,100]:color_fix=wavelet. The colour fix is off unless set so, whatever the settings file says",
    )
    command.add_argument("--out", type=Path, required=True, metavar="OUT", help="folder for the report, made if missing")
    _add_degradation(command.add_argument_group("low-resolution pictures, where there is no --lr"))
    _add_measuring(command)

    command = commands.add_parser(
        "score",
        help="compare results that exist already with the originals",
        description="Compare results with the originals: pictures in folders, called like these.",
        epilog=EXIT_CODES,
    )
    command.set_defaults(command=score)
    command.add_argument("--hr", type=Path, required=True, metavar="DIR", help="originals; subfolders too")
    command.add_argument(
        "--sr", type=Path, required=True, nargs="+", metavar="DIR", help="results; with several folders, others are compared with the first"
    )
    command.add_argument("--lr", type=Path, metavar="DIR", help="the low-resolution pictures they were made from, for LR consistency")
    command.add_argument("--out", type=Path, metavar="OUT", help="folder for a report as `compare` writes it; without it, only the table is printed")
    _add_factor(command)
    _add_measuring(command)

    command = commands.add_parser(
        "degrade",
        help="make low-resolution pictures from good ones",
        description="Make low-resolution pictures from good ones: blur, reduction, sharpening, noise, JPEG. They are 8-bit PNG in the same "
        "subfolders, without transparency.",
        epilog="What is random depends on the seed and the picture only. " + EXIT_CODES,
    )
    command.set_defaults(command=degrade)
    command.add_argument("source", type=Path, metavar="SRC", help="folder of good pictures; subfolders too")
    command.add_argument("target", type=Path, metavar="DST", help="folder for the results, made if missing")
    _add_degradation(command)
    return parser


def _add_degradation(parser: Any) -> None:
    _add_factor(parser)
    parser.add_argument("--kernel", choices=KERNELS, help="of the reduction (default: bicubic, antialiased)")
    parser.add_argument(
        "--blur", type=_between(float, 0, 50), metavar="SIGMA", help="Gaussian blur before it, in pixels of the original (default: none)"
    )
    parser.add_argument("--sharpen", type=_between(float, 0, 10), metavar="AMOUNT", help="unsharp mask after it, of 1 pixel's radius (default: none)")
    parser.add_argument(
        "--noise", type=_between(float, 0, 255), metavar="SD", help="standard deviation of the noise after it, of 255 (default: none)"
    )
    parser.add_argument("--jpeg", type=_between(int, 1, 95), metavar="QUALITY", help="JPEG compression at last (default: none)")
    parser.add_argument("--seed", type=_between(int, 0, 2**63 - 1), metavar="N", help="of the noise (default: 0)")


def _add_factor(parser: Any) -> None:
    parser.add_argument("--factor", type=_between(int, 2, 16), default=4, metavar="N", help="how many times smaller the inputs are (default: 4)")


def _add_measuring(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("measures")
    group.add_argument(
        "--border", type=_between(int, 0, 1000), metavar="N", help="pixels that PSNR and SSIM leave out at each side (default: the factor)"
    )
    group.add_argument(
        "--no-lpips", action="store_true", help="leave LPIPS out; where it is installed, it fetches AlexNet and VGG-16 (760 MB) at first use"
    )
    group.add_argument(
        "--feature-weights", type=Path, metavar="FILE", help="SqueezeNet 1.1 features in Keras layout (.npz), for a perceptual distance without LPIPS"
    )


def _between(kind: type, low: float, high: float) -> Callable[[str], Any]:
    def checked(words: str) -> Any:
        try:
            value = kind(words)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{words} is not a {'whole ' if kind is int else ''}number from {low} to {high}")
        return value

    return checked


if __name__ == "__main__":
    sys.exit(main())
