"""Between pictures as arrays (HWC, any depth) and as tensors ([B,3,H,W] float32 in [0,1])."""

import numpy as np
import torch

GREY_WEIGHTS = (0.299, 0.587, 0.114)
"""Luma of BT.601 from R, G, B."""


def luma(rgb: torch.Tensor) -> torch.Tensor:
    """[B,3,H,W] float32 -> [B,1,H,W], of BT.601, in the same range."""
    return torch.einsum("bchw,c->bhw", rgb, torch.tensor(GREY_WEIGHTS, device=rgb.device))[:, None]


def to_tensor(pixels: np.ndarray) -> torch.Tensor:
    """HW or HWC array, uint8, uint16 or float in [0,1] -> [1,C,H,W] float32 in [0,1]."""
    channels_first = np.ascontiguousarray(pixels if pixels.ndim == 2 else pixels.transpose(2, 0, 1), dtype=np.float32)
    if pixels.dtype != np.float32:
        channels_first /= full_scale(pixels.dtype)
    return torch.from_numpy(channels_first).reshape(1, -1, *channels_first.shape[-2:])


def to_pixels(tensor: torch.Tensor, dtype: np.dtype) -> np.ndarray:
    """[1,C,H,W] in [0,1] -> HWC array (HW for one channel) of `dtype`, rounded to nearest."""
    _, channels, h, w = tensor.shape
    pixels = np.empty((h, w, channels), dtype)
    for k in range(channels):  # one at a time, which takes a third of the memory
        values = tensor[0, k].cpu().numpy()
        pixels[..., k] = values if np.issubdtype(dtype, np.floating) else np.rint(values * full_scale(dtype))
    return pixels[..., 0] if channels == 1 else pixels


def full_scale(dtype: np.dtype) -> float:
    """The number that stands for 1: 255 for uint8, 65535 for uint16, 1 for floats."""
    return float(np.iinfo(dtype).max) if np.issubdtype(dtype, np.integer) else 1.0
