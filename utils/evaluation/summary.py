"""Means and spreads over pictures, and the gains of methods over the first one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np

from utils.evaluation.comparison import Comparison, Measured
from utils.evaluation.measures import MEASURES


@dataclass(frozen=True)
class Spread:
    """Of the pictures that have a value. deviation: the sample's standard deviation; None for one picture or where a value is infinite."""

    count: int
    mean: float
    deviation: float | None
    least: float
    most: float


@dataclass(frozen=True)
class Gain:
    """Picture by picture against the first method, in the measure's own units; `better` counts the pictures on which the method is ahead."""

    spread: Spread
    better: int


def spread(values: Sequence[float | None]) -> Spread | None:
    """None where no picture has a value."""
    present = np.array([value for value in values if value is not None], dtype=float)
    if not present.size:
        return None
    deviation = float(present.std(ddof=1)) if present.size > 1 and np.isfinite(present).all() else None
    return Spread(present.size, float(present.mean()), deviation, float(present.min()), float(present.max()))


def summary(comparison: Comparison) -> dict[str, dict[str, Spread | None]]:
    """By label and measure."""
    return {label: {measure: spread(comparison.values(label, measure)) for measure in MEASURES} for label in comparison.labels}


def gain(comparison: Comparison, label: str, measure: str) -> Gain | None:
    """None where no picture has finite values of both methods."""
    differences = [difference for difference in gains(comparison, label, measure) if difference is not None]
    over_pictures = spread(differences)
    if over_pictures is None:
        return None
    return Gain(over_pictures, sum(difference * MEASURES[measure].better > 0 for difference in differences))


def gains(comparison: Comparison, label: str, measure: str) -> list[float | None]:
    """The method's value less that of the first method, picture by picture; None where one is missing or infinite."""
    pairs = zip(comparison.values(label, measure), comparison.values(comparison.labels[0], measure), strict=True)
    return [a - b if a is not None and b is not None and np.isfinite([a, b]).all() else None for a, b in pairs]


def folders(comparison: Comparison) -> dict[str, Comparison]:
    """The pictures of each folder apart, in order; "" for the top one."""
    grouped: dict[str, list[Measured]] = {}
    for picture in comparison.pictures:
        parent = str(PurePosixPath(picture.name).parent)
        grouped.setdefault("" if parent == "." else parent, []).append(picture)
    return {folder: replace(comparison, pictures=tuple(pictures)) for folder, pictures in grouped.items()}


def ranked(comparison: Comparison) -> list[tuple[Measured, float]]:
    """Pictures with the last method's gain in PSNR-Y over the first one, best first; with one method, with its PSNR-Y."""
    label = comparison.labels[-1]
    values = gains(comparison, label, "psnr_y") if len(comparison.labels) > 1 else comparison.values(label, "psnr_y")
    present = [(picture, value) for picture, value in zip(comparison.pictures, values, strict=True) if value is not None]
    return sorted(present, key=lambda pair: -pair[1])
