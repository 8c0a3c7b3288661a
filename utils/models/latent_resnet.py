"""The embedded model's diffusion network: residual blocks at the resolution of the latents, without normalisation or attention."""

from typing import cast

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput
from torch import nn

EMBEDDING = 128
"""Channels of the embedding of timestep and class."""


class LatentResNet(ModelMixin, ConfigMixin):
    """Stands where diffusers' UNet2DConditionModel stands, with the same call, and predicts the noise in latents.

    The body is that of EDSR (arXiv 1707.02921): latents of a wavelet transform are as small as the low-resolution picture, so there is nothing to
    reduce further. Without normalisation a tile's result does not depend on the rest of the tile beyond the reach of the convolutions.
    """

    @register_to_config
    def __init__(self, in_channels: int, out_channels: int, width: int = 64, num_blocks: int = 16, num_class_embeds: int = 2) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be at least 1, not {width}")
        self.time_proj = Timesteps(EMBEDDING // 2, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(EMBEDDING // 2, EMBEDDING)
        self.class_embedding = nn.Embedding(num_class_embeds, EMBEDDING)
        self.conv_in = nn.Conv2d(in_channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(num_blocks))
        self.conv_body = nn.Conv2d(width, width, 3, padding=1)
        self.conv_out = nn.Conv2d(width, out_channels, 3, padding=1)

    def forward(
        self, z: torch.Tensor, timestep: torch.Tensor, encoder_hidden_states: None = None, class_labels: torch.Tensor | None = None
    ) -> UNet2DConditionOutput:
        """z [B,C,h,w] scaled latents, timestep [] or [B], class_labels [B] -> the predicted noise, of z's shape. There is no text to attend to."""
        if class_labels is None or encoder_hidden_states is not None:
            raise ValueError("this network is conditioned on class labels and on nothing else")
        embedding = self.time_embedding(self.time_proj(timestep.reshape(-1).expand(len(z))).to(z.dtype)) + self.class_embedding(class_labels)
        embedding = F.silu(embedding)
        features = self.conv_in(z)
        x = features
        for block in self.blocks:
            x = block(x, embedding)
        return UNet2DConditionOutput(sample=self.conv_out(F.silu(self.conv_body(x) + features)))


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x) + shift)), the shift coming from the embedding; starts near the identity, so that many can be stacked."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.shift = nn.Linear(EMBEDDING, width)
        nn.init.kaiming_normal_(self.conv1.weight, nonlinearity="relu")
        nn.init.kaiming_normal_(self.conv2.weight, nonlinearity="relu")
        nn.init.zeros_(self.shift.weight)
        for layer in (self.conv1, self.conv2, self.shift):
            nn.init.zeros_(cast(nn.Parameter, layer.bias))
        with torch.no_grad():
            self.conv2.weight *= 0.1

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        hidden = self.conv1(x) + self.shift(embedding)[:, :, None, None]
        return x + self.conv2(F.relu(hidden, inplace=True))
