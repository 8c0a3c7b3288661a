"""Every setting of an upscale, declared once: files, Python, the command line and the page go by this schema.

Where a keyword is needed a nested setting goes by its last name: `pch_size` is `basesr.chopping.pch_size`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, is_dataclass
from typing import Any

POSITIVE_PROMPT = "Cinematic, high-contrast, photo-realistic, 8k, ultra HD, meticulous detailing, hyper sharpness, perfect without deformations"
# The missing space after "noisy," is the published prompt's.
NEGATIVE_PROMPT = "Low quality, blurring, jpeg artifacts, deformed, over-smooth, cartoon, noisy,painting, drawing, sketch, oil painting"

COLOR_FIXES = ("none", "wavelet", "ycbcr", "histogram", "hybrid", "adain")
HYBRID_MODES = ("adaptive", "seed", "best")
FUSION_METHODS = ("weighted", "max")
FUSION_CANDIDATES = ("back_projected", "color_fixes", "steps", "seeds")
AUTO = "auto"
HIGHEST_SEED = 2**63 - 1
LEAST_CONSISTENCY = 0.25
"""How far `auto` brings a result to its input at least.

So little loses little even on strong noise, and brings back texture that the networks took for noise.
"""
CONSISTENCY_TOLERANCE = 4.0
"""By how much (root mean square around a pixel, units of 1/255) a result, scaled down, may differ from its input until `auto` takes it for a repair.

