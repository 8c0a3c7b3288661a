"""Colours where a picture is transparent: nobody sees them, but the networks would mix them into what is visible beside them."""

import torch
import torch.nn.functional as F


def extend_colours(rgb: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """[1,3,h,w] with the colours of fully transparent pixels replaced by those of what is visible near them; alpha [1,1,h,w] in [0,1].

    Pull-push (Gortler et al. 1996): visible colours are averaged into ever coarser pictures, and holes are filled from the next coarser one.
    """
    return torch.where(alpha > 0, rgb, _filled(rgb * alpha, alpha)) if alpha.any() else rgb


def _filled(weighted: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """weighted / weight, and where the weight is zero the same of the picture at half the size."""
    colours = weighted / weight.clamp_min(torch.finfo(weight.dtype).tiny)
    if (weight > 0).all():
        return colours
    coarser = _filled(*(F.avg_pool2d(x, 2, ceil_mode=True) for x in (weighted, weight)))
    return torch.where(weight > 0, colours, F.interpolate(coarser, size=weight.shape[-2:], mode="bilinear"))
