"""Making one picture of several results of the same input, each where it shows more."""

from collections.abc import Sequence

import torch

from utils.pictures.attention import ATTENTION_REACH, attention_map
from utils.pictures.bands import in_bands

EVERYONES_SHARE = 0.1
"""Attention that is added to every candidate's for `weighted`: flat areas become the plain mean, and grain alone decides little."""
LEAD = 0.05
"""Attention by which a candidate must lead for `max` to take it alone."""


def fused(candidates: Sequence[torch.Tensor], method: str) -> torch.Tensor:
    """Candidates [B,3,H,W] in [0,1], one or more -> their weighted mean at every pixel, in [0,1].

    weighted: in proportion to `attention_map` + `EVERYONES_SHARE`. What all agree on stays, what each has invented by itself is averaged out, and
    where one shows an edge that another has lost, the result is nearer to the former. max: the candidate of most attention, fading into the mean of
    those within `LEAD` of it: sharper, but it also takes the strongest of the inventions. Where all are equally flat, both give the plain mean.
    """
    return in_bands(lambda *bands: _mean(bands, _weights(bands, method)), candidates, ATTENTION_REACH)


def _weights(candidates: Sequence[torch.Tensor], method: str) -> list[torch.Tensor]:
    """Of each candidate at every pixel, [B,1,H,W]; their sum is never 0."""
    maps = [attention_map(candidate) for candidate in candidates]
    if method == "weighted":
        return [attention + EVERYONES_SHARE for attention in maps]
    highest = torch.stack(maps).amax(0)
    return [(attention - highest + LEAD).clamp_min_(0) for attention in maps]


def _mean(candidates: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]) -> torch.Tensor:
    sums, total = torch.zeros_like(candidates[0]), torch.zeros_like(weights[0])
    for candidate, weight in zip(candidates, weights, strict=True):
        sums.addcmul_(candidate, weight)
        total += weight
    return sums.div_(total).clamp_(0, 1)
