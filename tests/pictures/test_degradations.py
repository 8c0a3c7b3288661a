import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import convolve

from utils.pictures.degradations import DEMOSAICINGS, DRAWS, KERNELS, Degradation, blur, degrade, demosaic, draw_degradation, gaussian_kernel, resize


@given(seed=st.integers(0, 2**32), height=st.integers(1, 12), width=st.integers(1, 12), kind=st.sampled_from(list(DRAWS)))
@settings(max_examples=40, deadline=None)
def test_any_draw_gives_an_8_bit_picture_of_the_reduced_size_and_the_same_one_again(seed, height, width, kind):
    rgb = np.random.default_rng(1).random((4 * height, 4 * width, 3), dtype=np.float32)
    pictures = []
    for _ in range(2):
        rng = np.random.default_rng(seed)
        pictures.append(degrade(rgb, draw_degradation(rng, 4, 0.2, kind), rng))
    lq = pictures[0]
    assert lq.shape == (height, width, 3) and lq.dtype == np.float32
    assert lq.min() >= 0 and lq.max() <= 1
    np.testing.assert_allclose(lq * 255, np.round(lq * 255), atol=1e-4)
    np.testing.assert_array_equal(*pictures)


def test_the_input_is_left_alone(photo):
    rgb = photo.astype(np.float32) / 255
    before = rgb.copy()
    how = Degradation(blur_sigma=(1, 1), detour=0.8, demosaicing="bilinear", smoothing=0.1, noise_sd=0.1, jpeg_quality=70)
    degrade(rgb, how, np.random.default_rng(0))
    np.testing.assert_array_equal(rgb, before)


def test_the_default_is_the_bicubic_reduction_alone(photo):
    rgb = photo.astype(np.float32) / 255
    lq = degrade(rgb, Degradation(), np.random.default_rng(0))
    np.testing.assert_allclose(lq, np.clip(resize(rgb, (30, 33)), 0, 1), atol=0.5001 / 255)


@pytest.mark.parametrize(
    "how",
    [
        Degradation(blur_sigma=(2, 2)),
        Degradation(detour=0.5),
        Degradation(detour=0.3, detour_kernel="nearest"),
        Degradation(detour=0.4, detour_jpeg=40),
        Degradation(kernel="aliased"),
        Degradation(kernel="nearest"),
        Degradation(demosaicing="bilinear"),
        Degradation(demosaicing="edge-aware"),
        Degradation(smoothing=0.1),
        Degradation(sharpening=1.0),
        Degradation(noise_sd=10 / 255),
        Degradation(jpeg_quality=60),
    ],
)
def test_each_degradation_changes_the_picture_but_does_not_move_it(photo, how):
    rgb = photo[:, :128].astype(np.float32) / 255
    clean = degrade(rgb, Degradation(), np.random.default_rng(0))
    poor = degrade(rgb, how, np.random.default_rng(0))

    def distance(down, right):
        moved = np.roll(poor, (down, right), (0, 1))[2:-2, 2:-2]
        return np.square(moved - clean[2:-2, 2:-2]).mean()

    assert 0 < distance(0, 0) < min(distance(*shift) for shift in [(0, 1), (1, 0), (0, -1), (-1, 0)])


def test_sharpening_adds_the_asked_share_of_what_blur_takes_away():
    step = np.full((64, 64, 3), 0.3, np.float32)
    step[:, 32:] = 0.6
    clean, sharp = (degrade(step, Degradation(sharpening=amount, sharpening_sigma=0.8), np.random.default_rng(0)) for amount in (0.0, 0.5))
    soft = blur(clean, gaussian_kernel((0.8, 0.8)))
    np.testing.assert_allclose(sharp - clean, 0.5 * (clean - soft), atol=1.51 / 255)
    assert np.abs(sharp - clean).max() > 4 / 255


def test_noise_has_the_asked_strength():
    grey = np.full((256, 256, 3), 0.5, np.float32)
    noise = degrade(grey, Degradation(noise_sd=8 / 255), np.random.default_rng(0)) - 0.5
    assert noise.std() == pytest.approx(8 / 255, rel=0.03)


