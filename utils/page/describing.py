"""A picture, what was measured of it and what will come of it, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from utils.models.downloading import readable_size
from utils.page import markup
from utils.page.cost import available_memory, memory
from utils.page.display import progress_uri
from utils.page.figures import unbroken
from utils.pictures.picture import Picture
from utils.planning.adaptive import BLUR_OF_STEPS, NOISY
from utils.planning.plan import Plan
from utils.planning.statistics import ImageStats

if TYPE_CHECKING:
    from sampler_invsr import InvSamplerSR

COMES_WITH_THE_MODEL = "What comes out of it is said here as soon as the model is loaded."

_LEGEND = "Each frame is a tile, with a dot at its centre; dark blue is simple, yellow detailed, and lighter is where tiles overlap."

_SETTINGS_BYTES = 4096
"""As which the settings are written into a result, with what any PNG has beside its pixels."""

_NOISE = ((1.0, "hardly any noise"), (NOISY, "a little noise"), (10.0, "noisy"), (float("inf"), "very noisy"))
_BLUR = ((BLUR_OF_STEPS[2], "sharp"), (BLUR_OF_STEPS[4], "soft"), (float("inf"), "blurred"))
_COMPLEXITY = ((0.3, "little detail"), (0.6, "some detail"), (float("inf"), "much detail"))
"""Up to which value a measure is called so."""


def summary(picture: Picture) -> str:
    """The facts of the input, and what could not be read of it."""
    depth = {"uint8": "8-bit", "uint16": "16-bit"}.get(picture.rgb.dtype.name, "floating-point")
    carried = {"colour profile": picture.icc, "EXIF": picture.exif, "XMP": picture.xmp}
    kept = ["transparency"] * _is_seen_through(picture) + [name for name, data in carried.items() if data is not None]
    facts = [("Input", f"{wide_by_high(picture.size)}, {depth} {'grey' if picture.grey else 'colour'}")]
    if kept:
        facts.append(("Kept", ", ".join(kept)))
    notes = "".join(markup.notice(f"Note: {note}") for note in picture.notes)
    return markup.facts(facts) + notes


def _is_seen_through(picture: Picture) -> bool:
    """Whether anything is transparent: browsers give the pictures of a camera an alpha channel that hides nothing."""
    alpha = picture.alpha
    return alpha is not None and bool(alpha.min() < (np.iinfo(alpha.dtype).max if alpha.dtype.kind == "u" else 1))


def detected(stats: ImageStats) -> str:
    """Noise, blur and complexity, in words and figures."""
    noise, blur, complexity = _called(stats.noise, _NOISE), _called(stats.blur, _BLUR), _called(stats.complexity, _COMPLEXITY)
    words = f"{noise} (sigma {stats.noise:.1f}), {blur} ({stats.blur:.1f} px), {complexity} ({stats.complexity:.2f})"
    return markup.facts([("Seen", words[0].upper() + words[1:])])


def prospect(plan: Plan, sampler: InvSamplerSR, seconds: float | None, pixel_bytes: int, kept_bytes: int) -> str:
    """What comes out, and what it takes; with a warning where that is more than there is.

    pixel_bytes: bytes of one pixel of the file. kept_bytes: of what is kept of the input beside the pixels.
    """
    tiles = plan.tile_count
    work = [f"{tiles} tile{'s' if tiles > 1 else ''} of {unbroken(wide_by_high((plan.patch, plan.patch)))}"]
    if seconds is not None:
        work.append(f"about {unbroken(duration(seconds))}")
    needed, free = memory(plan, sampler.spec, sampler.dtype), available_memory(sampler.device)
    work.append(f"up to {unbroken(readable_size(needed))} of memory")
    h, w = plan.output_size
    beside = kept_bytes + len(json.dumps(plan.to_dict())) + _SETTINGS_BYTES
    size, most = unbroken(wide_by_high(plan.output_size)), unbroken(readable_size(h * w * pixel_bytes + beside))
    output = f"{size} ({unbroken(f'{h * w / 1e6:.1f} megapixels')}), at most {most} as PNG"
    facts = markup.facts([("Output", output), ("Work", ", ".join(work))])
    if needed <= free:
        return facts
    return facts + markup.notice(
        f"This may not fit: only {readable_size(free)} of memory are free. A smaller chopping size, no guidance or a smaller picture takes less."
    )


def why(plan: Plan, plan_picture: str, timings: Mapping[str, float]) -> str:
    """The decisions, the picture of the tiles and where the time went. plan_picture: an address."""
    image = markup.picture(plan_picture, "The tiles over the complexity of the picture, from dark blue for simple to yellow for detailed", "plan")
    took = markup.facts((step, f"{seconds:.2f} s") for step, seconds in timings.items())
    return markup.reasons(plan.reasons) + took + image + markup.paragraph(_LEGEND)


def plan_picture_uri(plan: Plan, stats: ImageStats, picture: Picture) -> str:
    from utils.pictures.plan_picture import draw_plan

    return progress_uri(draw_plan(plan, stats.complexity_map, picture.rgb))


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def wide_by_high(size: tuple[int, int]) -> str:
    return f"{size[1]} × {size[0]}"


def _called(value: float, names: tuple[tuple[float, str], ...]) -> str:
    return next(name for limit, name in names if value < limit)
