"""Ways to a result twice as large as the model's own: python benchmarks/larger_sizes.py --hr DIR [--weights FILE.npz]

The good pictures in DIR are reduced eight times (bicubic) and enlarged again. Prints, as means over the pictures, PSNR-Y, the feature distance where
its weights are given, and seconds. docs/sizes.md has what came out.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

PROJECT = Path(__file__).resolve().parents[1]
FACTOR = 8


def main() -> None:
    from sampler_invsr import InvSamplerSR
    from utils.evaluation.picture_sets import colours, cropped, find_tree, read
    from utils.metrics.fidelity import psnr_y
    from utils.metrics.perceptual import FeatureDistance
    from utils.pictures.resampling import bicubic_antialiased
    from utils.pictures.tensors import to_tensor

    options = _options()
    sampler = InvSamplerSR()
    distance = FeatureDistance(options.weights) if options.weights else None
    measured: dict[str, list[tuple[float, ...]]] = {}
    for name in find_tree(options.hr):
        hr = to_tensor(cropped(colours(read(options.hr / name)), FACTOR))
        hr = hr.expand(-1, 3, -1, -1)  # grey ones too
        lq = _rounded(bicubic_antialiased(hr, (hr.shape[-2] // FACTOR, hr.shape[-1] // FACTOR)))
        for way, upscale in _ways(lq, sampler.sample_image).items():
            start = time.perf_counter()
            sr = _rounded(upscale())
            seconds = time.perf_counter() - start
            measured.setdefault(way, []).append((psnr_y(sr, hr, FACTOR), distance(sr, hr) if distance else np.nan, seconds))
    print(f"{len(measured['bicubic'])} pictures: PSNR-Y, feature distance, seconds")
    for way, rows in measured.items():
        print("{:35} {:6.2f} {:7.3f} {:6.2f}".format(way, *np.mean(rows, 0)))


def _ways(lq: torch.Tensor, four_times: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, Callable[[], torch.Tensor]]:
    from utils.pictures.resampling import bicubic_antialiased

    h, w = lq.shape[-2:]
    twice, whole = (2 * h, 2 * w), (FACTOR * h, FACTOR * w)
    return {
        "bicubic": lambda: bicubic_antialiased(lq, whole),
        "result enlarged": lambda: bicubic_antialiased(four_times(lq), whole),
        "input enlarged first": lambda: four_times(bicubic_antialiased(lq, twice)),
        "result reduced and upscaled again": lambda: four_times(bicubic_antialiased(four_times(lq), twice)),
    }


def _rounded(rgb: torch.Tensor) -> torch.Tensor:
    """To 8 bits, as a file would hold it."""
    return (rgb.clamp(0, 1) * 255).round() / 255


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Ways to a result twice as large as the model's own.")
    parser.add_argument("--hr", type=Path, required=True, metavar="DIR", help="good pictures")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="SqueezeNet 1.1 features in Keras layout (.npz)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.path.insert(0, str(PROJECT))
    main()
