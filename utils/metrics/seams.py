"""Whether the borders of the tiles can be seen."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from utils.planning.geometry import Box
from utils.planning.plan import Plan


@dataclass(frozen=True)
class Tiling:
    """Where the tiles lie in a result of `size` (h, w): boxes in its pixels, some reaching into the padding. scale: pixels per input pixel."""

    size: tuple[int, int]
    tiles: tuple[Box, ...]
    scale: int


def tiling_of(plan: Plan) -> Tiling | None:
    """The tiles of a plan, in the pixels of its result; None where that is not a whole number of times the size of the input: borders are then
    within pixels."""
    return _tiling(plan.output_size, plan.tiles, plan.origin, plan.picture_size)


def tiling_from_json(plan: str) -> Tiling | None:
    """The same from a plan as it is saved with a result; None if that is not one."""
    try:
        values = json.loads(plan)
        size, origin, picture_size = ((int(a), int(b)) for a, b in (values[name] for name in ("output_size", "origin", "picture_size")))
        return _tiling(size, [Box(*tile) for tile in values["tiles"]], origin, picture_size)
    except (ValueError, TypeError, KeyError, ArithmeticError):
        return None


def _tiling(size: tuple[int, int], tiles: Iterable[Box], origin: tuple[int, int], picture_size: tuple[int, int]) -> Tiling | None:
    (top, left), scale = origin, size[0] // picture_size[0]
    if size != (picture_size[0] * scale, picture_size[1] * scale) or not scale:
        return None
    moved = (box.moved(-top, -left).scaled(scale) for box in tiles)
    return Tiling(size, tuple(moved), scale)


def seam_score(rgb: torch.Tensor, tiling: Tiling) -> float | None:
    """Mean absolute step across the borders of the tiles over that of the interior; 1.0 = invisible. None where no border lies in the picture.

    rgb: [1,3,H,W] in [0,1]. A step is the difference of neighbouring pixels, the mean over colours. Steps across vertical and horizontal borders
    are each compared with interior steps of the same direction, and only with those between input pixels: an enlargement may differ there from
    within, which is no seam. What the picture happens to show at a border moves the score of a single picture by some tenths; the score of the
    original at the same borders tells how much.
    """
    turned = [Box(box.left, box.top, box.right, box.bottom) for box in tiling.tiles]
    down = _steps(rgb[0], tiling.tiles, tiling.scale)
    across = _steps(rgb[0].mT, turned, tiling.scale)
    at_borders, expected, count = (sum(pair) for pair in zip(down, across, strict=True))
    if not count:
        return None
    if expected == 0:  # the interior is flat
        return 1.0 if at_borders == 0 else math.inf
    return at_borders / expected


def _steps(rgb: torch.Tensor, tiles: Iterable[Box], scale: int) -> tuple[float, float, int]:
    """(sum of the steps across the left and right sides of tiles, that sum if they were like the interior, how many) of a picture [3,H,W]."""
    h, w = rgb.shape[-2:]
    at_border = torch.zeros(h, w, dtype=torch.bool, device=rgb.device)  # at (y, x): the step from x - 1 to x
    for box in tiles:
        for column in (box.left, box.right):
            if 0 < column < w:
                at_border[max(box.top, 0) : max(box.bottom, 0), column] = True
    interior = torch.zeros_like(at_border)
    interior[:, scale::scale] = True
    interior &= ~at_border
    steps = torch.zeros(h, w, dtype=torch.float64, device=rgb.device)
    steps[:, 1:] = rgb.double().diff(dim=-1).abs().mean(0)
    count = int(at_border.sum())
    if not count or not interior.any():
        return 0.0, 0.0, 0
    return float(steps[at_border].sum()), float(steps[interior].mean()) * count, count
