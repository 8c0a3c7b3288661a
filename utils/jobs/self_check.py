"""Does this machine run the model right? For everybody with weights and hardware that the tests have not seen."""

from __future__ import annotations

import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from utils.pictures.consistency import lr_consistency
from utils.pictures.tensors import to_tensor

if TYPE_CHECKING:
    from sampler_invsr import InvSamplerSR

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "sample.png"
LOWEST_SANE_CONSISTENCY = 20.0
"""dB. Published results of SD-Turbo + InvSR agree with their inputs to 24 to 28 dB; a broken model is far below."""
PACKAGES = ("torch", "diffusers", "transformers", "numpy")


def self_check(sampler: InvSamplerSR) -> tuple[str, bool]:
    """A report for people, and whether the upscaled sample picture is sane."""
    if sampler.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    result = sampler.upscale(PICTURE)
    seconds = time.perf_counter() - start
    with Image.open(PICTURE) as picture:
        lq = np.asarray(picture.convert("RGB"))
    consistency = lr_consistency(to_tensor(result.picture), to_tensor(lq))
    peak = peak_memory(sampler.device)
    sane = consistency >= LOWEST_SANE_CONSISTENCY
    lines = [
        f"model        {sampler.spec.name}",
        f"device       {_device_name(sampler.device)}",
        f"precision    {str(sampler.dtype).removeprefix('torch.')}",
        f"versions     python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        f"picture      {lq.shape[1]} x {lq.shape[0]} -> {result.picture.shape[1]} x {result.picture.shape[0]}, {len(result.plan.tiles)} tiles",
        f"seconds      {seconds:.1f}",
        f"peak memory  {'not told by this system' if peak is None else f'{peak / 2**30:.2f} GiB'}",
        f"consistency  {consistency:.1f} dB between the input and the result scaled back to its size",
        "The result is sane: it shows the same picture as the input."
        if sane
        else f"The result is NOT sane: it should agree with the input to at least {LOWEST_SANE_CONSISTENCY:g} dB. Try dtype=float32, or device=cpu.",
    ]
    return "\n".join(lines), sane


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads" if device.type == "cpu" else device.type


def peak_memory(device: torch.device) -> int | None:
    """Bytes at most in use so far: of the GPU on CUDA, else of this process; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
