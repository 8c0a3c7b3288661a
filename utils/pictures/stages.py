"""What is done to the picture after the networks, in a fixed order."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import wraps

import torch

from utils.pictures.attention import ATTENTION_REACH
from utils.pictures.bands import stretches
from utils.pictures.color_fix import Fix, Regions, decided, reach_of_fixes
from utils.pictures.consistency import AGREEMENT_RADIUS, CORRECTION_REACH, FAITHFUL_REACH, back_projected, blended_with_faithful
from utils.pictures.enhancement import enhanced
from utils.pictures.fusion import fused
from utils.pictures.restraint import RESTRAINT_REACH, restrained
from utils.pictures.rows import Rows, RowsInMemory
from utils.planning.plan import Plan


@dataclass(frozen=True)
class ColourFixes:
    """Decided over whole pictures. own: the plan's, for the result. added: others for the same, which fusion takes too. of_candidates: the plan's."""

    own: Fix
    added: tuple[Fix, ...]
    of_candidates: tuple[Fix, ...]


@dataclass(frozen=True)
class StageContext:
    """What stages may look at, beside the picture itself: all of a picture and its input, or the same rows of both.

    lq: the UNPADDED input [B,3,h,w] in [0,1]. candidates: what the networks made in the plan's further runs, each [B,3,H,W] in [0,1]. canvas: what
    they made in the first run, before any stage; None where that is the picture which the stage is given. fixes: None where pictures are whole, so
    that they can be decided by them.
    """

    lq: torch.Tensor
    plan: Plan
    candidates: tuple[torch.Tensor, ...] = ()
    canvas: torch.Tensor | None = None
    fixes: ColourFixes | None = None


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
    return _fixes(sr, context).own(sr, context.lq)


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
        yield from (fix(canvas, lq) for fix in _fixes(sr, context).added)
    elif not context.candidates:
        raise ValueError(f"fusion of {plan.fusion_candidates} needs the results of further runs")
    else:
        fixes = _fixes(sr, context).of_candidates
        yield from (fix(candidate.float(), lq) for candidate, fix in zip(context.candidates, fixes, strict=True))


def _fixes(sr: torch.Tensor, context: StageContext) -> ColourFixes:
    if context.fixes is not None:
        return context.fixes
    canvas = sr if context.canvas is None else context.canvas.float()
    return decided_fixes(RowsInMemory(canvas), [RowsInMemory(candidate.float()) for candidate in context.candidates], context.lq, context.plan)


def decided_fixes(canvas: Rows, candidates: Sequence[Rows], lq: torch.Tensor, plan: Plan) -> ColourFixes:
    """By whole pictures, gone over in stretches; lq is float32."""
    regions, added = Regions(canvas, lq), ()
    if plan.fusion != "none" and plan.fusion_candidates == "color_fixes":
        added = (name for name in FUSED_COLOR_FIXES if name != plan.color_fix)
    return ColourFixes(
        decided(regions, plan.color_fix, plan.hybrid_mode),
        tuple(decided(regions, name) for name in added),
        tuple(decided(Regions(candidate, lq), plan.color_fix, plan.hybrid_mode) for candidate in candidates),
    )


FUSED_COLOR_FIXES = ("wavelet", "ycbcr", "histogram")
"""Those that the fusion of colour fixes adds to the one that is set: the ones that correct by different rules."""


@in_float32
def consistency(sr: torch.Tensor, context: StageContext) -> torch.Tensor:
    """The result brought towards what its input says, as strongly as the plan says."""
    return back_projected(sr, context.lq, context.plan.consistency, context.plan.consistency_tolerance)


@in_float32
def restraint(sr: torch.Tensor, context: StageContext) -> torch.Tensor:
    """The result without what is drawn much sharper than its input can tell."""
    return restrained(sr, context.lq, context.plan.restraint)


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
    "restraint": restraint,
    "fidelity": fidelity,
    "enhancement": enhancement,
}
"""Name -> (sr [B,3,H,W] in [0,1], context) -> sr in [0,1], in the order in which they run. A stage that is off returns the tensor it was given."""


def run_stages(sr: torch.Tensor, context: StageContext) -> torch.Tensor:
    """All stages in order, then the range [0,1]."""
    context = replace(context, canvas=sr, fixes=_fixes(sr.float(), replace(context, lq=context.lq.float())))
    result = sr
    for stage in STAGES.values():
        result = stage(result, context)
    return result.clamp(0, 1) if result is sr else result.clamp_(0, 1)


def finished(canvas: Rows, candidates: Sequence[Rows], lq: torch.Tensor, plan: Plan) -> Iterator[tuple[int, torch.Tensor]]:
    """The same for pictures of any size: stretches of rows of the result from top to bottom, each [B,3,n,W] with the row that it starts at.

    canvas, candidates: what the networks made in the plan's runs. lq: float32. The stages see enough around each stretch for the result to be that
    of the whole picture.
    """
    fixes = decided_fixes(canvas, candidates, lq, plan)
    for stretch in stretches(canvas.shape, lq.shape[-2], _reach(plan)):
        context = StageContext(stretch.of_input(lq), plan, tuple(stretch.of_result(candidate) for candidate in candidates), fixes=fixes)
        yield stretch.start, stretch.alone(run_stages(stretch.of_result(canvas), context))


def _reach(plan: Plan) -> int:
    """Rows of the result above and below one of them that the stages look at, at most."""
    reach = reach_of_fixes(plan.scale) if plan.color_fix != "none" else 0
    if plan.fusion != "none":
        other = {"back_projected": CORRECTION_REACH * plan.scale, "color_fixes": reach_of_fixes(plan.scale)}
        reach += ATTENTION_REACH + other.get(plan.fusion_candidates, 0)
    if plan.consistency > 0:
        reach += (CORRECTION_REACH + AGREEMENT_RADIUS) * plan.scale
    if plan.restraint > 0:
        reach += RESTRAINT_REACH * plan.scale
    if plan.fidelity > 0:
        reach = max(reach, FAITHFUL_REACH * plan.scale)
    return reach + (ATTENTION_REACH if plan.enhancement > 0 else 0)
