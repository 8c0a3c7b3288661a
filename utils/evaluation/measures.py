"""The table of what is measured, and measuring one result."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from utils.metrics.color_error import color_error
from utils.metrics.fidelity import BORDER, psnr_rgb, psnr_y, ssim_rgb, ssim_y
from utils.metrics.perceptual import FeatureDistance, Lpips, NotAvailable
from utils.metrics.seams import Tiling, seam_score
from utils.pictures.consistency import lr_consistency

SMALLEST_SIDE = 32
"""Pixels that both sides of an original need, for the networks behind the perceptual distances have no output for less."""


@dataclass(frozen=True)
class Measure:
    """One column. better: +1 where higher is better, -1 where lower is, 0 where neither. meaning: one sentence for readers of a report."""

    title: str
    unit: str
    decimals: int
    better: int
    meaning: str


MEASURES = {
    "psnr_y": Measure("PSNR-Y", "dB", 2, 1, "Closeness to the original in luma."),
    "ssim_y": Measure("SSIM-Y", "", 4, 1, "Likeness of structure in luma, 1 = equal: 11 x 11 Gaussian window, sigma 1.5."),
    "psnr_rgb": Measure("PSNR-RGB", "dB", 2, 1, "Closeness to the original in all three colours."),
    "ssim_rgb": Measure("SSIM-RGB", "", 4, 1, "Likeness of structure, mean of the three colours."),
    "lpips_alex": Measure("LPIPS (Alex)", "", 4, -1, "Perceptual distance to the original, version 0.1 with AlexNet, whole picture."),
    "lpips_vgg": Measure("LPIPS (VGG)", "", 4, -1, "Perceptual distance to the original, version 0.1 with VGG-16, whole picture."),
    "feature_distance": Measure(
        "Feature distance", "", 4, -1, "Distance in features of an ImageNet SqueezeNet, whole picture; not LPIPS, not for comparison with papers."
    ),
    "lr_consistency": Measure("LR consistency", "dB", 2, 1, "PSNR-RGB between the result scaled down again (bicubic, antialiased) and its input."),
    "color_error": Measure(
        "Colour error", "ΔE00", 2, -1, "Mean CIEDE2000 to the original of the low frequencies; about 1 is just visible side by side."
    ),
    "seam": Measure("Seam score", "", 3, 0, "Mean step across the borders of tiles over that of the interior; 1.0 = invisible."),
    "seam_original": Measure(
        "Seam score of the original", "", 3, 0, "The same of the original, which has no seams: what the motif alone makes of it."
    ),
    "seconds": Measure("Time", "s", 3, 0, "Seconds per picture on the machine of this report, without loading."),
}


CONVENTIONS = (
    "Pictures are compared as 8-bit files would hold them; {border} pixels at each side are left out of PSNR and SSIM.",
    "Y is luma by BT.601 in limited range (16 to 235), with 255 as the range of the signal, as in the literature on super-resolution.",
)
"""Sentences for reports, `border` to be filled in."""


@dataclass
class Measuring:
    """How results are measured. absent: why a measure cannot be had, by its name."""

    border: int = BORDER
    distances: dict[str, Callable[[torch.Tensor, torch.Tensor], float]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def __call__(self, sr: torch.Tensor, hr: torch.Tensor, lq: torch.Tensor | None, tiling: Tiling | None) -> dict[str, float | None]:
        """Values by the names of MEASURES, all but the time; sr and hr [1,3,H,W], lq [1,3,h,w], in [0,1]. None where there is nothing to measure."""
        values: dict[str, float | None] = {
            "psnr_y": psnr_y(sr, hr, self.border),
            "ssim_y": ssim_y(sr, hr, self.border),
            "psnr_rgb": psnr_rgb(sr, hr, self.border),
            "ssim_rgb": ssim_rgb(sr, hr, self.border),
            "lr_consistency": None if lq is None else lr_consistency(sr, lq),
            "color_error": color_error(sr, hr),
            "seam": None if tiling is None else seam_score(sr, tiling),
            "seam_original": None if tiling is None else seam_score(hr, tiling),
        }
        return values | {name: distance(sr, hr) for name, distance in self.distances.items()}


def make_measuring(border: int, lpips: Iterable[str], feature_weights: Path | None) -> Measuring:
    """With LPIPS by the networks named (alex, vgg) where it can be had, and the feature distance where its weights are given."""
    measuring = Measuring(border)
    for network in ("alex", "vgg"):
        name = f"lpips_{network}"
        if network not in lpips:
            measuring.absent[name] = "not asked for"
            continue
        try:
            measuring.distances[name] = Lpips(network)
        except NotAvailable as reason:
            measuring.absent[name] = str(reason)
    if feature_weights is None:
        measuring.absent["feature_distance"] = "no weights given"
    else:
        measuring.distances["feature_distance"] = FeatureDistance(feature_weights)
    return measuring
