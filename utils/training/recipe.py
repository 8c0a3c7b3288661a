"""What a training run is: read from a YAML file and `key=value` overrides, checked once, never changed afterwards."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from utils.planning.errors import UserError
from utils.planning.settings import POSITIVE_PROMPT

UNET_CLASSES = ("UNet2DConditionModel", "LatentResNet")
DEGRADATIONS = ("soft", "varied", "found")
LOGGERS = ("tensorboard", "wandb", "none")
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class Recipe:
    """What the recipes of all tasks have. Pixels are high-resolution ones; timesteps are nominal (1..1000)."""

    task: str = "embedded"  # a name of RECIPES: which networks are trained, and for what
    init: str | None = None  # exported weights to start from; null starts from untrained networks
    seed: int = 0
    steps: int = 20_000  # the learning rate reaches zero here ...
    minutes: float | None = None  # ... or after this much training time, whichever comes first
    batch: int = 32  # of each process
    crop: int = 64
    smallest_size: float = 1.0  # photos are reduced to a random size between this and 1 before a crop is cut from them; 1 leaves them as they are
    defocus_share: float = 0.0  # of the samples whose noise is faint: out of focus, and so are their targets, so that not all softness is a loss
    defocus_sigma: float = 2.4  # pixels of the crop; each sample's is drawn evenly between 0 and this
    scale: int = 4
    clean_share: float = 0.5  # of the low-resolution crops: bicubic reduction and nothing else
    degradations: str = "varied"  # of the other crops: a name of DEGRADATIONS
    start_timesteps: list[int] = field(default_factory=lambda: [200, 250, 150, 100])
    start_shares: list[float] = field(default_factory=lambda: [0.7, 0.1, 0.1, 0.1])
    learning_rate: float = 8e-4
    warmup_steps: int = 200
    cooldown_share: float = 0.4  # the last part of the run, over which the learning rate falls to zero
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    feature_weight: float = 0.0  # of the distance in features, which is added to the loss; 0 leaves it out
    precision: str = "auto"  # a name of PRECISIONS
    workers: int = 1  # processes that prepare batches, for each process that trains; 0 prepares them between the steps
    validation_photos: int = 12
    validation_crop: int = 384
    validate_every: int = 500  # steps
    patience: int | None = None  # validations without a better score until the run is shortened; null never shortens it
    min_delta: float = 0.01  # how much better a score must be to count, in the unit of the task's score
    checkpoint_minutes: float = 5.0
    checkpoint_steps: int | None = None  # between checkpoints as well
    logger: str = "tensorboard"  # a name of LOGGERS
    noise_predictor: dict[str, Any] = field(default_factory=dict)  # arguments of NoisePredictor


@dataclass(frozen=True)
class EmbeddedRecipe(Recipe):
    """The recipe of the embedded model: all of its networks, on pixels. Its score is a gain in decibels."""

    negative_share: float = 0.1  # of the samples: labelled as the negative side of guidance, with a blurred target
    negative_sigma: float = 1.2
    few_step_share: float = 0.3  # of the batches: two or more steps, learning from the last one
    few_step_lists: list[list[int]] = field(default_factory=lambda: [[200, 100], [200, 100, 50], [200, 150, 100, 50], [250, 200, 150, 100, 50]])
    feature_weights: str | None = None  # .npz of a SqueezeNet 1.1, for a feature_weight above 0
    tip: float = 1e-3  # the epsilon of Charbonnier's loss, where pixels are in [0,1]
    poor_tip: float | None = None  # the same for poor inputs, which then get no feature loss; null gives them the tip and features of the others
    poor_weight: float = 1.0  # of Charbonnier's loss for poor inputs; others have 1
    overshoot_weight: float = 1.0  # of errors beyond the target, seen from the bicubic picture, against those short of it; inputs that aren't poor
    poor_overshoot_weight: float = 1.0  # the same for poor inputs, on top of poor_weight
    levels: int = 2  # of the wavelet latents: 2^levels pixels a latent
    unet_class: str = "UNet2DConditionModel"  # a name of UNET_CLASSES
    unet: dict[str, Any] = field(default_factory=dict)  # arguments of that class


@dataclass(frozen=True)
class NoisePredictorRecipe(Recipe):
    """InvSR's own training: a noise predictor for a frozen latent diffusion model, in its latents. Its score is a loss with the sign turned."""

    task: str = "noise_predictor"
    pipeline: str = "stabilityai/sd-turbo"  # a folder in diffusers layout, or this name, which is downloaded
    prompt: str = POSITIVE_PROMPT
    batch: int = 4
    crop: int = 512
    start_shares: list[float] = field(default_factory=lambda: [0.4, 0.2, 0.2, 0.2])
    learning_rate: float = 5e-5
    min_delta: float = 1e-3
    feature_weight: float = 1.0
    kl_weight: float = 1e-3  # of the predicted noise against the unit noise that the UNet knows
    adversarial_weight: float = 0.1  # 0 trains without a discriminator
    adversarial_start: int = 2000  # steps; until then the discriminator learns, and its verdict does not count
    discriminator_rate: float = 1e-4
    discriminator_width: int = 64
    gradient_checkpointing: bool = False  # less memory for the UNet's gradients, for about a third more time


