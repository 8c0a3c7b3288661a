"""What a plan takes before it is run: in what proportion its seconds are, and how much memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from utils.planning.model_spec import ModelSpec
from utils.planning.plan import STRETCH, Plan

if TYPE_CHECKING:
    import torch

STEP = 0.5
"""What one run of the diffusion network costs, of all else that is done with a tile: between SD-Turbo's part and the embedded model's."""
NETWORK_BYTES = 5000
"""Memory of the networks for each output pixel of a tile in float32: what Stable Diffusion's VAE takes, which is most of it."""
TRANSFORM_BYTES = 450
"""The same for a model whose latents are a transform of the pixels: its networks work at the size of the input."""
CANVAS_BYTES = 12
"""Memory for each pixel of what the networks make in a run, where it is in memory."""
BLENDING_BYTES = 32
"""Memory for each pixel of the rows of a result that tiles are still blended in: three colours and a weight, and copies of them."""
RESULT_BYTES = 8
"""Memory for each pixel of a result, and of its image while a file of 8 bits is written."""
FINISH_BYTES = 150
"""Memory for each pixel of a result that is worked on in the stages."""


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
    (h, w), canvases = plan.output_size, 0 if plan.is_on_disk else CANVAS_BYTES * len(plan.runs)
    blending = min(plan.patch * plan.scale, h) * w * BLENDING_BYTES
    return h * w * canvases + max(networks + blending, h * w * RESULT_BYTES + min(h * w, STRETCH) * FINISH_BYTES)


def free_memory(device: torch.device) -> int:
    """Bytes that a run on this device can still have."""
    if device.type == "cuda":
        import torch

        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    import psutil

    return psutil.virtual_memory().available
