"""The facts of a model that planning needs, read from the configuration files that travel with its weights."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.planning.errors import UserError
from utils.planning.schedule import HIGHEST_TIMESTEP

AUTOENCODER, WAVELETS = "AutoencoderKL", "WaveletLatents"
"""The kinds of latents there are, as the class names in their configurations."""

RESNET = "LatentResNet"
"""The class name of a diffusion network that keeps the size of the latents throughout; any other is a UNet."""

MOST_LEVELS, MOST_CHANNELS, MOST_BLOCKS = 8, 65_536, 1024
"""Beyond what any real network has: larger numbers are damage, and computing with them would not end."""


@dataclass(frozen=True)
class ModelSpec:
    """What a model can do.

    name: how it is called in plans. scale: its native magnification. latent_factor: output pixels per latent pixel, one axis.
    latent_channels: channels of its latents. lq_multiple: sides of a low-resolution patch must be multiples of this.
    timesteps: lowest and highest nominal timestep it was trained for. has_text: whether prompts steer it.
    """

    name: str
    scale: int
    latent_factor: int
    latent_channels: int
    lq_multiple: int
    timesteps: tuple[int, int]
    has_text: bool

    @property
    def is_exact(self) -> bool:
        """Whether its latents hold as many numbers as the pixels they stand for: a transform, which loses nothing, and no autoencoder."""
        return self.latent_channels >= 3 * self.latent_factor**2

    def latent_shape(self, lq_size: tuple[int, int]) -> tuple[int, int, int]:
        """Shape (channels, h, w) of the latents of a low-resolution patch of `lq_size`."""
        return self.latent_channels, *(side * self.scale // self.latent_factor for side in lq_size)  # type: ignore[return-value]


def read_model_spec(folder: Path, predictor_config: Mapping[str, Any], timesteps: tuple[int, int] | None) -> ModelSpec:
    """The spec of the diffusers-layout model in `folder` together with a noise predictor built from the given, complete configuration.

    The predictor reduces the low-resolution patch to the size of the latents, so the scale is latent_factor / reduction.
    UserError if the folder's configurations are not usable or the parts do not belong together.
    """
    latent_factor, latent_channels = _read_vae(folder / "vae" / "config.json")
    unet_path = folder / "unet" / "config.json"
    unet = read_config(unet_path)
    unet_channels = {_whole(unet, name, unet_path) for name in ("in_channels", "out_channels")}
    unet_multiple = _multiple_of(unet, unet_path)
    reduction = 2 ** (len(predictor_config["down_block_types"]) - 1)
    if latent_factor % reduction or {predictor_config["latent_channels"], *unet_channels} != {latent_channels}:
        raise UserError(f"The noise predictor, UNet and VAE for {folder.name} have different latents; use files that belong together.")
    has_text = _attends_to_text(unet)
    if has_text and not (folder / "text_encoder").is_dir():
        raise UserError(f"The model {folder.name} is steered by prompts and has no folder text_encoder; fetch the model again.")
    return ModelSpec(
        name=folder.name,
        scale=latent_factor // reduction,
        latent_factor=latent_factor,
        latent_channels=latent_channels,
        lq_multiple=reduction * unet_multiple,
        timesteps=timesteps or (1, HIGHEST_TIMESTEP),
        has_text=has_text,
    )


def _read_vae(path: Path) -> tuple[int, int]:
    """Pixels per latent pixel along one axis, and channels of the latents."""
    config = read_config(path)
    kind = config.get("_class_name")
    scaling = config.get("scaling_factor", 1.0)  # left out, it is the class's own
    if isinstance(scaling, bool) or not isinstance(scaling, int | float) or not 0 < scaling < math.inf:
        raise UserError(f"scaling_factor in the model file {path} must be a number above 0; fetch the model again.")
    if kind == WAVELETS:
        levels = _whole(config, "levels", path, MOST_LEVELS)
        return 2**levels, 3 * 4**levels
    if kind != AUTOENCODER or any(config.get(name) is not None for name in ("shift_factor", "latents_mean", "latents_std")):
        raise UserError(f"The model file {path} must be of an {AUTOENCODER} whose latents are scaled and not shifted; use another model.")
    return 2 ** (len(_widths(config, path)) - 1), _whole(config, "latent_channels", path)


def _multiple_of(unet: Mapping[str, Any], path: Path) -> int:
    """Sides of latents must be multiples of this for the diffusion network."""
    if unet.get("_class_name") == RESNET:
        _whole(unet, "width", path)
        _whole(unet, "num_blocks", path, MOST_BLOCKS)
        return 1
    return 2 ** (len(_widths(unet, path)) - 1)


def _attends_to_text(unet: Mapping[str, Any]) -> bool:
    """Whether a UNet has cross-attention; what its configuration leaves out, diffusers fills with blocks that have."""
    if unet.get("_class_name") == RESNET:
        return False
    blocks = [unet.get(name, "CrossAttn") for name in ("down_block_types", "mid_block_type", "up_block_types")]
    return "CrossAttn" in str(blocks)


def _widths(config: Mapping[str, Any], path: Path) -> list[int]:
    widths = config.get("block_out_channels")
    if not isinstance(widths, list) or not 1 <= len(widths) <= MOST_LEVELS or not all(is_whole(width, 1, MOST_CHANNELS) for width in widths):
        raise UserError(f"block_out_channels in the model file {path} must be a list of whole numbers above 0; fetch the model again.")
    return widths


def _whole(config: Mapping[str, Any], name: str, path: Path, high: int = MOST_CHANNELS) -> int:
    value = config.get(name)
    if not is_whole(value, 1, high):
        raise UserError(f"{name} in the model file {path} must be a whole number from 1 to {high}; fetch the model again.")
    return value  # type: ignore[return-value]


def is_whole(value: Any, low: int, high: int) -> bool:
    """Whether a value out of JSON is a whole number within [low, high]; true and false are not."""
    return type(value) is int and low <= value <= high


def read_config(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; UserError if it is missing, unreadable or not one."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"The model file {path} is missing; the model's folder must be complete and in diffusers layout.") from None
    except (OSError, ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise UserError(f"The model file {path} is damaged or unreadable, it must hold a JSON object; fetch the model again.")
    return config
