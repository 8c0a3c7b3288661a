import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

from tests.conftest import PIPELINE_TINY
from utils.training.latent_losses import LatentFeatureDistance, PatchDiscriminator, divergence_from_unit_noise


@pytest.fixture(scope="module")
def unet():
    return UNet2DConditionModel.from_pretrained(PIPELINE_TINY / "unet").eval().requires_grad_(False)


@pytest.fixture
def latents():
    z = torch.randn(3, 2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    text = torch.randn(2, 77, 32, generator=torch.Generator().manual_seed(1))
    return z[0], z[1], z[2], text


def test_the_latent_feature_distance_grows_with_the_difference(unet, latents):
    target, other, eps, text = latents
    distance = LatentFeatureDistance(unet, torch.tensor(49.0), torch.tensor(0.223))
    none, little, much = (float(distance(target + d * other, target, eps, text)) for d in (0, 0.1, 0.5))
    assert none == 0 and 0 < little < much < 4


def test_the_latent_feature_distance_pulls_towards_the_target(unet, latents):
    target, other, eps, text = latents
    distance = LatentFeatureDistance(unet, torch.tensor(49.0), torch.tensor(0.223))
    z = (target + 0.3 * other).requires_grad_()
    distance(z, target, eps, text).backward()
    closer = distance(z.detach() - 0.5 * z.grad / z.grad.norm(), target, eps, text)
    assert closer < distance(z.detach(), target, eps, text)


def test_features_are_those_of_the_stock_network(unet, latents):
    """What its contracting half hands to the other half by the skip connections."""
    z, _, _, text = latents
    seen = []
    hooks = [block.register_forward_hook(lambda module, args, output: seen.append(output[0])) for block in unet.down_blocks]
    sigma = torch.tensor(0.223)
    unet(z / (sigma**2 + 1) ** 0.5, torch.tensor(49.0), text)
    for hook in hooks:
        hook.remove()
    features = list(LatentFeatureDistance(unet, torch.tensor(49.0), sigma)._features(z, text))
    assert len(features) == len(seen) == 4
    for ours, stock in zip(features, seen, strict=True):
        torch.testing.assert_close(ours, stock)


def test_the_discriminator_learns_and_only_from_its_own_loss(latents):
    torch.manual_seed(0)
    sharp, made, _, _ = latents
    discriminator, made = PatchDiscriminator(4, 8), (0.3 * made).requires_grad_()
    assert discriminator(sharp).shape == (2, 1, 4, 4)
    discriminator.verdict(made).backward()
    assert made.grad.abs().sum() > 0 and all(p.grad is None for p in discriminator.parameters())
    made.grad = None
    optimiser = torch.optim.Adam(discriminator.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = discriminator.loss(made, sharp)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert made.grad is None and losses[-1] < 0.5 * losses[0]
    assert discriminator(sharp).mean() > discriminator(made).mean()
    assert discriminator.verdict(made).item() == pytest.approx(-discriminator(made).mean().item())


def test_the_divergence_is_zero_for_unit_noise_and_grows_as_the_spread_collapses():
    def divergence(mean, logvar):
        parameters = torch.cat([torch.full((1, 4, 2, 2), mean), torch.full((1, 4, 2, 2), logvar)], 1)
        return divergence_from_unit_noise(DiagonalGaussianDistribution(parameters)).item()

    assert divergence(0.0, 0.0) == 0
    assert divergence(2.0, 0.0) == pytest.approx(2.0)
    assert divergence(0.0, -10.0) == pytest.approx(4.5, abs=1e-4)
