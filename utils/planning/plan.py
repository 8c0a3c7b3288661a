"""Everything decided about an upscale before any network runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from utils.planning.adaptive import adaptive_enhancement, adaptive_guidance, adaptive_timesteps, auto_consistency, auto_restraint, needs_statistics
from utils.planning.errors import UserError
from utils.planning.geometry import AxisPadding, Box, count_fixed_tiles, fixed_tiles, pad_axis
from utils.planning.memory import CANVAS_BYTES, MOST_IN_MEMORY, gigabytes, memory_words, tiling_memory
from utils.planning.model_spec import ModelSpec
from utils.planning.schedule import PUBLISHED, check_timesteps, within
from utils.planning.settings import AUTO, CONSISTENCY_TOLERANCE, HIGHEST_SEED, LEAST_CONSISTENCY, Settings
from utils.planning.target_size import target_size

if TYPE_CHECKING:
    from utils.planning.statistics import ImageStats

MOST_TILES = 100_000

Size = tuple[int, int]  # (h, w)


@dataclass(frozen=True)
class Run:
    """One run of the networks over all tiles: its nominal timesteps, and the seed of its noise."""

    timesteps: tuple[int, ...]
    seed: int


@dataclass(frozen=True)
class Plan:
    """A decided upscale. Sizes are (h, w); `lq_size` is that of the padded input, in whose pixels `tiles` are.

    scale: what the networks magnify by, whatever is asked for; what they make, of `canvas_size`, is resized to `output_size` at the very end.
    origin: row and column of the padded input where the picture starts. patch: side of a tile. timesteps, seed: those of the run that gives
    the result. self_ensemble: views of each tile whose results are averaged. extra_runs: further runs, whose results are candidates of the
    fusion. fusion: none, weighted or max. consistency, restraint, fidelity, enhancement: strengths in [0,1], 0 being off. consistency_tolerance: how
    far, in units of 1/255, the result may be from the input before consistency lets it be; None lets nothing be. complexity, noise, compression,
    blur: what was measured of the picture, as in `ImageStats`, or None where no decision needed it. reasons: the decisions in words.
    """

    model: str
    scale: int
    picture_size: tuple[int, int]
    output_size: tuple[int, int]
    lq_size: tuple[int, int]
    origin: tuple[int, int]
    patch: int
    lq_multiple: int
    tiles: tuple[Box, ...]
    tile_batch: int
    timesteps: tuple[int, ...]
    cfg_scale: float
    self_ensemble: int
    attention_blending: bool
    color_fix: str
    hybrid_mode: str
    fusion: str
    fusion_candidates: str
    extra_runs: tuple[Run, ...]
    consistency: float
    consistency_tolerance: float | None
    restraint: float
    fidelity: float
    enhancement: float
    seed: int
    complexity: float | None
    noise: float | None
    compression: float | None
    blur: float | None
    reasons: tuple[str, ...]

    @property
    def canvas_size(self) -> tuple[int, int]:
        """(h, w) of what the networks make of the picture, and the stages work on."""
        return _magnified(self.picture_size, self.scale)

    @property
    def runs(self) -> tuple[Run, ...]:
        """Every run of the networks, the result's own first."""
        return Run(self.timesteps, self.seed), *self.extra_runs

    @property
    def tile_count(self) -> int:
        """How many tiles go through the networks, in all runs."""
        return len(self.tiles) * len(self.runs)

    @property
    def canvas_bytes(self) -> int:
        """Of what the networks make in all runs, in float32."""
        return CANVAS_BYTES * math.prod(self.canvas_size) * len(self.runs)

    @property
    def is_on_disk(self) -> bool:
        """Whether that is kept in temporary files."""
        return self.canvas_bytes > MOST_IN_MEMORY

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain data, ready for JSON."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    def __str__(self) -> str:
        return "\n".join(self.reasons)


