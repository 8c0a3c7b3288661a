"""PSNR and SSIM by the conventions of the super-resolution literature.

Pictures are [1,3,H,W] in [0,1] of one size. Both are clamped and rounded to 8 bits first, as files would hold them, and `border` pixels at each side
are not looked at; papers cut as many as the scale factor. "Y" is luma by BT.601 in limited range, 16 to 235, not rounded again, while the range of
the signal is still taken as 255: what MATLAB's `rgb2ycbcr` and the published tables do. Figures on Y and on RGB must not be compared with each other.
"""

import math

import numpy as np
import torch
from skimage.metrics import structural_similarity

BORDER = 4
"""Pixels cut off at each side at the usual scale of 4."""
SSIM_WINDOW = 11
"""Pixels along the window of SSIM; what is left of a picture without its border must hold one."""

_LUMA = (65.481, 128.553, 24.966)
_LUMA_OFFSET = 16.0


def psnr_y(sr: torch.Tensor, hr: torch.Tensor, border: int = BORDER) -> float:
    """PSNR of luma, in dB; infinite for equal pictures."""
    return _psnr(luma(sr), luma(hr), border)


def psnr_rgb(sr: torch.Tensor, hr: torch.Tensor, border: int = BORDER) -> float:
    """PSNR over the squared errors of all three colours together, in dB; infinite for equal pictures."""
    return _psnr(to_8_bits(sr), to_8_bits(hr), border)


def ssim_y(sr: torch.Tensor, hr: torch.Tensor, border: int = BORDER) -> float:
    """SSIM of luma (Wang et al. 2004), at most 1: Gaussian window of 11 x 11 with sigma 1.5, K1 = 0.01, K2 = 0.03, only whole windows counted."""
    return _ssim(luma(sr), luma(hr), border)


def ssim_rgb(sr: torch.Tensor, hr: torch.Tensor, border: int = BORDER) -> float:
    """Mean of the SSIM of red, green and blue, each as in `ssim_y`."""
    return _ssim(to_8_bits(sr), to_8_bits(hr), border)


def luma(rgb: torch.Tensor) -> torch.Tensor:
    """Limited-range BT.601 luma [B,1,H,W], 16..235, of rgb [B,3,H,W] rounded to 8 bits; float64."""
    weights = rgb.new_tensor(_LUMA, dtype=torch.float64).view(1, 3, 1, 1) / 255
    return (to_8_bits(rgb) * weights).sum(1, keepdim=True) + _LUMA_OFFSET


def to_8_bits(rgb: torch.Tensor) -> torch.Tensor:
    """[0,1] -> whole numbers 0..255 in float64."""
    return (rgb.double().clamp(0, 1) * 255).round()


def smallest_side(border: int = BORDER) -> int:
    """Pixels that both sides of a picture need for all of these measures."""
    return SSIM_WINDOW + 2 * border


def _psnr(a: torch.Tensor, b: torch.Tensor, border: int) -> float:
    error = float((_inside(a, border) - _inside(b, border)).square().mean())
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def _ssim(a: torch.Tensor, b: torch.Tensor, border: int) -> float:
    one, other = (_inside(x, border)[0].cpu().numpy() for x in (a, b))
    values = [
        structural_similarity(p, q, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, K1=0.01, K2=0.03)
        for p, q in zip(one, other, strict=True)
    ]
    return float(np.mean(values))


def _inside(x: torch.Tensor, border: int) -> torch.Tensor:
    h, w = x.shape[-2:]
    if min(h, w) <= 2 * border:
        raise ValueError(f"nothing is left of {w} x {h} pixels without a border of {border}")
    return x[..., border : h - border, border : w - border]
