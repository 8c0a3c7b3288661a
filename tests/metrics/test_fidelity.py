import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from utils.metrics.fidelity import luma, psnr_rgb, psnr_y, smallest_side, ssim_rgb, ssim_y


def tensor(pixels):
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 255


@pytest.fixture(scope="module")
def pair():
    """An 8-bit picture and a noisy one, [40,50,3]."""
    rng = np.random.default_rng(0)
    hr = rng.integers(20, 236, (40, 50, 3), dtype=np.uint8)
    return np.clip(hr + rng.normal(0, 9, hr.shape), 0, 255).round().astype(np.uint8), hr


def y_by_hand(pixels):
    r, g, b = np.moveaxis(pixels.astype(float) / 255, -1, 0)
    return 16 + 65.481 * r + 128.553 * g + 24.966 * b


def test_luma_of_the_corners_of_the_colour_cube():
    corners = torch.tensor([[0.0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]).T.reshape(1, 3, 1, 5)
    torch.testing.assert_close(luma(corners).flatten(), torch.tensor([16, 235, 81.481, 144.553, 40.966], dtype=torch.float64), atol=1e-9, rtol=0)


def test_psnr_by_hand():
    """Ten grey levels of 255 off: 20 log10(255/10) in RGB; in luma the same step is 10 * 219/255."""
    grey = torch.full((1, 3, 32, 32), 100 / 255)
    brighter = grey + 10 / 255
    brighter[..., :4, :] = 0
    assert psnr_rgb(brighter, grey) == pytest.approx(20 * math.log10(25.5), abs=1e-9)
    assert psnr_y(brighter, grey) == pytest.approx(20 * math.log10(255 / (10 * 219 / 255)), abs=1e-6)
    assert psnr_rgb(brighter, grey, border=0) < psnr_rgb(brighter, grey)


def test_psnr_counts_all_colours_together():
    grey = torch.full((1, 3, 32, 32), 0.4)
    red = grey.clone()
    red[:, 0] += 30 / 255
    assert psnr_rgb(red, grey) == pytest.approx(20 * math.log10(255 / (30 / math.sqrt(3))), abs=1e-9)


@pytest.mark.parametrize("border", [0, 4, 7])
def test_as_scikit_image(pair, border):
    sr, hr = pair
    inside = np.s_[border : 40 - border, border : 50 - border]
    ssim = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    given_pair = tensor(sr), tensor(hr)
    assert psnr_rgb(*given_pair, border) == pytest.approx(peak_signal_noise_ratio(hr[inside], sr[inside], data_range=255), abs=1e-9)
    assert psnr_y(*given_pair, border) == pytest.approx(
        peak_signal_noise_ratio(y_by_hand(hr)[inside], y_by_hand(sr)[inside], data_range=255), abs=1e-6
    )
    assert ssim_y(*given_pair, border) == pytest.approx(structural_similarity(y_by_hand(hr)[inside], y_by_hand(sr)[inside], **ssim), abs=1e-9)
    assert ssim_rgb(*given_pair, border) == pytest.approx(structural_similarity(hr[inside], sr[inside], channel_axis=2, **ssim), abs=1e-9)


def test_ssim_of_one_window_by_hand(pair):
    """A picture of 11 x 11 is a single window: weighted means, variances and covariance in Wang's formula, in plain numpy."""
    sr, hr = (pixels[:11, :11] for pixels in pair)
    x, y = y_by_hand(sr), y_by_hand(hr)
    along = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(along, along) / np.outer(along, along).sum()
    mean_x, mean_y = (window * x).sum(), (window * y).sum()
    var_x, var_y = (window * (x - mean_x) ** 2).sum(), (window * (y - mean_y) ** 2).sum()
    covariance = (window * (x - mean_x) * (y - mean_y)).sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    expected = (2 * mean_x * mean_y + c1) * (2 * covariance + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    assert ssim_y(tensor(sr), tensor(hr), border=0) == pytest.approx(expected, abs=1e-9)


def test_ssim_by_hand_of_two_flat_pictures():
    """Without structure only the brightness term is left: (2ab + c1) / (a^2 + b^2 + c1)."""
    dark, light = torch.full((1, 3, 24, 24), 50 / 255), torch.full((1, 3, 24, 24), 150 / 255)
    c1 = (0.01 * 255) ** 2
    assert ssim_rgb(dark, light) == pytest.approx((2 * 50 * 150 + c1) / (50**2 + 150**2 + c1), abs=1e-9)


@given(seed=st.integers(0, 99), h=st.integers(19, 40), w=st.integers(19, 40))
@settings(max_examples=25)
def test_equal_pictures_are_perfect_and_order_does_not_matter(seed, h, w):
    rng = np.random.default_rng(seed)
    a, b = (torch.from_numpy(rng.random((1, 3, h, w), dtype=np.float32)) for _ in range(2))
    assert psnr_y(a, a) == psnr_rgb(a, a) == math.inf
    assert ssim_y(a, a) == pytest.approx(1) and ssim_rgb(a, a) == pytest.approx(1)
    for measure in (psnr_y, psnr_rgb, ssim_y, ssim_rgb):
        assert measure(a, b) == pytest.approx(measure(b, a))
        assert measure(a, b) < measure(a, a)


def test_pictures_are_compared_as_8_bit_files_would_hold_them():
    grey = torch.full((1, 3, 20, 20), 100 / 255)
    assert psnr_y(grey + 0.4 / 255, grey) == math.inf
    assert psnr_rgb(torch.full_like(grey, 1.3), torch.ones_like(grey)) == math.inf


def test_a_border_that_leaves_nothing_is_refused():
    assert smallest_side(4) == 19
    small = torch.zeros(1, 3, 8, 30)
    with pytest.raises(ValueError, match="nothing is left"):
        psnr_y(small, small, border=4)