def make_plan(picture_size: tuple[int, int], settings: Settings, spec: ModelSpec, stats: ImageStats | None = None) -> Plan:
    """Decide an upscale of a picture of `picture_size`; UserError if the model cannot do what the settings ask.

    stats: what was measured of the unpadded picture; needed where `needs_statistics(settings)`, otherwise only noted.
    """
    if stats is None and needs_statistics(settings):
        raise ValueError("these settings decide by what is in the picture: measure it first")
    check_model_can(settings, spec)
    check_output_size(picture_size, settings, spec)
    chopping = settings.basesr.chopping
    rows, columns = (pad_axis(length, chopping.pch_size, spec.lq_multiple) for length in picture_size)
    lq_size = len(rows.sources), len(columns.sources)
    output_size = target_size(picture_size, settings.basesr)
    _check_work(picture_size, lq_size, settings, spec)
    size_words = _size_words(picture_size, output_size, lq_size, settings, spec)
    tiles, tile_words = _tiles(rows, columns, settings, stats)
    timesteps, step_words = _timesteps(settings, spec, stats)
    cfg_scale, guidance_words = _guidance(settings, spec, stats)
    ensemble_words = _ensemble_words(settings)
    extra_runs, fusion_words = _fusion(settings, spec, timesteps)
    consistency, tolerance, consistency_words = _consistency(settings, spec, stats, cfg_scale)
    restraint, restraint_words = _restraint(settings, spec, stats, cfg_scale)
    enhancement, enhancement_words = _enhancement(settings, stats)
    reasons = [
        size_words,
        tile_words,
        step_words,
        guidance_words,
        ensemble_words,
        fusion_words,
        consistency_words,
        restraint_words,
        enhancement_words,
    ]
    plan = Plan(
        model=spec.name,
        scale=spec.scale,
        picture_size=picture_size,
        output_size=output_size,
        lq_size=lq_size,
        origin=(rows.before, columns.before),
        patch=chopping.pch_size,
        lq_multiple=spec.lq_multiple,
        tiles=tuple(tiles),
        tile_batch=chopping.extra_bs,
        timesteps=timesteps,
        cfg_scale=cfg_scale,
        self_ensemble=settings.self_ensemble,
        attention_blending=settings.attention_blending,
        color_fix=settings.color_fix,
        hybrid_mode=settings.hybrid_mode,
        fusion=settings.fusion_method if settings.attention_fusion else "none",
        fusion_candidates=settings.fusion_candidates,
        extra_runs=extra_runs,
        consistency=consistency,
        consistency_tolerance=tolerance,
        restraint=restraint,
        fidelity=settings.fidelity,
        enhancement=enhancement,
        seed=settings.seed,
        complexity=stats.complexity if stats else None,
        noise=stats.noise if stats else None,
        compression=stats.compression if stats else None,
        blur=stats.blur if stats else None,
        reasons=tuple(sentence for words in reasons for sentence in words),
    )
    if plan.is_on_disk:
        where = f"What the networks make, {plan.canvas_bytes / 1e9:.1f} GB, is kept in a temporary file until it is finished."
        plan = replace(plan, reasons=(*plan.reasons, where))
    return plan


def check_model_can(settings: Settings, spec: ModelSpec) -> None:
    """UserError if the settings ask what the model cannot do, whatever the picture."""
    patch = settings.basesr.chopping.pch_size
    if patch % spec.lq_multiple:
        raise UserError(f"pch_size must be a multiple of {spec.lq_multiple} for the model {spec.name}, and {patch} is not.")
    check_timesteps(settings.timesteps, *spec.timesteps)


def check_output_size(picture_size: tuple[int, int], settings: Settings, spec: ModelSpec) -> None:
    """UserError if the result of a picture of `picture_size`, or what it is reduced from, would have more than the allowed number of pixels."""
    if min(picture_size) < 1:
        raise UserError("The picture has no pixels; use one of at least 1 x 1.")
    canvas, output = _magnified(picture_size, spec.scale), target_size(picture_size, settings.basesr)
    is_reduced = math.prod(canvas) > math.prod(output)
    h, w = canvas if is_reduced else output
    if h * w > settings.max_output_megapixels * 1e6:
        which, smaller = ("Before it is reduced, the", "picture") if is_reduced else ("The", "picture or size")
        raise UserError(
            f"{which} result would be {w} x {h} pixels ({h * w / 1e6:.1f} megapixels, {memory_words(h * w)}), above the limit"
            f" of {settings.max_output_megapixels:g}; use a smaller {smaller}, or raise max_output_megapixels."
        )


