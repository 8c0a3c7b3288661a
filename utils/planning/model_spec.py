"""The facts of a model that planning needs, read from the configuration files that travel with its weights."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.planning.errors import UserError
from utils.planning.schedule import HIGHEST_TIMESTEP


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

    def latent_shape(self, lq_size: tuple[int, int]) -> tuple[int, int, int]:
        """Shape (channels, h, w) of the latents of a low-resolution patch of `lq_size`."""
        return self.latent_channels, *(side * self.scale // self.latent_factor for side in lq_size)  # type: ignore[return-value]


def read_model_spec(folder: Path, predictor_config: Mapping[str, Any], timesteps: tuple[int, int] | None) -> ModelSpec:
    """The spec of the diffusers-layout model in `folder` together with a noise predictor of the given configuration.

    The predictor reduces the low-resolution patch to the size of the latents, so the scale is latent_factor / reduction.
    UserError if the parts do not belong together.
    """
    vae, unet = (read_config(folder / part / "config.json") for part in ("vae", "unet"))
    if vae.get("_class_name") == "WaveletLatents":
        latent_factor, latent_channels = 2 ** vae["levels"], 3 * 4 ** vae["levels"]
    else:
        latent_factor, latent_channels = 2 ** (len(vae["block_out_channels"]) - 1), vae["latent_channels"]
    reduction = 2 ** (len(predictor_config["down_block_types"]) - 1)
    if latent_factor % reduction or predictor_config["latent_channels"] != latent_channels or unet["in_channels"] != latent_channels:
        raise UserError(f"The noise predictor, UNet and VAE for {folder.name} have different latents; use files that belong together.")
    unet_multiple = 2 ** (len(unet["block_out_channels"]) - 1)
    return ModelSpec(
        name=folder.name,
        scale=latent_factor // reduction,
        latent_factor=latent_factor,
        latent_channels=latent_channels,
        lq_multiple=reduction * unet_multiple,
        timesteps=timesteps or (1, HIGHEST_TIMESTEP),
        has_text=(folder / "text_encoder").is_dir(),
    )


def read_config(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; UserError if it is missing or not one."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise UserError(f"The model file {path} is missing; the model's folder must be complete and in diffusers layout.") from None
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise UserError(f"The model file {path} is not valid JSON; fetch the model again.")
    return config
