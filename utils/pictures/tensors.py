"""Between pictures as arrays (HWC, any depth) and as tensors ([B,3,H,W] float32 in [0,1])."""

import numpy as np
import torch

GREY_WEIGHTS = (0.299, 0.587, 0.114)
"""Luma of BT.601 from R, G, B."""


def to_tensor(pixels: np.ndarray) -> torch.Tensor:
    """HW or HWC array, uint8, uint16 or float in [0,1] -> [1,C,H,W] float32 in [0,1]."""
    channels_first = np.ascontiguousarray(pixels if pixels.ndim == 2 else pixels.transpose(2, 0, 1), dtype=np.float32)
    if pixels.dtype != np.float32:
        channels_first /= full_scale(pixels.dtype)
    return torch.from_numpy(channels_first).reshape(1, -1, *channels_first.shape[-2:])


def to_pixels(tensor: torch.Tensor, dtype: np.dtype) -> np.ndarray:
    """[1,C,H,W] in [0,1] -> HWC array (HW for one channel) of `dtype`, rounded to nearest."""
    pixels = tensor[0].permute(1, 2, 0).squeeze(-1) if tensor.shape[1] == 1 else tensor[0].permute(1, 2, 0)
    array = pixels.cpu().numpy()
    return array.astype(dtype) if np.issubdtype(dtype, np.floating) else np.rint(array * full_scale(dtype)).astype(dtype)


def full_scale(dtype: np.dtype) -> float:
    """The number that stands for 1: 255 for uint8, 65535 for uint16, 1 for floats."""
    return float(np.iinfo(dtype).max) if np.issubdtype(dtype, np.integer) else 1.0


def to_grey(rgb: torch.Tensor) -> torch.Tensor:
    """[B,3,H,W] with all three channels set to the luma."""
    weights = rgb.new_tensor(GREY_WEIGHTS).view(1, 3, 1, 1)
    return (rgb * weights).sum(1, keepdim=True).expand_as(rgb)
