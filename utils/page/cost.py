"""What a plan takes before it is run: in what proportion its seconds are, and how much memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from utils.planning.memory import canvas_memory, finishing_memory
from utils.planning.model_spec import ModelSpec
from utils.planning.plan import Plan

if TYPE_CHECKING:
    import torch

STEP = 0.5
"""What one run of the diffusion network costs, of all else that is done with a tile: between SD-Turbo's part and the embedded model's."""
NETWORK_BYTES = 5000
"""Memory of the networks for each output pixel of a tile in float32: what Stable Diffusion's VAE takes, which is most of it."""
TRANSFORM_BYTES = 450
"""The same for a model whose latents are a transform of the pixels: its networks work at the size of the input."""
BLENDING_BYTES = 32
"""Memory for each pixel of the rows of a result that tiles are still blended in: three colours and a weight, and copies of them."""


def work(plan: Plan) -> float:
    """What the seconds of a run are in proportion to: input pixels of all tiles, weighted by the steps they take."""
    return sum(len(plan.tiles) * tile_work(plan.patch, len(run.timesteps), plan.cfg_scale) for run in plan.runs)


def tile_work(side: int, steps: int, guidance: float) -> float:
    """`work` for one square tile of the input."""
    return side**2 * (1 + STEP * steps * (2 if guidance > 1 else 1))


def memory(plan: Plan, spec: ModelSpec, dtype: torch.dtype) -> int:
    """Bytes that a run takes at most, beside the model itself."""
    is_transform = spec.latent_channels >= 3 * spec.latent_factor**2
    for_pixel = (TRANSFORM_BYTES if is_transform else NETWORK_BYTES) * dtype.itemsize // 4 * (2 if plan.cfg_scale > 1 else 1)
    networks = min(plan.tile_batch, len(plan.tiles)) * (plan.patch * plan.scale) ** 2 * for_pixel
    canvas, output, runs = math.prod(plan.canvas_size), math.prod(plan.output_size), len(plan.runs)
    blending = BLENDING_BYTES * min(plan.patch * plan.scale, plan.canvas_size[0]) * plan.canvas_size[1]
    return max(canvas_memory(canvas, runs) + networks + blending, finishing_memory(canvas, output, runs))


def available_memory(device: torch.device) -> int:
    """Bytes that a run on this device can still have."""
    if device.type == "cuda":
        import torch

        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    import psutil

    return psutil.virtual_memory().available
