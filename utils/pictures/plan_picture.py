"""A picture of a plan: its tiles over the complexity that they follow."""

import cv2
import numpy as np

from utils.pictures.tensors import full_scale
from utils.planning.plan import Plan
from utils.planning.statistics import ComplexityMap

LONGEST = 1024
OUTLINES = ((255, 255, 255), (255, 196, 0), (0, 229, 255), (255, 128, 255), (160, 255, 96), (255, 112, 80))
"""Colours (R, G, B) that neighbouring tiles take in turn, all of them bright enough to be seen on every complexity."""
PADDING_COLOUR = 48


def draw_plan(plan: Plan, complexity_map: ComplexityMap, lq: np.ndarray | None = None, longest: int = LONGEST) -> np.ndarray:
    """The padded input of a plan as HWC uint8, its longer side `longest` pixels.

    Complexity is a colour from dark blue (0) over green to yellow (1), on the luma of the picture lq [h,w,3] (any depth) if that is given; the more
    tiles cover a place, the lighter it is. Every tile has an outline, and a dot at its centre. What was padded is dark grey beneath.
    """
    scale = longest / max(plan.lq_size)
    size = _at_least_a_pixel(_scaled(plan.lq_size, scale))
    canvas = np.full((*size, 3), PADDING_COLOUR, np.float32)
    top, left = (min(start, length - 1) for start, length in zip(_scaled(plan.origin, scale), size, strict=True))
    h, w = _at_least_a_pixel(_scaled(plan.picture_size, scale))
    area = canvas[top : top + h, left : left + w]
    area[:] = _complexity_colours(complexity_map, plan.picture_size, area.shape[:2], lq)
    canvas += _density(plan, scale, size)[..., None] * (255 - canvas)
    return _with_tiles(canvas, plan, scale)


def _scaled(lengths: tuple[int, int], scale: float) -> tuple[int, int]:
    a, b = (round(length * scale) for length in lengths)
    return a, b


def _at_least_a_pixel(size: tuple[int, int]) -> tuple[int, int]:
    """What a line of a pixel or two is drawn as where it would vanish."""
    return max(size[0], 1), max(size[1], 1)


def _complexity_colours(complexity_map: ComplexityMap, picture_size: tuple[int, int], size: tuple[int, int], lq: np.ndarray | None) -> np.ndarray:
    """Float [*size, 3] in 0..255: the map, half and half with the luma of the picture."""
    rows, columns = ((np.arange(n) * m // n // complexity_map.cell) for n, m in zip(size, picture_size, strict=True))
    values = np.rint(complexity_map.values[rows][:, columns] * 255).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(values, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB).astype(np.float32)
    if lq is None:
        return colours
    grey = cv2.cvtColor((lq / full_scale(lq.dtype)).astype(np.float32), cv2.COLOR_RGB2GRAY)
    shrinks = size[0] < picture_size[0]
    grey = cv2.resize(grey, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)[..., None]
    return colours * (0.4 + 0.6 * grey) + 64 * (grey - 0.4)


def _density(plan: Plan, scale: float, size: tuple[int, int]) -> np.ndarray:
    """How much lighter each place becomes, float32 [*size] below 0.5: nothing under a single tile, then less and less for each further one."""
    # Steps at the corners of tiles; their sums are the tiles that cover a place.
    steps = np.zeros((size[0] + 1, size[1] + 1), np.float32)
    for box in plan.tiles:
        (top, left), (bottom, right) = _scaled(box[:2], scale), _scaled(box[2:], scale)
        steps[[top, bottom], [left, right]] += 1
        steps[[top, bottom], [right, left]] -= 1
    covers = steps.cumsum(0).cumsum(1)[:-1, :-1]
    return 0.5 * (1 - 0.8 ** np.maximum(covers - 1, 0))


def _with_tiles(canvas: np.ndarray, plan: Plan, scale: float) -> np.ndarray:
    """Outlines and centres, on HWC uint8. Outlines are moved inwards, each by another amount than its neighbours', so that none hides another; where
    tiles are many, outlines are faint and the dots tell tiles apart."""
    picture = np.ascontiguousarray(np.rint(canvas.clip(0, 255)), np.uint8)
    lines = picture.copy()
    side = plan.patch * scale
    inset, thickness = (side / 60, 2) if side >= 200 else (side / 120, 1)
    numbers = _numbers(plan)
    for box, number in zip(plan.tiles, numbers, strict=True):
        (top, left), (bottom, right) = _scaled(box[:2], scale), _scaled(box[2:], scale)
        inwards = round(inset * (number % 3))
        corners = (left + inwards, top + inwards), (right - 1 - inwards, bottom - 1 - inwards)
        cv2.rectangle(lines, *corners, OUTLINES[number % len(OUTLINES)], thickness)
    opacity = float(np.clip(side / 160, 0.3, 0.9))
    picture = cv2.addWeighted(lines, opacity, picture, 1 - opacity, 0)
    for box, number in zip(plan.tiles, numbers, strict=True):
        middle = _scaled((box.left + box.right, box.top + box.bottom), scale / 2)
        cv2.circle(picture, middle, max(1, round(side / 40)), OUTLINES[number % len(OUTLINES)], cv2.FILLED, cv2.LINE_AA)
    return picture


def _numbers(plan: Plan) -> list[int]:
    """A number for each tile, for its colour and inset: another one than that of the next tiles to its right and below."""
    rows, columns = ({start: k for k, start in enumerate(sorted({box[axis] for box in plan.tiles}))} for axis in (0, 1))
    return [rows[box.top] + 2 * columns[box.left] for box in plan.tiles]
