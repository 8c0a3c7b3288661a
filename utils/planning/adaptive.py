"""What the statistics of a picture decide: timesteps, guidance, consistency, restraint and enhancement, each with its reason in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from utils.planning.checked_settings import with_overrides
from utils.planning.schedule import PUBLISHED, within
from utils.planning.settings import AUTO, LEAST_CONSISTENCY, Settings

if TYPE_CHECKING:
    from utils.planning.statistics import ImageStats

NOISY = 3.0
"""From this standard deviation of noise (in units of 1/255) on, steps beyond the first would sharpen the noise."""

BLUR_OF_STEPS = {2: 1.2, 3: 1.8, 4: 2.4, 5: 3.0}
"""Number of steps -> from which blur on (Gaussian standard deviation in pixels of the input) a clean picture gets them."""

TRUSTED_NOISE = 2.5
"""The noise (in units of 1/255) at which enhancement, and consistency beyond its least, are worth half."""

RESTRAINED_COMPRESSION = (1.0, 1.5, 2.5, 3.5)
"""What compression leaves (in units of 1/255): between the middle two results are restrained in full, outside the other two not at all.

JPEG of quality 95 leaves 1.7, of 90 3.1, of 75 6.
"""

STEP_WORDS = {1: "one step", 2: "two steps", 3: "three steps", 4: "four steps", 5: "five steps"}

NO_GUIDANCE = 0.005
"""Guidance this near 1 changes nothing that can be seen and would cost as much as any: it is taken for 1."""


def needs_statistics(settings: Settings) -> bool:
    """Whether a decision may depend on what is in the picture; where none does, the size is enough and nothing has to be decoded."""
    return (
        settings.adaptive_scheduler
        or settings.adaptive_guidance
        or settings.smart_chopping
        or settings.adaptive_enhancement
        or settings.consistency == AUTO
        or settings.restraint == AUTO
    )


def extremes(settings: Settings, low: int, high: int) -> tuple[Settings, Settings]:
    """Settings without such decisions, under which any picture takes the least and the most time that it may take under these.

    low, high: timesteps that the model takes.
    """
    decided: list[dict[str, Any]] = [{"adaptive_enhancement": False}, {"adaptive_enhancement": False}]
    if settings.consistency == AUTO:
        decided = [{**ends, "consistency": 1.0} for ends in decided]
    if settings.restraint == AUTO:
        decided = [{**ends, "restraint": restraint} for ends, restraint in zip(decided, (0.0, 1.0), strict=True)]
    if settings.adaptive_scheduler:
        usable = [list(timesteps) for timesteps in PUBLISHED.values() if within(timesteps, low, high)] or [list(settings.timesteps)]
        decided = [{**ends, "adaptive_scheduler": False, "timesteps": one} for ends, one in zip(decided, (usable[0], usable[-1]), strict=True)]
    if settings.adaptive_guidance:
        bounds = settings.guidance_min, settings.guidance_max
        decided = [{**ends, "adaptive_guidance": False, "cfg_scale": one} for ends, one in zip(decided, bounds, strict=True)]
    if settings.smart_chopping:
        bounds = settings.min_overlap, settings.max_overlap
        decided = [{**ends, "smart_chopping": False, "overlap": one} for ends, one in zip(decided, bounds, strict=True)]
    least, most = (with_overrides(settings, ends) for ends in decided)
    return least, most


def adaptive_timesteps(stats: ImageStats, low: int, high: int, fallback: Sequence[int]) -> tuple[tuple[int, ...], str]:
    """One of the published lists with all values in [low, high], and why; `fallback` if there is none.

    The paper's rule (arXiv 2412.09013): one step by default; more steps help blur and amplify noise. Unlike the seed program's, the count
    may fall below what is set, and no step leaves the range that the networks were trained for.
    """
    usable = [steps for steps, timesteps in PUBLISHED.items() if within(timesteps, low, high)]
    if not usable:
        return tuple(fallback), f"The model takes timesteps from {low} to {high}, to which none of the published lists keeps: those set are used."
    if stats.noise >= NOISY:
        wanted, why = 1, f"Noisy (sigma {stats.noise:.1f})"
    else:
        wanted = max([1, *(steps for steps, blur in BLUR_OF_STEPS.items() if stats.blur >= blur)])
        why = f"Clean (sigma {stats.noise:.1f}) and {'blurred' if wanted > 1 else 'sharp'} (blur {stats.blur:.1f})"
    steps = max((count for count in usable if count <= wanted), default=min(usable))
    return PUBLISHED[steps], f"{why}: {STEP_WORDS[steps]} from timestep {PUBLISHED[steps][0]}."


def adaptive_guidance(complexity: float, low: float, high: float) -> tuple[float, str]:
    """Guidance from `low` for a flat picture to `high` for a complexity of 1, in proportion, and why; exactly 1 where it is as good as 1.

    Unlike the seed program's, which multiplies a set guidance of 1 and so hardly ever exceeds it, it has a range of its own.
    """
    guidance = low + (high - low) * complexity
    if guidance - 1 <= NO_GUIDANCE:
        return 1.0, f"Complexity {complexity:.2f}: no guidance."
    return guidance, f"Complexity {complexity:.2f}: guidance {guidance:.2f}, every step runs the network twice."


def auto_consistency(noise: float) -> tuple[float, str]:
    """How far the result is to be brought to the input by its noise, 1 for a clean one, and why.

    Hardly more than LEAST_CONSISTENCY from a noise of 5 on, which JPEG of quality 75 leaves: docs/stages.md shows what more of a back-projection
    gains below and costs above.
    """
    strength = LEAST_CONSISTENCY + (1 - LEAST_CONSISTENCY) * _cleanness(noise)
    return strength, f"Noise sigma {noise:.1f}: consistency {strength:.2f}."


def auto_restraint(compression: float) -> tuple[float, str]:
    """Restraint of an input whose compression left errors of this standard deviation, and why.

    Without such errors the embedded model is right about much of what it sharpens. With faint ones it is sure of one line and unsure of the next, and
    it shows. With strong ones it is sure of little and sharpens no more than is right.
    """
    none, first, last, too_much = RESTRAINED_COMPRESSION
    strength = round(max(0.0, min((compression - none) / (first - none), 1.0, (too_much - compression) / (too_much - last))), 2)
    return strength, f"Compression sigma {compression:.1f}: restraint {strength:.2f}."


def adaptive_enhancement(stats: ImageStats, strength: float) -> tuple[float, str]:
    """The seed program's strength times complexity, less where the picture is noisy, and why."""
    adapted = strength * stats.complexity * _cleanness(stats.noise)
    return adapted, f"Complexity {stats.complexity:.2f} and noise sigma {stats.noise:.1f}: edges enhanced by {adapted:.2f} of at most {strength:g}."


def _cleanness(noise: float) -> float:
    """1 without noise, 1/2 at TRUSTED_NOISE, falling to 0; steeply, because noise brought back costs more than detail brought back gains."""
    return 1 / (1 + (noise / TRUSTED_NOISE) ** 4)
