"""Bringing the colours of a result back to those of its reference, the bicubic enlargement of the unpadded input.

Results are sr [B,3,H,W] and inputs lq [B,3,h,w], both float32 in [0,1]; an input of the result's own size is its own reference. The fixes do not
clamp. They go channel by channel, because at these sizes every further full picture counts.
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F

from utils.pictures.bands import BAND, in_bands
from utils.pictures.resampling import bicubic_antialiased

WAVELET_LEVELS = 5
INPUT_LEVELS = 3
"""Levels at the size of the input that leave the same frequencies as `WAVELET_LEVELS` do at four times that size."""

RIGHT = 1 / 255
"""A result whose low frequencies are nowhere further than this from those of its reference has the right colours: see `fix_colors`."""


def fix_colors(sr: torch.Tensor, lq: torch.Tensor, name: str, hybrid_mode: str = "adaptive") -> torch.Tensor:
    """`sr` with the colours of `lq`, by the fix of that name, in [0,1].

    A picture whose `low_frequency_difference` is below one grey level (`RIGHT`) at every pixel in every channel is returned as it is: a fix would
    change nothing that can be seen. That is decided for every whole picture of the batch by itself, so nothing can jump within one.
    """
    if name == "none":
        return sr
    fix = COLOR_FIX_FUNCTIONS[name]
    if name == "hybrid":
        fix = partial(fix, mode=hybrid_mode)
    wrong = low_frequency_difference(sr, lq).abs().amax((1, 2, 3)) >= RIGHT
    if not wrong.any():
        return sr
    if wrong.all():
        return fix(sr, lq).clamp_(0, 1)
    fixed = sr.clone()
    fixed[wrong] = fix(sr[wrong], lq[wrong]).clamp_(0, 1)
    return fixed


# ---- low frequencies ----


def wavelet_low(rgb: torch.Tensor, levels: int = WAVELET_LEVELS) -> torch.Tensor:
    """What is left of [B,C,H,W] after that many blurs with the 3x3 binomial kernel, dilated by 1, 2, 4, ...; borders replicated."""
    low = rgb
    for level in range(levels):
        low = _dilated_blur(low, 2**level)
    return low


def _dilated_blur(rgb: torch.Tensor, dilation: int) -> torch.Tensor:
    """[1 2 1] x [1 2 1] / 16, one axis after the other, which costs a third of the two-dimensional sum."""
    h, w = rgb.shape[-2:]
    d = dilation
    tall = F.pad(rgb, (0, 0, d, d), mode="replicate")
    rgb = (tall[..., :h, :] + tall[..., 2 * d :, :]).mul_(0.25).add_(tall[..., d : d + h, :], alpha=0.5)
    wide = F.pad(rgb, (d, d, 0, 0), mode="replicate")
    return (wide[..., :w] + wide[..., 2 * d :]).mul_(0.25).add_(wide[..., d : d + w], alpha=0.5)


def low_frequencies(sr: torch.Tensor, lq: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the result and of the reference, as small pictures [B,3,h,w]: reduced to the size of the input, then blurred. No detail, no noise."""
    size = lq.shape[-2], lq.shape[-1]
    pairs = [[wavelet_low(bicubic_antialiased(x, size), INPUT_LEVELS) for x in pair] for pair in _channels(sr, lq)]
    own, wanted = (torch.cat(channels, 1) for channels in zip(*pairs, strict=True))
    return own, wanted


def low_frequency_difference(sr: torch.Tensor, lq: torch.Tensor) -> torch.Tensor:
    """How far the colours and brightness of regions are from those of the reference: [B,3,h,w]; 1/255 is one grey level."""
    own, wanted = low_frequencies(sr, lq)
    return own.sub_(wanted)


# ---- the fixes ----


def fix_wavelet(sr: torch.Tensor, lq: torch.Tensor) -> torch.Tensor:
    """High frequencies of the result on the low ones of the reference (StableSR's wavelet fix)."""
    # high(sr) + low(reference) = sr + low(reference - sr), because the blur is linear: one pyramid instead of two.
    fixed = torch.empty_like(sr, memory_format=torch.contiguous_format)
    for k, pair in enumerate(_channels(sr, lq)):
        fixed[:, k : k + 1] = in_bands(lambda channel, reference: channel + wavelet_low(reference - channel), pair, reach=2**WAVELET_LEVELS)
    return fixed


_LUMA = (65.481, 128.553, 24.966)  # of BT.601 in limited range: Y = 16 + these, for R, G, B in [0,1]
_FROM_LUMA = 0.00456621  # what R, G and B alike gain from one unit of Y


def fix_ycbcr(sr: torch.Tensor, lq: torch.Tensor) -> torch.Tensor:
    """Luma of the result with the chroma of the reference, in BT.601.

    Converting back adds the same multiple of Y to all three colours, so this is the reference plus the difference in luma: the published formula
    without its two conversions (to 5e-6), and grey stays exactly grey.
    """
    luma = torch.zeros_like(sr[:, :1])
    fixed = torch.empty_like(sr, memory_format=torch.contiguous_format)
    for k, (channel, reference) in enumerate(_channels(sr, lq)):
        fixed[:, k : k + 1] = reference
        luma += (channel - reference).mul_(_LUMA[k] * _FROM_LUMA)
    return fixed.add_(luma)


_QUANTILES = 256
_CURVE_POINTS = 257
_CURVE_WIDTH = 1 / 64  # standard deviation, in brightness, of the average that makes the curve smooth


