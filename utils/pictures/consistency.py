"""Is the result still a picture of its input?"""

import math

import torch

from utils.pictures.resampling import bicubic_antialiased


def lr_consistency(sr: torch.Tensor, lq: torch.Tensor) -> float:
    """PSNR in dB between `sr` [B,3,H,W] scaled down with the antialiased bicubic and `lq` [B,3,h,w], both in [0,1]; infinite if equal."""
    down = bicubic_antialiased(sr, (lq.shape[-2], lq.shape[-1])).clamp(0, 1)
    mse = float((down - lq).square().mean())
    return math.inf if mse == 0 else -10 * math.log10(mse)
