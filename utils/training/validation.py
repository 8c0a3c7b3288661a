"""How much better than bicubic: PSNR of luma on pictures that were kept out of training."""

from collections.abc import Sequence

import numpy as np
import torch

from utils.metrics.fidelity import psnr_y
from utils.models.conditioning import Conditioner
from utils.models.denoising import Denoiser, Draws, sample
from utils.pictures.resampling import bicubic
from utils.training.dataset import to_tensor

HIGHEST_PSNR = 80.0
"""Decibels: an error of a fortieth of a grey level."""


def gain(rgb: torch.Tensor, lq: np.ndarray, hq: np.ndarray) -> float:
    """The PSNR of luma of rgb [1,3,H,W] less that of the bicubic picture of lq, both against hq, in decibels.

    Neither counts for more than `HIGHEST_PSNR`, which bicubic exceeds where a picture is flat.
    """
    target = to_tensor([hq])
    ours, bicubics = (psnr_y(picture, target) for picture in (rgb, bicubic(to_tensor([lq]), (hq.shape[0], hq.shape[1]))))
    return min(ours, HIGHEST_PSNR) - min(bicubics, HIGHEST_PSNR)


@torch.no_grad()
def upscale(
    denoiser: Denoiser,
    conditioner: Conditioner,
    lq: np.ndarray,
    timesteps: Sequence[int],
    guidance: float = 1.0,
    prompt: str = "",
    draws: Draws = "mean",
) -> torch.Tensor:
    """lq [h,w,3] -> the model's picture [1,3,H,W] on the CPU, in one piece."""
    device = next(denoiser.noise_predictor.parameters()).device
    conditioning = conditioner(prompt, None, guidance)
    return sample(denoiser, to_tensor([lq]).to(device), timesteps, guidance, conditioning, draws).cpu()


def displayed(rgb: torch.Tensor) -> np.ndarray:
    """rgb [1,3,H,W] -> [H,W,3] in [0,1]."""
    return rgb[0].clamp(0, 1).permute(1, 2, 0).numpy()
