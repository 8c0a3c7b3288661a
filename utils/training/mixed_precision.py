"""Narrow numbers where they are fast and harmless: inside the networks, and nowhere else."""

from dataclasses import replace

import torch
from accelerate import Accelerator
from accelerate.utils import AutocastKwargs
from torch import nn

from utils.models.denoising import Denoiser
from utils.models.device import cpu_has_bfloat16


class MixedPrecision(nn.Module):
    """A network that runs under autocast and takes and gives float32."""

    dtype = torch.float32

    def __init__(self, network: nn.Module, accelerator: Accelerator) -> None:
        super().__init__()
        self.network = network
        self.accelerator = accelerator

    def forward(self, x: torch.Tensor, *args: object, **kwargs: object) -> object:
        # Without the cache: narrow copies of weights made in a step without gradients would cut off the step with them.
        with self.accelerator.autocast(AutocastKwargs(cache_enabled=False)):
            return self.network(x, *args, **kwargs)


def in_precision(denoiser: Denoiser, accelerator: Accelerator) -> Denoiser:
    """The same weights, computing in the accelerator's precision; latents and everything between the networks stay in float32."""
    if accelerator.mixed_precision == "no":
        return denoiser
    # Networks kept in narrow numbers altogether, because they are not trained, need no autocast.
    networks = {name: network for name in ("noise_predictor", "unet") if (network := getattr(denoiser, name)).dtype == torch.float32}
    return replace(denoiser, **{name: MixedPrecision(network, accelerator) for name, network in networks.items()})


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """`auto` is bfloat16 where the device computes in it, else float32."""
    if name == "auto":
        fast = torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else device.type == "cpu" and cpu_has_bfloat16()
        return torch.bfloat16 if fast else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
