"""Measuring several methods on the same pictures."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from utils.evaluation.lr_sets import make_lr
from utils.evaluation.measures import SMALLEST_SIDE, Measuring
from utils.evaluation.methods import Method, Upscaled
from utils.evaluation.picture_sets import PictureSet, Skipped, colours, cropped, find_tree, read
from utils.metrics.fidelity import luma, smallest_side
from utils.metrics.seams import tiling_from_json
from utils.pictures.degradations import Degradation
from utils.pictures.provenance import read_texts
from utils.pictures.tensors import to_pixels, to_tensor
from utils.planning.errors import UserError
from utils.planning.geometry import Box

CROP = 96
"""Side of the detail that is kept of every picture, in pixels of the original."""


@dataclass(frozen=True)
class Results:
    """What is measured of one picture, all [H,W,C]: the original, its low-resolution input if there is one, and the results by label."""

    scale: int
    hr: np.ndarray
    lq: np.ndarray | None
    results: dict[str, Upscaled]
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Detail:
    """A window of a picture and what the input and the results look like there, uint8 [h,w,3]."""

    box: Box
    hr: np.ndarray
    lq: np.ndarray | None
    results: dict[str, np.ndarray]


@dataclass(frozen=True)
class Measured:
    """A picture with every method's values, by label and by the names of MEASURES. size: (h, w) of the original as measured."""

    name: str
    size: tuple[int, int]
    values: dict[str, dict[str, float | None]]
    detail: Detail
    thumbnail: Image.Image


@dataclass(frozen=True)
class Comparison:
    """What came out. The first of `labels` is the one that others are compared with. A picture that any method failed on is in `skipped` only."""

    labels: tuple[str, ...]
    pictures: tuple[Measured, ...]
    skipped: tuple[Skipped, ...]

    def values(self, label: str, measure: str) -> list[float | None]:
        """Of every picture, in order."""
        return [picture.values[label].get(measure) for picture in self.pictures]


