"""What every finishing stage does and costs: python benchmarks/stages.py (--hr DIR [--adaptive] [--out FILE] | --memory)

The originals in DIR are reduced four times and enlarged by the embedded model. Its results go through the stages, each off and on; once as they are,
and once, through those that are about colours, with colours and exposure shifted on purpose. What is decided by the picture is switched on for clean,
blurred, noisy and JPEG inputs. Writes Markdown tables of means over the pictures; with --adaptive, that of those decisions alone.
With --memory it prints what the stages need beside the result of the networks, in bytes for each of its pixels, each row in a process of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

PROJECT = Path(__file__).resolve().parents[1]

if TYPE_CHECKING:
    import torch

    from sampler_invsr import InvSamplerSR
    from utils.pictures.stages import StageContext
    from utils.planning.plan import Plan

SCALE = 4
SIDE = 4096  # of the picture that memory is measured with
EXPOSURE, CAST = 0.9, (0.04, 0.0, -0.04)  # what brightness is multiplied with, and what is added to red, green and blue

OFF = {"color_fix": "none", "fusion": "none", "consistency": 0.0, "fidelity": 0.0, "enhancement": 0.0}
FIXES: dict[str, dict[str, Any]] = {
    "all off": {},
    **{f"color_fix {name}": {"color_fix": name} for name in ("ycbcr", "wavelet", "histogram", "adain")},
    **{f"color_fix hybrid, {mode}": {"color_fix": "hybrid", "hybrid_mode": mode} for mode in ("adaptive", "seed", "best")},
}
OTHERS: dict[str, dict[str, Any]] = {
    f"fusion {candidates}, {method}": {"fusion": method, "fusion_candidates": candidates}
    for candidates in ("back_projected", "color_fixes", "steps", "seeds")
    for method in ("weighted", "max")
}
OTHERS |= {f"consistency {strength:g}": {"consistency": strength} for strength in (0.5, 1.0)}
OTHERS |= {f"fidelity {strength:g}": {"fidelity": strength} for strength in (0.25, 0.5, 0.75, 1.0)}
OTHERS |= {f"enhancement {strength:g}": {"enhancement": strength} for strength in (0.15, 0.3, 1.0)}
OTHERS["consistency 1, then enhancement 0.3"] = {"consistency": 1.0, "enhancement": 0.3}
ROWS = FIXES | {f"wavelet + {label}": {"color_fix": "wavelet", **changes} for label, changes in OTHERS.items()}
"""What is switched on, by the names of the plan. Everything but the colour fixes stands on the default one."""
_REPAIRING = [f"wavelet + {label}" for label in ("fusion color_fixes, weighted", "fusion color_fixes, max", "consistency 1", "fidelity 0.5")]
SHIFTED_ROWS = FIXES | {label: ROWS[label] for label in _REPAIRING}
"""What is looked at after a shift: the stages that can repair it."""


INPUTS: dict[str, dict[str, Any]] = {
    "clean": {},
    "blur 1.5": {"blur_sigma": (6.0, 6.0)},
    "noise 15": {"noise_sd": 15 / 255},
    "JPEG 40": {"jpeg_quality": 40},
}
"""What is done to the inputs beside their reduction, as fields of `Degradation`; the blur in pixels of the original."""
ADAPTIVE_ROWS: dict[str, dict[str, Any]] = {
    "as set": {},
    "adaptive scheduler": {"adaptive_scheduler": True},
    "adaptive guidance": {"adaptive_guidance": True},
    "enhancement 0.3": {"edge_enhancement": True},
    "adaptive enhancement, 0.3 at most": {"adaptive_enhancement": True},
    "consistency 1": {"consistency": 1.0},
    "consistency auto": {"consistency": "auto"},
}
"""What is switched on, by the names of the settings."""


class Values(NamedTuple):
    """What one row comes to on one picture."""

    psnr: float
    ssim: float
    consistency: float
    color_error: float
    seconds: float  # of processor time, for each million pixels of the result


@dataclass(frozen=True)
class Enlarged:
    """An original [1,3,H,W], its reduction, and what the networks make of that: with the settings, and for fusion by steps and by seeds."""

    hr: torch.Tensor
    lq: torch.Tensor
    canvas: torch.Tensor
    candidates: dict[str, torch.Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--hr", type=Path, metavar="DIR", help="originals; subfolders too")
    what.add_argument("--memory", action="store_true", help="measure memory instead")
    what.add_argument("--memory-of", metavar="ROW", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the tables go; without it they are printed")
    parser.add_argument("--adaptive", action="store_true", help="with --hr: only what is decided by the picture")
    options = parser.parse_args()
    if options.memory_of:
        print(f"| {options.memory_of} | {_bytes_per_pixel(ROWS[options.memory_of]):.0f} |", flush=True)
    elif options.memory:
        for label in ROWS:
            subprocess.run([sys.executable, __file__, "--memory-of", label], check=True)
    else:
        tables = _adaptive_table(options.hr) if options.adaptive else _tables(options.hr)
        if options.out:
            options.out.write_text(tables)
        else:
            print(tables)


def _bytes_per_pixel(changes: dict[str, Any]) -> float:
    """How far the process grows while a random result of SIDE x SIDE goes through the stages, its own 12 bytes for each pixel left out."""
    import resource

    import torch

    from utils.pictures.stages import StageContext, run_stages
    from utils.planning.model_spec import ModelSpec
    from utils.planning.plan import make_plan
    from utils.planning.settings import Settings

    def grown(side: int) -> float:
        lq, candidate, canvas = torch.rand(1, 3, side // SCALE, side // SCALE), torch.rand(1, 3, side, side), torch.rand(1, 3, side, side)
        spec = ModelSpec("random", SCALE, latent_factor=SCALE, latent_channels=48, lq_multiple=16, timesteps=(1, 1000), has_text=False)
        plan = replace(make_plan((side // SCALE, side // SCALE), Settings(), spec), **(OFF | changes))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        run_stages(canvas, StageContext(lq, plan, (candidate,)))
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / side**2

    grown(256)  # what the libraries allocate once does not count
    return grown(SIDE)


def _tables(folder: Path) -> str:
    from tqdm import tqdm

    from sampler_invsr import InvSamplerSR
    from utils.evaluation.picture_sets import find_tree

    sampler = InvSamplerSR({"color_fix": "none"})
    shifted, plain = [], []
    for name in tqdm(find_tree(folder)):
        enlarged = _enlarge(sampler, folder / name)
        plain.append(_measure(sampler, enlarged, ROWS))
        shifted.append(_measure(sampler, replace(enlarged, canvas=_shifted(enlarged.canvas)), SHIFTED_ROWS))
    red, green, blue = CAST
    shift = f"multiplied by {EXPOSURE:g}, then red {red:+g}, green {green:+g}, blue {blue:+g}"
    return (
        f"### Result shifted on purpose: {shift}\n\n{_table(shifted)}\n### Result as the model gives it\n\n{_table(plain)}\n{_adaptive_table(folder)}"
    )


def _adaptive_table(folder: Path) -> str:
    """PSNR of each row for each kind of input, means over the pictures, and the range of what was decided."""
    from tqdm import tqdm

    from sampler_invsr import InvSamplerSR
    from utils.evaluation.lr_sets import make_lr
    from utils.evaluation.picture_sets import colours, cropped, find_tree, read
    from utils.metrics.fidelity import psnr_rgb
    from utils.pictures.degradations import Degradation
    from utils.pictures.tensors import to_tensor

    sampler = InvSamplerSR()
    psnr: dict[tuple[str, str], list[float]] = {}
    decided: dict[tuple[str, str], list[float]] = {}
    seconds: dict[str, list[float]] = {}
    for name in tqdm(find_tree(folder)):
        pixels = cropped(colours(read(folder / name)), SCALE)
        for kind, degradation in INPUTS.items():
            lq = make_lr(pixels, Degradation(SCALE, **degradation), seed=0)
            for label, settings in ADAPTIVE_ROWS.items():
                start = time.process_time()
                result = sampler.upscale(lq, **settings)
                seconds.setdefault(label, []).append((time.process_time() - start) / (pixels.shape[0] * pixels.shape[1] / 1e6))
                psnr.setdefault((label, kind), []).append(psnr_rgb(to_tensor(result.picture), to_tensor(pixels)))
                decided.setdefault((label, kind), []).append(_decided(result.plan, settings))
    lines = [f"| settings | {' | '.join(INPUTS)} | CPU seconds per megapixel |", "|---" * (len(INPUTS) + 2) + "|"]
    for label, settings in ADAPTIVE_ROWS.items():
        cells = []
        for kind in INPUTS:
            values = decided[label, kind]
            cells.append(f"{fmean(psnr[label, kind]):.2f}" + (f" ({min(values):.2g} to {max(values):.2g})" if settings else ""))
        lines.append(f"| {label} | {' | '.join(cells)} | {fmean(seconds[label]):.1f} |")
    return "### What is decided by the picture: PSNR-RGB in dB by input\n\n" + "\n".join(lines) + "\n"


def _decided(plan: Plan, settings: dict[str, Any]) -> float:
    """The number that a row is about: steps, guidance or strength."""
    if "adaptive_scheduler" in settings:
        return len(plan.timesteps)
    if "adaptive_guidance" in settings:
        return plan.cfg_scale
    return plan.consistency if "consistency" in settings else plan.enhancement


def _enlarge(sampler: InvSamplerSR, path: Path) -> Enlarged:
    from utils.evaluation.lr_sets import make_lr
    from utils.evaluation.picture_sets import colours, cropped, read
    from utils.pictures.degradations import Degradation
    from utils.pictures.tensors import to_tensor

    pixels = cropped(colours(read(path)), SCALE)
    hr, lq = (to_tensor(x).expand(-1, 3, -1, -1) for x in (pixels, make_lr(pixels, Degradation(SCALE), seed=0)))
    others = {"steps": {"timesteps": [200, 100]}, "seeds": {"seed": sampler.settings.seed + 1}}
    candidates = {name: sampler.with_settings(**changes).sample_image(lq) for name, changes in others.items()}
    return Enlarged(hr, lq, sampler.sample_image(lq), candidates)


def _shifted(rgb: torch.Tensor) -> torch.Tensor:
    return (rgb * EXPOSURE + rgb.new_tensor(CAST).view(1, 3, 1, 1)).clamp(0, 1)


def _measure(sampler: InvSamplerSR, enlarged: Enlarged, rows: dict[str, dict[str, Any]]) -> dict[str, Values]:
    """The values of each row."""
    from utils.metrics.color_error import color_error
    from utils.metrics.fidelity import psnr_rgb, ssim_y
    from utils.pictures.consistency import lr_consistency
    from utils.pictures.stages import run_stages

    hr, lq, canvas = enlarged.hr, enlarged.lq, enlarged.canvas
    values = {}
    for label, changes in rows.items():
        context = _context(sampler, enlarged, changes)
        start = time.process_time()
        sr = run_stages(canvas, context)
        seconds = (time.process_time() - start) / (hr.shape[-2] * hr.shape[-1] / 1e6)
        values[label] = Values(psnr_rgb(sr, hr), ssim_y(sr, hr), lr_consistency(sr, lq), color_error(sr, hr), seconds)
    return values


def _context(sampler: InvSamplerSR, enlarged: Enlarged, changes: dict[str, Any]) -> StageContext:
    from utils.pictures.stages import StageContext
    from utils.planning.plan import make_plan

    lq = enlarged.lq
    plan = replace(make_plan((lq.shape[-2], lq.shape[-1]), sampler.settings, sampler.spec), **(OFF | changes))
    further = enlarged.candidates.get(plan.fusion_candidates)
    return StageContext(lq, plan, () if further is None else (further,))


def _table(pictures: list[dict[str, Values]]) -> str:
    lines = ["| stages | PSNR-RGB, dB | SSIM-Y | LR consistency, dB | colour error | CPU seconds per megapixel |", "|---|---|---|---|---|---|"]
    for label in pictures[0]:
        mean = Values(*(fmean(values) for values in zip(*(picture[label] for picture in pictures), strict=True)))
        lines.append(f"| {label} | {mean.psnr:.2f} | {mean.ssim:.4f} | {mean.consistency:.2f} | {mean.color_error:.2f} | {mean.seconds:.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.path.insert(0, str(PROJECT))
    main()
