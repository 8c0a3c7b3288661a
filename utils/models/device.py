"""Where the networks run and with which numbers; decided once, when a model is loaded."""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from utils.planning.errors import UserError, is_out_of_memory

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(name: str) -> torch.device:
    """ "auto" -> CUDA, else Apple MPS, else CPU; a device that is not there is refused."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, there in available.items() if there)
    if not available[name]:
        raise UserError(f"This machine, or this build of PyTorch, has no {name} device; set device to auto.")
    return torch.device(name)


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """ "auto" -> float16 on a GPU; on a CPU bfloat16 where the processor computes in it, else float32."""
    if name == "auto":
        if device.type != "cpu":
            return torch.float16
        return torch.bfloat16 if cpu_has_bfloat16() else torch.float32
    if name == "float16" and device.type == "cpu":
        raise UserError("float16 is unusably slow on a CPU; set dtype to auto, bfloat16 or float32.")
    return DTYPES[name]


def choose_vae_dtype(dtype: torch.dtype, device: torch.device, force_upcast: bool) -> torch.dtype:
    """The VAE's precision: Stable Diffusion's VAE overflows in float16, so there it gets a wider exponent."""
    if dtype != torch.float16 or not force_upcast:
        return dtype
    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32


@contextmanager
def memory_errors_explained() -> Iterator[None]:
    """Out of memory, on the GPU or the CPU, as a UserError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError("There is not enough memory for this; use a smaller picture, or a smaller pch_size or extra_bs.") from error


def free_memory(device: torch.device) -> None:
    """Give back what is no longer used, so that a smaller attempt, or another model, finds it."""
    gc.collect()
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)  # glibc keeps freed memory for the process otherwise
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def cpu_has_bfloat16() -> bool:
    """Whether the processor itself multiplies bfloat16 (emulation would be slower than float32)."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