The embedded model leaves 0.3 to 2 of clean inputs, and 1 to 11 of pictures as they are found on the web.
"""
DEVICES = ("auto", "cuda", "mps", "cpu")
DTYPES = ("auto", "float32", "bfloat16", "float16")


BASICS, TILES, GUIDANCE, FAITH, DETAIL = "Basics", "Tiles", "Guidance", "Faithfulness", "Detail"
"""The parts of a form; a setting that belongs to none is decided where the program is started, not where a picture is upscaled."""


def option(
    default: Any,
    meaning: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
    label: str = "",
    section: str = "",
    needs: Mapping[str, tuple[Any, ...]] | None = None,
    turns_on: str = "",
    needs_text: bool = False,
    usual: tuple[int, ...] = (),
) -> Any:
    """A setting with its help text and its bounds (inclusive) or choices, for checking and for building forms.

    label: what people call it. section: the part of a form that it stands in. needs: by last names, the values of other settings under which it
    matters. turns_on: the setting (one of `needs`) that it is on together with. needs_text: it matters to models with text conditioning only.
    usual: values worth offering, where not every one is.
    """
    return field(
        default=MISSING if isinstance(default, list) else default,
        default_factory=default.copy if isinstance(default, list) else MISSING,
        metadata={
            "meaning": meaning,
            "low": low,
            "high": high,
            "choices": choices,
            "label": label,
            "section": section,
            "needs": needs or {},
            "turns_on": turns_on,
            "needs_text": needs_text,
            "usual": usual,
        },
    )


@dataclass(frozen=True)
class SdPipeParams:
    pretrained_model_name_or_path: str = option("weights/tiny", "folder of the diffusion model in diffusers layout, or its name on the model hub")
    revision: str | None = option(None, "which revision of the model on the hub")


@dataclass(frozen=True)
class SdPipe:
    params: SdPipeParams = field(default_factory=SdPipeParams)


@dataclass(frozen=True)
class ModelStart:
    ckpt_path: str | None = option(None, "checkpoint of the noise predictor, a file or a folder; empty: noise_predictor/ in the model's folder")
    params: dict[str, Any] | None = option(None, "shape of the noise predictor, for a checkpoint without a config.json beside it")


@dataclass(frozen=True)
class Chopping:
    pch_size: int = option(
        128,
        "side of a tile, in pixels of the input",
        low=1,
        high=2048,
        label="Chopping size",
        section=BASICS,
        usual=(64, 96, 128, 192, 256, 384, 512),
    )
    overlap: float = option(
        0.5,
        "part of a tile that the next one covers again",
        low=0.0,
        high=0.9,
        label="Overlap",
        section=TILES,
        needs={"smart_chopping": (False,)},
    )
    extra_bs: int = option(4, "tiles that go through the networks together", low=1, high=1024, label="Tiles at a time")


@dataclass(frozen=True)
class BaseSR:
    sf: float = option(
        4.0,
        "how many times as wide and high the result is",
        low=1.0,
        high=16.0,
        label="Scale",
        section=BASICS,
        needs={"longest_side": (0,)},
        usual=(2, 3, 4, 8),
    )
    longest_side: int = option(
        0,
        "pixels of the result's longer side, in place of the scale; 0: by the scale",
        low=0,
        high=65536,
        label="Longest side",
        section=BASICS,
    )
    chopping: Chopping = field(default_factory=Chopping)


@dataclass(frozen=True)
class Settings:
    sd_pipe: SdPipe = field(default_factory=SdPipe)
    model_start: ModelStart = field(default_factory=ModelStart)
    basesr: BaseSR = field(default_factory=BaseSR)
    timesteps: list[int] = option(
        [200],
        "nominal timesteps of the sampler, falling; one step each",
        low=1,
        high=1000,
        label="Number of steps",
        section=BASICS,
        needs={"adaptive_scheduler": (False,)},
    )
    adaptive_scheduler: bool = option(
        False,
        "choose the number of steps and their timesteps by the picture's noise and blur",
        label="Adaptive scheduler",
        section=BASICS,
    )
    cfg_scale: float = option(
        1.0,
        "classifier-free guidance; 1 is off, more is sharper and runs the diffusion network twice",
        low=1.0,
        high=20.0,
        label="Guidance",
        section=GUIDANCE,
        needs={"adaptive_guidance": (False,)},
    )
    adaptive_guidance: bool = option(
        False,
        "choose the guidance by how detailed the picture is",
        label="Adaptive guidance",
        section=GUIDANCE,
    )
    guidance_min: float = option(
        1.0,
        "adaptive guidance for a flat picture",
        low=1.0,
        high=20.0,
        label="Lowest guidance",
        section=GUIDANCE,
        needs={"adaptive_guidance": (True,)},
    )
    guidance_max: float = option(
        2.0,
        "adaptive guidance for the most detailed pictures",
        low=1.0,
        high=20.0,
        label="Highest guidance",
        section=GUIDANCE,
        needs={"adaptive_guidance": (True,)},
    )
    prompt: str = option(
        POSITIVE_PROMPT,
        "what the picture should be like, for models with text conditioning",
        label="Prompt",
        section=GUIDANCE,
        needs_text=True,
    )
    negative_prompt: str | None = option(
        NEGATIVE_PROMPT,
        "what it should not be like; used when the guidance is above 1",
        label="Negative prompt",
        section=GUIDANCE,
        needs_text=True,
    )
    smart_chopping: bool = option(
        False,
        "let tiles overlap more where the picture is detailed and less where it is simple, in place of a fixed grid",
        label="Smart chopping",
        section=TILES,
    )
    min_overlap: float = option(
        0.25,
        "part of a tile that the next one covers again where the picture is simple",
        low=0.05,
        high=0.9,
        label="Min overlap",
        section=TILES,
        needs={"smart_chopping": (True,)},
    )
    max_overlap: float = option(
        0.5,
        "part of a tile that the next one covers again where the picture is detailed",
        low=0.05,
        high=0.9,
        label="Max overlap",
        section=TILES,
        needs={"smart_chopping": (True,)},
    )
    attention_blending: bool = option(
        False,
        "where tiles overlap, give more weight to the one with more detail",
        label="Attention blending",
        section=TILES,
    )
    color_fix: str = option(
        "wavelet",
        "how colours are brought back to those of the input",
        choices=COLOR_FIXES,
        label="Colour fix",
        section=BASICS,
    )
    hybrid_mode: str = option(
        "adaptive",
        "how the colour fix hybrid mixes the others",
        choices=HYBRID_MODES,
        label="Hybrid mode",
        section=BASICS,
        needs={"color_fix": ("hybrid",)},
    )
    attention_fusion: bool = option(
        False,
        "mix several candidates for the result, each where it has more detail",
        label="Attention fusion",
        section=DETAIL,
    )
    fusion_method: str = option(
        "weighted",
        "mix the candidates by weight, or take the one with the most detail",
        choices=FUSION_METHODS,
        label="Fusion method",
        section=DETAIL,
        needs={"attention_fusion": (True,)},
    )
    fusion_candidates: str = option(
        "back_projected",
        "what candidates differ in; steps and seeds run the networks again",
        choices=FUSION_CANDIDATES,
        label="Fusion candidates",
        section=DETAIL,
        needs={"attention_fusion": (True,)},
    )
    consistency: float | str = option(
        AUTO,
        "how far the result, scaled down, is brought to the input; auto: fully, less where the embedded model repairs it; other models: by its noise",
        low=0.0,
        high=1.0,
        choices=(AUTO,),
        label="Consistency",
        section=FAITH,
    )
    restraint: float | str = option(
        AUTO,
        "holds back what is drawn much sharper than the input shows; auto: with the embedded model, of faintly compressed inputs",
        low=0.0,
        high=1.0,
        choices=(AUTO,),
        label="Restraint",
        section=FAITH,
    )
    fidelity: float = option(
        0.0,
        "from what the model imagines (0) to what the input surely shows (1)",
        low=0.0,
        high=1.0,
        label="Fidelity",
        section=FAITH,
    )
    self_ensemble: int = option(
        1,
        "views of each tile, turned and mirrored, whose results are averaged: nearer to the original, and the networks run for each",
        low=1,
        high=8,
        label="Self-ensemble",
        section=FAITH,
        usual=(1, 2, 4, 8),
    )
    edge_enhancement: bool = option(
        False,
        "sharpen edges, by enhancement_strength",
        label="Edge enhancement",
        section=DETAIL,
    )
    enhancement_strength: float = option(
        0.3,
        "how much edges are sharpened",
        low=0.0,
        high=1.0,
        label="Enhancement strength",
        section=DETAIL,
        needs={"edge_enhancement": (True,)},
    )
    adaptive_enhancement: bool = option(
        False,
        "sharpen edges as far as the picture is detailed and clean, by enhancement_strength at most",
        label="Adaptive enhancement",
        section=DETAIL,
        needs={"edge_enhancement": (True,)},
        turns_on="edge_enhancement",
    )
    seed: int = option(
        12345,
        "seed of the noise; equal seeds give equal pictures",
        low=0,
        high=HIGHEST_SEED,
        label="Random seed",
        section=BASICS,
    )
    device: str = option("auto", "where the networks run", choices=DEVICES)
    dtype: str = option("auto", "numbers the networks use", choices=DTYPES)
    max_output_megapixels: float = option(300.0, "refuse pictures whose result would be larger, in millions of pixels", low=1e-6, high=1e6)

    def __post_init__(self) -> None:
        object.__setattr__(self, "timesteps", tuple(self.timesteps))

    def to_dict(self) -> dict[str, Any]:
        """All settings as plain nested data, ready for JSON or YAML."""
        return {**asdict(self), "timesteps": list(self.timesteps)}

    def reproducible(self) -> dict[str, Any]:
        """By last names, what decides the pixels beside the model, without paths or the machine's facts: for the metadata of results."""
        names = (name for name, _ in leaves() if not name.startswith(("sd_pipe.", "model_start.", "device", "max_output")))
        return {name.rsplit(".", 1)[-1]: value_of(self, name) for name in names}


