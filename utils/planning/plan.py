"""Everything decided about an upscale before any network runs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from utils.planning.errors import UserError
from utils.planning.geometry import Box, fixed_tiles, pad_axis
from utils.planning.model_spec import ModelSpec
from utils.planning.schedule import check_timesteps
from utils.planning.settings import Settings

MOST_TILES = 100_000


@dataclass(frozen=True)
class Plan:
    """A decided upscale. Sizes are (h, w); `lq_size` is that of the padded input, in whose pixels `tiles` are.

    origin: row and column of the padded input where the picture starts. patch: side of a tile. reasons: the decisions in words.
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
    color_fix: str
    seed: int
    reasons: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain data, ready for JSON."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    def __str__(self) -> str:
        return "\n".join(self.reasons)


def make_plan(picture_size: tuple[int, int], settings: Settings, spec: ModelSpec) -> Plan:
    """Decide an upscale of a picture of `picture_size`; UserError if the model cannot do what the settings ask."""
    if min(picture_size) < 1:
        raise UserError("The picture has no pixels; use one of at least 1 x 1.")
    check_model_can(settings, spec)
    check_output_size(picture_size, settings.max_output_megapixels, spec.scale)
    chopping = settings.basesr.chopping
    rows, columns = (pad_axis(length, chopping.pch_size, spec.lq_multiple) for length in picture_size)
    lq_size = len(rows.sources), len(columns.sources)
    _check_work(lq_size, settings, spec)
    tiles = fixed_tiles(lq_size, chopping.pch_size, chopping.overlap)
    output_size = picture_size[0] * spec.scale, picture_size[1] * spec.scale
    return Plan(
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
        timesteps=tuple(settings.timesteps),
        cfg_scale=settings.cfg_scale,
        color_fix=settings.color_fix,
        seed=settings.seed,
        reasons=_reasons(settings, spec, picture_size, output_size, lq_size, tiles),
    )


def check_model_can(settings: Settings, spec: ModelSpec) -> None:
    """UserError if the settings ask what the model cannot do, whatever the picture."""
    if settings.basesr.sf != spec.scale:
        raise UserError(f"The model {spec.name} magnifies {spec.scale} times; set sf to {spec.scale}, not {settings.basesr.sf}.")
    patch = settings.basesr.chopping.pch_size
    if patch % spec.lq_multiple:
        raise UserError(f"pch_size must be a multiple of {spec.lq_multiple} for the model {spec.name}, and {patch} is not.")
    check_timesteps(settings.timesteps, *spec.timesteps)


def check_output_size(picture_size: tuple[int, int], limit_megapixels: float, scale: int) -> None:
    """UserError if the result of a picture of `picture_size` would have more than `limit_megapixels` million pixels."""
    h, w = picture_size[0] * scale, picture_size[1] * scale
    if h * w > limit_megapixels * 1e6:
        raise UserError(
            f"The result would be {w} x {h} pixels ({h * w / 1e6:.1f} megapixels), above the limit of {limit_megapixels:g};"
            " use a smaller picture or raise max_output_megapixels."
        )


def _check_work(lq_size: tuple[int, int], settings: Settings, spec: ModelSpec) -> None:
    """UserError if padding or overlap make far more of a picture than its own size says."""
    chopping, (h, w) = settings.basesr.chopping, lq_size
    allowed = max(settings.max_output_megapixels * 1e6, (chopping.pch_size * spec.scale) ** 2)
    if h * w * spec.scale**2 > allowed:
        raise UserError(
            f"Padded to tiles of {chopping.pch_size} pixels the result would be {w * spec.scale} x {h * spec.scale}, above the limit;"
            " use a smaller pch_size or raise max_output_megapixels."
        )
    stride = chopping.pch_size * (1 - chopping.overlap)
    if (h / stride) * (w / stride) > MOST_TILES:
        raise UserError(f"This would take more than {MOST_TILES} tiles; use a larger pch_size or less overlap.")


def _reasons(
    settings: Settings,
    spec: ModelSpec,
    picture_size: tuple[int, int],
    output_size: tuple[int, int],
    lq_size: tuple[int, int],
    tiles: Sequence[Box],
) -> tuple[str, ...]:
    (h, w), (out_h, out_w), (lq_h, lq_w) = picture_size, output_size, lq_size
    chopping, steps = settings.basesr.chopping, len(settings.timesteps)
    words = [f"{w} x {h} pixels become {out_w} x {out_h}: the model {spec.name} magnifies {spec.scale} times."]
    if lq_size != picture_size:
        words.append(f"Padded to {lq_w} x {lq_h} by reflection: tiles of {chopping.pch_size} need sides that are a multiple of {spec.lq_multiple}.")
    overlap = f" overlapping by {chopping.overlap:.0%} or more" if len(tiles) > 1 else ""
    count = f"{len(tiles)} tile{'s' if len(tiles) > 1 else ''}"
    words.append(f"{count} of {chopping.pch_size} x {chopping.pch_size} pixels{overlap}, {chopping.extra_bs} at a time.")
    words.append(f"{steps} step{'s' if steps > 1 else ''} from timestep {settings.timesteps[0]}, as set.")
    if settings.cfg_scale > 1:
        words.append(f"Guidance {settings.cfg_scale:g}, as set: every step runs the network twice.")
    if not spec.has_text:
        words.append("The model has no text conditioning: prompts are not used.")
    return tuple(words)


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