class Upscaling:
    """Results made by methods, from low-resolution pictures that are made or taken from a folder."""

    def __init__(self, hr: Path, lr: Path | None, methods: Sequence[Method], how: Degradation, seed: int) -> None:
        """how.factor is the scale; the rest of it and the seed are for making low-resolution pictures where `lr` is None."""
        self.hr, self.methods, self.how, self.seed = hr, methods, how, seed
        self.lr = None if lr is None else PictureSet(lr)
        self.labels = tuple(method.label for method in methods)

    def __call__(self, name: PurePosixPath) -> Results:
        scale = self.how.factor
        hr = cropped(colours(read(self.hr / name)), scale)
        _check_size(hr)
        lq = make_lr(hr, self.how, self.seed) if self.lr is None else colours(read(self.lr.answering(name, scale)))
        _check_same(lq, (hr.shape[0] // scale, hr.shape[1] // scale), "The low-resolution picture")
        results, seconds = {}, {}
        for method in self.methods:
            start = time.perf_counter()
            results[method.label] = method.upscale(lq)
            seconds[method.label] = time.perf_counter() - start
        return Results(scale, hr, lq, results, seconds)


class Reading:
    """Results read from folders."""

    def __init__(self, hr: Path, lr: Path | None, sr: Sequence[Path], scale: int) -> None:
        self.hr, self.scale = hr, scale
        self.lr = None if lr is None else PictureSet(lr)
        self.sets = dict(zip(_folder_labels(sr), map(PictureSet, sr), strict=True))
        self.labels = tuple(self.sets)

    def __call__(self, name: PurePosixPath) -> Results:
        hr = colours(read(self.hr / name))
        results = {label: _read_result(pictures.answering(name, self.scale)) for label, pictures in self.sets.items()}
        if any(result.rgb.shape[:2] != hr.shape[:2] for result in results.values()):
            hr = cropped(hr, self.scale)
        _check_size(hr)
        lq = None if self.lr is None else colours(read(self.lr.answering(name, self.scale)))
        if lq is not None:
            _check_same(lq, (hr.shape[0] // self.scale, hr.shape[1] // self.scale), "The low-resolution picture")
        return Results(self.scale, hr, lq, results)


def run(source: Upscaling | Reading, measuring: Measuring, on_done: Callable[[PurePosixPath], None] = lambda name: None) -> Comparison:
    """Measure every picture of the folder of originals. on_done gets each name that has been dealt with. UserError if none could be measured."""
    pictures, skipped = [], []
    for name in find_tree(source.hr):
        try:
            pictures.append(_measured(str(name), source(name), measuring))
        except UserError as error:
            skipped.append(Skipped(str(name), str(error)))
        on_done(name)
    if not pictures:
        raise UserError(f"None of the {len(skipped)} pictures could be measured; the first, {skipped[0].picture}: {skipped[0].reason}")
    return Comparison(source.labels, tuple(pictures), tuple(skipped))


def _measured(name: str, found: Results, measuring: Measuring) -> Measured:
    if min(found.hr.shape[:2]) < smallest_side(measuring.border):
        raise UserError(f"Nothing would be left to measure inside a border of {measuring.border} pixels; use larger pictures.")
    hr, lq = _three(to_tensor(found.hr)), None if found.lq is None else _three(to_tensor(found.lq))
    values, pictures = {}, {}
    for label, result in found.results.items():
        _check_same(result.rgb, (hr.shape[-2], hr.shape[-1]), f"The result of {label}")
        pictures[label] = _three(to_tensor(result.rgb))
        values[label] = measuring(pictures[label], hr, lq, result.tiling) | {"seconds": found.seconds.get(label)}
        broken = next((measure for measure, value in values[label].items() if value is not None and math.isnan(value)), None)
        if broken:
            raise UserError(f"The {broken} of {label} is not a number; look at the picture.")
    thumbnail = Image.fromarray(to_pixels(hr, np.dtype(np.uint8)))
    thumbnail.thumbnail((360, 360))
    size = hr.shape[-2], hr.shape[-1]
    return Measured(name, size, values, _detail(hr, lq, pictures, found.scale), thumbnail)


def _detail(hr: torch.Tensor, lq: torch.Tensor | None, results: dict[str, torch.Tensor], scale: int) -> Detail:
    """The window in which the first result is furthest from the original in luma, which is where there was most to restore."""
    side = min(CROP, hr.shape[-2], hr.shape[-1]) // scale * scale
    step = math.lcm(8, scale)  # windows start between input pixels
    error = (luma(next(iter(results.values()))) - luma(hr)).square()
    windows = F.avg_pool2d(error, side, step)
    row, column = divmod(int(windows.argmax()), windows.shape[-1])
    box = Box(row * step, column * step, row * step + side, column * step + side)
    small = None if lq is None else _pixels(lq, Box(*(edge // scale for edge in box)))
    return Detail(box, _pixels(hr, box), small, {label: _pixels(rgb, box) for label, rgb in results.items()})


def _pixels(rgb: torch.Tensor, box: Box) -> np.ndarray:
    return to_pixels(rgb[..., box.top : box.bottom, box.left : box.right], np.dtype(np.uint8))


def _three(x: torch.Tensor) -> torch.Tensor:
    """[1,1|3,h,w] -> [1,3,h,w]."""
    return x.expand(-1, 3, -1, -1)


def _read_result(path: Path) -> Upscaled:
    """A result with its tiles, where this program wrote it and so saved the plan in it."""
    picture = read(path)
    tiling = tiling_from_json((read_texts(path) or {}).get("plan", ""))
    return Upscaled(picture.rgb, tiling if tiling and tiling.size == picture.size else None)


def _check_size(hr: np.ndarray) -> None:
    if min(hr.shape[:2]) < SMALLEST_SIDE:
        raise UserError(f"The picture is too small to be measured; both sides need {SMALLEST_SIDE} pixels.")


def _check_same(pixels: np.ndarray, size: tuple[int, int], what: str) -> None:
    if pixels.shape[:2] != size:
        (h, w), (wanted_h, wanted_w) = pixels.shape[:2], size
        raise UserError(f"{what} has {w} x {h} pixels where the original asks for {wanted_w} x {wanted_h}; take pictures that belong together.")


def _folder_labels(folders: Sequence[Path]) -> list[str]:
    """The folders' own names, with as many of the names above them as it takes to tell them apart."""
    resolved = [folder.resolve() for folder in folders]
    if len(set(resolved)) < len(resolved):
        raise UserError("A folder of results is named twice; leave one out.")
    depth = 1
    while len({path.parts[-depth:] for path in resolved}) < len(resolved):
        depth += 1
    return ["/".join(path.parts[-depth:]) for path in resolved]
