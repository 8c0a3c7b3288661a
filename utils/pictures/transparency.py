"""Transparency: colours where a picture is transparent, which nobody sees but the networks would mix into what is visible, and enlarging alpha."""

import torch
import torch.nn.functional as F

from utils.pictures.resampling import at_size, bicubic_antialiased

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


def enlarged_alpha(alpha: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """[1,1,h,w] -> [1,1,*size], bicubically; enlarged, nowhere beyond the values around it: overshoot would draw a line along every edge."""
    if size[0] < alpha.shape[-2] or size[1] < alpha.shape[-1]:
        return at_size(alpha, size)
    around = F.pad(alpha, (1, 1, 1, 1), mode="replicate")
    highest, lowest = (F.interpolate(sign * F.max_pool2d(sign * around, 3, 1), size, mode="nearest") for sign in (1, -1))
    return bicubic_antialiased(alpha, size).clamp(lowest, highest)


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
