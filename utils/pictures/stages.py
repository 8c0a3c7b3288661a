"""What is done to the picture after the networks, in a fixed order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import wraps

import torch

from utils.pictures.color_fix import fix_colors
from utils.pictures.consistency import back_projected, blended_with_faithful
from utils.pictures.enhancement import enhanced
from utils.pictures.fusion import fused
from utils.planning.plan import Plan


@dataclass(frozen=True)
class StageContext:
    """What stages may look at, beside the picture itself.

    lq: the UNPADDED input [B,3,h,w] in [0,1]. candidates: what the networks made in the plan's further runs, each [B,3,H,W] in [0,1]. canvas: what
    they made in the first run, before any stage; None where that is the picture which the stage is given.
    """

    lq: torch.Tensor
    plan: Plan
    candidates: tuple[torch.Tensor, ...] = ()
    canvas: torch.Tensor | None = None


Stage = Callable[[torch.Tensor, StageContext], torch.Tensor]


def in_float32(stage: Stage) -> Stage:
    """The stage for tensors of any floating type: half precision is too coarse for differences of pictures, and slow on CPUs."""

    @wraps(stage)
    def run(sr: torch.Tensor, context: StageContext) -> torch.Tensor:
        exact = sr.float()
        result = stage(exact, replace(context, lq=context.lq.float()))
        return sr if result is exact else result.to(sr.dtype)

    return run


@in_float32
def color_fix(sr: torch.Tensor, context: StageContext) -> torch.Tensor:
    """Colours of the input, by the fix that the plan names."""
    return fix_colors(sr, context.lq, context.plan.color_fix, context.plan.hybrid_mode)


@in_float32
def fusion(sr: torch.Tensor, context: StageContext) -> torch.Tensor:
    """One picture of the result and the candidates that the plan names."""
    if context.plan.fusion == "none":
        return sr
    return fused([sr, *_candidates(sr, context)], context.plan.fusion)


def _candidates(sr: torch.Tensor, context: StageContext) -> Iterator[torch.Tensor]:
    """What `sr`, whose colours are fixed, is fused with; other results of the networks get the same fix first."""
    plan, lq = context.plan, context.lq
    if plan.fusion_candidates == "back_projected":
        yield back_projected(sr, lq)
    elif plan.fusion_candidates == "color_fixes":
        canvas = sr if context.canvas is None else context.canvas.float()
        yield from (fix_colors(canvas, lq, name) for name in FUSED_COLOR_FIXES if name != plan.color_fix)
    elif not context.candidates:
        raise ValueError(f"fusion of {plan.fusion_candidates} needs the results of further runs")
    else:
        yield from (fix_colors(candidate.float(), lq, plan.color_fix, plan.hybrid_mode) for candidate in context.candidates)


FUSED_COLOR_FIXES = ("wavelet", "ycbcr", "histogram")
"""Those that the fusion of colour fixes adds to the one that is set: the ones that correct by different rules."""


@in_float32
def consistency(sr: torch.Tensor, context: StageContext) -> torch.Tensor:
    """The result brought towards what its input says, as strongly as the plan says."""
    return back_projected(sr, context.lq, context.plan.consistency)


@in_float32
def fidelity(sr: torch.Tensor, context: StageContext) -> torch.Tensor:
    """Between what the networks made and what the input alone supports."""
    return blended_with_faithful(sr, context.lq, context.plan.fidelity)


@in_float32
def enhancement(sr: torch.Tensor, context: StageContext) -> torch.Tensor:
    """Edges with more contrast."""
    return enhanced(sr, context.plan.enhancement)


STAGES: dict[str, Stage] = {
    "color_fix": color_fix,
    "fusion": fusion,
    "consistency": consistency,
    "fidelity": fidelity,
    "enhancement": enhancement,
}
"""Name -> (sr [B,3,H,W] in [0,1], context) -> sr in [0,1], in the order in which they run. A stage that is off returns the tensor it was given."""


def run_stages(sr: torch.Tensor, context: StageContext) -> torch.Tensor:
    """All stages in order, then the range [0,1]."""
    result, context = sr, replace(context, canvas=sr)
    for stage in STAGES.values():
        result = stage(result, context)
    return result.clamp(0, 1) if result is sr else result.clamp_(0, 1)
