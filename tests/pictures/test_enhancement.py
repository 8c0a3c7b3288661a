import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from utils.pictures.attention import attention_map
from utils.pictures.enhancement import GAIN, OVERSHOOT, enhanced


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def texture(h=60, w=70, seed=0):
    """Soft shapes, so that limits seldom bind."""
    return F.avg_pool2d(noise(1, 3, h + 4, w + 4, seed=seed), 5, 1)


def local_range(rgb):
    padded = F.pad(rgb, (2, 2, 2, 2), mode="replicate")
    return -F.max_pool2d(-padded, 5, 1), F.max_pool2d(padded, 5, 1)


def test_by_scipy():
    """The sharpened picture is the published formula, sr + 2 * mask * (sr - blur), with an absolute mask."""
    sr = texture()
    blur = torch.from_numpy(gaussian_filter(sr[0].numpy(), (0, 1.5, 1.5), mode="nearest", radius=(0, 2, 2)))
    low, high = local_range(sr)
    expected = torch.lerp(sr, torch.clamp(sr + GAIN * attention_map(sr) ** 2 * (sr - blur), low, high), 0.5)
    error = (enhanced(sr, 0.5) - expected).abs()
    assert error.median() < 1e-6 and error.max() < 0.5 * OVERSHOOT


@given(strength=st.floats(0.01, 1), seed=st.integers(0, 20))
def test_strength_is_linear(strength, seed):
    """Defect of the seed: the effect grew with the square of the strength."""
    sr = noise(1, 3, 20, 24, seed=seed)
    full, part = enhanced(sr, 1.0) - sr, enhanced(sr, strength) - sr
    assert full.abs().max() > 0.05
    torch.testing.assert_close(part, strength * full, atol=1e-6, rtol=0)


@given(strength=st.floats(0, 1), seed=st.integers(0, 20), contrast=st.floats(0, 1))
def test_no_overshoot_beyond_what_the_strength_says(strength, seed, contrast):
    sr = noise(1, 3, 17, 23, seed=seed) * contrast + (1 - contrast) / 2
    low, high = local_range(sr)
    allowed = strength * OVERSHOOT * (high - low) + 1e-6
    result = enhanced(sr, strength)
    assert (result >= low - allowed).all() and (result <= high + allowed).all() and result.min() >= 0 and result.max() <= 1


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_the_frame_is_not_brightened(level):
    """Defect of the seed: 0.5 became 0.62 along the border and 0.71 in the corners."""
    assert torch.equal(enhanced(torch.full((1, 3, 32, 32), level), 1.0), torch.full((1, 3, 32, 32), level))


def test_texture_changes_as_much_at_the_border_as_inside():
    sr = noise(300, 3, 24, 24)
    change = (enhanced(sr, 1.0) - sr).abs().mean((0, 1))
    inside = float(change[8:-8, 8:-8].mean())
    for part in (change[0], change[-1], change[:, 0], change[:, -1]):
        assert 0.6 * inside < float(part.mean()) < 1.2 * inside  # a little less: replicated neighbours hold no detail


def test_edges_get_steeper_and_stay_where_they_are():
    ramp = torch.sigmoid(torch.arange(64) - 31.5).mul(0.6).add(0.2).expand(1, 3, 64, 64)
    result = enhanced(ramp, 1.0)
    assert result[0, 0, 32].diff().max() > 1.05 * ramp[0, 0, 32].diff().max()
    assert result[0, 0, 32].diff().argmax() == 31, "and the middle is in the middle"
    torch.testing.assert_close(result[0, 0, 32] + result[0, 0, 32].flip(0), torch.ones(64), atol=1e-5, rtol=0)


def test_grain_is_left_alone():
    grain = 0.5 + 2 / 255 * torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert enhanced(grain, 1.0).std() < 1.05 * grain.std()


def test_an_edge_elsewhere_changes_nothing_here():
    """Defect of the seed: its mask was relative to the strongest edge of the picture."""
    sr = texture() * 0.2 + 0.4
    other = sr.clone()
    other[..., :6, :6] = 1.0
    torch.testing.assert_close(enhanced(other, 0.5)[..., 30:, 30:], enhanced(sr, 0.5)[..., 30:, 30:], atol=1e-6, rtol=0)
