"""Latents without an autoencoder: an orthonormal Haar wavelet transform, exactly invertible and free of weights."""

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.modeling_utils import ModelMixin


class WaveletLatents(ModelMixin, ConfigMixin):
    """Stands where diffusers' AutoencoderKL stands, with the same calls.

    A block of f x f pixels (f = 2^levels) of each colour becomes f*f Haar coefficients, divided by `channel_std` (their standard
    deviations over photographs) so that every latent channel has about unit variance, as the diffusion model expects.
    It has no weights, and is kept in float32: narrower numbers would not invert exactly.
    """

    @register_to_config
    def __init__(self, levels: int = 2, channel_std: tuple[float, ...] | None = None, scaling_factor: float = 1.0) -> None:
        super().__init__()
        channels = 3 * 4**levels
        std = torch.ones(channels) if channel_std is None else torch.tensor(channel_std, dtype=torch.float32)
        if std.shape != (channels,):
            raise ValueError(f"channel_std must have {channels} values for {levels} levels, not {std.numel()}")
        # Not weights: the config says all there is to know.
        self.register_buffer("basis", haar_basis(levels), persistent=False)
        self.register_buffer("std", std.view(1, -1, 1, 1), persistent=False)

    def encode(self, px: torch.Tensor) -> AutoencoderKLOutput:
        """px [B,3,H,W] in [-1,1], H and W multiples of 2^levels -> a distribution over [B,3*4^levels,H/2^levels,W/2^levels] without spread."""
        blocks = F.pixel_unshuffle(px, 2**self.config.levels).unflatten(1, (3, -1))
        z = torch.einsum("kp,bcphw->bckhw", self.basis, blocks).flatten(1, 2) / self.std
        return AutoencoderKLOutput(latent_dist=DiagonalGaussianDistribution(torch.cat([z, torch.zeros_like(z)], 1), deterministic=True))

    def decode(self, z: torch.Tensor) -> DecoderOutput:
        """The inverse of `encode`: z [B,3*4^levels,h,w] -> px [B,3,h*2^levels,w*2^levels]."""
        coefficients = (z * self.std).unflatten(1, (3, -1))
        blocks = torch.einsum("kp,bckhw->bcphw", self.basis, coefficients).flatten(1, 2)
        return DecoderOutput(sample=F.pixel_shuffle(blocks, 2**self.config.levels))


def haar_basis(levels: int) -> torch.Tensor:
    """Rows are the orthonormal 2-D Haar functions on a block of 2^levels x 2^levels pixels: [4^levels, 4^levels], coarsest first."""
    size = 2**levels
    pixels = torch.eye(size * size).view(size * size, size, size)
    bands = []
    for _ in range(levels):
        a, b = pixels[:, 0::2, 0::2], pixels[:, 0::2, 1::2]
        c, d = pixels[:, 1::2, 0::2], pixels[:, 1::2, 1::2]
        bands = [(a + b - c - d) / 2, (a - b + c - d) / 2, (a - b - c + d) / 2, *bands]
        pixels = (a + b + c + d) / 2
    return torch.cat([band.flatten(1) for band in [pixels, *bands]], 1).T.contiguous()
