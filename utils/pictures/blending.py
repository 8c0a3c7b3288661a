"""Putting overlapping tiles together on one float32 canvas: Gaussian weights, raised where a tile shows structure if that is asked."""

from functools import lru_cache

import numpy as np
import torch

from utils.pictures.attention import attention_map
from utils.planning.geometry import Box

ATTENTION_SHARE = 0.3


@lru_cache(maxsize=32)
def gaussian_kernel(length: int) -> torch.Tensor:
    """Weights along one axis of a tile, float64 [length], normalised to sum 1 over the odd length they are made for.

    sigma = 0.3 * ((length - 1) * 0.5 - 1) + 0.8 (OpenCV's rule). For an even length the first element of the kernel of
    length + 1 is dropped, as the published sampler does: the peak is at length/2 - 1.
    """
    sigma = 0.3 * ((length - 1) * 0.5 - 1) + 0.8
    odd = length + 1 - length % 2
    x = torch.arange(odd, dtype=torch.float64) - odd // 2
    kernel = torch.exp(-(x**2) / (2 * sigma**2))
    return (kernel / kernel.sum())[odd - length :]


def gaussian_window(h: int, w: int) -> torch.Tensor:
    """Weights of a tile of h x w pixels, float64 [h, w]."""
    return torch.outer(gaussian_kernel(h), gaussian_kernel(w))


class Canvas:
    """Weighted sums of tiles: one picture that grows. Float32, [B,3,H,W]."""

    def __init__(self, batch: int, size: tuple[int, int], device: torch.device) -> None:
        self._sums = torch.zeros(batch, 3, *size, device=device)
        self._weights = torch.zeros(batch, 1, *size, device=device)

    def add(self, index: int, box: Box, rgb: torch.Tensor, attention: bool = False) -> None:
        """Blend a tile [3,h,w] in [0,1] into picture `index` at `box`.

        attention: weigh it by its Gaussian window times 0.7 + 0.3 x its `attention_map`, so that where tiles disagree the one with more structure
        counts more. Flat tiles blend as without.
        """
        # The largest weight is 1, so that float32 keeps the small ones near a tile's border.
        window = gaussian_window(*box.size)
        window = (window / window.max()).to(rgb)
        if attention:
            window = window * (1 - ATTENTION_SHARE + ATTENTION_SHARE * attention_map(rgb[None])[0])
        area = (index, slice(None), slice(box.top, box.bottom), slice(box.left, box.right))
        self._sums[area] += rgb * window
        self._weights[area] += window

    def blended(self) -> torch.Tensor:
        """The weighted mean [B,3,H,W]; every pixel must have been covered. The sums are used up."""
        return self._sums.div_(self._weights)

    def preview(self, background: torch.Tensor, box: Box, longest: int = 512) -> np.ndarray:
        """Picture 0 within `box` as far as it is done, over `background` [3,h,w] elsewhere: HWC uint8, at most about `longest` pixels a side."""
        step = max(1, -(-max(box.size) // longest))
        area = (slice(None), slice(box.top, box.bottom, step), slice(box.left, box.right, step))
        sums, weights = self._sums[0][area], self._weights[0][area]
        below = torch.nn.functional.interpolate(background[None], size=weights.shape[-2:], mode="nearest-exact")[0]
        rgb = torch.where(weights > 0, sums / weights.clamp_min(1e-12), below)
        return (rgb.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
