"""Bringing the colours of a result back to those of its reference, the bicubic enlargement of the unpadded input.

Results are sr [B,3,H,W] and inputs lq [B,3,h,w], both float32 in [0,1]; an input of the result's own size is its own reference. The fixes do not
clamp. They go channel by channel, because at these sizes every further full picture counts. What a fix has to know of the whole picture is found
first, so that it can then be applied to any rows of it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial

import torch
import torch.nn.functional as F

from utils.pictures.bands import BAND, in_bands, stretches
from utils.pictures.resampling import REACH, bicubic_antialiased
from utils.pictures.rows import Rows

WAVELET_LEVELS = 5
INPUT_LEVELS = 3
"""Levels at the size of the input that leave the same frequencies as `WAVELET_LEVELS` do at four times that size."""

RIGHT = 1 / 255
"""A result whose low frequencies are nowhere further than this from those of its reference or its input has the right colours: see `decided`."""


Fix = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(sr, lq) -> sr, of a whole picture or of rows of it: what it has to know of the others was found out before."""


def decided(regions: "Regions", name: str, hybrid_mode: str = "adaptive") -> Fix:
    """The fix of that name for the picture that the regions are of, in [0,1]; for any of its rows that have `reach_of_fixes` others around them.

    A picture whose low frequencies are less than one grey level (`RIGHT`) from those of its reference, or its input, at every pixel in every channel
    is returned as it is: its colours are right. Every whole picture of the batch is decided on by itself, so nothing can jump within one.
    """
    if name == "none":
        return _unchanged
    wrong = regions.error().amax((1, 2, 3)) >= RIGHT
    if not wrong.any():
        return _unchanged
    fix = decide_hybrid(regions, hybrid_mode) if name == "hybrid" else DECISIONS[name](regions)
    if wrong.all():
        return lambda sr, lq: fix(sr, lq).clamp_(0, 1)
    return lambda sr, lq: torch.where(wrong.view(-1, 1, 1, 1), fix(sr, lq).clamp_(0, 1), sr)


def reach_of_fixes(scale: int) -> int:
    """Rows of a result, `scale` times the size of its input, above and below one of them that a fix looks at, at most."""
    return 2**WAVELET_LEVELS + REACH * scale


def _unchanged(sr: torch.Tensor, lq: torch.Tensor) -> torch.Tensor:
    return sr


# ---- low frequencies ----


def wavelet_low(rgb: torch.Tensor, levels: int = WAVELET_LEVELS, size: tuple[int, int] | None = None) -> torch.Tensor:
    """What is left of [B,C,H,W] after that many blurs with the 3x3 binomial kernel, dilated by 1, 2, 4, ...; borders replicated.

    size: (h, w) of the picture that these are rows of. With it, blurs are left out along a side that is shorter than eight dilations: of so small a
    picture they would see little but its replicated border, and take the mean of that for the mean of all. Without it, none is left out.
    """
    height, width = size or (math.inf, math.inf)
    low = rgb
    for dilation in (2**level for level in range(levels)):  # one axis after the other, which costs a third of the two-dimensional sum
        if 8 * dilation <= height:
            low = _dilated_blur(low, dilation, 2, (0, 0, dilation, dilation))
        if 8 * dilation <= width:
            low = _dilated_blur(low, dilation, 3, (dilation, dilation, 0, 0))
    return low


def _dilated_blur(rgb: torch.Tensor, dilation: int, axis: int, padding: tuple[int, int, int, int]) -> torch.Tensor:
    """[1 2 1] / 4 along one axis."""
    length, padded = rgb.shape[axis], F.pad(rgb, padding, mode="replicate")
    before, here, after = (padded.narrow(axis, start, length) for start in (0, dilation, 2 * dilation))
    return (before + after).mul_(0.25).add_(here, alpha=0.5)


