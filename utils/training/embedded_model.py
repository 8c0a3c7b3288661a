"""The embedded model before training: wavelet latents, a small UNet and a small noise predictor that together start as bicubic."""

import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from utils.models.denoising import Denoiser
from utils.models.latent_resnet import LatentResNet
from utils.models.noise_predictor import NoisePredictor
from utils.models.part_loading import first_fault
from utils.models.wavelet_latents import WaveletLatents
from utils.planning.errors import UserError
from utils.planning.model_spec import read_config
from utils.training.export import PREDICTOR_WEIGHTS, UNET_WEIGHTS
from utils.training.recipe import EmbeddedRecipe

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

UNETS: dict[str, Any] = {network.__name__: network for network in (UNet2DConditionModel, LatentResNet)}
"""The diffusion networks there are, by the names that recipes use."""

LOG_VARIANCE = -30.0
"""The predictor's log-variance to start with: no spread. Zero would be a standard deviation of one."""


def build_denoiser(recipe: EmbeddedRecipe, channel_std: list[float]) -> Denoiser:
    """The untrained model; torch's random state decides the inner weights, the last layers are zero."""
    vae = WaveletLatents(levels=recipe.levels, channel_std=tuple(channel_std))
    unet = build_network(UNETS[recipe.unet_class], recipe.unet, "unet")
    predictor = build_network(NoisePredictor, recipe.noise_predictor, "noise_predictor")
    channels = len(channel_std)
    for key, found in (("unet.in_channels", unet.config.in_channels), ("unet.out_channels", unet.config.out_channels)):
        if found != channels:
            raise UserError(f"{key} in the recipe must be {channels}, the number of latent channels of {recipe.levels} levels.")
    if predictor.config.latent_channels != channels:
        raise UserError(f"noise_predictor.latent_channels in the recipe must be {channels}, as for {recipe.levels} levels.")
    start_as_bicubic(unet, predictor)
    return Denoiser(noise_predictor=predictor, vae=vae, unet=unet, scheduler_config=SCHEDULER_CONFIG, scale=recipe.scale)


def start_as_bicubic(unet: Any, predictor: NoisePredictor) -> None:
    """Zeroes the last layers: no noise is added and none is removed, so that the decoded picture is the encoded bicubic one."""
    predicted = predictor.encoder.conv_out
    with torch.no_grad():
        for values in (*unet.conv_out.parameters(), *predicted.parameters()):
            values.zero_()
        cast(nn.Parameter, predicted.bias)[predicted.out_channels // 2 :] = LOG_VARIANCE


def load_weights(denoiser: Denoiser, folder: Path) -> None:
    """Gives the networks the weights of the exported model in `folder`; a UserError if they are missing or of other networks.

    A LatentResNet may have more blocks than the exported one: those that are added do nothing yet.
    """
    for network, path in ((denoiser.unet, folder / UNET_WEIGHTS), (denoiser.noise_predictor, folder / PREDICTOR_WEIGHTS)):
        try:
            state = load_file(path)
        except (OSError, SafetensorError) as error:
            raise UserError(f"The weights {path} to start from are missing or damaged; set init to the folder of an exported model.") from error
        if isinstance(network, LatentResNet):
            state |= added_blocks(network, state)
        wanted = network.state_dict()
        misshapen = [(name, state[name].shape, wanted[name].shape) for name in wanted if name in state and state[name].shape != wanted[name].shape]
        fault = first_fault(wanted.keys() - state.keys(), state.keys() - wanted.keys(), misshapen)
        if fault:
            raise UserError(f"The weights {path} to start from do not fit the recipe's network: the file {fault}; use the recipe they came from.")
        network.load_state_dict({name: value.float() for name, value in state.items()})


def added_blocks(network: LatentResNet, shallower: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of the blocks of `network` that the weights `shallower` lack: new ones, but with an output of zero."""
    known = {name.split(".")[1] for name in shallower if name.startswith("blocks.")}
    added = {name: value for name, value in network.state_dict().items() if name.startswith("blocks.") and name.split(".")[1] not in known}
    return {name: torch.zeros_like(value) if ".conv2." in name else value for name, value in added.items()}


def read_channel_std(folder: Path, levels: int) -> list[float]:
    """The standard deviations that the exported model in `folder` divides its wavelet coefficients by."""
    config = read_config(folder / "vae" / "config.json")
    values = config.get("channel_std")
    if config.get("levels") != levels or not isinstance(values, list) or len(values) != 3 * 4**levels:
        raise UserError(f"The model {folder} to start from has no wavelet latents of {levels} levels; set init to another one.")
    return [float(value) for value in values]


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


def build_network(network: Any, written: Mapping[str, Any], name: str) -> Any:
    """A new network of the class `network`, of the arguments that the recipe gives under `name`; a UserError if they make none."""
    known = set(inspect.signature(network.__init__).parameters) - {"self"}
    for key in written:
        if key not in known:
            raise UserError(f"{network.__name__} has no argument {key!r}; correct {name} in the recipe.")
    try:
        return network(**written)
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise UserError(f"{name} in the recipe makes no {network.__name__} ({reason}); correct it.") from error
