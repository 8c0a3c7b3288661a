import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.filters import gaussian

from utils.pictures.attention import HALF_ATTENTION, attention_map

sides = st.integers(1, 40)


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_by_opencv_and_scikit_image_where_the_border_is_far():
    rgb = noise(1, 3, 40, 44)
    grey = 0.299 * rgb[0, 0] + 0.587 * rgb[0, 1] + 0.114 * rgb[0, 2]
    down, across = (cv2.Sobel(grey.numpy(), cv2.CV_64F, *axes) / 8 for axes in ((0, 1), (1, 0)))
    slope = gaussian(np.hypot(down, across), 2, truncate=3)
    expected = slope / (slope + HALF_ATTENTION)
    np.testing.assert_allclose(attention_map(rgb)[0, 0, 8:-8, 8:-8], expected[8:-8, 8:-8], atol=1e-5)


@given(h=sides, w=sides, batch=st.integers(1, 3), dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32]), scale=st.floats(0, 1))
def test_in_range_for_every_size_and_precision(h, w, batch, dtype, scale):
    attention = attention_map((noise(batch, 3, h, w) * scale).to(dtype))
    assert attention.shape == (batch, 1, h, w) and attention.dtype == dtype
    assert attention.min() >= 0 and attention.max() <= 1  # false for NaN


@given(h=sides, w=sides, level=st.sampled_from([0.0, 1e-4, 0.5, 1.0]), dtype=st.sampled_from([torch.float16, torch.float32]))
def test_a_flat_picture_has_none_and_is_never_nan(h, w, level, dtype):
    """The seed's stretching to [0,1] is 0/0 there, NaN in half precision."""
    assert attention_map(torch.full((1, 3, h, w), level, dtype=dtype)).abs().max() < 1e-3


def test_grain_of_a_flat_picture_is_not_structure():
    """The seed stretches it to the full range."""
    grain = 0.5 + 2 / 255 * torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert attention_map(grain).max() < 0.2


@pytest.mark.parametrize("axis", [2, 3])
def test_a_ramp_is_the_same_at_the_border(axis):
    ramp = (torch.arange(48) * 0.01).view((1, 1, 48, 1) if axis == 2 else (1, 1, 1, 48)).expand(1, 3, 48, 48)
    torch.testing.assert_close(attention_map(ramp), torch.full((1, 1, 48, 48), 0.25), atol=1e-4, rtol=0)


def test_texture_is_the_same_at_the_border_and_in_the_corner():
    """The seed's zero padding makes an edge of the frame."""
    mean = attention_map(noise(400, 3, 24, 24)).mean(0)[0]
    inside = float(mean[8:-8, 8:-8].mean())
    for part in (mean[0], mean[-1], mean[:, 0], mean[:, -1], mean[:3, :3], mean[-3:, -3:]):
        assert float(part.mean()) == pytest.approx(inside, rel=0.02)


def test_an_edge_stands_out_where_it_is():
    rgb = torch.zeros(1, 3, 64, 64)
    rgb[..., 30:] = 1
    attention = attention_map(rgb)[0, 0]
    assert attention[:, 28:32].min() > 0.7 and attention[:, :16].max() < 0.01 and attention[:, -16:].max() < 0.01


def test_attention_depends_on_neither_the_rest_of_the_picture_nor_the_batch():
    rgb = noise(2, 3, 40, 40)
    changed = rgb.clone()
    changed[:, :, 30:] *= 0.1
    torch.testing.assert_close(attention_map(changed)[:, :, :20], attention_map(rgb)[:, :, :20])
    torch.testing.assert_close(attention_map(rgb)[1:], attention_map(rgb[1:]))


def test_directions_are_equal():
    rgb = noise(1, 3, 20, 31)
    torch.testing.assert_close(attention_map(rgb.mT), attention_map(rgb).mT)
    torch.testing.assert_close(attention_map(rgb.flip(-1)), attention_map(rgb).flip(-1))