class Regions:
    """What the colours and brightness of the regions of a result are and should be: low frequencies, as small pictures [B,3,h,w].

    They are reduced to the size of the input, then blurred: no detail, no noise. Both pictures are gone over in stretches of rows.
    """

    def __init__(self, sr: Rows, lq: torch.Tensor) -> None:
        self._sr, self._lq = sr, lq
        self.size = sr.shape[-2], sr.shape[-1]

    @cached_property
    def own(self) -> torch.Tensor:
        return self.after(_unchanged)

    @cached_property
    def wanted(self) -> torch.Tensor:
        """Those of the reference."""
        return self.after(_reference)

    def difference(self, fix: Fix | None = None) -> torch.Tensor:
        """How far they are from those of the reference, after `fix` if there is one; 1/255 is one grey level."""
        return self.own - self.wanted if fix is None else self.after(fix).sub_(self.wanted)

    def error(self) -> torch.Tensor:
        """How far they are outside what lies between those of the reference and those of the input itself.

        Enlarging takes contrast from fine lines, and along borders, where replicating gives the outermost pixels much weight, that stays in the low
        frequencies: by the reference alone, most photographs would have wrong colours beside their own reductions.
        """
        of_input = _blurred_in_place(self._lq.clone(memory_format=torch.contiguous_format))
        lowest, highest = torch.minimum(self.wanted, of_input), torch.maximum(self.wanted, of_input)
        return torch.maximum(lowest - self.own, self.own - highest).clamp_(min=0)

    def after(self, fix: Fix) -> torch.Tensor:
        """Those of the result after a fix."""
        low = torch.empty_like(self._lq, memory_format=torch.contiguous_format)
        scale = self._sr.shape[-2] // low.shape[-2]
        for stretch in stretches(self._sr.shape, low.shape[-2], reach_of_fixes(scale) + REACH * scale):
            small = stretch.of_input(self._lq)
            fixed = fix(stretch.of_result(self._sr), small)
            low[..., stretch.top : stretch.bottom, :] = stretch.alone(bicubic_antialiased(fixed, (small.shape[-2], small.shape[-1])))
        return _blurred_in_place(low)


def _blurred_in_place(small: torch.Tensor) -> torch.Tensor:
    """A picture of the input's size with nothing but its low frequencies left."""
    for channel in small.split(1, 1):
        channel.copy_(wavelet_low(channel, INPUT_LEVELS, (small.shape[-2], small.shape[-1])))
    return small


def _reference(sr: torch.Tensor, lq: torch.Tensor) -> torch.Tensor:
    return bicubic_antialiased(lq, (sr.shape[-2], sr.shape[-1]))


# ---- the fixes ----


