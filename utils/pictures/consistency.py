"""Is the result still a picture of its input? Measuring it, and bringing it back."""

import math

import torch
import torch.nn.functional as F

from utils.pictures.resampling import REACH, bicubic_antialiased
from utils.planning.settings import LEAST_CONSISTENCY

FAITHFUL_ITERATIONS, RELAXATION = 5, 1.5
"""Back-projections of the plain enlargement, and how far beyond the usual step each goes, which halves their number: the reduced picture then differs
from a photograph by less than rounding to 8 bits would (63 to 77 dB on Set5, where rounding alone leaves 59)."""
CORRECTION_REACH = 2 * REACH
FAITHFUL_REACH = REACH + FAITHFUL_ITERATIONS * CORRECTION_REACH
"""Pixels of the input on either side of one that a back-projection of it, and its faithful enlargement, depend on."""
AGREEMENT_RADIUS = 4
"""As many more, on either side, does a back-projection with a tolerance depend on."""


def lr_consistency(sr: torch.Tensor, lq: torch.Tensor) -> float:
    """PSNR in dB between `sr` [B,3,H,W] scaled down with the antialiased bicubic and `lq` [B,3,h,w], both in [0,1]; infinite if equal."""
    down = bicubic_antialiased(sr, (lq.shape[-2], lq.shape[-1])).clamp(0, 1)
    mse = float((down - lq).square().mean())
    return math.inf if mse == 0 else -10 * math.log10(mse)


def back_projected(sr: torch.Tensor, lq: torch.Tensor, strength: float = 1.0, tolerance: float | None = None) -> torch.Tensor:
    """sr + strength * up(lq - down(sr)), in [0,1]: `sr` [B,3,H,W] moved towards what its input [B,3,h,w] says, both ways by the antialiased bicubic.

    One step of iterative back-projection (Irani and Peleg 1991). `sr` itself for strength 0. Where the input is noisy, has stair-steps or halos, this
    is noise, stair-steps and halos too. A `tolerance`, in units of 1/255, therefore limits the strength where the networks made something else of the
    input, by their `agreement`.
    """
    if strength == 0:
        return sr
    difference = torch.cat([_difference(sr[:, k : k + 1], lq[:, k : k + 1]) for k in range(3)], 1)
    difference *= strength if tolerance is None else agreement(difference, tolerance).clamp_(max=strength)
    result = torch.empty_like(sr)
    for k in range(3):  # one channel at a time, which takes a third of the memory
        one, target = slice(k, k + 1), result[:, k : k + 1]
        torch.add(sr[:, one], _enlarged(difference[:, one], sr), out=target).clamp_(0, 1)
    return result


def agreement(difference: torch.Tensor, tolerance: float) -> torch.Tensor:
    """1 where a result, scaled down, is its input, LEAST_CONSISTENCY where they have nothing to do with each other: [B,1,h,w].

    difference: [B,3,h,w], of what is in [0,1]. Of its root mean square around each pixel: half-way at `tolerance` (units of 1/255).
    """
    size = 2 * AGREEMENT_RADIUS + 1
    mean_square = F.avg_pool2d(difference.square().mean(1, keepdim=True), size, 1, AGREEMENT_RADIUS, count_include_pad=False)
    return LEAST_CONSISTENCY + (1 - LEAST_CONSISTENCY) / (1 + (mean_square * (255 / tolerance) ** 2).square())


def blended_with_faithful(sr: torch.Tensor, lq: torch.Tensor, fidelity: float) -> torch.Tensor:
    """From `sr` (fidelity 0) evenly to the faithful enlargement of `lq` (1), in [0,1].

    The faithful one is the antialiased bicubic enlargement after `FAITHFUL_ITERATIONS` back-projections: it invents nothing, and reduced again it is
    nearly the input. What separates the reduced result from the input then shrinks almost in proportion to 1 - fidelity.
    """
    if fidelity == 0:
        return sr
    result = torch.empty_like(sr)
    size = sr.shape[-2], sr.shape[-1]
    for k in range(3):
        small = lq[:, k : k + 1]
        faithful = bicubic_antialiased(small, size)
        for _ in range(FAITHFUL_ITERATIONS):
            correction = _enlarged(_difference(faithful, small), faithful)
            faithful.add_(correction, alpha=RELAXATION).clamp_(0, 1)  # clamped at once, so that the next step makes up for it
        torch.lerp(sr[:, k : k + 1], faithful, fidelity, out=result[:, k : k + 1])
    return result


def _difference(rgb: torch.Tensor, lq: torch.Tensor) -> torch.Tensor:
    """What the input has and the reduced picture has not."""
    return lq - bicubic_antialiased(rgb, (lq.shape[-2], lq.shape[-1]))


def _enlarged(difference: torch.Tensor, rgb: torch.Tensor) -> torch.Tensor:
    return bicubic_antialiased(difference, (rgb.shape[-2], rgb.shape[-1]))
