"""The method once more, straight from its formulas and without the project's own modules, against the sampler.

The noise predictor is written in plain torch operations; VAE, UNet and text encoder are the stock classes.
"""

import functools
import json
import math

import pytest
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file
from transformers import CLIPTextModel, CLIPTokenizer

from sampler_invsr import InvSamplerSR
from tests.conftest import PIPELINE_TINY

TOLERANCE = 1e-4
POSITIVE = "Cinematic, high-contrast, photo-realistic, 8k, ultra HD, meticulous detailing, hyper sharpness, perfect without deformations"
NEGATIVE = "Low quality, blurring, jpeg artifacts, deformed, over-smooth, cartoon, noisy,painting, drawing, sketch, oil painting"
SCALING = 0.18215


class Predictor:
    """x [B,3,h,w] in [0,1] and a network timestep -> mean and standard deviation of the noise, [B,4,h/2,w/2]."""

    def __init__(self):
        folder = PIPELINE_TINY / "noise_predictor"
        self.config = json.loads((folder / "config.json").read_text())["config"]
        self.state = load_file(folder / "noise_predictor.safetensors")

    def __call__(self, x, t):
        temb = self.time_embedding(t, len(x))
        x = self.conv("conv_in", 2 * x - 1, padding=1)
        levels = self.config["layers_per_block"]
        for i, layers in enumerate(levels):
            for j in range(layers):
                x = self.resnet(f"down_blocks.{i}.resnets.{j}", x, temb)
                x = self.attention(f"down_blocks.{i}.attentions.{j}", x)
            if i < len(levels) - 1:
                x = self.conv(f"down_blocks.{i}.downsamplers.0.conv", F.pad(x, (0, 1, 0, 1)), stride=2)
        x = self.resnet("mid_block.resnets.0", x, temb)
        x = self.attention("mid_block.attentions.0", x)
        x = self.resnet("mid_block.resnets.1", x, temb)
        x = self.conv("conv_out", F.silu(self.norm("conv_norm_out", x)), padding=1)
        mean, logvar = x.chunk(2, dim=1)
        return mean, torch.exp(logvar.clamp(-30, 20) / 2)

    def time_embedding(self, t, batch):
        half = max(128, self.config["block_out_channels"][0]) // 2
        angles = t * torch.exp(-math.log(10000) * torch.arange(half) / half)
        embedding = torch.cat([angles.cos(), angles.sin()]).expand(batch, -1)
        return self.linear("time_embedding.linear_2", F.silu(self.linear("time_embedding.linear_1", embedding)))

    def resnet(self, name, x, temb):
        h = self.conv(f"{name}.conv1", F.silu(self.norm(f"{name}.norm1", x)), padding=1)
        h = h + self.linear(f"{name}.time_emb_proj", F.silu(temb))[:, :, None, None]
        h = self.conv(f"{name}.conv2", F.silu(self.norm(f"{name}.norm2", h)), padding=1)
        if f"encoder.{name}.conv_shortcut.weight" in self.state:
            x = self.conv(f"{name}.conv_shortcut", x)
        return x + h

    def attention(self, name, x):
        b, c, h, w = x.shape
        d = self.config["attention_head_dim"]
        tokens = self.norm(f"{name}.group_norm", x).flatten(2).transpose(1, 2)
        q, k, v = (self.linear(f"{name}.to_{which}", tokens).view(b, h * w, c // d, d).transpose(1, 2) for which in "qkv")
        mixed = F.scaled_dot_product_attention(q, k, v)  # softmax(q k' / sqrt(d)) v, without keeping all the weights
        mixed = self.linear(f"{name}.to_out.0", mixed.transpose(1, 2).reshape(b, h * w, c))
        return x + mixed.transpose(1, 2).reshape(b, c, h, w)

    def conv(self, name, x, **how):
        return F.conv2d(x, *self.weights(name), **how)

    def linear(self, name, x):
        return F.linear(x, *self.weights(name))

    def norm(self, name, x):
        return F.group_norm(x, self.config["norm_num_groups"], *self.weights(name), eps=1e-6)

    def weights(self, name):
        return self.state[f"encoder.{name}.weight"], self.state[f"encoder.{name}.bias"]


class Reference:
    def __init__(self):
        self.predictor = Predictor()
        self.vae = AutoencoderKL.from_pretrained(PIPELINE_TINY / "vae").eval()
        self.unet = UNet2DConditionModel.from_pretrained(PIPELINE_TINY / "unet").eval()
        self.tokenizer = CLIPTokenizer.from_pretrained(PIPELINE_TINY / "tokenizer")
        self.text_encoder = CLIPTextModel.from_pretrained(PIPELINE_TINY / "text_encoder").eval()

    @torch.no_grad()
    def patches(self, x, timesteps, guidance, eps, prompt=POSITIVE, negative=NEGATIVE):
        """Section 2: what `sample_patches` computes."""
        t = [nominal - 1 for nominal in timesteps]
        sigma = [self.sigma(k) for k in t] + [0.0]
        noise, noise_std = self.predictor(x, t[0])
        posterior = self.vae.encode(2 * F.interpolate(x, scale_factor=4, mode="bicubic", align_corners=False) - 1).latent_dist
        z = posterior.mean
        if eps != "mean":
            noise = noise + noise_std * eps["predictor"]
            z = z + posterior.std * eps["vae"]
        z = SCALING * z + sigma[0] * noise
        positive, negative = (self.text(words, len(x)) for words in (prompt, negative))
        for k in range(len(t)):
            z_in = z / math.sqrt(sigma[k] ** 2 + 1)
            e = self.unet(z_in, float(t[k]), positive).sample
            if guidance > 1:
                e_negative = self.unet(z_in, float(t[k]), negative).sample
                e = e_negative + guidance * (e - e_negative)
            z = z + (sigma[k + 1] - sigma[k]) * e
        return (self.vae.decode(z / SCALING).sample / 2 + 0.5).clamp(0, 1)

    @functools.cache  # noqa: B019 - one object, a few prompts
    def text(self, words, batch):
        ids = self.tokenizer(words, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
        return self.text_encoder(ids)[0].expand(batch, -1, -1)

    @staticmethod
    def sigma(t):
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
        remaining = float(torch.cumprod(1 - betas, 0)[t])
        return math.sqrt((1 - remaining) / remaining)

    @torch.no_grad()
    def picture(self, x, timesteps, guidance, patch, overlap, color_fix, eps):
        """Sections 3 and 4: what `sample_image` computes. eps(h, w) gives the draws for a padded picture of that size, or "mean"."""
        padded, (top, left) = pad(x, patch)
        h, w = padded.shape[2:]
        draws = eps(h, w)
        sums, weights = torch.zeros(len(x), 3, 4 * h, 4 * w, dtype=torch.float64), torch.zeros(4 * h, 4 * w, dtype=torch.float64)
        window = torch.outer(kernel(4 * patch), kernel(4 * patch))
        stride = int(patch * (1 - overlap))
        for row in starts(h, patch, stride):
            for column in starts(w, patch, stride):
                tile = padded[:, :, row : row + patch, column : column + patch]
                area = (..., slice(4 * row, 4 * (row + patch)), slice(4 * column, 4 * (column + patch)))
                sums[area] += window * self.patches(tile, timesteps, guidance, under(draws, row // 2, column // 2, patch // 2))
                weights[area] += window
        sr = (sums / weights).float()[:, :, 4 * top :, 4 * left :][:, :, : 4 * x.shape[2], : 4 * x.shape[3]]
        if color_fix == "ycbcr":
            sr = ycbcr(sr, F.interpolate(x, sr.shape[2:], mode="bicubic", align_corners=False, antialias=True))
        return sr.clamp(0, 1)


def under(draws, row, column, side):
    """The part of draws over a whole picture's latents that lies under a tile."""
    return draws if draws == "mean" else {name: value[:, :, row : row + side, column : column + side] for name, value in draws.items()}


def pad(x, patch):
    """By reflection to at least a patch, centred, as often as it takes; then right and bottom to multiples of 16. With the picture's corner."""
    top_sum = left_sum = 0
    while min(x.shape[2:]) < patch:
        (top, bottom), (left, right) = (halves(length, patch) for length in x.shape[2:])
        x = F.pad(x, (left, right, top, bottom), mode="reflect")
        top_sum, left_sum = top_sum + top, left_sum + left
    return F.pad(x, (0, -x.shape[3] % 16, 0, -x.shape[2] % 16), mode="reflect"), (top_sum, left_sum)


def halves(length, patch):
    before = min(max((patch - length) // 2, 0), length - 1)
    return before, min(max(patch - length - before, 0), length - 1)


def starts(length, patch, stride):
    found = []
    for start in range(0, length, stride):
        start = start if start + patch <= length else length - patch
        if start not in found:
            found.append(start)
    return found


def kernel(n):
    """Of an even length: the normalised Gaussian of length n + 1 without its first element."""
    sigma = 0.3 * ((n - 1) * 0.5 - 1) + 0.8
    weights = torch.exp(-((torch.arange(n + 1, dtype=torch.float64) - n / 2) ** 2) / (2 * sigma**2))
    return (weights / weights.sum())[1:]


def ycbcr(sr, reference):
    """The luma of sr, the chroma of the reference."""
    y, _, _ = to_ycbcr(sr)
    _, cb, cr = to_ycbcr(reference)
    red = 255 * (0.00456621 * y + 0.00625893 * cr) - 222.921
    green = 255 * (0.00456621 * y - 0.00153632 * cb - 0.00318811 * cr) + 135.576
    blue = 255 * (0.00456621 * y + 0.00791071 * cb) - 276.836
    return (torch.stack([red, green, blue], 1) / 255).clamp(0, 1)


def to_ycbcr(rgb):
    r, g, b = rgb.unbind(1)
    y = 16 + 65.481 * r + 128.553 * g + 24.966 * b
    cb = 128 - 37.797 * r - 74.203 * g + 112 * b
    cr = 128 + 112 * r - 93.786 * g - 18.214 * b
    return [value.clamp(0, 255) for value in (y, cb, cr)]


@pytest.fixture(scope="module")
def reference():
    return Reference()


def pictures(h, w):
    return torch.rand(2, 3, h, w, generator=torch.Generator().manual_seed(h + w))


def no_draws(h, w):
    return "mean"


def normal_draws(h, w):
    """Over the latents of pictures of that size."""
    generator = torch.Generator().manual_seed(h * w)
    return {name: torch.randn(2, 4, h // 2, w // 2, generator=generator) for name in ("predictor", "vae")}


@pytest.mark.parametrize("eps", [no_draws, normal_draws])
@pytest.mark.parametrize(
    ("timesteps", "guidance"),
    [([200], 1.0), ([250, 200, 150, 100, 50], 2.0), ([1000, 500, 1], 1.5)],
    ids=lambda value: str(value),
)
def test_patches(reference, sampler, timesteps, guidance, eps):
    lq, draws = pictures(32, 48), eps(32, 48)
    actual = sampler.sample_patches(lq, timesteps, guidance, draws)
    expected = reference.patches(lq, timesteps, guidance, draws)
    torch.testing.assert_close(actual, expected, atol=TOLERANCE, rtol=0)


def test_the_prompts_are_the_published_ones(sampler):
    """By their letters: the small text encoder cuts them off too early to tell."""
    assert (sampler.settings.prompt, sampler.settings.negative_prompt) == (POSITIVE, NEGATIVE)


@pytest.mark.parametrize("negative", ["", "a dog", None])
def test_other_prompts(reference, sampler, negative):
    lq = pictures(32, 32)
    actual = sampler.with_settings(prompt="x " * 200, negative_prompt=negative).sample_patches(lq, [200, 100], 2.0, "mean")
    expected = reference.patches(lq, [200, 100], 2.0, "mean", "x " * 200, negative or "")
    torch.testing.assert_close(actual, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(
    ("size", "timesteps", "guidance", "patch", "overlap", "color_fix", "eps"),
    [
        ((70, 110), [200], 2.0, 64, 0.5, "ycbcr", no_draws),
        ((2, 90), [250, 200, 150, 100, 50], 1.0, 32, 0.5, "none", normal_draws),  # padded in several rounds
        ((64, 64), [200], 1.0, 64, 0.5, "ycbcr", normal_draws),  # one tile
        ((50, 70), [200, 100], 1.0, 48, 0.25, "ycbcr", normal_draws),
    ],
)
def test_pictures(reference, tiny_config, size, timesteps, guidance, patch, overlap, color_fix, eps):
    lq = pictures(*size)
    settings = {"pch_size": patch, "overlap": overlap, "color_fix": color_fix, "timesteps": timesteps, "cfg_scale": guidance}
    sampler = InvSamplerSR(tiny_config).with_settings(**settings)
    padded, _ = pad(lq, patch)
    actual = sampler.sample_image(lq, eps(*padded.shape[2:]))
    expected = reference.picture(lq, timesteps, guidance, patch, overlap, color_fix, eps)
    torch.testing.assert_close(actual, expected, atol=TOLERANCE, rtol=0)
