"""Training a noise predictor for a frozen latent diffusion model, as InvSR was trained (arXiv 2412.09013): everything is compared in latents."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn

from utils.models.conditioning import ClassConditioner, Conditioner, TextConditioner
from utils.models.denoising import Denoiser, draw, noise_levels, predict_eps
from utils.models.downloading import fetch
from utils.models.model_loading import find_pipeline, find_predictor
from utils.models.noise_predictor import NoisePredictor
from utils.models.part_loading import load_part, load_scheduler_config
from utils.models.predictor_loading import load_noise_predictor
from utils.pictures.resampling import bicubic
from utils.planning.checked_settings import make_settings
from utils.planning.errors import UserError
from utils.planning.model_spec import read_model_spec
from utils.training.dataset import DEGRADED_PAIRS, Batch, Pair, TrainingBatches, to_tensor, validation_pairs
from utils.training.embedded_model import build_network
from utils.training.export import export_predictor
from utils.training.latent_losses import LatentFeatureDistance, PatchDiscriminator, divergence_from_unit_noise
from utils.training.mixed_precision import choose_precision, in_precision
from utils.training.recipe import NoisePredictorRecipe
from utils.training.task import Task, Validation
from utils.training.validation import displayed, gain, upscale

FEATURE_TIMESTEP = 50
"""Nominal; its noise level of 0.22 leaves detail visible to the UNet."""
SHOWN = 3
"""How many validation pictures go into the log."""


class NoisePredictorTask(Task):
    """The predictor's noise at a start timestep, and the frozen UNet's one step from there to clean latents, against the target's latents.

    Loss: squared difference, `feature_weight` times a distance in the UNet's features, `adversarial_weight` times a discriminator's verdict,
    `kl_weight` times the divergence of the predicted noise from unit noise.
    """

    recipe: NoisePredictorRecipe

    def __init__(self, recipe: NoisePredictorRecipe, accelerator: Accelerator, started: Mapping[str, Any] | None) -> None:
        """started: the facts of the run to go on with, if there is one."""
        super().__init__(recipe)
        self.accelerator = accelerator
        with accelerator.main_process_first():  # which downloads for all
            folder = find_pipeline(make_settings(overrides={"pretrained_model_name_or_path": recipe.pipeline}), partial(fetch, announce=print))
            predictor = _start_predictor(recipe, folder, started)
        self.spec = read_model_spec(folder, predictor.config, None)
        self._check_sizes()
        self.denoiser, self.conditioner = _load_frozen(recipe, folder, predictor, accelerator, self.spec.has_text)
        self.networks["noise_predictor"] = predictor
        if recipe.adversarial_weight > 0:
            self.rivals["discriminator"] = PatchDiscriminator(self.spec.latent_channels, recipe.discriminator_width)
        t, sigmas = noise_levels(self.denoiser.scheduler_config, [FEATURE_TIMESTEP])
        self._feature_distance = LatentFeatureDistance(self.denoiser.unet, t[0], sigmas[0])
        self._computing = in_precision(self.denoiser, accelerator)
        self._conditioning = self.conditioner(recipe.prompt, None, 1.0)
        self._pairs: dict[str, list[Pair]] = {}

    def forward(self, batch: Batch, step: int) -> dict[str, torch.Tensor]:
        recipe = self.recipe
        target, made, posterior, eps = self._estimate(self._computing, batch)
        terms = self._distances(made, target, eps)
        terms["divergence"] = recipe.kl_weight * divergence_from_unit_noise(posterior)
        if "discriminator" in self.rivals:
            discriminator = self.rivals["discriminator"]
            assert isinstance(discriminator, PatchDiscriminator)
            terms["discriminator"] = discriminator.loss(made, target)
            if step >= recipe.adversarial_start:
                terms["adversarial"] = recipe.adversarial_weight * discriminator.verdict(made)
        return terms

    def batches(self, photos: Sequence[np.ndarray]) -> TrainingBatches:
        return TrainingBatches(photos, self.recipe)

    def learners(self) -> list[dict[str, Any]]:
        rivals = [{"params": list(self.rivals.parameters()), "peak": self.recipe.discriminator_rate}] if self.rivals else []
        return super().learners() + rivals

    def hold_out(self, photos: Sequence[np.ndarray]) -> None:
        multiple = self.spec.lq_multiple
        self._pairs = {kind: validation_pairs(photos, self.recipe, how, multiple) for kind, how in (("clean", None), ("degraded", DEGRADED_PAIRS))}

    @torch.no_grad()
    def validate(self, networks: nn.ModuleDict) -> Validation:
        """The score is minus the mean of latent and weighted feature distance: what the loss has without its moving parts."""
        denoiser = in_precision(replace(self.denoiser, noise_predictor=networks["noise_predictor"]), self.accelerator)
        figures, pictures = {}, {}
        for kind, pairs in self._pairs.items():
            losses, gains = [], []
            for index, (lq, hq) in enumerate(pairs):
                batch = self._batch_of(lq, hq, index).to(self.accelerator.device)
                target, made, _, eps = self._estimate(denoiser, batch)
                losses.append({name: float(value) for name, value in self._distances(made, target, eps).items()})
                rgb = upscale(denoiser, self.conditioner, lq, batch.timesteps, prompt=self.recipe.prompt)
                gains.append(gain(rgb, lq, hq))
                if index < SHOWN:
                    pictures[f"{kind}/{index}"] = displayed(rgb)
            figures |= {f"{name}_{kind}": sum(loss[name] for loss in losses) / len(losses) for name in losses[0]}
            figures[f"psnr_y_gain_{kind}"] = sum(gains) / len(gains)
        score = -sum(value for name, value in figures.items() if not name.startswith("psnr")) / len(self._pairs)
        return Validation(figures, score, pictures)

    def export(self, networks: nn.ModuleDict, folder: Path) -> None:
        predictor = networks["noise_predictor"]
        assert isinstance(predictor, NoisePredictor)
        export_predictor(predictor, max(self.recipe.start_timesteps), folder)

    def facts(self) -> dict[str, Any]:
        rivals = self.recipe.discriminator_width if self.rivals else None
        return {"noise_predictor": _shape(self.denoiser.noise_predictor), "discriminator_width": rivals}

    def _estimate(self, denoiser: Denoiser, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, Any, torch.Tensor]:
        """(latents of the target, latents after the UNet's one step to noise level zero, the predicted noise, unit noise), [B,C,h,w]."""
        t, sigmas = noise_levels(denoiser.scheduler_config, batch.timesteps)
        t, sigma = t[0].to(batch.lq.device), sigmas[0].to(batch.lq.device)
        posterior = denoiser.noise_predictor(batch.lq, t)
        eps = self._draws(batch, posterior.mean)
        with torch.no_grad():
            target = _encode(denoiser.vae, batch.target, "mean")
            start = _encode(denoiser.vae, bicubic(batch.lq, (batch.target.shape[-2], batch.target.shape[-1])), {"vae": eps[0]})
        z = start + sigma * draw(posterior, {"predictor": eps[1]}, "predictor")
        made = z - sigma * predict_eps(denoiser, z, t, sigma, 1.0, self._conditioning)
        return target, made, posterior, eps[2]

    def _distances(self, made: torch.Tensor, target: torch.Tensor, eps: torch.Tensor) -> dict[str, torch.Tensor]:
        terms = {"latent": F.mse_loss(made, target)}
        if self.recipe.feature_weight > 0:
            text = self._conditioning.at(1.0, len(made))["encoder_hidden_states"]
            terms["features"] = self.recipe.feature_weight * self._feature_distance(made, target, eps, text)
        return terms

    @staticmethod
    def _draws(batch: Batch, like: torch.Tensor) -> torch.Tensor:
        """Three standard normal draws of the latents' shape, a function of the batch; made on the CPU, so equal on every device."""
        generator = torch.Generator().manual_seed(batch.seed)
        return torch.randn(3, *like.shape, generator=generator).to(like.device)

    def _batch_of(self, lq: np.ndarray, hq: np.ndarray, seed: int) -> Batch:
        label, poor = torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.bool)
        return Batch(to_tensor([lq]), to_tensor([hq]), label, poor, self.recipe.start_timesteps[:1], 1, seed)

    def _check_sizes(self) -> None:
        recipe, spec = self.recipe, self.spec
        if spec.scale != recipe.scale:
            raise UserError(f"The model {spec.name} magnifies {spec.scale} times with this noise predictor; set scale in the recipe to that.")
        unit = spec.scale * spec.lq_multiple
        for key in ("crop", "validation_crop"):
            if getattr(recipe, key) < unit:
                raise UserError(f"{key} in the recipe must be at least {unit} for the model {spec.name}.")
        if recipe.crop % unit:
            raise UserError(f"crop in the recipe must be a multiple of {unit} for the model {spec.name}.")


