"""Holding a result back where it is drawn much sharper than its input can tell."""

import math

import torch
import torch.nn.functional as F

from utils.pictures.resampling import REACH, bicubic_antialiased
from utils.pictures.smoothing import smoothed
from utils.pictures.tensors import luma

SHARPNESS_LIMIT = 1.5
"""Times as sharp as its bicubic enlargement a result may be, around any pixel.

Of a photograph of bare trees with little compression, viewers called twigs that were 1.75 times as sharp inked, and found nothing at 1.5.
"""
GRAIN = 0.7 / 255
"""Detail that any result may have, so that flat areas are not held to none."""
FINE = 0.25
"""Standard deviation, in pixels of the input, of the Gaussian that is taken away to leave fine detail."""
AROUND = 0.75
"""Standard deviation, in pixels of the input, of the Gaussian over which sharpness is a mean."""
WIDTH = 3
"""Standard deviations at which Gaussians end."""
RESTRAINT_REACH = REACH + math.ceil(WIDTH * AROUND) + 2
"""Pixels of the input on either side of one that its restraint depends on: one more for fine detail, and one for what lies between pixels."""


def restrained(sr: torch.Tensor, lq: torch.Tensor, strength: float) -> torch.Tensor:
    """`sr` [B,3,H,W] in [0,1], `strength` (0 to 1) of the way to its restrained version, in [0,1]; `sr` itself for strength 0.

    That lies between the bicubic enlargement of the input `lq` [B,3,h,w] and `sr`, at the latter wherever that is at most `SHARPNESS_LIMIT` times as
    sharp. Luma alone decides, and what was added goes with its fine detail, coarse or coloured. A network that is sure of one twig and unsure of the
    next draws the one as with a pen and leaves the other soft, which no lens does.
    Sharpness is the root mean square, around a pixel, of the fine detail of luma. With p that of the enlargement, a that of what the networks added
    to it, and E the mean, the share s of the addition that stays is the largest in [0,1] with E(p + s a)^2 <= SHARPNESS_LIMIT^2 (E p^2 + GRAIN^2).
    """
    if strength == 0:
        return sr
    size = sr.shape[-2], sr.shape[-1]
    plain = _fine(bicubic_antialiased(luma(lq), size), lq)
    added = _fine(luma(sr), lq).sub_(plain)
    share = _share(_around(plain.square(), lq), _around(plain.mul_(added), lq), _around(added.square_(), lq))
    kept = F.interpolate(share.sub_(1).mul_(strength).add_(1), size, mode="bilinear", align_corners=False)
    result = torch.empty_like(sr)
    for k in range(3):  # one channel at a time, which takes a third of the memory
        one = slice(k, k + 1)
        torch.lerp(bicubic_antialiased(lq[:, one], size).clamp_(0, 1), sr[:, one], kept, out=result[:, one]).clamp_(0, 1)
    return result


def _share(plain: torch.Tensor, both: torch.Tensor, added: torch.Tensor) -> torch.Tensor:
    """s by the means of p^2, p a and a^2: the positive root of a^2 s^2 + 2 p a s = room, or 1 if that is more."""
    room = SHARPNESS_LIMIT**2 * (plain + GRAIN**2) - plain
    root = (both.square() + added * room).sqrt_()
    tiny = torch.finfo(root.dtype).tiny
    # The same root in the two forms that subtract nothing from nearly as much.
    share = torch.where(both >= 0, room / (root + both).clamp_(min=tiny), (root - both) / added.clamp(min=tiny))
    return share.clamp_(max=1)


def _fine(grey: torch.Tensor, lq: torch.Tensor) -> torch.Tensor:
    return grey - _blurred(grey, FINE * grey.shape[-1] / lq.shape[-1])


def _around(product: torch.Tensor, lq: torch.Tensor) -> torch.Tensor:
    """Means around the pixels of the input, [B,1,h,w]."""
    return _blurred(F.adaptive_avg_pool2d(product, (lq.shape[-2], lq.shape[-1])), AROUND)


def _blurred(x: torch.Tensor, sigma: float) -> torch.Tensor:
    return smoothed(x, sigma, math.ceil(WIDTH * sigma))