def fix_wavelet(sr: torch.Tensor, lq: torch.Tensor, size: tuple[int, int] | None = None) -> torch.Tensor:
    """High frequencies of the result on the low ones of the reference (StableSR's wavelet fix). size: as for `wavelet_low`."""
    # high(sr) + low(reference) = sr + low(reference - sr), because the blur is linear: one pyramid instead of two.
    fixed = torch.empty_like(sr, memory_format=torch.contiguous_format)

    def fix(channel: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        return channel + wavelet_low(reference - channel, size=size)

    for k, pair in enumerate(_channels(sr, lq)):
        fixed[:, k : k + 1] = in_bands(fix, pair, reach=2**WAVELET_LEVELS)
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


def decide_histogram(regions: Regions) -> Fix:
    """A smooth rising curve for each picture and channel, which gives the low frequencies of the result the histogram of those of the reference.

    Matching the histograms of the pictures themselves, as is usual, takes the noise of the input and its lack of detail for colour. Beyond the range
    of the low frequencies the curve changes brightness as much as at its end.
    """
    pictures = zip(regions.own, regions.wanted, strict=True)
    curves = [[_curve(*(_quantiles(low.flatten()) for low in pair)) for pair in zip(*picture, strict=True)] for picture in pictures]

    def along_curves(sr: torch.Tensor, lq: torch.Tensor) -> torch.Tensor:
        fixed = torch.empty_like(sr, memory_format=torch.contiguous_format)
        for b, channels in enumerate(curves):
            for k, shifts in enumerate(channels):
                for band, target in zip(sr[b, k].reshape(-1).split(BAND), fixed[b, k].view(-1).split(BAND), strict=True):
                    torch.add(band, _interpolated(shifts, band), out=target)
        return fixed

    return along_curves


def _quantiles(values: torch.Tensor) -> torch.Tensor:
    """`_QUANTILES` values of [n], evenly spaced in their order, the least and the greatest among them. (`torch.quantile` refuses large pictures.)"""
    places = torch.arange(_QUANTILES, device=values.device) * (len(values) - 1)  # whole numbers: float32 has none for each of 2^24 pixels and more
    return values.sort().values[(places + (_QUANTILES - 1) // 2) // (_QUANTILES - 1)]


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


def decide_adain(regions: Regions) -> Fix:
    """Mean and standard deviation of each picture and channel brought to those of the reference (Huang and Belongie 2017), of low frequencies.

    The published fix compares all frequencies and so takes contrast from every result that is sharper than the enlarged input. Contrast is changed
    twofold at most, and hardly in a picture that is next to flat.
    """
    low, wanted = regions.own, regions.wanted
    variance, wanted_variance = (x.var((2, 3), correction=0, keepdim=True) + _LEAST_SPREAD**2 for x in (low, wanted))
    gain = (wanted_variance / variance).sqrt_().clamp_(1 / _MOST_CONTRAST, _MOST_CONTRAST)
    shift = wanted.mean((2, 3), keepdim=True) - gain * low.mean((2, 3), keepdim=True)
    return lambda sr, lq: torch.addcmul(shift, sr, gain)


_BLENDED = {"ycbcr": 0.3, "wavelet": 0.3, "histogram": 0.4}  # the weights are the seed program's
_LEAD_OF_BLUR = 1 / 255
"""Root mean square by which ycbcr must be better than the others for `best` to give the result's chroma away for the reference's blurry one."""


def decide_hybrid(regions: Regions, mode: str = "adaptive") -> Fix:
    """ycbcr, wavelet and histogram together, for every picture by itself, by the low-frequency error that each leaves (root mean square).

    adaptive: their mean, each weighted with 1 / (error^2 + one grey level^2): what repairs best decides, and fixes that are all good count alike.
    seed: their mean by fixed weights. best: the one of least error; detail is no part of the error, and ycbcr, whose chroma has no error because it
    is the blurry reference's, must lead by `_LEAD_OF_BLUR`: so the blurriest does not win.
    """
    fixes = {name: DECISIONS[name](regions) for name in _BLENDED}
    if mode == "best":
        errors = [_squared_error(regions, fix).sqrt_() + (_LEAD_OF_BLUR if name == "ycbcr" else 0) for name, fix in fixes.items()]
        best = torch.stack(errors).argmin(0)
        return partial(_mean, [(fix, (best == k).to(regions.own)) for k, fix in enumerate(fixes.values()) if (best == k).any()])
    if mode == "seed":
        weights = {name: torch.full((len(regions.own), 1, 1, 1), weight, device=regions.own.device) for name, weight in _BLENDED.items()}
    else:
        weights = {name: 1 / (_squared_error(regions, fix) + RIGHT**2) for name, fix in fixes.items()}
    return partial(_mean, [(fix, weights[name]) for name, fix in fixes.items()])


def _mean(weighted: Sequence[tuple[Fix, torch.Tensor]], sr: torch.Tensor, lq: torch.Tensor) -> torch.Tensor:
    """Of what fixes make, by a weight for each picture, [B,1,1,1]."""
    sums, total = torch.zeros_like(sr), torch.zeros_like(weighted[0][1])
    for fix, weight in weighted:  # one after the other: each is a full picture
        sums.addcmul_(fix(sr, lq), weight)
        total += weight
    return sums.div_(total)


def _squared_error(regions: Regions, fix: Fix) -> torch.Tensor:
    """Mean square of the low-frequency difference that a fix leaves, over each picture: [B,1,1,1]."""
    return regions.difference(fix).square_().mean((1, 2, 3), keepdim=True)


DECISIONS: dict[str, Callable[[Regions], Fix]] = {
    "wavelet": lambda regions: partial(fix_wavelet, size=regions.size),
    "ycbcr": lambda regions: fix_ycbcr,
    "histogram": decide_histogram,
    "hybrid": decide_hybrid,
    "adain": decide_adain,
}
"""By the names of the setting color_fix, but for "none"; the fixes do not clamp. "hybrid" also takes its mode."""


def _channels(sr: torch.Tensor, lq: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Each channel [B,1,H,W] of the result with that of the reference, a new tensor."""
    size = sr.shape[-2], sr.shape[-1]
    for channel, small in zip(sr.split(1, 1), lq.split(1, 1), strict=True):
        yield channel, bicubic_antialiased(small, size)
