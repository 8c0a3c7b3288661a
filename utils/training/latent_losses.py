"""What latents are compared by, beside their squared difference: a frozen UNet's features, a discriminator, and the noise it should look like."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import nn
from torch.func import functional_call

GROUPS = 8


class LatentFeatureDistance:
    """Distance of two latents in the features of a frozen diffusion UNet's contracting half, after each of its blocks.

    Both get the same noise, little enough that detail survives, because noisy latents are what the network has learnt to look into. At each
    place features have unit length over channels; the squared difference is summed over channels, averaged over places, then over the blocks.
    It stands where InvSR has an LPIPS for latents, a network fine-tuned for that, whose weights this project does not have. The frozen UNet is
    there anyway, and knows the latents of its own model; it was not calibrated to what people see.
    """

    def __init__(self, unet: Any, t: torch.Tensor, sigma: torch.Tensor) -> None:
        """unet: a stock UNet2DConditionModel; t, sigma: the timestep it is asked at and its noise level, both of shape ()."""
        self._unet, self._t, self._sigma = unet, t, sigma

    def __call__(self, z: torch.Tensor, target: torch.Tensor, eps: torch.Tensor, text: torch.Tensor | None) -> torch.Tensor:
        """z, target, eps [B,C,h,w], text [B,n,d] -> a scalar with gradients for z."""
        sigma = self._sigma.to(z.device)
        with torch.no_grad():
            wanted = list(self._features(target + sigma * eps, text))
        distances = [(_unit(a) - _unit(b)).square().sum(1).mean() for a, b in zip(self._features(z + sigma * eps, text), wanted, strict=True)]
        return torch.stack(distances).mean()

    def _features(self, z: torch.Tensor, text: torch.Tensor | None) -> Iterator[torch.Tensor]:
        unet = self._unet
        t = self._t.to(z.device).expand(len(z))
        temb = unet.time_embedding(unet.time_proj(t).to(unet.dtype))
        x = unet.conv_in((z / (self._sigma.to(z.device) ** 2 + 1) ** 0.5).to(unet.dtype))
        for block in unet.down_blocks:
            conditioning = {"encoder_hidden_states": text} if getattr(block, "has_cross_attention", False) else {}
            x, _ = block(hidden_states=x, temb=temb, **conditioning)
            yield x


def _unit(features: torch.Tensor) -> torch.Tensor:
    return F.normalize(features.float(), dim=1, eps=1e-6)


class PatchDiscriminator(nn.Module):
    """Tells sharp latents from made ones, place by place: a score for each patch of 4 x 4 latents, as in PatchGAN (Isola et al. 2017)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.LeakyReLU(0.2),
            *self._halving(width, 2 * width),
            *self._halving(2 * width, 4 * width),
            nn.Conv2d(4 * width, 1, 3, padding=1),
        )

    @staticmethod
    def _halving(before: int, after: int) -> list[nn.Module]:
        return [nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False), nn.GroupNorm(GROUPS, after), nn.LeakyReLU(0.2)]

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """z [B,C,h,w] -> scores [B,1,h/4,w/4]; high means sharp."""
        return self.layers(z)

    def loss(self, made: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """The hinge loss that trains the discriminator, and it alone: no gradients for `made`."""
        return (F.relu(1 - self(real)) + F.relu(1 + self(made.detach()))).mean()

    def verdict(self, made: torch.Tensor) -> torch.Tensor:
        """The loss of whoever made the latents: minus the mean score. No gradients for the discriminator's own weights."""
        frozen = {name: value.detach() for name, value in self.named_parameters()}
        return -functional_call(self, frozen, (made,)).mean()


def divergence_from_unit_noise(posterior: DiagonalGaussianDistribution) -> torch.Tensor:
    """KL(posterior || N(0,1)) per latent value, in nats.

    The squared error alone would drive the predicted variance to zero; the UNet was trained on latents with noise of unit variance.
    """
    mean, logvar = posterior.mean.float(), posterior.logvar.float()
    return 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()