def test_a_jpeg_on_the_way_there_leaves_blocks_of_another_size():
    """A slope becomes flat blocks: those of a JPEG at half the size are 16 pixels wide, which is 4 of the result."""
    slope = np.tile((0.3 + 0.4 * np.arange(256, dtype=np.float32) / 256)[:, None], (64, 1, 3))
    blocks = degrade(slope, Degradation(detour=0.5, detour_jpeg=10), np.random.default_rng(0))
    steps = np.abs(np.diff(blocks, axis=1)).mean((0, 2))
    assert steps[3::4].mean() > 5 * np.delete(steps, np.s_[3::4]).mean()


def test_noise_is_added_before_jpeg(photo):
    grey = np.full((64, 64, 3), 0.5, np.float32)
    noisy = degrade(grey, Degradation(noise_sd=8 / 255), np.random.default_rng(0))
    compressed = degrade(grey, Degradation(noise_sd=8 / 255, jpeg_quality=60), np.random.default_rng(0))
    assert compressed.std() < 0.8 * noisy.std()


def test_a_kernel_sums_to_one_and_is_wide_along_its_angle():
    wide = gaussian_kernel((3.0, 0.5), angle=0.0)
    assert wide.sum() == pytest.approx(1, abs=1e-5)
    centre = wide.shape[0] // 2
    assert wide[centre, centre + 3] > 100 * wide[centre + 3, centre]
    np.testing.assert_allclose(gaussian_kernel((3.0, 0.5), angle=np.pi / 2), wide.T, atol=1e-6)


