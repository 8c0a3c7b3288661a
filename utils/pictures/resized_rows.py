"""The last resizing of a result, from what the model magnifies to what is asked for, as the result comes in stretches of rows."""

from collections.abc import Iterable, Iterator

import torch

from utils.pictures.resampling import bicubic_antialiased

Stretches = Iterator[tuple[int, torch.Tensor]]
"""[B,C,n,w] after [B,C,n,w] from top to bottom, each with its first row."""


def resized(stretches: Iterable[tuple[int, torch.Tensor]], height: int, size: tuple[int, int]) -> Stretches:
    """The picture of `height` rows in [0,1] that comes in stretches, at `size` (H, W) in [0,1], likewise: the antialiased bicubic (a = -0.5).

    Columns are resized in each stretch, and rows as soon as there are all that one is made of.
    """
    starts, weights = _row_weights(height, size[0])
    ends = (starts + weights.shape[1]).clamp(max=height)
    held, first, done = torch.empty(0), 0, 0
    for top, rows in stretches:
        wide = bicubic_antialiased(rows, (rows.shape[-2], size[1]))
        held = torch.cat([held, wide], 2) if held.numel() else wide
        until = int(torch.searchsorted(ends, top + rows.shape[-2], right=True))
        if until == done:
            continue
        places = (starts[done:until, None] + torch.arange(weights.shape[1])).clamp(max=first + held.shape[-2] - 1) - first
        matrix = torch.zeros(until - done, held.shape[-2]).scatter_add_(1, places, weights[done:until])
        yield done, (matrix.to(held.device) @ held).clamp_(0, 1)
        done = until
        if done < size[0]:
            held, first = held[..., int(starts[done]) - first :, :], int(starts[done])


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