def _start_predictor(recipe: NoisePredictorRecipe, folder: Path, started: Mapping[str, Any] | None) -> NoisePredictor:
    """The network of a run that goes on, or of `init` with its weights, or a new one."""
    if started:
        return NoisePredictor(**started["noise_predictor"])
    if recipe.init is None:
        return build_network(NoisePredictor, recipe.noise_predictor, "noise_predictor")
    settings = make_settings({"model_start": {"ckpt_path": recipe.init, "params": recipe.noise_predictor or None}})
    return load_noise_predictor(find_predictor(settings, folder, partial(fetch, announce=print)))


def _load_frozen(
    recipe: NoisePredictorRecipe, folder: Path, predictor: NoisePredictor, accelerator: Accelerator, has_text: bool
) -> tuple[Denoiser, Conditioner]:
    """The model around the predictor, in the run's precision on its device, and what gives it the prompt."""
    device, dtype = accelerator.device, choose_precision(recipe.precision, accelerator.device)
    vae = load_part(AutoencoderKL, folder / "vae", torch_dtype=dtype)
    unet = load_part(UNet2DConditionModel, folder / "unet", torch_dtype=dtype)
    for network in (vae, unet):
        network.to(device).requires_grad_(False).eval()
    if recipe.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
    conditioner = TextConditioner(folder, device, dtype) if has_text else ClassConditioner(device)
    denoiser = Denoiser(predictor, vae, unet, load_scheduler_config(folder), recipe.scale)
    return denoiser, conditioner


def _encode(vae: Any, rgb: torch.Tensor, draws: Any) -> torch.Tensor:
    """rgb [B,3,H,W] in [0,1] -> scaled latents: a sample of the VAE's posterior by draws["vae"], or its mean."""
    return vae.config.scaling_factor * draw(vae.encode((2 * rgb - 1).to(vae.dtype)).latent_dist, draws, "vae")


def _shape(predictor: NoisePredictor) -> dict[str, Any]:
    """The arguments of the network, as plain values."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in predictor.config.items() if not key.startswith("_")}
