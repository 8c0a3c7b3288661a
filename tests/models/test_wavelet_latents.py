import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.models.wavelet_latents import WaveletLatents, haar_basis


@given(h=st.integers(1, 9), w=st.integers(1, 9), levels=st.integers(1, 3))
def test_the_transform_inverts_exactly(h, w, levels):
    latents = WaveletLatents(levels=levels, channel_std=[0.1 + k / 10 for k in range(3 * 4**levels)])
    px = torch.rand(2, 3, h * 2**levels, w * 2**levels) * 2 - 1
    z = latents.encode(px).latent_dist.mean
    assert z.shape == (2, 3 * 4**levels, h, w)
    torch.testing.assert_close(latents.decode(z).sample, px, atol=1e-5, rtol=0)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_the_basis_is_orthonormal_and_starts_with_the_mean(levels):
    basis = haar_basis(levels)
    torch.testing.assert_close(basis @ basis.T, torch.eye(4**levels))
    torch.testing.assert_close(basis[0], torch.full((4**levels,), 1 / 2**levels))


def test_its_distribution_has_no_spread_and_the_wrong_number_of_deviations_is_refused():
    distribution = WaveletLatents().encode(torch.rand(1, 3, 8, 8)).latent_dist
    assert distribution.std.abs().max() == 0
    with pytest.raises(ValueError, match="48 values"):
        WaveletLatents(levels=2, channel_std=[1.0])


def test_it_survives_saving(tmp_path):
    latents = WaveletLatents(channel_std=[0.5] * 48)
    latents.save_config(tmp_path)
    px = torch.rand(1, 3, 8, 8)
    again = WaveletLatents.from_config(WaveletLatents.load_config(tmp_path))
    assert torch.equal(again.encode(px).latent_dist.mean, latents.encode(px).latent_dist.mean)