RECIPES: dict[str, type[Recipe]] = {"embedded": EmbeddedRecipe, "noise_predictor": NoisePredictorRecipe}


def load_recipe(path: Path, overrides: Sequence[str] = (), options: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe of a YAML file with `key=value` overrides and ready values over it; a UserError for anything unknown or out of range."""
    if not path.is_file():
        raise UserError(f"The recipe {path} does not exist; give a YAML file with --config.")
    for override in overrides:
        if "=" not in override:
            raise UserError(f"{override!r} is not of the form key=value.")
    try:
        written = OmegaConf.load(path)
        if not isinstance(written, DictConfig):
            raise UserError(f"The recipe {path} is not a list of `key: value` lines.")
        given = OmegaConf.merge(written, OmegaConf.from_dotlist(list(overrides)), dict(options or {}))
        schema = _schema(given)
        recipe = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), given))
    except (OmegaConfBaseException, YAMLError, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split("full_key")[0].split())
        raise UserError(f"The recipe {path} or its overrides cannot be used: {reason}.") from error
    assert isinstance(recipe, Recipe)
    _check(recipe)
    return recipe


def _schema(given: Any) -> type[Recipe]:
    """The class of the recipe's task; a UserError if there is no such task, or if it has no such key."""
    task = given.get("task", "embedded")
    if task not in RECIPES:
        raise UserError(f"task in the recipe must be one of {', '.join(RECIPES)}, not {task!r}.")
    known = [f.name for f in fields(RECIPES[task])]
    for key in map(str, given):
        if key not in known:
            nearest = difflib.get_close_matches(key, known, n=1, cutoff=0)[0]
            raise UserError(f"The recipe has no key {key!r} for the task {task}; the nearest is {nearest!r}.")
    return RECIPES[task]


WIDEST_BLUR = 5
"""Standard deviation in pixels of a blur whose kernel stays within the margin of a crop."""
SMALLEST_TIP = 1e-6
"""Below which a tip, squared, is lost in float32."""
SMALLEST_MEASURED = 16
"""Pixels a side of pictures that a PSNR is measured on without their border."""


def _check(recipe: Recipe) -> None:
    """Refuses what would fail, or quietly do nothing, hours later."""
    for name in ("steps", "batch", "crop", "scale", "validation_photos", "validation_crop", "validate_every"):
        _require(getattr(recipe, name) >= 1, name, "must be at least 1")
    for name in ("seed", "warmup_steps", "workers", "weight_decay", "feature_weight", "min_delta"):
        _require(getattr(recipe, name) >= 0, name, "must not be negative")
    for name in ("clean_share", "defocus_share", "cooldown_share"):
        _require_share(recipe, name)
    for name in ("learning_rate", "clip_norm", "checkpoint_minutes"):
        _require(getattr(recipe, name) > 0, name, "must be above 0")
    for name in ("minutes", "patience", "checkpoint_steps"):
        _require(getattr(recipe, name) is None or getattr(recipe, name) > 0, name, "must be above 0, or null")
    _require(0 < recipe.smallest_size <= 1, "smallest_size", "must be above 0 and at most 1")
    _require(0 < recipe.defocus_sigma <= WIDEST_BLUR, "defocus_sigma", f"must be above 0 and at most {WIDEST_BLUR}")
    _require(0 <= recipe.ema_decay < 1, "ema_decay", "must be at least 0 and below 1")
    _require(recipe.precision in PRECISIONS, "precision", f"must be one of {', '.join(PRECISIONS)}")
    _require(recipe.degradations in DEGRADATIONS, "degradations", f"must be one of {', '.join(DEGRADATIONS)}")
    _require(recipe.logger in LOGGERS, "logger", f"must be one of {', '.join(LOGGERS)}")
    _require(recipe.validation_crop >= SMALLEST_MEASURED, "validation_crop", f"must be at least {SMALLEST_MEASURED}")
    _require(recipe.crop % recipe.scale == 0, "crop", f"must be a multiple of {recipe.scale}")
    _require(all(1 <= t <= 1000 for t in recipe.start_timesteps), "start_timesteps", "must lie between 1 and 1000")
    _require(
        len(recipe.start_shares) == len(recipe.start_timesteps) and min(recipe.start_shares, default=0) >= 0 and sum(recipe.start_shares) > 0,
        "start_shares",
        "must give one share, not negative, for each of start_timesteps",
    )
    if isinstance(recipe, EmbeddedRecipe):
        _check_embedded(recipe)
    if isinstance(recipe, NoisePredictorRecipe):
        _check_noise_predictor(recipe)


def _check_embedded(recipe: EmbeddedRecipe) -> None:
    _require(recipe.levels >= 1, "levels", "must be at least 1")
    _require(2**recipe.levels == recipe.scale, "levels", "must make latents at the size of the low-resolution picture (2^levels = scale)")
    _require(recipe.unet_class in UNET_CLASSES, "unet_class", f"must be one of {', '.join(UNET_CLASSES)}")
    _require(recipe.negative_sigma >= 0, "negative_sigma", "must not be negative")
    _require(SMALLEST_TIP <= recipe.tip <= 1, "tip", f"must lie between {SMALLEST_TIP} and 1")
    _require(recipe.poor_tip is None or SMALLEST_TIP <= recipe.poor_tip <= 1, "poor_tip", f"must lie between {SMALLEST_TIP} and 1, or be null")
    _require(recipe.poor_weight > 0, "poor_weight", "must be above 0")
    for name in ("overshoot_weight", "poor_overshoot_weight"):
        _require(getattr(recipe, name) >= 1, name, "must be at least 1")
    for name in ("negative_share", "few_step_share"):
        _require_share(recipe, name)
    for timesteps in recipe.few_step_lists:
        descending = all(a > b for a, b in pairwise(timesteps))
        fits = len(timesteps) >= 2 and descending and timesteps[-1] >= 1 and timesteps[0] <= 1000
        _require(fits, "few_step_lists", "must hold descending lists of two or more timesteps between 1 and 1000")
    _require(bool(recipe.few_step_lists) or recipe.few_step_share == 0, "few_step_lists", "must not be empty where few_step_share is above 0")
    _require(recipe.feature_weight > 0 or recipe.feature_weights is None, "feature_weight", "must be above 0 where --feature-weights are given")
    if recipe.feature_weight > 0:
        _require(recipe.validation_crop >= 32, "validation_crop", "must be at least 32 where feature_weight is above 0")
        _require(recipe.feature_weights is not None, "feature_weight", "needs a file of a SqueezeNet's weights; give it with --feature-weights")
        _require(recipe.crop >= 32, "crop", "must be at least 32 where feature_weight is above 0")


def _check_noise_predictor(recipe: NoisePredictorRecipe) -> None:
    for name in ("kl_weight", "adversarial_weight", "adversarial_start"):
        _require(getattr(recipe, name) >= 0, name, "must not be negative")
    _require(recipe.discriminator_rate > 0, "discriminator_rate", "must be above 0")
    _require(recipe.discriminator_width >= 8 and recipe.discriminator_width % 8 == 0, "discriminator_width", "must be a multiple of 8")


def _require_share(recipe: Recipe, name: str) -> None:
    _require(0 <= getattr(recipe, name) <= 1, name, "must lie between 0 and 1")


def _require(holds: bool, key: str, rule: str) -> None:
    if not holds:
        raise UserError(f"{key} in the recipe {rule}.")
