"""The embedded model before training: wavelet latents, a small UNet and a small noise predictor that together start as bicubic."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import nn

from utils.models.denoising import Denoiser
from utils.models.noise_predictor import NoisePredictor
from utils.models.wavelet_latents import WaveletLatents
from utils.planning.errors import UserError
from utils.training.recipe import Recipe

SCHEDULER_CONFIG: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
    "timestep_spacing": "trailing",
    "steps_offset": 1,
    "final_sigmas_type": "zero",
}
"""Stable Diffusion's noise schedule, so that timesteps mean the same for both of our models."""

LOG_VARIANCE = -30.0
"""The predictor's log-variance to start with: no spread. Zero would be a standard deviation of one."""


def build_denoiser(recipe: Recipe, channel_std: list[float]) -> Denoiser:
    """The untrained model; torch's random state decides the inner weights, the last layers are zero."""
    vae = WaveletLatents(levels=recipe.levels, channel_std=tuple(channel_std))
    unet = UNet2DConditionModel(**_arguments(UNet2DConditionModel, recipe.unet, "unet"))
    predictor = NoisePredictor(**_arguments(NoisePredictor, recipe.noise_predictor, "noise_predictor"))
    channels = len(channel_std)
    for key, found in (("unet.in_channels", unet.config.in_channels), ("unet.out_channels", unet.config.out_channels)):
        if found != channels:
            raise UserError(f"{key} in the recipe must be {channels}, the number of latent channels of {recipe.levels} levels.")
    if predictor.config.latent_channels != channels:
        raise UserError(f"noise_predictor.latent_channels in the recipe must be {channels}, as for {recipe.levels} levels.")
    start_as_bicubic(unet, predictor)
    return Denoiser(noise_predictor=predictor, vae=vae, unet=unet, scheduler_config=SCHEDULER_CONFIG, scale=recipe.scale)


def start_as_bicubic(unet: UNet2DConditionModel, predictor: NoisePredictor) -> None:
    """Zeroes the last layers: no noise is added and none is removed, so that the decoded picture is the encoded bicubic one."""
    predicted = predictor.encoder.conv_out
    with torch.no_grad():
        for values in (*unet.conv_out.parameters(), *predicted.parameters()):
            values.zero_()
        cast(nn.Parameter, predicted.bias)[predicted.out_channels // 2 :] = LOG_VARIANCE


def measure_channel_std(photos: Iterable[np.ndarray], levels: int) -> list[float]:
    """The standard deviation of every wavelet coefficient of px in [-1,1] over all pixels of the photos (uint8 [H,W,3])."""
    wavelets = WaveletLatents(levels=levels)
    factor = 2**levels
    count, total, squares = 0, 0.0, 0.0
    for photo in photos:
        height, width = (side // factor * factor for side in photo.shape[:2])
        px = torch.from_numpy(photo[:height, :width].copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        z = wavelets.encode(px).latent_dist.mean[0].flatten(1).double()
        count, total, squares = count + z.shape[1], total + z.sum(1), squares + (z**2).sum(1)
    mean = total / count
    return (squares / count - mean**2).sqrt().tolist()


def _arguments(network: type, written: Mapping[str, Any], name: str) -> dict[str, Any]:
    known = set(inspect.signature(network.__init__).parameters) - {"self"}
    for key in written:
        if key not in known:
            raise UserError(f"{network.__name__} has no argument {key!r}; correct {name} in the recipe.")
    return dict(written)
