"""How much better than bicubic: PSNR of luma on pictures that were kept out of training."""

from collections.abc import Sequence

import numpy as np
import torch

from utils.metrics.fidelity import psnr_y
from utils.models.conditioning import ClassConditioner
from utils.models.denoising import Denoiser, sample
from utils.pictures.resampling import bicubic
from utils.training.dataset import to_tensor


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
