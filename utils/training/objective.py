"""The embedded model's loss: the sampler itself, run on degraded crops, compared with the sharp crops in pixels."""

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


def charbonnier(rgb: torch.Tensor, target: torch.Tensor, tip: torch.Tensor | float, weight: torch.Tensor | float = 1.0) -> torch.Tensor:
    """L1 with a rounded tip: mean weight (sqrt(d^2 + tip^2) - tip) over all pixels in [0,1]; tip may be one for each picture, weight for each pixel.

    Far above the tip the best answer to what cannot be known is the median, which is one of the crisp pictures that it may have been; far below
    it is their mean, which is soft. There an error d pulls with d / tip, so a wide tip asks for a weight if it is not to count for little.
    """
    squared = (rgb - target) ** 2
    return (weight * squared / ((squared + tip**2).sqrt() + tip)).mean()  # the same, but without the difference of two nearly equal numbers


def overreaches(rgb: torch.Tensor, target: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Where rgb lies beyond the target, seen from the reference: changed too far, or the wrong way; bool of their shape.

    Errors that weigh more there ask for less than the median or the mean where the target cannot be known, down to no change at all, and for the
    same where it can: an expectile or a quantile of the changes that it may ask for, on the side of none.
    """
    return (rgb - target) * (rgb - reference) > 0
