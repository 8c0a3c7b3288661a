"""What a training run is: read from a YAML file and `key=value` overrides, checked once, never changed afterwards."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from utils.planning.errors import UserError


@dataclass(frozen=True)
class Recipe:
    """The recipe of the embedded model. Pixels are high-resolution ones; timesteps are nominal (1..1000)."""

    seed: int = 0
    steps: int = 20_000  # the learning rate reaches zero here ...
    minutes: float | None = None  # ... or after this much training time, whichever comes first
    batch: int = 32
    crop: int = 64
    scale: int = 4
    clean_share: float = 0.5  # of the low-resolution crops: bicubic reduction and nothing else
    negative_share: float = 0.1  # of the samples: labelled as the negative side of guidance, with a blurred target
    negative_sigma: float = 1.2
    start_timesteps: list[int] = field(default_factory=lambda: [200, 250, 150, 100])
    start_shares: list[float] = field(default_factory=lambda: [0.7, 0.1, 0.1, 0.1])
    few_step_share: float = 0.3  # of the batches: two or more steps, learning from the last one
    few_step_lists: list[list[int]] = field(default_factory=lambda: [[200, 100], [200, 100, 50], [200, 150, 100, 50], [250, 200, 150, 100, 50]])
    learning_rate: float = 8e-4
    warmup_steps: int = 200
    cooldown_share: float = 0.4  # the last part of the run, over which the learning rate falls to zero
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    precision: str = "auto"  # auto, float32 or bfloat16
    workers: int = 1  # processes that prepare batches; 0 prepares them between the steps
    validation_photos: int = 12
    validation_crop: int = 384
    validate_every: int = 500  # steps
    checkpoint_minutes: float = 5.0
    levels: int = 2  # of the wavelet latents: 2^levels pixels a latent
    unet: dict[str, Any] = field(default_factory=dict)  # arguments of UNet2DConditionModel
    noise_predictor: dict[str, Any] = field(default_factory=dict)  # arguments of NoisePredictor


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a YAML file with `key=value` overrides; a UserError for anything unknown or out of range."""
    if not path.is_file():
        raise UserError(f"The recipe {path} does not exist; give a YAML file with --config.")
    for override in overrides:
        if "=" not in override:
            raise UserError(f"{override!r} is not of the form key=value.")
    try:
        written = OmegaConf.load(path)
        if not isinstance(written, DictConfig):
            raise UserError(f"The recipe {path} is not a list of `key: value` lines.")
        given = OmegaConf.merge(written, OmegaConf.from_dotlist(list(overrides)))
        for key in given:
            _refuse_unknown(str(key))
        recipe = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Recipe), given))
    except (OmegaConfBaseException, YAMLError, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split("full_key")[0].split())
        raise UserError(f"The recipe {path} or its overrides cannot be used: {reason}.") from error
    assert isinstance(recipe, Recipe)
    _check(recipe)
    return recipe


def _refuse_unknown(key: str) -> None:
    known = [f.name for f in fields(Recipe)]
    if key not in known:
        nearest = difflib.get_close_matches(key, known, n=1, cutoff=0)[0]
        raise UserError(f"The recipe has no key {key!r}; the nearest is {nearest!r}.")


def _check(recipe: Recipe) -> None:
    """Refuses what would fail, or quietly do nothing, hours later."""
    for name in ("steps", "batch", "crop", "scale", "validation_photos", "validation_crop", "validate_every", "levels"):
        _require(getattr(recipe, name) >= 1, name, "must be at least 1")
    for name in ("warmup_steps", "workers", "weight_decay", "negative_sigma"):
        _require(getattr(recipe, name) >= 0, name, "must not be negative")
    for name in ("clean_share", "negative_share", "few_step_share", "cooldown_share"):
        _require(0 <= getattr(recipe, name) <= 1, name, "must lie between 0 and 1")
    for name in ("learning_rate", "clip_norm", "checkpoint_minutes"):
        _require(getattr(recipe, name) > 0, name, "must be above 0")
    _require(recipe.minutes is None or recipe.minutes > 0, "minutes", "must be above 0, or null")
    _require(0 <= recipe.ema_decay < 1, "ema_decay", "must be at least 0 and below 1")
    _require(recipe.precision in ("auto", "float32", "bfloat16"), "precision", "must be auto, float32 or bfloat16")
    _require(recipe.crop % recipe.scale == 0, "crop", f"must be a multiple of {recipe.scale}")
    _require(2**recipe.levels == recipe.scale, "levels", "must make latents at the size of the low-resolution picture (2^levels = scale)")
    _require(all(1 <= t <= 1000 for t in recipe.start_timesteps), "start_timesteps", "must lie between 1 and 1000")
    _require(
        len(recipe.start_shares) == len(recipe.start_timesteps) and min(recipe.start_shares, default=0) >= 0 and sum(recipe.start_shares) > 0,
        "start_shares",
        "must give one share, not negative, for each of start_timesteps",
    )
    for timesteps in recipe.few_step_lists:
        descending = all(a > b for a, b in pairwise(timesteps))
        fits = len(timesteps) >= 2 and descending and timesteps[-1] >= 1 and timesteps[0] <= 1000
        _require(fits, "few_step_lists", "must hold descending lists of two or more timesteps between 1 and 1000")


def _require(holds: bool, key: str, rule: str) -> None:
    if not holds:
        raise UserError(f"{key} in the recipe {rule}.")
