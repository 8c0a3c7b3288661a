"""InvSR's sampler as plain functions: predicted noise on the encoded bicubic picture, then Euler steps (arXiv 2412.09013, algorithm 2).

Names carry space and range: `lq` low-resolution pixels in [0,1], `px` VAE pixels in [-1,1], `z` scaled latents, `eps` unit noise.
Networks run in their own precision; everything between them is float32.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from diffusers import EulerDiscreteScheduler
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

from utils.models.noise_predictor import NoisePredictor
from utils.pictures.resampling import bicubic

Draws = Mapping[str, torch.Tensor] | Literal["mean"]
"""Standard normal draws for the two posteriors, by the names "predictor" and "vae", or "mean" to take their means."""


@dataclass(frozen=True)
class Denoiser:
    """The networks of one model, ready to run. Never changed by a call, so threads may share it."""

    noise_predictor: NoisePredictor
    vae: Any  # AutoencoderKL or WaveletLatents: encode(px).latent_dist, decode(z).sample, config.scaling_factor
    unet: Any  # UNet2DConditionModel or LatentResNet: (z, t, encoder_hidden_states=, class_labels=).sample
    scheduler_config: Mapping[str, Any]
    scale: int


@dataclass(frozen=True)
class Conditioning:
    """What steers the UNet, by the names of its arguments: text embeddings [1 or B,n,d], class labels [1 or B], or None.

    `negative` is the other side of guidance and needed only where guidance is above 1.
    """

    positive: Mapping[str, torch.Tensor | None]
    negative: Mapping[str, torch.Tensor | None] | None = None

    def at(self, guidance: float, batch: int) -> dict[str, torch.Tensor | None]:
        """The UNet's arguments for `batch` pictures; with guidance above 1 twice as many, the negative half first."""
        if guidance <= 1:
            return {name: _one_each(value, batch) for name, value in self.positive.items()}
        if self.negative is None:
            raise ValueError("guidance above 1 needs a negative conditioning")
        pairs = {name: (_one_each(self.negative[name], batch), _one_each(value, batch)) for name, value in self.positive.items()}
        return {name: None if low is None or high is None else torch.cat([low, high]) for name, (low, high) in pairs.items()}


def _one_each(value: torch.Tensor | None, batch: int) -> torch.Tensor | None:
    return None if value is None else value.expand(batch, *value.shape[1:])


def noise_levels(scheduler_config: Mapping[str, Any], timesteps: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Nominal timesteps (1..1000, descending) -> the timesteps the networks see, one less, [n] and their sigmas followed by 0, [n+1].

    sigma(t) = sqrt((1 - abar_t) / abar_t). A new scheduler each time, because a scheduler carries state.
    """
    scheduler = EulerDiscreteScheduler.from_config(dict(scheduler_config))
    scheduler.set_timesteps(timesteps=[t - 1 for t in timesteps])
    return scheduler.timesteps.float(), scheduler.sigmas.float()


def sample(denoiser: Denoiser, lq: torch.Tensor, timesteps: Sequence[int], guidance: float, conditioning: Conditioning, draws: Draws) -> torch.Tensor:
    """lq [B,3,h,w] in [0,1] -> the high-resolution picture [B,3,scale*h,scale*w], not clamped; all float32."""
    t, sigmas = noise_levels(denoiser.scheduler_config, timesteps)
    z = starting_latents(denoiser, lq, t[0], sigmas[0], draws)
    for step in range(len(t)):
        eps = predict_eps(denoiser, z, t[step], sigmas[step], guidance, conditioning)
        z = z + (sigmas[step + 1] - sigmas[step]).to(z.device) * eps
    return decode(denoiser, z)


def starting_latents(denoiser: Denoiser, lq: torch.Tensor, t: torch.Tensor, sigma: torch.Tensor, draws: Draws) -> torch.Tensor:
    """The encoded bicubic picture with the predicted noise at level sigma: z0 + sigma * noise, [B,C,h',w']."""
    predictor, vae = denoiser.noise_predictor, denoiser.vae
    noise = draw(predictor(lq.to(predictor.dtype), t.to(lq.device)), draws, "predictor")
    px = 2 * bicubic(lq, (lq.shape[-2] * denoiser.scale, lq.shape[-1] * denoiser.scale)) - 1
    z0 = vae.config.scaling_factor * draw(vae.encode(px.to(vae.dtype)).latent_dist, draws, "vae")
    return z0 + sigma.to(z0.device) * noise


def draw(posterior: DiagonalGaussianDistribution, draws: Draws, name: str) -> torch.Tensor:
    """A float32 sample of the posterior: mean + std * draws[name], or its mean."""
    mean = posterior.mean.float()
    return mean if draws == "mean" else mean + posterior.std.float() * draws[name].to(mean)


def predict_eps(
    denoiser: Denoiser, z: torch.Tensor, t: torch.Tensor, sigma: torch.Tensor, guidance: float, conditioning: Conditioning
) -> torch.Tensor:
    """The UNet's estimate of the noise in z, with classifier-free guidance when `guidance` is above 1."""
    unet, batch = denoiser.unet, z.shape[0]
    z_in = z / (sigma.to(z.device) ** 2 + 1) ** 0.5
    if guidance > 1:
        z_in = torch.cat([z_in, z_in])
    eps = unet(z_in.to(unet.dtype), t.to(z.device), **conditioning.at(guidance, batch)).sample.float()
    if guidance > 1:
        eps_negative, eps_positive = eps.chunk(2)
        eps = eps_negative + guidance * (eps_positive - eps_negative)
    return eps


def decode(denoiser: Denoiser, z: torch.Tensor) -> torch.Tensor:
    """Latents -> rgb [B,3,H,W] around [0,1], not clamped."""
    vae = denoiser.vae
    return vae.decode((z / vae.config.scaling_factor).to(vae.dtype)).sample.float() / 2 + 0.5