def leaves(schema: type = Settings, prefix: str = "") -> Iterator[tuple[str, Field]]:
    """Every setting as (dotted name, dataclass field), in the order of the schema."""
    for item in fields(schema):
        default = item.default_factory() if callable(item.default_factory) else None
        if is_dataclass(default):
            yield from leaves(type(default), f"{prefix}{item.name}.")
        else:
            yield prefix + item.name, item


def value_of(settings: Settings, dotted_name: str) -> Any:
    """The value of one setting."""
    value: Any = settings
    for part in dotted_name.split("."):
        value = getattr(value, part)
    return value


DOTTED_NAMES = {name.rsplit(".", 1)[-1]: name for name, _ in leaves() if name != "model_start.params"}
"""Last name -> dotted name. (`model_start.params` is a network's shape: a matter of files, not of keywords.)"""

OPTIONS = {name.rsplit(".", 1)[-1]: item.metadata for name, item in leaves() if item.metadata}
"""Last name -> what `option` was told."""

BY_THE_PICTURE = tuple(name.rsplit(".", 1)[-1] for name, item in leaves() if item.type == float | str)
"""The settings that are a number or "auto", by their last names."""

OFFERED = tuple(name for name, rules in OPTIONS.items() if rules["section"])
"""The settings of a form, by their last names."""


def matters(name: str, values: Mapping[str, Any]) -> bool:
    """Whether a setting can change results when the others have `values`; all by last names."""
    return not hindrance(name, values)


def hindrance(name: str, values: Mapping[str, Any]) -> str:
    """The setting whose value keeps this one from changing results, or nothing; all by last names."""
    for other, wanted in OPTIONS[name]["needs"].items():
        if values[other] not in wanted:
            return other
        if further := hindrance(other, values):
            return further
    return ""


def turned_on(settings: Settings) -> dict[str, bool]:
    """The settings, by last names, that count as on because others are on that turn them on."""
    return {rules["turns_on"]: True for name, rules in OPTIONS.items() if rules["turns_on"] and value_of(settings, DOTTED_NAMES[name])}
