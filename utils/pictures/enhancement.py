"""Edge-preserving enhancement: more contrast at edges, none in flat areas, no halos beyond what the strength allows."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F

from utils.pictures.attention import ATTENTION_REACH, attention_map
from utils.pictures.bands import in_bands

BLUR_SIGMA = 1.5  # the detail that is amplified is what a 5x5 Gaussian of this standard deviation takes away
GAIN = 2.0  # of that detail, on a clear edge at full strength
REACH = 2  # pixels on either side that blur and local range look at
OVERSHOOT = 0.25  # part of the local range by which it may be left at full strength


def enhanced(sr: torch.Tensor, strength: float) -> torch.Tensor:
    """`sr` [B,3,H,W] in [0,1], `strength` (0 to 1) of the way to its sharpened version, in [0,1]; `sr` itself for strength 0.

    The sharpened version is sr + `GAIN` * attention^2 * (sr - blurred sr), see `attention_map`, held within the lowest and highest value of the 5x5
    pixels around, extended by `OVERSHOOT` of their distance. The way there is straight: effect and overshoot are proportional to the strength.
    """
    if strength == 0:
        return sr
    return in_bands(lambda rgb: torch.lerp(rgb, _sharpened(rgb), strength), (sr,), max(ATTENTION_REACH, REACH))


def _sharpened(rgb: torch.Tensor) -> torch.Tensor:
    """At full strength."""
    lowest = highest = blurred = rgb
    for axis in (2, 3):  # all three can be had one axis after the other
        lowest, highest, blurred = _extreme(lowest, axis, torch.minimum), _extreme(highest, axis, torch.maximum), _blurred(blurred, axis)
    allowed = (highest - lowest).mul_(OVERSHOOT)
    detail = torch.sub(rgb, blurred, out=blurred)
    edges = attention_map(rgb).square_()  # squared, so that grain stays next to nothing
    return torch.addcmul(rgb, detail, edges, value=GAIN).clamp_(lowest.sub_(allowed).clamp_(min=0), highest.add_(allowed).clamp_(max=1))


def _extreme(x: torch.Tensor, axis: int, choose: Callable[..., torch.Tensor]) -> torch.Tensor:
    """The largest or the smallest of the neighbours, as `choose` is torch.maximum or torch.minimum."""
    first, second, *others = _neighbours(x, axis)
    extreme = choose(first, second)
    for other in others:
        choose(extreme, other, out=extreme)
    return extreme


def _blurred(x: torch.Tensor, axis: int) -> torch.Tensor:
    weights = [math.exp(-(offset**2) / (2 * BLUR_SIGMA**2)) for offset in range(-REACH, REACH + 1)]
    change = torch.zeros_like(x)  # sums of differences, so that flat stays flat to the last digit
    for weight, neighbour in zip(weights, _neighbours(x, axis), strict=True):
        change.add_(neighbour - x, alpha=weight / sum(weights))
    return change.add_(x)


def _neighbours(x: torch.Tensor, axis: int) -> list[torch.Tensor]:
    """[B,C,H,W] moved along an axis by -`REACH` to `REACH` pixels, borders replicated: views of one tensor."""
    sides = (0, 0, REACH, REACH) if axis == 2 else (REACH, REACH, 0, 0)
    padded = F.pad(x, sides, mode="replicate")
    return [padded.narrow(axis, offset, x.shape[axis]) for offset in range(2 * REACH + 1)]