def _check_work(picture_size: Size, lq_size: Size, settings: Settings, spec: ModelSpec) -> None:
    """UserError if padding to the size of a tile, or overlap, make far more of a picture than its own size says."""
    chopping, (h, w) = settings.basesr.chopping, lq_size
    allowed = max(settings.max_output_megapixels * 1e6, (chopping.pch_size * spec.scale) ** 2)
    if math.prod(max(side, chopping.pch_size) for side in picture_size) * spec.scale**2 > allowed:
        needed = tiling_memory(lq_size, chopping.pch_size, spec, tile_batch=1, itemsize=2, guidance=settings.cfg_scale)  # one tile, in half precision
        raise UserError(
            f"Padded to tiles of {chopping.pch_size} pixels the result would be {w * spec.scale} x {h * spec.scale} and take {gigabytes(needed)}"
            f" of memory or more, above the limit of {settings.max_output_megapixels:g} megapixels; use a smaller pch_size, or raise"
            " max_output_megapixels."
        )
    overlap = settings.max_overlap if settings.smart_chopping else chopping.overlap
    if count_fixed_tiles(lq_size, chopping.pch_size, overlap) > MOST_TILES:
        raise UserError(f"This would take more than {MOST_TILES} tiles; use a larger pch_size or less overlap.")


# ---- the decisions: each gives a value, and its reason in sentences ----


def _size_words(picture_size: Size, output_size: Size, lq_size: Size, settings: Settings, spec: ModelSpec) -> list[str]:
    (h, w), (out_h, out_w), (lq_h, lq_w), canvas = picture_size, output_size, lq_size, _magnified(picture_size, spec.scale)
    patch = settings.basesr.chopping.pch_size
    words = [f"{w} x {h} pixels become {out_w} x {out_h}: the model {spec.name} magnifies {spec.scale} times."]
    if output_size != canvas:
        resized = "reduced" if math.prod(output_size) < math.prod(canvas) else "enlarged bicubically"
        words.append(f"Its result of {canvas[1]} x {canvas[0]} is {resized} at the end.")
    if lq_size != picture_size:
        multiple = f", and a multiple of {spec.lq_multiple}" if spec.lq_multiple > 1 else ""
        words.append(f"Padded to {lq_w} x {lq_h} by reflection: a picture must be as large as a tile, {patch} on each side{multiple}.")
    return words


def _tiles(rows: AxisPadding, columns: AxisPadding, settings: Settings, stats: ImageStats | None) -> tuple[list[Box], list[str]]:
    chopping = settings.basesr.chopping
    patch, lq_size = chopping.pch_size, (len(rows.sources), len(columns.sources))
    if settings.smart_chopping and stats:
        from utils.planning.smart_chopping import smart_tiles  # it computes with numpy, which nothing else here has to load

        low, high = settings.min_overlap, settings.max_overlap
        tiles = smart_tiles(lq_size, (rows.before, columns.before), patch, stats.complexity_map, low, high)
        fixed = count_fixed_tiles(lq_size, patch, high)
        overlap = f" overlapping by {low:.0%} where the picture is simple and up to {high:.0%} where it is detailed"
        instead = f" (a fixed grid at {high:.0%} takes {fixed})"
    else:
        tiles = fixed_tiles(lq_size, patch, chopping.overlap)
        overlap, instead = f" overlapping by {chopping.overlap:.0%} or more", ""
    if len(tiles) == 1:
        return tiles, [f"1 tile of {patch} x {patch} pixels, {chopping.extra_bs} at a time."]
    words = [f"{len(tiles)} tiles of {patch} x {patch} pixels{overlap}{instead}, {chopping.extra_bs} at a time."]
    if settings.attention_blending:
        words.append("Where tiles overlap, the one with more detail weighs more.")
    return tiles, words


def _timesteps(settings: Settings, spec: ModelSpec, stats: ImageStats | None) -> tuple[tuple[int, ...], list[str]]:
    if settings.adaptive_scheduler and stats:
        timesteps, reason = adaptive_timesteps(stats, *spec.timesteps, settings.timesteps)
        return timesteps, [reason]
    timesteps = tuple(settings.timesteps)
    return timesteps, [f"{_steps(timesteps)} from timestep {timesteps[0]}, as set."]


def _guidance(settings: Settings, spec: ModelSpec, stats: ImageStats | None) -> tuple[float, list[str]]:
    guidance, words = settings.cfg_scale, []
    if settings.adaptive_guidance and stats:
        guidance, reason = adaptive_guidance(stats.complexity, settings.guidance_min, settings.guidance_max)
        words.append(reason)
    elif guidance > 1:
        words.append(f"Guidance {guidance:g}, as set: every step runs the network twice.")
    if not spec.has_text:
        words.append("The model has no text conditioning: prompts are not used.")
    return guidance, words


