"""The last resizing of a result, from what the model magnifies to what is asked for, as the result comes in stretches of rows."""

from collections.abc import Iterable, Iterator

import torch

from utils.pictures.bands import rows_at_once
from utils.pictures.resampling import bicubic_antialiased

Stretches = Iterator[tuple[int, torch.Tensor]]
"""[B,C,n,w] after [B,C,n,w] from top to bottom, each with its first row."""


def resized(stretches: Iterable[tuple[int, torch.Tensor]], height: int, size: tuple[int, int]) -> Stretches:
    """The picture of `height` rows in [0,1] that comes in stretches, at `size` (H, W) in [0,1], likewise: the antialiased bicubic (a = -0.5).

    Columns are resized in each stretch, and rows as soon as there are all that one is made of; at most as many at once as are in a stretch, for
    an enlargement has many times the pixels.
    """
    starts, weights = _row_weights(height, size[0])
    reach = torch.arange(weights.shape[1])
    ends = (starts + len(reach)).clamp(max=height)
    held, first, done = torch.empty(0), 0, 0
    for top, rows in stretches:
        wide = bicubic_antialiased(rows, (rows.shape[-2], size[1]))
        held = torch.cat([held, wide], 2) if held.numel() else wide
        until = int(torch.searchsorted(ends, top + rows.shape[-2], right=True))
        at_once = rows_at_once(len(rows) * size[1])
        for start in range(done, until, at_once):
            stop = min(start + at_once, until)
            low, high = int(starts[start]), int(ends[stop - 1])
            places = (starts[start:stop, None] + reach).clamp(max=high - 1) - low
            matrix = torch.zeros(stop - start, high - low).scatter_add_(1, places, weights[start:stop])
            yield start, (matrix.to(held.device) @ held[..., low - first : high - first, :]).clamp_(0, 1)
        if until > done and (done := until) < size[0]:
            held, first = held[..., int(starts[done]) - first :, :].clone(), int(starts[done])


def _row_weights(length: int, target: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each of `target` rows, the first row of `length` that it is made of, and the weights of that and the next ones, [target, n]."""
    scale, a = length / target, -0.5
    widened = max(scale, 1.0)
    centre = scale * (torch.arange(target, dtype=torch.float64) + 0.5)
    start = (centre - 2 * widened + 0.5).floor().clamp_min(0).long()
    end = (centre + 2 * widened + 0.5).floor().clamp(max=length).long()
    place = start[:, None] + torch.arange(int((end - start).max()))
    x = ((place - centre[:, None] + 0.5) / widened).abs()
    weights = torch.where(x < 1, ((a + 2) * x - (a + 3)) * x * x + 1, (((x - 5) * x + 8) * x - 4) * a) * (x < 2) * (place < end[:, None])
    return start, (weights / weights.sum(1, keepdim=True)).float()
