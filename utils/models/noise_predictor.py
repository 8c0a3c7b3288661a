"""InvSR's noise predictor: a low-resolution picture in, the distribution of the starting noise out (arXiv 2412.09013, section 3)."""

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.unets.unet_2d_blocks import UNetMidBlock2D, get_down_block
from torch import nn

GROUP_NORM_EPS = 1e-6


class NoisePredictor(nn.Module, ConfigMixin):
    """Predicts the noise map from which the diffusion model lands on the high-resolution picture.

    `up_block_types` and `sample_size` are part of the published configuration and have no effect: there is no decoder.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,
        down_block_types: tuple[str, ...] = ("AttnDownBlock2D", "AttnDownBlock2D"),
        up_block_types: tuple[str, ...] | None = None,
        block_out_channels: tuple[int, ...] = (256, 512),
        layers_per_block: tuple[int, ...] = (3, 3),
        act_fn: str = "silu",
        latent_channels: int = 4,
        norm_num_groups: int = 32,
        sample_size: int | None = None,
        mid_block_add_attention: bool = True,
        resnet_time_scale_shift: str = "default",
        temb_channels: int = 512,
        attention_head_dim: int = 64,
        freq_shift: int = 0,
        flip_sin_to_cos: bool = True,
        double_z: bool = True,
    ) -> None:
        super().__init__()
        if not double_z:
            raise ValueError("double_z must be true: the sampler needs a mean and a variance")
        self.encoder = _Encoder(
            in_channels=in_channels,
            out_channels=2 * latent_channels,
            down_block_types=down_block_types,
            block_out_channels=block_out_channels,
            layers_per_block=layers_per_block,
            act_fn=act_fn,
            norm_num_groups=norm_num_groups,
            mid_block_add_attention=mid_block_add_attention,
            resnet_time_scale_shift=resnet_time_scale_shift,
            temb_channels=temb_channels,
            attention_head_dim=attention_head_dim,
            freq_shift=freq_shift,
            flip_sin_to_cos=flip_sin_to_cos,
        )

    @property
    def dtype(self) -> torch.dtype:
        return self.encoder.conv_in.weight.dtype

    def forward(self, lq: torch.Tensor, timestep: int | float | torch.Tensor, center_input_sample: bool = True) -> DiagonalGaussianDistribution:
        """lq [B,3,h,w] in [0,1]; timestep a number or a tensor of shape (), (1,) or (B,).

        Returns the distribution of the noise, [B,latent_channels,h/f,w/f] with f = 2^(levels-1), log-variance within [-30,20].
        """
        timesteps = torch.as_tensor(timestep, device=lq.device).reshape(-1).expand(lq.shape[0])
        x = 2 * lq - 1 if center_input_sample else lq
        return DiagonalGaussianDistribution(self.encoder(x, timesteps))


class _Encoder(nn.Module):
    """Time-conditioned encoder; its attribute names are the key names of the published checkpoint."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        down_block_types: tuple[str, ...],
        block_out_channels: tuple[int, ...],
        layers_per_block: tuple[int, ...],
        act_fn: str,
        norm_num_groups: int,
        mid_block_add_attention: bool,
        resnet_time_scale_shift: str,
        temb_channels: int,
        attention_head_dim: int,
        freq_shift: int,
        flip_sin_to_cos: bool,
    ) -> None:
        super().__init__()
        time_channels = max(128, block_out_channels[0])
        self.time_proj = Timesteps(time_channels, flip_sin_to_cos=flip_sin_to_cos, downscale_freq_shift=freq_shift)
        self.time_embedding = TimestepEmbedding(time_channels, temb_channels, act_fn=act_fn)
        self.conv_in = nn.Conv2d(in_channels, block_out_channels[0], kernel_size=3, padding=1)
        self.down_blocks = nn.ModuleList()
        width = block_out_channels[0]
        for level, block_type in enumerate(down_block_types):
            self.down_blocks.append(
                get_down_block(
                    block_type,
                    num_layers=layers_per_block[level],
                    in_channels=width,
                    out_channels=block_out_channels[level],
                    temb_channels=temb_channels,
                    add_downsample=level < len(down_block_types) - 1,
                    resnet_eps=GROUP_NORM_EPS,
                    resnet_act_fn=act_fn,
                    resnet_groups=norm_num_groups,
                    attention_head_dim=attention_head_dim,
                    downsample_padding=0,  # pads right and bottom only, like the VAE encoder
                    resnet_time_scale_shift=resnet_time_scale_shift,
                )
            )
            width = block_out_channels[level]
        self.mid_block = UNetMidBlock2D(
            in_channels=width,
            temb_channels=temb_channels,
            resnet_eps=GROUP_NORM_EPS,
            resnet_act_fn=act_fn,
            resnet_groups=norm_num_groups,
            resnet_time_scale_shift=resnet_time_scale_shift,
            add_attention=mid_block_add_attention,
            attention_head_dim=attention_head_dim,
        )
        self.conv_norm_out = nn.GroupNorm(norm_num_groups, width, eps=GROUP_NORM_EPS)
        self.conv_act = nn.SiLU()
        self.conv_out = nn.Conv2d(width, out_channels, kernel_size=3, padding=1)

    def forward(self, x: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        temb = self.time_embedding(self.time_proj(timesteps).to(x.dtype))
        x = self.conv_in(x)
        for block in self.down_blocks:
            x, _ = block(x, temb)
        x = self.mid_block(x, temb)
        return self.conv_out(self.conv_act(self.conv_norm_out(x)))
