"""How much better than bicubic: PSNR of luma on pictures that were kept out of training."""

from collections.abc import Sequence

import numpy as np
import torch

from utils.models.conditioning import ClassConditioner
from utils.models.denoising import Denoiser, sample
from utils.pictures.resampling import bicubic
from utils.training.dataset import to_tensor

BORDER = 4
"""Pixels cut off at each side before measuring, as the literature does at a scale of 4."""


def psnr_gains(denoiser: Denoiser, pairs: Sequence[tuple[np.ndarray, np.ndarray]], timesteps: Sequence[int]) -> list[float]:
    """For each (lq, hq) pair, [H,W,3] in [0,1]: the PSNR of luma of the model's picture less that of bicubic, in decibels."""
    gains = []
    for lq, hq in pairs:
        target = to_tensor([hq])
        baseline = bicubic(to_tensor([lq]), (hq.shape[0], hq.shape[1]))
        gains.append(psnr_y(upscale(denoiser, lq, timesteps), target) - psnr_y(baseline, target))
    return gains


@torch.no_grad()
def upscale(denoiser: Denoiser, lq: np.ndarray, timesteps: Sequence[int], guidance: float = 1.0) -> torch.Tensor:
    """lq [h,w,3] -> the model's picture [1,3,H,W], in one piece."""
    conditioning = ClassConditioner(torch.device("cpu"))("", None, guidance)
    return sample(denoiser, to_tensor([lq]), timesteps, guidance, conditioning, "mean")


def psnr_y(rgb: torch.Tensor, target: torch.Tensor) -> float:
    """PSNR of BT.601 limited-range luma of [1,3,H,W] pictures, clamped and rounded to 8 bits, without the border; in decibels."""
    difference = (luma(rgb) - luma(target))[..., BORDER:-BORDER, BORDER:-BORDER]
    return float(10 * torch.log10(255**2 / (difference**2).mean()))


def luma(rgb: torch.Tensor) -> torch.Tensor:
    """BT.601 limited-range luma, 16..235, of rgb [B,3,H,W] rounded to 8 bits."""
    r, g, b = ((rgb.double().clamp(0, 1) * 255).round() / 255).unbind(1)
    return 16 + 65.481 * r + 128.553 * g + 24.966 * b
