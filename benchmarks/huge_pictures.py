"""Memory and time of a large picture, from array to file, with a bicubic stand-in for the networks: what is left is ours, whatever the model.

python benchmarks/huge_pictures.py --side 1024                                 a table of results of 4096 x 4096, part of it in docs/performance.md
python benchmarks/huge_pictures.py                                             the same of 16384 x 16384, about 3 minutes a row
python benchmarks/huge_pictures.py --row "16 bits" --side 2048 color_fix=hybrid    one row: megabytes beyond the loaded program, seconds
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from process_memory import peak_megabytes

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

SIDE = 4096  # of the input; the result has four times that
CAST = 0.9  # so that there is something for a colour fix to do
EVERYTHING = [
    "color_fix=hybrid",
    "attention_fusion=true",
    "fusion_candidates=color_fixes",
    "consistency=1",
    "restraint=1",
    "fidelity=0.5",
    "edge_enhancement=true",
]
ROWS = {
    "no stage": ("8 bits", ["color_fix=none", "consistency=0", "restraint=0"]),
    **{f"colour fix {name}": ("8 bits", [f"color_fix={name}"]) for name in ("wavelet", "ycbcr", "histogram", "adain", "hybrid")},
    "all stages": ("8 bits", EVERYTHING),
    "fusion of two seeds": ("8 bits", ["attention_fusion=true", "fusion_candidates=seeds"]),
    "everything that a picture decides": ("8 bits", ["adaptive_guidance=true", "smart_chopping=true", "attention_blending=true"]),
    "with transparency": ("8 bits, alpha", []),
    "16 bits": ("16 bits", []),
    "16 bits with transparency": ("16 bits, alpha", []),
    "16 bits with transparency, as TIFF": ("16 bits, alpha, TIFF", []),
}
"""What the picture is, and which settings differ from those of the shipped configuration."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--row", choices=["8 bits", "8 bits, alpha", "16 bits", "16 bits, alpha", "16 bits, alpha, TIFF"], help="only this picture")
    parser.add_argument("--side", type=int, default=SIDE, help="of the input, in pixels")
    parser.add_argument("--divided", type=int, default=1, help="divides what may be held in memory at once, as if the picture were larger")
    parser.add_argument("settings", nargs="*")
    options = parser.parse_args()
    if options.row:
        print(json.dumps(measured(options.row, options.side, options.divided, dict(one.split("=", 1) for one in options.settings))))
        return
    print("| | beyond the loaded program, GB | seconds |\n|---|---|---|")
    for label, (kind, settings) in ROWS.items():
        command = [sys.executable, __file__, "--row", kind, "--side", str(options.side), *settings]
        row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"| {label} | {row['megabytes'] / 1000:.2f} | {row['seconds']:.0f} |", flush=True)


def measured(kind: str, side: int, divided: int, settings: dict[str, Any]) -> dict[str, float]:
    """Megabytes (10^6) by which the process grew at most while a picture of side x side was upscaled and written, and seconds."""
    import numpy as np
    import yaml

    from sampler_invsr import InvSamplerSR
    from utils.pictures import bands
    from utils.pictures.picture import Picture
    from utils.pictures.resampling import bicubic
    from utils.pictures.writing import save
    from utils.planning import plan

    InvSamplerSR._sample_tiles = lambda self, patches, *_: bicubic(patches, (4 * patches.shape[-2], 4 * patches.shape[-1])).clamp(0, 1) * CAST
    bands.STRETCH //= divided
    plan.MOST_IN_MEMORY //= divided
    overrides = {name: yaml.safe_load(value) for name, value in settings.items()}
    sampler = InvSamplerSR().with_settings(max_output_megapixels=1000, pch_size=128, overlap=0.25, **overrides)

    def upscale(side: int, path: Path) -> None:
        noise = np.random.default_rng(0).integers(-4, 5, (side, side), np.int16)
        tones = (100 + 80 * np.sin(np.arange(side) / 29)).astype(np.int16)
        grey = (tones + noise).astype(np.uint8)
        rgb = np.dstack([grey, grey // 2 + 40, np.roll(grey, side // 3)])
        depth = np.uint16 if "16" in kind else np.uint8
        rgb = rgb.astype(depth) * (np.iinfo(depth).max // 255)
        picture = Picture(rgb, np.roll(rgb[..., 0], 9, 0) if "alpha" in kind else None)
        del noise, grey, rgb
        result = sampler.upscaled(picture, lambda done, total, preview: None)
        save(result.picture, path, result.texts)

    with tempfile.TemporaryDirectory() as folder:
        suffix = "tif" if "TIFF" in kind else "png"
        upscale(64, Path(folder) / f"small.{suffix}")  # what the libraries allocate once does not count
        before, start = _resident(), time.perf_counter()
        upscale(side, Path(folder) / f"large.{suffix}")
        seconds = time.perf_counter() - start
    return {"megabytes": peak_megabytes() - before, "seconds": seconds}


def _resident() -> float:
    import psutil

    return psutil.Process().memory_info().rss / 1e6


if __name__ == "__main__":
    main()
