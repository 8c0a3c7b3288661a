"""Putting overlapping tiles together on one canvas: Gaussian weights, raised where a tile shows structure if that is asked."""

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F

from utils.pictures.attention import attention_map
from utils.pictures.rows import Rows
from utils.planning.geometry import Box

ATTENTION_SHARE = 0.3
LONGEST_PREVIEW = 512


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
    """Weighted sums of tiles, for as many rows as tiles are still to come for; the others are finished and go into `rows`.

    Float32, of padded pictures [B,3,H,W] `width` pixels wide; `rows` gets what is within `box`, the picture in them. shown: of the finished rows of
    picture 0, those pixels that its preview shows, [3,h,w].
    """

    def __init__(self, rows: Rows, width: int, box: Box) -> None:
        self._rows, self._box, self._top = rows, box, 0
        self._sums, self._weights = (torch.zeros(rows.shape[0], channels, 0, width, device=rows.device) for channels in (3, 1))
        self._step = max(1, -(-max(box.size) // LONGEST_PREVIEW))
        self.shown = torch.zeros(3, *(-(-side // self._step) for side in box.size), device=rows.device)

    def add(self, index: int, box: Box, rgb: torch.Tensor, attention: bool = False) -> None:
        """Blend a tile [3,h,w] in [0,1] into picture `index` at `box`, no row of which may have been finished.

        attention: weigh it by its Gaussian window times 0.7 + 0.3 x its `attention_map`, so that where tiles disagree the one with more structure
        counts more. Flat tiles blend as without.
        """
        # The largest weight is 1, so that float32 keeps the small ones near a tile's border.
        window = gaussian_window(*box.size)
        window = (window / window.max()).to(rgb)
        if attention:
            window = window * (1 - ATTENTION_SHARE + ATTENTION_SHARE * attention_map(rgb[None])[0])
        missing = max(box.bottom - self._top - self._sums.shape[2], 0)
        self._sums, self._weights = (F.pad(x, (0, 0, 0, missing)) if missing else x for x in (self._sums, self._weights))
        area = (index, slice(None), slice(box.top - self._top, box.bottom - self._top), slice(box.left, box.right))
        self._sums[area] += rgb * window
        self._weights[area] += window

    def finish(self, bottom: int) -> None:
        """Put the weighted means of the rows above `bottom` into `rows`: no tile is to come for them, and they must have been covered."""
        done, box = bottom - self._top, self._box
        if done <= 0:
            return
        assert done <= self._sums.shape[2], "no tile covers the last rows"
        blended = (self._sums[:, :, :done] / self._weights[:, :, :done])[..., box.left : box.right]
        first, last = max(self._top, box.top), min(bottom, box.bottom)
        if first < last:
            self._rows.write(first - box.top, blended[:, :, first - self._top : last - self._top])
        into, sampled = self._samples(bottom)
        self.shown[:, into] = blended[0, :, sampled, :: self._step]
        self._sums, self._weights, self._top = self._sums[:, :, done:].clone(), self._weights[:, :, done:].clone(), bottom

    def preview(self, background: torch.Tensor) -> np.ndarray:
        """Picture 0 as far as it is done, over `background` [3,h,w] elsewhere: HWC uint8, at most about `LONGEST_PREVIEW` pixels a side."""
        rgb = F.interpolate(background[None], size=self.shown.shape[-2:], mode="nearest-exact")[0]
        into, sampled = self._samples(self._top + self._sums.shape[2])
        area = (slice(None), sampled, slice(self._box.left, self._box.right, self._step))
        sums, weights = self._sums[0][area], self._weights[0][area]
        rgb[:, : into.start] = self.shown[:, : into.start]
        rgb[:, into] = torch.where(weights > 0, sums / weights.clamp_min(1e-12), rgb[:, into])
        return (rgb.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()

    def _samples(self, bottom: int) -> tuple[slice, slice]:
        """The preview's rows for those that are held down to `bottom`, and where among the held ones they are."""
        step, start = self._step, self._top - self._box.top
        stop = min(bottom, self._box.bottom) - self._box.top
        first = max(-(-start // step), 0)
        return slice(first, max(-(-stop // step), first)), slice(first * step - start, max(stop - start, 0), step)
