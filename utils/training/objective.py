"""The embedded model's loss: the sampler itself, run on degraded crops, compared with its target in pixels."""

import torch

from utils.models.denoising import Conditioning, Denoiser, decode, noise_levels, predict_eps, starting_latents
from utils.training.dataset import Batch


def estimate(denoiser: Denoiser, batch: Batch) -> torch.Tensor:
    """The picture [B,3,H,W] that the UNet sees at the batch's last step, as if that step went to noise level zero.

    Gradients pass through that one call; with one step they reach the noise predictor too.
    """
    t, sigmas = noise_levels(denoiser.scheduler_config, batch.timesteps)
    conditioning = Conditioning({"encoder_hidden_states": None, "class_labels": batch.labels})
    last = batch.steps - 1
    with torch.set_grad_enabled(torch.is_grad_enabled() and last == 0):
        z = starting_latents(denoiser, batch.lq, t[0], sigmas[0], "mean")
        for step in range(last):
            eps = predict_eps(denoiser, z, t[step], sigmas[step], 1.0, conditioning)
            z = z + (sigmas[step + 1] - sigmas[step]).to(z.device) * eps
    eps = predict_eps(denoiser, z, t[last], sigmas[last], 1.0, conditioning)
    return decode(denoiser, z - sigmas[last].to(z.device) * eps)


def charbonnier(rgb: torch.Tensor, target: torch.Tensor, tip: torch.Tensor | float) -> torch.Tensor:
    """L1 with a rounded tip, sqrt(d^2 + tip^2) - tip, of every value in [0,1]; tip is a number or broadcasts to the pictures' shape.

    Far above the tip the best answer to what cannot be known is the median, which is one of the crisp pictures that it may have been; far below
    it is their mean, which is soft. There an error d pulls with d / tip, so a wide tip asks for a weight if it is not to count for little.
    """
    squared = (rgb - target) ** 2
    return squared / ((squared + tip**2).sqrt() + tip)  # the same, but without the difference of two nearly equal numbers


def asymmetric(
    rgb: torch.Tensor, target: torch.Tensor, baseline: torch.Tensor, tip: torch.Tensor | float, overshoot_weight: torch.Tensor | float
) -> torch.Tensor:
    """`charbonnier` with `overshoot_weight` times its slope where rgb lies beyond the target, seen from the baseline.

    Where the target cannot be known, the best change of the baseline is then not the median or the mean of those it may ask for but a quantile or
    an expectile of them, at 1 / (1 + weight) counted from no change, and none at all if that one goes the other way. What can be known is asked
    for as before. Continuous: a change the wrong way costs what it adds to the baseline's own loss.
    """
    loss = charbonnier(rgb, target, tip)
    changed = rgb - baseline
    excess = loss - torch.where(changed * (target - baseline) < 0, charbonnier(baseline, target, tip), 0.0)
    return loss + (overshoot_weight - 1) * torch.where((rgb - target) * changed > 0, excess, 0.0)