def _ensemble_words(settings: Settings) -> list[str]:
    views = settings.self_ensemble
    return [f"Self-ensemble: the networks see every tile in {views} views, turned and mirrored, and their mean is taken."] if views > 1 else []


def _fusion(settings: Settings, spec: ModelSpec, timesteps: tuple[int, ...]) -> tuple[tuple[Run, ...], list[str]]:
    """The further runs that give the fusion its candidates."""
    if not settings.attention_fusion:
        return (), []
    how = f"Fusion ({settings.fusion_method})"
    if settings.fusion_candidates == "seeds":
        other = Run(timesteps, (settings.seed + 1) % (HIGHEST_SEED + 1))
        return (other,), [f"{how} of results with the seeds {settings.seed} and {other.seed}: every tile goes through the networks twice."]
    if settings.fusion_candidates == "steps":
        other = Run(_other_steps(timesteps, spec), settings.seed)
        return (other,), [f"{how} of results with {_steps(timesteps)} and {_steps(other.timesteps)}: every tile goes through the networks twice."]
    candidates = "several colour fixes" if settings.fusion_candidates == "color_fixes" else "the result and its back-projected version"
    return (), [f"{how} of {candidates}: no further run of the networks."]


def _other_steps(timesteps: tuple[int, ...], spec: ModelSpec) -> tuple[int, ...]:
    """A published list of another length: one step, the paper's default, or two where that is what is set."""
    for steps in sorted(PUBLISHED):
        if steps != len(timesteps) and within(PUBLISHED[steps], *spec.timesteps):
            return PUBLISHED[steps]
    raise UserError(f"The model {spec.name} takes no other number of the published timesteps; set fusion_candidates to something other than steps.")


def _consistency(settings: Settings, spec: ModelSpec, stats: ImageStats | None, cfg_scale: float) -> tuple[float, float | None, list[str]]:
    words = [f"Fidelity {settings.fidelity:g}, as set."] if settings.fidelity > 0 else []
    if settings.consistency == AUTO and stats:
        strength, reason = auto_consistency(stats.noise)
        if not spec.is_exact:
            return strength, None, [reason, *words]
        # What such a model changes much it means to change: noise, stair-steps and halos are not to come back. What it changes little is grain and
        # fine texture. What guidance changes beyond that is no repair, so there noise has to be told by its measure.
        if cfg_scale == 1:
            strength, reason = 1.0, "Consistency 1."
        least = [f"Consistency {LEAST_CONSISTENCY:g} where the model repairs the input."] if strength > LEAST_CONSISTENCY + 0.005 else []
        return strength, CONSISTENCY_TOLERANCE * cfg_scale**2, [reason, *least, *words]
    strength = float(settings.consistency)
    return strength, None, [f"Consistency {strength:g}, as set.", *words] if strength > 0 else words


def _restraint(settings: Settings, spec: ModelSpec, stats: ImageStats | None, cfg_scale: float) -> tuple[float, list[str]]:
    if settings.restraint == AUTO:
        # Other models are there to invent, and guidance is asked for to sharpen.
        if not (stats and spec.is_exact and cfg_scale == 1):
            return 0.0, []
        strength, reason = auto_restraint(stats.compression)
        return strength, [reason] if strength > 0 else []
    strength = float(settings.restraint)
    return strength, [f"Restraint {strength:g}, as set."] if strength > 0 else []


def _enhancement(settings: Settings, stats: ImageStats | None) -> tuple[float, list[str]]:
    if settings.adaptive_enhancement and stats:
        strength, reason = adaptive_enhancement(stats, settings.enhancement_strength)
        return strength, [reason]
    strength = settings.enhancement_strength if settings.edge_enhancement else 0.0
    return strength, [f"Edges enhanced by {strength:g}, as set."] if strength > 0 else []


def _magnified(size: Size, scale: int) -> Size:
    return size[0] * scale, size[1] * scale


def _steps(timesteps: Sequence[int]) -> str:
    return f"{len(timesteps)} step{'s' if len(timesteps) > 1 else ''}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
