"""Is the result still a picture of its input? Measuring it, and bringing it back."""

import math

import torch

from utils.pictures.resampling import REACH, bicubic_antialiased

FAITHFUL_ITERATIONS, RELAXATION = 5, 1.5
"""Back-projections of the plain enlargement, and how far beyond the usual step each goes, which halves their number: the reduced picture then differs
from a photograph by less than rounding to 8 bits would (63 to 77 dB on Set5, where rounding alone leaves 59)."""
CORRECTION_REACH = 2 * REACH
FAITHFUL_REACH = REACH + FAITHFUL_ITERATIONS * CORRECTION_REACH
"""Pixels of the input on either side of one that a back-projection of it, and its faithful enlargement, depend on."""


def lr_consistency(sr: torch.Tensor, lq: torch.Tensor) -> float:
    """PSNR in dB between `sr` [B,3,H,W] scaled down with the antialiased bicubic and `lq` [B,3,h,w], both in [0,1]; infinite if equal."""
    down = bicubic_antialiased(sr, (lq.shape[-2], lq.shape[-1])).clamp(0, 1)
    mse = float((down - lq).square().mean())
    return math.inf if mse == 0 else -10 * math.log10(mse)


def back_projected(sr: torch.Tensor, lq: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
    """sr + strength * up(lq - down(sr)), in [0,1]: `sr` [B,3,H,W] moved towards what its input [B,3,h,w] says, both ways by the antialiased bicubic.

    One step of iterative back-projection (Irani and Peleg 1991). Where the input is noisy, this is noise too. `sr` itself for strength 0.
    """
    if strength == 0:
        return sr
    result = torch.empty_like(sr)
    for k in range(3):  # one channel at a time, which takes a third of the memory
        one, target = slice(k, k + 1), result[:, k : k + 1]
        torch.add(sr[:, one], _correction(sr[:, one], lq[:, one]), alpha=strength, out=target).clamp_(0, 1)
    return result


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
            faithful.add_(_correction(faithful, small), alpha=RELAXATION).clamp_(0, 1)  # clamped at once, so that the next step makes up for it
        torch.lerp(sr[:, k : k + 1], faithful, fidelity, out=result[:, k : k + 1])
    return result


def _correction(rgb: torch.Tensor, lq: torch.Tensor) -> torch.Tensor:
    """What the input has and the reduced picture has not, at the size of the picture."""
    difference = lq - bicubic_antialiased(rgb, (lq.shape[-2], lq.shape[-1]))
    return bicubic_antialiased(difference, (rgb.shape[-2], rgb.shape[-1]))
