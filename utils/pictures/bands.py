"""Going over a large picture in bands of rows: what a filter needs for itself then neither leaves the cache nor grows with the picture."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from utils.pictures.rows import Rows
from utils.planning.memory import STRETCH

BAND = 1 << 20
"""Pixels of a band, about."""


def in_bands(function: Callable[..., torch.Tensor], pictures: Sequence[torch.Tensor], reach: int) -> torch.Tensor:
    """function(*pictures), one band after the other; pictures and result are [B,C,H,W] of one H, the result has the channels of the first.

    reach: rows above and below a pixel that the function looks at, at most; borders it must treat as if the picture ended where its argument does.
    """
    batch, _, h, w = pictures[0].shape
    rows = max(1, BAND // (batch * w))
    result = torch.empty_like(pictures[0], memory_format=torch.contiguous_format)
    for top in range(0, h, rows):
        bottom = min(top + rows, h)
        first, last = max(top - reach, 0), min(bottom + reach, h)
        band = function(*(picture[..., first:last, :] for picture in pictures))
        result[..., top:bottom, :] = band[..., top - first : bottom - first, :]
    return result


@dataclass(frozen=True)
class Stretch:
    """Rows `top` to `bottom` of an input and the same of its result, which has `scale` for each; with what is around them, `first` to `last`."""

    top: int
    bottom: int
    first: int
    last: int
    scale: int

    @property
    def start(self) -> int:
        """The first row of the result."""
        return self.top * self.scale

    def of_input(self, lq: torch.Tensor) -> torch.Tensor:
        """Its rows of [B,C,h,w], with those around."""
        return lq[..., self.first : self.last, :]

    def of_result(self, rows: Rows) -> torch.Tensor:
        """Its rows of [B,C,scale*h,W], with those around."""
        return rows.read(self.first * self.scale, self.last * self.scale)

    def alone(self, around: torch.Tensor) -> torch.Tensor:
        """What was made of `of_input` or `of_result`, or both, without the rows around."""
        scale = around.shape[-2] // (self.last - self.first)
        return around[..., (self.top - self.first) * scale : (self.bottom - self.first) * scale, :]


def rows_at_once(pixels_a_row: int) -> int:
    """As many rows of a result as are worked on at once."""
    return max(1, STRETCH // pixels_a_row)


def stretches(shape: Sequence[int], h: int, reach: int) -> Iterator[Stretch]:
    """From top to bottom, over a result of shape [B,C,H,W] and its input of `h` rows; H is a multiple of them.

    reach: rows of the result that are needed around those of a stretch, where there are any.
    """
    scale, around = shape[-2] // h, -(-reach // (shape[-2] // h))
    rows = -(-h // -(-shape[0] * shape[-2] * shape[-1] // STRETCH))
    for top in range(0, h, rows):
        bottom = min(top + rows, h)
        yield Stretch(top, bottom, max(top - around, 0), min(bottom + around, h), scale)
