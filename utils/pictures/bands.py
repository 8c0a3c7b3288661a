"""Going over a large picture in bands of rows: what a filter needs for itself then neither leaves the cache nor grows with the picture."""

from collections.abc import Callable, Sequence

import torch

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
