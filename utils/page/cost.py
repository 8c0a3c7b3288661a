"""What a plan takes before it is run: in what proportion its seconds are, and how much memory."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from utils.planning.memory import canvas_memory, finishing_memory, tiling_memory
from utils.planning.model_spec import ModelSpec
from utils.planning.plan import Plan

if TYPE_CHECKING:
    import torch

_CONTROL_GROUP = Path("/sys/fs/cgroup")

STEP = 0.5
"""What one run of the diffusion network costs, of all else that is done with a tile: between SD-Turbo's part and the embedded model's."""


def work(plan: Plan) -> float:
    """What the seconds of a run are in proportion to: input pixels of all tiles, weighted by the steps and views they take."""
    return sum(len(plan.tiles) * tile_work(plan.patch, len(run.timesteps), plan.cfg_scale, plan.self_ensemble) for run in plan.runs)


def tile_work(side: int, steps: int, guidance: float, views: int) -> float:
    """`work` for one square tile of the input."""
    return views * side**2 * (1 + STEP * steps * (2 if guidance > 1 else 1))


def memory(plan: Plan, spec: ModelSpec, dtype: torch.dtype) -> int:
    """Bytes that a run takes at most, beside the model itself."""
    tiling = tiling_memory(plan.lq_size, plan.patch, spec, min(plan.tile_batch, len(plan.tiles)), dtype.itemsize, plan.cfg_scale)
    canvas, output, runs = math.prod(plan.canvas_size), math.prod(plan.output_size), len(plan.runs)
    return max(canvas_memory(canvas, runs) + tiling, finishing_memory(canvas, output, runs))


def available_memory(device: torch.device) -> int:
    """Bytes that a run on this device can still have."""
    if device.type == "cuda":
        import torch

        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    import psutil

    return int(min(psutil.virtual_memory().available, _left_to_container()))


def _left_to_container() -> float:
    """What a container's limit (Linux control groups, version 2) still allows; infinite without one."""
    try:
        limit, used = (int((_CONTROL_GROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        counted = dict(line.split() for line in (_CONTROL_GROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no control groups, or no limit: "max"
        return math.inf
    cached = int(counted.get("inactive_file", 0))  # given up where something else wants the memory
    return max(limit - used + cached, 0)
