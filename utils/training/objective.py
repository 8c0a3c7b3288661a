"""The embedded model's loss: the sampler itself, run on degraded crops, compared with the sharp crops in pixels."""

import torch

from utils.models.denoising import Conditioning, Denoiser, decode, noise_levels, predict_eps, starting_latents
from utils.training.dataset import Batch

TIP = 1e-3
"""Of Charbonnier's loss, in [0,1]."""


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


def charbonnier(rgb: torch.Tensor, target: torch.Tensor, tip: torch.Tensor | float = TIP, weight: torch.Tensor | float = 1.0) -> torch.Tensor:
    """L1 with a rounded tip: mean weight sqrt(d^2 + tip^2) over all pixels in [0,1]; tip and weight may be one for each picture, [B,1,1,1].

    Far above the tip the best answer to what cannot be known is the median, which is one of the crisp pictures that it may have been; far below
    it is their mean, which is soft. There an error d pulls with d / tip, so a wide tip asks for a weight if it is not to count for little.
    """
    return (weight * ((rgb - target) ** 2 + tip**2).sqrt()).mean()