def test_blur_keeps_a_flat_picture_flat_up_to_its_border():
    flat = np.full((20, 30, 3), 0.3, np.float32)
    np.testing.assert_allclose(blur(flat, gaussian_kernel((2.0, 1.0), 0.4)), flat, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("sigma", [(0.5, 0.5), (1.2, 0.3), (2.5, 0.7)])
def test_blur_is_a_convolution_of_the_picture_continued_by_its_edge(channels, sigma):
    rgb = np.rot90(np.random.default_rng(0).random((13, 9, channels), dtype=np.float32))
    kernel = gaussian_kernel(sigma, 0.4)
    each = [convolve(rgb[..., channel], kernel, mode="nearest") for channel in range(channels)]
    np.testing.assert_allclose(blur(rgb, kernel), np.stack(each, 2), atol=1e-6)


@pytest.mark.parametrize("kind", DRAWS)
def test_half_of_the_draws_are_clean(kind):
    rng = np.random.default_rng(0)
    clean = [draw_degradation(rng, 4, 0.5, kind) == Degradation(4) for _ in range(400)]
    assert 0.42 < np.mean(clean) < 0.58


def test_some_varied_draws_are_sharp_and_all_soft_ones_are_blurred():
    rng = np.random.default_rng(0)
    draws = {kind: [draw_degradation(rng, 4, 0.0, kind) for _ in range(200)] for kind in DRAWS}
    assert all(how.blur_sigma[0] > 0 and how.sharpening == 0 and how.kernel == "bicubic" for how in draws["soft"])
    assert 40 < sum(how.blur_sigma == (0, 0) or how.sharpening > 0 for how in draws["varied"]) < 160
    assert {how.kernel for how in draws["varied"]} == set(KERNELS) - {"nearest"}


def test_found_draws_have_stair_steps_and_most_of_those_are_not_blurred():
    rng = np.random.default_rng(0)
    draws = [draw_degradation(rng, 4, 0.0, "found") for _ in range(400)]
    nearest = [how for how in draws if "nearest" in (how.kernel, how.detour_kernel)]
    assert 50 < len(nearest) < 100
    assert 0.6 < np.mean([how.blur_sigma == (0, 0) for how in nearest]) < 0.95
    before = [how for how in draws if how.detour_kernel != "bicubic" or how.detour_jpeg is not None]
    assert 60 < len(before) < 140 and all(1 <= 4 * how.detour <= 2 for how in before)
    assert 0.5 < np.mean([how.detour_jpeg is not None for how in before]) < 0.9
    assert 0.6 < np.mean([how.noise_sd < 3 / 255 for how in draws]) < 0.75


def test_found_draws_come_from_a_bayer_sensor_are_smoothed_or_plainly_soft():
    rng = np.random.default_rng(0)
    draws = [draw_degradation(rng, 4, 0.0, "found") for _ in range(400)]
    assert {how.demosaicing for how in draws} == {None, *DEMOSAICINGS}
    assert 35 < sum(how.demosaicing is not None for how in draws) < 85
    assert 35 < sum(how.smoothing > 0 for how in draws) < 85
    assert 0.02 < max(how.smoothing for how in draws) < 0.12
    softs = [how for how in draws if how == _soft_part(how)]
    assert 75 < len(softs) < 125


def _soft_part(how):
    names = ("blur_sigma", "blur_angle", "detour", "noise_sd", "jpeg_quality")
    return Degradation(**{name: getattr(how, name) for name in names})


@pytest.mark.parametrize("how", DEMOSAICINGS)
@pytest.mark.parametrize(("height", "width"), [(9, 7), (1, 1), (2, 3)])
def test_a_bayer_sensor_sees_flat_colours_as_they_are_up_to_the_border(how, height, width):
    flat = np.full((height, width, 3), (0.8, 0.3, 0.1), np.float32)
    np.testing.assert_allclose(demosaic(flat, how), flat, atol=1e-4)


@pytest.mark.parametrize("how", DEMOSAICINGS)
def test_a_bayer_sensor_keeps_what_it_sees_and_gives_fine_grey_lines_false_colours(how):
    y, x = np.mgrid[:40, :40]
    grey = np.where((x + 2 * y) % 5 < 2, 0.1, 0.9).astype(np.float32)[..., None].repeat(3, axis=2)
    seen = demosaic(grey, how)
    assert np.ptp(seen[4:-4, 4:-4], axis=2).mean() > 0.1
    for channel, rows, columns in ((0, 0, 0), (1, 0, 1), (1, 1, 0), (2, 1, 1)):
        np.testing.assert_allclose(seen[rows::2, columns::2, channel], grey[rows::2, columns::2, channel], atol=1e-4)


def test_grey_can_be_smoothed_and_has_no_colours_for_a_sensor(photo):
    grey = photo[:, :128, :1].astype(np.float32) / 255
    poor = degrade(grey, Degradation(demosaicing="bilinear", smoothing=0.1, jpeg_quality=90), np.random.default_rng(0))
    assert poor.shape == (30, 32, 1)
    np.testing.assert_array_equal(*(degrade(grey, Degradation(demosaicing=how), np.random.default_rng(0)) for how in (None, "bilinear")))


def test_smoothing_smears_weak_texture_and_keeps_a_strong_edge():
    picture = np.full((64, 128, 3), 0.3, np.float32)
    picture[:, 64:] = 0.8
    texture = np.random.default_rng(0).normal(0, 0.05, (16, 32, 1)).repeat(4, axis=0).repeat(4, axis=1)
    textured = (picture + texture).astype(np.float32)
    sharp, smeared = (degrade(textured, Degradation(smoothing=smoothing), np.random.default_rng(0)) for smoothing in (0.0, 0.12))
    assert smeared[:, 2:14].std() < 0.75 * sharp[:, 2:14].std()
    assert abs(np.diff(smeared.mean(axis=(0, 2))).max() / np.diff(sharp.mean(axis=(0, 2))).max() - 1) < 0.1


@pytest.mark.parametrize("how", [Degradation(kernel="nearest"), Degradation(detour=0.25, detour_kernel="nearest")])
def test_nearest_makes_stair_steps_of_a_slanted_edge(how):
    """Seen in the height of the edge, column by column: along a straight slope its second difference is zero."""
    y, x = np.mgrid[:128, :256].astype(np.float32)
    edge = np.clip(y - 40 - x / 5, 0, 1)[..., None].repeat(3, axis=2)

    def raggedness(how):
        height = degrade(edge, how, np.random.default_rng(0))[..., 0].sum(0)
        return np.abs(np.diff(height, 2))[3:-3].max()

    assert raggedness(Degradation()) < 0.05 and raggedness(how) > 0.5


def test_a_size_that_the_factor_does_not_divide_is_refused(photo):
    with pytest.raises(ValueError, match="multiple of 4"):
        degrade(photo[:31].astype(np.float32), Degradation(), np.random.default_rng(0))
