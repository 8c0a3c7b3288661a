"""Training the embedded model: UNet and noise predictor together, on pixels."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import AutocastKwargs
from torch import nn

from utils.metrics.perceptual import FeatureDistance
from utils.models.conditioning import ClassConditioner
from utils.models.denoising import Denoiser
from utils.pictures.resampling import bicubic
from utils.training.dataset import DEGRADED_PAIRS, Batch, EmbeddedBatches, Pair, to_tensor, validation_pairs
from utils.training.embedded_model import build_denoiser, load_weights, measure_channel_std, read_channel_std
from utils.training.export import export_model
from utils.training.mixed_precision import in_precision
from utils.training.objective import asymmetric, estimate
from utils.training.recipe import EmbeddedRecipe
from utils.training.task import Task, Validation
from utils.training.validation import displayed, gain, upscale

VALIDATED = (("clean", [200]), ("clean", [200, 100, 50]), ("degraded", [200]))
"""Kinds of pairs and timestep lists; the score is the mean over them, in decibels."""
LEAST_LOSS = 1e-8
"""Is added to losses of which the ratio is taken: those of flat pictures are zero."""
SHOWN = 3
"""How many validation pictures go into the log."""


class EmbeddedTask(Task):
    """The loss is Charbonnier's between the sampler's picture and its target, and `feature_weight` times their distance in features.

    A recipe with a `poor_tip` asks less of poor inputs: no features, and a wide tip, which prefers the mean of what they may have been to a guess.
    With an `overshoot_weight` or `poor_overshoot_weight` above 1, what the input does not tell is changed less, against the bicubic picture, than
    the median or the mean would change it.
    """

    recipe: EmbeddedRecipe

    def __init__(self, recipe: EmbeddedRecipe, accelerator: Accelerator, photos: Sequence[np.ndarray], started: Mapping[str, Any] | None) -> None:
        """photos: to train with. started: the facts of the run to go on with, if there is one."""
        super().__init__(recipe)
        self.accelerator = accelerator
        self.channel_std = list(started["channel_std"]) if started else _channel_std(recipe, photos)
        self.denoiser = build_denoiser(recipe, self.channel_std)
        if recipe.init is not None and not started:
            load_weights(self.denoiser, Path(recipe.init))
        self.networks["unet"], self.networks["noise_predictor"] = self.denoiser.unet, self.denoiser.noise_predictor
        self.denoiser.vae.to(accelerator.device)
        self._computing = in_precision(self.denoiser, accelerator)
        self._features = _load_features(recipe, accelerator.device)
        self._pairs: dict[str, list[Pair]] = {}

    def forward(self, batch: Batch, step: int) -> dict[str, torch.Tensor]:
        baseline = bicubic(batch.lq, (batch.target.shape[-2], batch.target.shape[-1]))
        return self._terms(estimate(self._computing, batch), batch.target, baseline, batch.poor)

    def batches(self, photos: Sequence[np.ndarray]) -> EmbeddedBatches:
        return EmbeddedBatches(photos, self.recipe)

    def hold_out(self, photos: Sequence[np.ndarray]) -> None:
        self._pairs = {"clean": validation_pairs(photos, self.recipe), "degraded": validation_pairs(photos, self.recipe, DEGRADED_PAIRS)}

    def validate(self, networks: nn.ModuleDict) -> Validation:
        """The score is the mean gain in luma PSNR; with a feature loss that would be blind to what is learnt, so then it is the gain in the loss."""
        denoiser = in_precision(self._with(networks), self.accelerator)
        conditioner = ClassConditioner(self.accelerator.device)
        figures, scores, pictures = {}, [], {}
        for kind, timesteps in VALIDATED:
            name = f"{kind}_{len(timesteps)}_steps"
            results = [upscale(denoiser, conditioner, lq, timesteps) for lq, _ in self._pairs[kind]]
            figures[f"psnr_y_gain_{name}"] = mean(gain(rgb, *pair) for rgb, pair in zip(results, self._pairs[kind], strict=True))
            scores.append(figures[f"psnr_y_gain_{name}"])
            if self._features is not None:
                figures[f"loss_gain_{name}"] = self._loss_gain(results, self._pairs[kind], poor=kind != "clean")
                scores[-1] = figures[f"loss_gain_{name}"]
            pictures |= {f"{name}/{index}": displayed(rgb) for index, rgb in enumerate(results[:SHOWN])}
        return Validation(figures, mean(scores), pictures)

    @torch.no_grad()
    def _loss_gain(self, results: Sequence[torch.Tensor], pairs: Sequence[Pair], poor: bool) -> float:
        """How much smaller the mean loss of the results [1,3,H,W] is than that of the bicubic pictures, in decibels like a PSNR."""
        ours = bicubics = LEAST_LOSS
        for rgb, (lq, hq) in zip(results, pairs, strict=True):
            target = to_tensor([hq]).to(self.accelerator.device)
            baseline = bicubic(to_tensor([lq]).to(target), (hq.shape[0], hq.shape[1]))
            losses = [sum(self._terms(picture, target, baseline, torch.tensor([poor])).values()) for picture in (rgb.to(target), baseline)]
            ours, bicubics = ours + float(losses[0]), bicubics + float(losses[1])
        square = poor and self.recipe.poor_tip is not None  # errors below a wide tip count by their square
        return (10 if square else 20) * math.log10(bicubics / ours)

    def _terms(self, rgb: torch.Tensor, target: torch.Tensor, baseline: torch.Tensor, poor: torch.Tensor) -> dict[str, torch.Tensor]:
        """Of pictures [B,3,H,W] in [0,1], the baseline being the bicubic ones; poor: [B] bool, on the CPU."""
        recipe = self.recipe
        spared = torch.zeros_like(poor) if recipe.poor_tip is None else poor
        tips = torch.where(spared, recipe.poor_tip or recipe.tip, recipe.tip)
        weights = torch.where(poor, recipe.poor_weight, 1.0)
        overshoots = torch.where(poor, recipe.poor_overshoot_weight, recipe.overshoot_weight)
        tips, weights, overshoots = (values[:, None, None, None].to(rgb.device, non_blocking=True) for values in (tips, weights, overshoots))
        terms = {"charbonnier": (weights * asymmetric(rgb, target, baseline, tips, overshoots)).mean()}
        if self._features is not None and not spared.all():
            judged = (~spared).nonzero()[:, 0].to(rgb.device, non_blocking=True)
            pictures = (picture[judged].contiguous(memory_format=torch.channels_last) for picture in (rgb, target))
            with self.accelerator.autocast(AutocastKwargs()):
                distance = self._features.between(*pictures)
            terms["features"] = recipe.feature_weight * (~spared).float().mean() * distance.float()
        return terms

    def export(self, networks: nn.ModuleDict, folder: Path) -> None:
        export_model(self._with(networks), self.recipe, folder)

    def facts(self) -> dict[str, Any]:
        recipe = self.recipe
        shape = {"unet_class": recipe.unet_class, "unet": recipe.unet, "noise_predictor": recipe.noise_predictor}
        return {"channel_std": self.channel_std, "levels": recipe.levels, **shape}

    def _with(self, networks: nn.ModuleDict) -> Denoiser:
        return replace(self.denoiser, unet=networks["unet"], noise_predictor=networks["noise_predictor"])


def _channel_std(recipe: EmbeddedRecipe, photos: Sequence[np.ndarray]) -> list[float]:
    """The spread of the latents: of the model to start from, whose networks know no other, or measured."""
    return measure_channel_std(photos, recipe.levels) if recipe.init is None else read_channel_std(Path(recipe.init), recipe.levels)


def _load_features(recipe: EmbeddedRecipe, device: torch.device) -> FeatureDistance | None:
    if recipe.feature_weight == 0 or recipe.feature_weights is None:
        return None
    return FeatureDistance(Path(recipe.feature_weights)).to(device)
