"""Bringing the colours of a result back to those of its reference, the bicubic enlargement of the unpadded input."""

from collections.abc import Callable

import torch
import torch.nn.functional as F

WAVELET_LEVELS = 5


def wavelet_low(rgb: torch.Tensor) -> torch.Tensor:
    """What is left of [B,3,H,W] after five blurs with the 3x3 binomial kernel, dilated by 1, 2, 4, 8, 16; borders replicated."""
    low = rgb
    for level in range(WAVELET_LEVELS):
        low = _dilated_blur(low, 2**level)
    return low


def _dilated_blur(rgb: torch.Tensor, dilation: int) -> torch.Tensor:
    """[1 2 1] x [1 2 1] / 16, one axis after the other, which costs a third of the two-dimensional sum."""
    h, w = rgb.shape[-2:]
    d = dilation
    tall = F.pad(rgb, (0, 0, d, d), mode="replicate")
    rgb = (tall[..., :h, :] + tall[..., 2 * d :, :]).mul_(0.25).add_(tall[..., d : d + h, :], alpha=0.5)
    wide = F.pad(rgb, (d, d, 0, 0), mode="replicate")
    return (wide[..., :w] + wide[..., 2 * d :]).mul_(0.25).add_(wide[..., d : d + w], alpha=0.5)


def fix_wavelet(sr: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """High frequencies of the result on the low ones of the reference (StableSR's wavelet fix); [B,3,H,W], not clamped."""
    # high(sr) + low(reference) = sr + low(reference - sr), because the blur is linear: one pyramid instead of two.
    # One channel at a time, which takes a third of the memory.
    return torch.cat([s + wavelet_low(r - s) for s, r in zip(sr.split(1, 1), reference.split(1, 1), strict=True)], 1)


# MATLAB's BT.601, limited range: Y, Cb, Cr on 0..255 from R, G, B in [0,1], and back.
_TO_YCBCR = ((65.481, 128.553, 24.966), (-37.797, -74.203, 112.0), (112.0, -93.786, -18.214))
_YCBCR_OFFSET = (16.0, 128.0, 128.0)
_TO_RGB = ((0.00456621, 0.0, 0.00625893), (0.00456621, -0.00153632, -0.00318811), (0.00456621, 0.00791071, 0.0))
_RGB_OFFSET = (-222.921, 135.576, -276.836)


def rgb_to_ycbcr(rgb: torch.Tensor) -> torch.Tensor:
    """[B,3,H,W] in [0,1] -> Y, Cb, Cr of limited-range BT.601, divided by 255, in [0,1]."""
    return (_mix(rgb, _TO_YCBCR) + rgb.new_tensor(_YCBCR_OFFSET).view(3, 1, 1)).div(255).clamp(0, 1)


def ycbcr_to_rgb(ycbcr: torch.Tensor) -> torch.Tensor:
    """The inverse of `rgb_to_ycbcr`, clamped to [0,1]."""
    return (_mix(ycbcr * 255, _TO_RGB) + ycbcr.new_tensor(_RGB_OFFSET).view(3, 1, 1) / 255).clamp(0, 1)


def _mix(x: torch.Tensor, matrix: tuple[tuple[float, ...], ...]) -> torch.Tensor:
    return torch.einsum("dc,bchw->bdhw", x.new_tensor(matrix), x)


def fix_ycbcr(sr: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Luma of the result with the chroma of the reference; [B,3,H,W] in [0,1]."""
    return ycbcr_to_rgb(torch.cat([rgb_to_ycbcr(sr)[:, :1], rgb_to_ycbcr(reference)[:, 1:]], 1))


COLOR_FIX_FUNCTIONS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "none": lambda sr, reference: sr,
    "wavelet": fix_wavelet,
    "ycbcr": fix_ycbcr,
}
"""By the names of the setting color_fix; each takes and returns [B,3,H,W] float32."""
