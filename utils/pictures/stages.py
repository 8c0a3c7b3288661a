"""What is done to the picture after the networks, in a fixed order."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from utils.pictures.color_fix import COLOR_FIX_FUNCTIONS
from utils.pictures.resampling import bicubic_antialiased
from utils.planning.plan import Plan


@dataclass(frozen=True)
class StageContext:
    """What stages may look at: the UNPADDED input [B,3,h,w] in [0,1], and the plan."""

    lq: torch.Tensor
    plan: Plan


def color_fix(sr: torch.Tensor, context: StageContext) -> torch.Tensor:
    """Colours of the input, by the fix that the plan names."""
    if context.plan.color_fix == "none":
        return sr
    return COLOR_FIX_FUNCTIONS[context.plan.color_fix](sr, bicubic_antialiased(context.lq, context.plan.output_size))


STAGES: dict[str, Callable[[torch.Tensor, StageContext], torch.Tensor]] = {"color_fix": color_fix}
"""Name -> (sr [B,3,H,W], context) -> sr, in the order in which they run."""


def run_stages(sr: torch.Tensor, context: StageContext) -> torch.Tensor:
    """All stages in order, then the range [0,1]."""
    result = sr
    for stage in STAGES.values():
        result = stage(result, context)
    return result.clamp(0, 1) if result is sr else result.clamp_(0, 1)