def fix_histogram(sr: torch.Tensor, lq: torch.Tensor) -> torch.Tensor:
    """A smooth rising curve for each picture and channel, which gives the low frequencies of the result the histogram of those of the reference.

    Matching the histograms of the pictures themselves, as is usual, takes the noise of the input and its lack of detail for colour. Beyond the range
    of the low frequencies the curve changes brightness as much as at its end.
    """
    levels = torch.linspace(0, 1, _QUANTILES, device=sr.device)
    own, wanted = (_quantiles(low.flatten(2), levels) for low in low_frequencies(sr, lq))
    fixed = torch.empty_like(sr, memory_format=torch.contiguous_format)
    for b in range(len(sr)):
        for k in range(3):
            shifts = _curve(own[b, k], wanted[b, k])
            for band, target in zip(sr[b, k].reshape(-1).split(BAND), fixed[b, k].view(-1).split(BAND), strict=True):
                torch.add(band, _interpolated(shifts, band), out=target)
    return fixed


def _quantiles(values: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Of [..., n] at `levels` in [0,1]: [..., levels]. (`torch.quantile` refuses large pictures.)"""
    ranked = values.sort(-1).values
    return ranked[..., (levels * (values.shape[-1] - 1)).round().long()]


def _curve(own: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """What is to be added at evenly spaced brightnesses in [0,1], from the quantiles of what is there and what is wanted."""
    points = torch.linspace(0, 1, _CURVE_POINTS, device=own.device)
    # The softmax is the Gaussian average of the shifts near a brightness; far from all of them it falls back to the nearest instead of 0/0.
    nearness = torch.softmax(-((points[:, None] - own) ** 2) / (2 * _CURVE_WIDTH**2), 1)
    return (points + nearness @ (wanted - own)).cummax(0).values - points


def _interpolated(curve: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The curve, given at evenly spaced points of [0,1], at `x`."""
    place = x.clamp(0, 1) * (len(curve) - 1)
    left = place.long().clamp_(max=len(curve) - 2)
    return torch.lerp(curve[left], curve[left + 1], place.sub_(left))


_MOST_CONTRAST = 2.0
_LEAST_SPREAD = 4 / 255  # standard deviations far below this say more about noise than about contrast


def fix_adain(sr: torch.Tensor, lq: torch.Tensor) -> torch.Tensor:
    """Mean and standard deviation of each picture and channel brought to those of the reference (Huang and Belongie 2017), of low frequencies.

    The published fix compares all frequencies and so takes contrast from every result that is sharper than the enlarged input. Contrast is changed
    twofold at most, and hardly in a picture that is next to flat.
    """
    low, wanted = low_frequencies(sr, lq)
    variance, wanted_variance = (x.var((2, 3), correction=0, keepdim=True) + _LEAST_SPREAD**2 for x in (low, wanted))
    gain = (wanted_variance / variance).sqrt_().clamp_(1 / _MOST_CONTRAST, _MOST_CONTRAST)
    return torch.addcmul(wanted.mean((2, 3), keepdim=True) - gain * low.mean((2, 3), keepdim=True), sr, gain)


_BLENDED = {"ycbcr": 0.3, "wavelet": 0.3, "histogram": 0.4}  # the weights are the seed program's
_LEAD_OF_BLUR = 1 / 255
"""Root mean square by which ycbcr must be better than the others for `best` to give the result's chroma away for the reference's blurry one."""


def fix_hybrid(sr: torch.Tensor, lq: torch.Tensor, mode: str = "adaptive") -> torch.Tensor:
    """ycbcr, wavelet and histogram together, for every picture by itself, by the low-frequency error that each leaves (root mean square).

    adaptive: their mean, each weighted with 1 / (error^2 + one grey level^2): what repairs best decides, and fixes that are all good count alike.
    seed: their mean by fixed weights. best: the one of least error; detail is no part of the error, and ycbcr, whose chroma has no error because it
    is the blurry reference's, must lead by `_LEAD_OF_BLUR`: so the blurriest does not win.
    """
    fixes = ((COLOR_FIX_FUNCTIONS[name](sr, lq), weight) for name, weight in _BLENDED.items())  # one after the other: each is a full picture
    if mode == "best":
        best, least = sr, torch.full((len(sr), 1, 1, 1), torch.inf, device=sr.device)
        for name, (fixed, _) in zip(_BLENDED, fixes, strict=True):
            error = _squared_error(fixed, lq).sqrt_() + (_LEAD_OF_BLUR if name == "ycbcr" else 0)
            best, least = torch.where(error < least, fixed, best), torch.minimum(error, least)
        return best
    sums, total = torch.zeros_like(sr), torch.zeros(len(sr), 1, 1, 1, device=sr.device)
    for fixed, seed_weight in fixes:
        weight = torch.full_like(total, seed_weight) if mode == "seed" else 1 / (_squared_error(fixed, lq) + RIGHT**2)
        sums.addcmul_(fixed, weight)
        total += weight
    return sums.div_(total)


def _squared_error(fixed: torch.Tensor, lq: torch.Tensor) -> torch.Tensor:
    """Mean square of the low-frequency difference, over each picture: [B,1,1,1]."""
    return low_frequency_difference(fixed, lq).square().mean((1, 2, 3), keepdim=True)


COLOR_FIX_FUNCTIONS: dict[str, Callable[..., torch.Tensor]] = {
    "wavelet": fix_wavelet,
    "ycbcr": fix_ycbcr,
    "histogram": fix_histogram,
    "hybrid": fix_hybrid,
    "adain": fix_adain,
}
"""By the names of the setting color_fix, but for "none": (sr, lq) -> sr; "hybrid" also takes its mode."""


def _channels(sr: torch.Tensor, lq: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Each channel [B,1,H,W] of the result with that of the reference, a new tensor."""
    size = sr.shape[-2], sr.shape[-1]
    for channel, small in zip(sr.split(1, 1), lq.split(1, 1), strict=True):
        yield channel, bicubic_antialiased(small, size)
