"""Transparency: colours where a picture is transparent, which nobody sees but the networks would mix into what is visible, and enlarging alpha."""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F

from utils.pictures.bands import stretches
from utils.pictures.resampling import REACH, bicubic_antialiased
from utils.pictures.resized_rows import resized
from utils.pictures.tensors import to_pixels, to_tensor

_REACH = 3  # pixels: enlarging spreads alpha by one, and mixes colours over two without regard to alpha
_FAINT = 0.1  # of the greatest alpha within reach; fainter pixels show too little of their colours to trust these beside the others
_LEAST_COUNT = 1e-4  # of colours that were filled in themselves, beside others of weights up to 1


def extend_colours(rgb: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """[1,3,h,w] with the colours of transparent pixels, and of faint ones beside others, replaced by those near them; alpha [1,1,h,w] in [0,1].

    Pull-push (Gortler et al. 1996): visible colours are averaged into ever coarser pictures, and holes are filled from the next coarser one.
    """
    hidden = (alpha <= _FAINT * F.max_pool2d(alpha, 2 * _REACH + 1, 1, _REACH)) | (alpha == 0)
    if hidden.all():
        return rgb
    weight = torch.where(hidden, 0, alpha)
    return torch.where(hidden, _filled(rgb * weight, weight), rgb)


def alpha_at_size(alpha: np.ndarray, canvas_size: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """[h, w] of any depth -> `size` of the same, by way of `canvas_size`, whose sides are multiples of h and w, as colours go."""
    rows = _enlarged(alpha, canvas_size)
    result = np.empty(size, alpha.dtype)
    for top, values in rows if size == canvas_size else resized(rows, canvas_size[0], size):
        pixels = to_pixels(values, alpha.dtype)
        result[top : top + len(pixels)] = pixels
    return result


def _enlarged(alpha: np.ndarray, size: tuple[int, int]) -> Iterator[tuple[int, torch.Tensor]]:
    """In stretches of rows, bicubically, but nowhere beyond the values around it: overshoot would draw a line along every edge."""
    for stretch in stretches((1, 1, *size), len(alpha), REACH * size[0] // len(alpha)):
        small = to_tensor(alpha[stretch.first : stretch.last])
        around = F.pad(small, (1, 1, 1, 1), mode="replicate")
        result_size = small.shape[-2] * stretch.scale, size[1]
        highest, lowest = (F.interpolate(sign * F.max_pool2d(sign * around, 3, 1), result_size, mode="nearest") for sign in (1, -1))
        yield stretch.start, stretch.alone(bicubic_antialiased(small, result_size).clamp(lowest, highest))


def _filled(weighted: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """weighted / weight, and where the weight is zero the same of the picture at half the size, to which all count that are near by their weight."""
    colours = weighted / weight.clamp_min(torch.finfo(weight.dtype).tiny)
    if (weight > 0).all():
        return colours
    coarse_weighted, coarse_weight = (F.avg_pool2d(x, 2, ceil_mode=True) for x in (weighted, weight))
    counts = coarse_weight.clamp_min(_LEAST_COUNT)
    total, count = (_doubled(x, weight) for x in (_filled(coarse_weighted, coarse_weight) * counts, counts))
    return torch.where(weight > 0, colours, total / count)


def _doubled(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear")
