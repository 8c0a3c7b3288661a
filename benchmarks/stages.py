"""What every finishing stage does and costs: python benchmarks/stages.py --hr DIR [--tables NAME ...] [--out FILE]

The originals in DIR are reduced four times and enlarged by the embedded model, and the results go through the stages. Writes the tables of
docs/stages.md, each below its heading there, of means over the pictures:
shifted      the stages that are about colours, off and on, with colours and exposure of the results shifted on purpose
plain        every stage, off and on, with the results as they are
consistency  back-projection at none, a quarter, by the noise, `auto` and full, for clean and faulty inputs
adaptive     what is decided by the picture against what is set, for clean, blurred, noisy and JPEG inputs, fine and coarse
memory       what the stages need beside the result of the networks, in bytes for each of its pixels; needs no DIR
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

PROJECT = Path(__file__).resolve().parents[1]

if TYPE_CHECKING:
    import numpy as np
    import torch

    from sampler_invsr import InvSamplerSR
    from utils.pictures.stages import StageContext
    from utils.planning.plan import Plan

SCALE = 4
SIDE = 4096  # of the picture that memory is measured with
EXPOSURE, CAST = 0.9, (0.04, 0.0, -0.04)  # what brightness is multiplied with, and what is added to red, green and blue

OFF = {"color_fix": "none", "fusion": "none", "consistency": 0.0, "restraint": 0.0, "fidelity": 0.0, "enhancement": 0.0}
AS_MADE = {name: OFF[name] for name in ("color_fix", "consistency", "restraint")}
"""Settings that leave what the networks made as it is; the other stages are off."""
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
OTHERS |= {f"consistency {strength:g}": {"consistency": strength} for strength in (0.25, 0.5, 1.0)}
OTHERS["restraint 1"] = {"restraint": 1.0}
OTHERS |= {f"fidelity {strength:g}": {"fidelity": strength} for strength in (0.25, 0.5, 0.75, 1.0)}
OTHERS |= {f"enhancement {strength:g}": {"enhancement": strength} for strength in (0.15, 0.3, 1.0)}
OTHERS["consistency 1, then enhancement 0.3"] = {"consistency": 1.0, "enhancement": 0.3}
ROWS = FIXES | {f"wavelet + {label}": {"color_fix": "wavelet", **changes} for label, changes in OTHERS.items()}
"""What is switched on, by the names of the plan. Everything but the colour fixes stands on the default one."""
_REPAIRING = [f"wavelet + {label}" for label in ("fusion color_fixes, weighted", "fusion color_fixes, max", "consistency 1", "fidelity 0.5")]
SHIFTED_ROWS = FIXES | {label: ROWS[label] for label in _REPAIRING}
"""What is looked at after a shift: the stages that can repair it."""


FAULTY_INPUTS: dict[str, dict[str, Any]] = {
    "clean": {},
    "stair-steps": {"kernel": "nearest"},
    "sharpened": {"sharpening": 1.0},
    **{f"noise {level}": {"noise_sd": level / 255} for level in (2, 5, 15)},
    **{f"JPEG {quality}": {"jpeg_quality": quality} for quality in (90, 75, 40, 15)},
}
INPUTS: dict[str, dict[str, Any]] = {
    "clean": {},
    "blur 1.5": {"blur_sigma": (6.0, 6.0)},
    "noise 15": {"noise_sd": 15 / 255},
    **{f"JPEG {quality}": {"jpeg_quality": quality} for quality in (95, 40)},
}
"""What is done to the inputs of the table `adaptive` beside their reduction, and `FAULTY_INPUTS` to those of `consistency`: fields of `Degradation`,
the blur in pixels of the original."""
ADAPTIVE_ROWS: dict[str, dict[str, Any]] = {
    "as shipped, with consistency auto": {"consistency": "auto"},
    "adaptive scheduler": {"adaptive_scheduler": True},
    "adaptive guidance": {"adaptive_guidance": True},
    "enhancement 0.3": {"edge_enhancement": True},
    "adaptive enhancement, 0.3 at most": {"adaptive_enhancement": True},
    "consistency 0": {"consistency": 0.0},
    "consistency 0.25": {"consistency": 0.25},
    "consistency 1": {"consistency": 1.0},
    "as shipped, with restraint auto": {"restraint": "auto"},
    "restraint 0": {"restraint": 0.0},
    "restraint 1": {"restraint": 1.0},
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
    makers: dict[str, Callable[[Any], str]] = {
        "shifted": _shifted_table,
        "plain": _plain_table,
        "consistency": _consistency_table,
        "adaptive": _adaptive_table,
        "memory": _memory_table,
    }
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hr", type=Path, metavar="DIR", help="originals; subfolders too")
    parser.add_argument("--tables", nargs="+", choices=makers, default=list(makers), metavar="NAME", help=f"of {', '.join(makers)}; default: all")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the tables go; without it they are printed")
    parser.add_argument("--memory-of", metavar="ROW", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        print(f"{_bytes_per_pixel(ROWS[options.memory_of]):.0f}")
        return
    if options.hr is None and options.tables != ["memory"]:
        parser.error("all tables but that of memory need --hr DIR")
    tables = "\n".join(makers[name](options.hr) for name in options.tables)
    if options.out:
        options.out.write_text(tables)
    else:
        print(tables, end="")


def _memory_table(_: None) -> str:
    """Each row in a process of its own, because a process keeps what it once had."""
    lines = []
    for label in ROWS:
        done = subprocess.run([sys.executable, __file__, "--memory-of", label], check=True, stdout=subprocess.PIPE, text=True)
        lines.append(f"| {label} | {done.stdout.strip()} |")
    return "### Memory\n\n| stages | bytes per pixel |\n|---|---|\n" + "\n".join(lines) + "\n"


def _bytes_per_pixel(changes: dict[str, Any]) -> float:
    """How far the process grows while a random result of SIDE x SIDE goes through the stages, its own 12 bytes for each pixel left out."""
    import torch
    from process_memory import peak_megabytes

    from utils.pictures.stages import StageContext, run_stages
    from utils.planning.model_spec import ModelSpec
    from utils.planning.plan import make_plan
    from utils.planning.settings import Settings

    def grown(side: int) -> float:
        lq, candidate, canvas = torch.rand(1, 3, side // SCALE, side // SCALE), torch.rand(1, 3, side, side), torch.rand(1, 3, side, side)
        spec = ModelSpec("random", SCALE, latent_factor=SCALE, latent_channels=48, lq_multiple=16, timesteps=(1, 1000), has_text=False)
        plan = replace(make_plan((side // SCALE, side // SCALE), Settings(consistency=0.0, restraint=0.0), spec), **(OFF | changes))
        before = peak_megabytes()
        run_stages(canvas, StageContext(lq, plan, (candidate,)))
        return (peak_megabytes() - before) * 1e6 / side**2

    grown(256)  # what the libraries allocate once does not count
    return grown(SIDE)


def _shifted_table(folder: Path) -> str:
    sampler, pictures = _enlarged(folder)
    shifted = [replace(picture, canvas=_shifted(picture.canvas)) for picture in pictures]
    return f"### Colours and exposure shifted on purpose\n\n{_table([_measure(sampler, picture, SHIFTED_ROWS) for picture in shifted])}"


def _plain_table(folder: Path) -> str:
    sampler, pictures = _enlarged(folder)
    return f"### The result as the model gives it\n\n{_table([_measure(sampler, picture, ROWS) for picture in pictures])}"


def _consistency_table(folder: Path) -> str:
    """For each kind of input its noise, the strength by that, and what is gained over none: set, by the noise alone, and auto."""
    from tqdm import tqdm

    from sampler_invsr import InvSamplerSR
    from utils.evaluation.lr_sets import make_lr
    from utils.evaluation.picture_sets import find_tree
    from utils.metrics.fidelity import psnr_rgb
    from utils.pictures.degradations import Degradation
    from utils.pictures.stages import run_stages
    from utils.planning.adaptive import auto_consistency
    from utils.planning.settings import CONSISTENCY_TOLERANCE

    sampler = InvSamplerSR(AS_MADE)
    found: dict[str, list[tuple[float, ...]]] = {kind: [] for kind in FAULTY_INPUTS}
    for name in tqdm(find_tree(folder)):
        pixels = _original(folder / name)
        for kind, degradation in FAULTY_INPUTS.items():
            small = make_lr(pixels, Degradation(SCALE, **degradation), seed=0)
            noise = sampler.measure(small).noise
            by_noise, _ = auto_consistency(noise)
            hr, lq = _tensor(pixels), _tensor(small)
            enlarged = Enlarged(hr, lq, sampler.sample_image(lq), {})
            ways = ((0.0, None), (0.25, None), (by_noise, None), (1.0, CONSISTENCY_TOLERANCE), (1.0, None))
            changes = [{"color_fix": "wavelet", "consistency": strength, "consistency_tolerance": tolerance} for strength, tolerance in ways]
            contexts = [_context(sampler, enlarged, one) for one in changes]
            found[kind].append((noise, by_noise, *(psnr_rgb(run_stages(enlarged.canvas, context), hr) for context in contexts)))
    lines = [
        "| input | noise | strength by it | PSNR-RGB without, dB | 0.25 gains | by noise gains | auto gains | 1 gains |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind, pictures in found.items():
        noise, by_noise, off, *on = (fmean(values) for values in zip(*pictures, strict=True))
        lines.append(f"| {kind} | {noise:.1f} | {by_noise:.2f} | {off:.3f} | {' | '.join(f'{psnr - off:+.3f}' for psnr in on)} |")
    return "### Consistency by noise and by what the model repairs\n\n" + "\n".join(lines) + "\n"


def _adaptive_table(folder: Path) -> str:
    """PSNR of each row for each kind of input, means over the pictures, and the range of what was decided."""
    from tqdm import tqdm

    from sampler_invsr import InvSamplerSR
    from utils.evaluation.lr_sets import make_lr
    from utils.evaluation.picture_sets import find_tree
    from utils.metrics.fidelity import psnr_rgb
    from utils.pictures.degradations import Degradation

    sampler = InvSamplerSR()
    psnr: dict[tuple[str, str], list[float]] = {}
    decided: dict[tuple[str, str], list[float]] = {}
    seconds: dict[str, list[float]] = {}
    for name in tqdm(find_tree(folder)):
        pixels = _original(folder / name)
        for kind, degradation in INPUTS.items():
            lq = make_lr(pixels, Degradation(SCALE, **degradation), seed=0)
            for label, settings in ADAPTIVE_ROWS.items():
                start = time.process_time()
                result = sampler.upscale(lq, **settings)
                seconds.setdefault(label, []).append((time.process_time() - start) / (pixels.shape[0] * pixels.shape[1] / 1e6))
                psnr.setdefault((label, kind), []).append(psnr_rgb(_tensor(result.picture), _tensor(pixels)))
                decided.setdefault((label, kind), []).append(_decided(result.plan, settings))
    lines = [f"| settings | {' | '.join(INPUTS)} | CPU seconds per megapixel |", "|---" * (len(INPUTS) + 2) + "|"]
    for label in ADAPTIVE_ROWS:
        cells = []
        for kind in INPUTS:
            values = decided[label, kind]
            cells.append(f"{fmean(psnr[label, kind]):.2f} ({min(values):.2g} to {max(values):.2g})")
        lines.append(f"| {label} | {' | '.join(cells)} | {fmean(seconds[label]):.1f} |")
    return "### What is decided by the picture\n\n" + "\n".join(lines) + "\n"


def _decided(plan: Plan, settings: dict[str, Any]) -> float:
    """The number that a row is about: steps, guidance or strength."""
    if "adaptive_scheduler" in settings:
        return len(plan.timesteps)
    if "adaptive_guidance" in settings:
        return plan.cfg_scale
    if "restraint" in settings:
        return plan.restraint
    return plan.consistency if "consistency" in settings else plan.enhancement


@lru_cache(maxsize=1)
def _enlarged(folder: Path) -> tuple[InvSamplerSR, list[Enlarged]]:
    from tqdm import tqdm

    from sampler_invsr import InvSamplerSR
    from utils.evaluation.lr_sets import make_lr
    from utils.evaluation.picture_sets import find_tree
    from utils.pictures.degradations import Degradation

    sampler, pictures = InvSamplerSR(AS_MADE), []
    others = {"steps": {"timesteps": [200, 100]}, "seeds": {"seed": sampler.settings.seed + 1}}
    for name in tqdm(find_tree(folder)):
        pixels = _original(folder / name)
        lq = _tensor(make_lr(pixels, Degradation(SCALE), seed=0))
        candidates = {kind: sampler.with_settings(**changes).sample_image(lq) for kind, changes in others.items()}
        pictures.append(Enlarged(_tensor(pixels), lq, sampler.sample_image(lq), candidates))
    return sampler, pictures


def _original(path: Path) -> np.ndarray:
    """HWC, its sides multiples of the scale."""
    from utils.evaluation.picture_sets import colours, cropped, read

    return cropped(colours(read(path)), SCALE)


def _tensor(pixels: np.ndarray) -> torch.Tensor:
    """[1,3,H,W], of grey pictures too."""
    from utils.pictures.tensors import to_tensor

    return to_tensor(pixels).expand(-1, 3, -1, -1)


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
