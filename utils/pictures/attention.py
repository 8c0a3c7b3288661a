"""Where a picture has structure: a weight for each pixel, for blending tiles and fusing candidates."""

import torch
import torch.nn.functional as F

from utils.pictures.smoothing import smoothed
from utils.pictures.tensors import luma

BLUR_RADIUS, BLUR_SIGMA = 6, 2.0
ATTENTION_REACH = BLUR_RADIUS + 1
"""Pixels on either side of one that its attention depends on: the slope looks one further than the blur."""
HALF_ATTENTION = 0.03
"""The slope in luma per pixel that gets an attention of a half: about that of the outlines in a photograph; grain of 2/255 stays below 0.15."""


def attention_map(rgb: torch.Tensor) -> torch.Tensor:
    """[B,3,H,W] in [0,1], any size and floating-point dtype -> [B,1,H,W] of that dtype in [0,1]: 0 where it is flat, towards 1 at strong edges.

    The slope m of the luma (Sobel), smoothed by a Gaussian of 13 x 13 and sigma 2, becomes m / (m + HALF_ATTENTION). The seed program stretches each
    picture's slopes to [0,1] instead, which makes the grain of a flat picture as important as an edge and a flat picture 0/0; and it pads with
    zeros, which makes an edge of the picture's border. Here nothing outside the picture is looked at, and a pixel's attention does not depend on
    what lies elsewhere.
    """
    slope = smoothed(_slope(luma(rgb.float())), BLUR_SIGMA, BLUR_RADIUS)
    return slope.div_(slope + HALF_ATTENTION).to(rgb.dtype)


def _slope(grey: torch.Tensor) -> torch.Tensor:
    """Magnitude of the Sobel gradient of [B,1,H,W], per pixel; the outermost pixels have that of their neighbours inside."""
    h, w = grey.shape[-2:]
    if min(h, w) < 3:
        grey = F.pad(grey, (0, max(3 - w, 0), 0, max(3 - h, 0)), mode="replicate")
    down, across = grey[..., 2:, :] - grey[..., :-2, :], grey[..., 2:] - grey[..., :-2]
    down = (down[..., :-2] + down[..., 2:]).add_(down[..., 1:-1], alpha=2)
    across = (across[..., :-2, :] + across[..., 2:, :]).add_(across[..., 1:-1, :], alpha=2)
    inner = torch.hypot(down, across).div_(8)
    return F.pad(inner, (1, 1, 1, 1), mode="replicate")[..., :h, :w]
