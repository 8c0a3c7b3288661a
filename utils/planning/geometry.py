"""Where pixels come from and where tiles lie: padding, fixed chopping, crop. Pure functions of sizes, always (h, w)."""

from dataclasses import dataclass
from typing import NamedTuple


class Box(NamedTuple):
    """A half-open rectangle in pixels."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        return self.bottom - self.top, self.right - self.left

    def scaled(self, factor: int) -> "Box":
        return Box(*(side * factor for side in self))

    def moved(self, down: int, right: int) -> "Box":
        return Box(self.top + down, self.left + right, self.bottom + down, self.right + right)


@dataclass(frozen=True)
class AxisPadding:
    """How one axis is padded: pixel i of the padded axis is pixel sources[i] of the original, which starts at `before`."""

    before: int
    sources: tuple[int, ...]


def pad_axis(length: int, patch: int, multiple: int) -> AxisPadding:
    """Reflection of an axis of `length` >= 1 to at least `patch`, centred; then on its far side to a multiple of `multiple`.

    Reflection reaches at most length - 1 pixels, so a short axis is reflected repeatedly; a single pixel is repeated instead.
    """
    sources, before = list(range(length)), 0
    while len(sources) < patch:
        n = len(sources)
        near = (patch - n) // 2 if n == 1 else min((patch - n) // 2, n - 1)
        far = patch - n - near if n == 1 else min(patch - n - near, n - 1)
        sources = _reflected(sources, near, far)
        before += near
    return AxisPadding(before, tuple(_reflected(sources, 0, -len(sources) % multiple)))


def _reflected(sources: list[int], near: int, far: int) -> list[int]:
    if len(sources) == 1:
        return sources * (1 + near + far)
    return sources[near:0:-1] + sources + sources[-2 : -2 - far : -1]


def span_around(part: float, length: int, side: int) -> tuple[int, int]:
    """Of an axis, `side` pixels around that `part` of it, in [0,1], or all of it if it is shorter: the first pixel, and the one after the last."""
    side = min(side, length)
    start = min(max(round(part * length - side / 2), 0), length - side)
    return start, start + side


def starts(length: int, patch: int, stride: int) -> list[int]:
    """First pixels of the tiles along an axis: every `stride`, the last ones moved back inside, repeats dropped."""
    last = max(length - patch, 0)
    return sorted({min(start, last) for start in range(0, length, stride)})


def _fixed_starts(lq_size: tuple[int, int], patch: int, overlap: float) -> tuple[list[int], list[int]]:
    stride = max(int(patch * (1 - overlap)), 1)
    return starts(lq_size[0], patch, stride), starts(lq_size[1], patch, stride)


def fixed_tiles(lq_size: tuple[int, int], patch: int, overlap: float) -> list[Box]:
    """The grid of patch x patch tiles over a padded picture, in reading order."""
    rows, columns = _fixed_starts(lq_size, patch, overlap)
    return [Box(top, left, top + patch, left + patch) for top in rows for left in columns]


def count_fixed_tiles(lq_size: tuple[int, int], patch: int, overlap: float) -> int:
    """How many tiles `fixed_tiles` has, without making them."""
    rows, columns = _fixed_starts(lq_size, patch, overlap)
    return len(rows) * len(columns)


def even_tiles(lq_size: tuple[int, int], patch: int, overlap: float) -> list[Box]:
    """As many tiles as `fixed_tiles`, evenly spread instead of the last ones moved back; starts are multiples of 2 where the overlap lets them."""
    stride = max(int(patch * (1 - overlap)), 1)
    rows, columns = (_even_starts(length - patch, stride) for length in lq_size)
    return [Box(top, left, top + patch, left + patch) for top in rows for left in columns]


def _even_starts(last: int, stride: int) -> list[int]:
    gaps = -(-last // stride)
    unit = 1 if stride % 2 or last % 2 else 2
    return [k * (last // unit) // gaps * unit for k in range(gaps + 1)] if gaps else [0]
