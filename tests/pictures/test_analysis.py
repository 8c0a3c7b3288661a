import io
import time

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import SHARED
from utils.pictures.analysis import CELL, jpeg_noise, measure
from utils.planning.adaptive import auto_consistency

BENCH = sorted((SHARED / "data" / "bench").glob("*/*.png"))
needs_photographs = pytest.mark.skipif(not BENCH, reason="no photographs beside the project")


def grain(picture, sigma, seed=0):
    """An 8-bit picture with Gaussian noise."""
    noisy = picture + np.random.default_rng(seed).normal(0, sigma, picture.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def compressed(picture, quality):
    """The picture after JPEG."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def in_colour(grey):
    """[h,w] in 0..255 -> [h,w,3] float32 in [0,1], as `measure` hands it on."""
    return np.repeat(grey[..., None], 3, 2) / np.float32(255)


def half_detailed(h=128, w=192):
    """Flat on its left, a checkerboard of 3 pixels on its right."""
    y, x = np.mgrid[:h, :w]
    grey = np.where(x < w // 2, 128, 60 + 140 * ((x // 3 + y // 3) % 2))
    return np.repeat(grey[..., None], 3, 2).astype(np.uint8)


def photographs(count):
    return [cv2.imread(str(path))[..., ::-1] for path in BENCH[:: max(len(BENCH) // count, 1)]]


# ---- complexity ----


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (5, 3), (64, 64), (200, 31)])
@pytest.mark.parametrize("value", [0, 1, 90, 255])
def test_a_blank_picture_is_not_complex(size, value):
    """Defect of the reference programs: complexity depends on brightness and size; a white picture of 64 x 64 counts as medium."""
    for picture in (np.full((*size, 3), value, np.uint8), np.full((*size, 3), value * 257, np.uint16), np.full((*size, 3), value / 255, np.float32)):
        stats = measure(picture)
        assert (stats.complexity, stats.noise, stats.blur) == (0, 0, 0)
        assert stats.complexity_map.values.max() < 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_a_flat_coloured_picture_is_not_complex(seed):
    """Its grey values differ in the last digit by place, where the filters that make them change: they must share a bin of the histogram."""
    rng = np.random.default_rng(seed)
    for _ in range(8):
        colour, size = rng.integers(0, 256, 3), tuple(rng.integers(1, 120, 2))
        for flat in (colour.astype(np.uint8), (colour * 257).astype(np.uint16), rng.random(3).astype(np.float32)):
            stats = measure(np.broadcast_to(flat, (*size, 3)).copy())
            assert (stats.complexity, stats.noise, stats.blur) == (0, 0, 0), (flat, size)
            assert stats.complexity_map.values.max() < 1e-6


def test_complexity_orders_pictures(photo):
    ramp = np.repeat(np.linspace(40, 200, 132)[None, :, None], 120, 0).repeat(3, 2).astype(np.uint8)
    scores = [measure(picture).complexity for picture in (np.full_like(photo, 90), ramp, photo)]
    assert scores == sorted(scores) and scores[0] == 0 and scores[1] < 0.4 < scores[2] <= 1


@pytest.mark.parametrize(
    "changed",
    [np.fliplr, np.flipud, np.rot90, lambda p: np.tile(p, (2, 2, 1)), lambda p: np.tile(p, (1, 5, 1)), lambda p: np.hstack([p, np.fliplr(p)])],
)
def test_mirroring_and_repeating_do_not_change_complexity(photo, changed):
    assert measure(changed(photo)).complexity == pytest.approx(measure(photo).complexity, abs=0.02)


@pytest.mark.parametrize("rounded", [False, True])
def test_dimming_does_not_change_complexity(photo, rounded):
    dim = np.rint(photo * 0.5).astype(np.uint8) if rounded else (photo / 510).astype(np.float32)
    assert measure(dim).complexity == pytest.approx(measure(photo).complexity, abs=0.05)


@needs_photographs
def test_complexity_of_photographs_stays_when_they_are_mirrored_repeated_or_dimmed():
    for photograph in photographs(6):
        score = measure(photograph).complexity
        assert 0.1 < score < 0.9
        assert measure(np.rint(photograph * 0.5).astype(np.uint8)).complexity == pytest.approx(score, abs=0.05)
        for changed in (np.tile(photograph, (2, 2, 1)), photograph[::-1], np.hstack([photograph, photograph[:, ::-1]])):
            assert measure(changed).complexity == pytest.approx(score, abs=0.02)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_any_picture_has_statistics_within_their_ranges(h, w, seed):
    stats = measure(np.random.default_rng(seed).integers(0, 256, (h, w, 3)).astype(np.uint8))
    cells = stats.complexity_map.values
    assert 0 <= stats.complexity <= 1 and 0 <= stats.noise < 255 and 0 <= stats.blur <= 20
    assert cells.shape == (-(-h // CELL), -(-w // CELL)) and 0 <= cells.min() <= cells.max() <= 1


def test_the_map_says_where_the_detail_is():
    cells = measure(half_detailed()).complexity_map.values
    assert cells.shape == (8, 12)
    assert cells[:, :5].max() == 0 and cells[:, 7:].min() > 0.5
    turned = measure(half_detailed().transpose(1, 0, 2)).complexity_map.values
    np.testing.assert_allclose(turned, cells.T, atol=1e-5)


def test_borders_are_not_detail():
    """Defect of the reference programs: filters that see black beyond the border find an edge there."""
    cells = measure(np.full((64, 80, 3), 250, np.uint8) - np.arange(80, dtype=np.uint8)[:, None]).complexity_map.values
    assert cells.max() - cells.min() < 0.03  # a slope, alike everywhere but that what is outside continues by reflection


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
def test_every_depth_gives_the_same_statistics(photo, dtype):
    deep = (photo / 255).astype(dtype) if np.issubdtype(dtype, np.floating) else photo.astype(dtype) * 257
    ours, theirs = measure(deep), measure(photo)
    assert (ours.complexity, ours.noise, ours.blur) == pytest.approx((theirs.complexity, theirs.noise, theirs.blur), rel=1e-3, abs=1e-3)


def test_measuring_leaves_the_picture_alone(photo):
    picture = (photo / 255).astype(np.float32)
    before = picture.copy()
    measure(picture)
    assert np.array_equal(picture, before)


# ---- noise ----


@pytest.mark.parametrize("sigma", [1, 2, 4, 9, 20])
def test_noise_is_measured_whatever_is_below_it(photo, sigma):
    assert measure(grain(np.full((96, 96, 3), 120), sigma)).noise == pytest.approx(sigma, rel=0.1)
    assert measure(grain(cv2.GaussianBlur(photo, (0, 0), 1.5), sigma)).noise == pytest.approx(sigma, rel=0.25, abs=0.3)


def test_noise_that_is_cut_off_at_black_and_white_is_not_overlooked():
    picture = np.full((128, 128, 3), 255.0)
    picture[:, 64:] = 120
    assert measure(grain(picture, 8)).noise == pytest.approx(8, rel=0.15)


@pytest.mark.parametrize("size", [(2, 2), (2, 3), (3, 3), (8, 8)])
def test_no_picture_is_noisier_than_black_and_white_pixels_are(size):
    board = (np.indices(size).sum(0) % 2 * 255).astype(np.uint8)
    assert measure(np.repeat(board[..., None], 3, 2)).noise <= 127.5


def test_texture_is_not_noise():
    """Stripes of a few pixels everywhere but in a quarter of the picture."""
    y, x = np.mgrid[:128, :128]
    stripes = np.where((x < 64) & (y < 64), 128, 128 + 60 * np.sin(x * 1.3 + y * 0.9))
    assert measure(np.repeat(stripes[..., None], 3, 2).astype(np.uint8)).noise < 2


@needs_photographs
def test_noise_of_photographs_is_told_from_their_detail():
    clean = photographs(8)
    assert np.median([measure(picture).noise for picture in clean]) < 2.5
    for sigma in (5, 10):
        assert np.median([measure(grain(picture, sigma)).noise for picture in clean]) == pytest.approx(sigma, rel=0.25)


def test_the_errors_of_jpeg_are_noise(photo):
    smooth = cv2.GaussianBlur(photo, (0, 0), 1)
    clean, *worse = (measure(picture).noise for picture in (smooth, compressed(smooth, 80), compressed(smooth, 40)))
    assert clean < 1 < 1.5 < worse[0] < worse[1] < 12
    assert measure(compressed(smooth, 40)[3:, 5:]).noise == pytest.approx(worse[1], rel=0.15)  # wherever the grid begins


@pytest.mark.parametrize("side", [8, 16])
def test_squares_of_a_drawing_are_not_the_blocks_of_jpeg(side):
    squares = np.kron(np.random.default_rng(1).integers(30, 226, (16, 16)), np.ones((side, side)))
    assert measure(np.repeat(squares[..., None], 3, 2).astype(np.uint8)).noise < 1


@needs_photographs
def test_jpeg_of_photographs_is_measured():
    grey = [cv2.cvtColor(photograph, cv2.COLOR_RGB2GRAY) for photograph in photographs(8)]
    assert np.median([jpeg_noise(in_colour(picture)) for picture in grey]) < 0.7
    for quality in (90, 75, 50):
        poor = [compressed(picture, quality) for picture in grey]
        errors = [np.std(after.astype(float) - before) for before, after in zip(grey, poor, strict=True)]
        assert np.median([jpeg_noise(in_colour(picture)) for picture in poor]) == pytest.approx(np.median(errors), rel=0.5)


def reduced(photograph, factor=4):
    h, w = photograph.shape[:2]
    return np.asarray(Image.fromarray(np.ascontiguousarray(photograph)).resize((w // factor, h // factor), Image.Resampling.BICUBIC))


@needs_photographs
def test_the_worse_the_jpeg_the_more_noise_in_every_picture():
    """Steps between blocks alone read 2 in a picture of quality 15 where they read 4 at quality 75."""
    for photograph in photographs(6):
        small = reduced(photograph)
        found = [measure(compressed(small, quality)).noise for quality in (90, 75, 50, 30)]
        assert found == sorted(found) and found[1] > 4 and found[-1] > 8, found


@pytest.mark.parametrize("corner", [(0, 0), (3, 5), (7, 1)])
@pytest.mark.parametrize("quality", [75, 40, 20])
def test_jpeg_is_measured_wherever_its_blocks_begin(photo, quality, corner):
    poor = compressed(photo, quality)
    grey, poor_grey = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (photo, poor))
    error = np.std(poor_grey.astype(float) - grey)
    top, left = corner
    assert jpeg_noise(in_colour(poor_grey[top:, left:])) == pytest.approx(error, rel=0.5)


def test_compression_is_told_from_grain(photo):
    grainy, poor = measure(grain(photo, 5)), measure(compressed(photo, 75))
    assert grainy.compression < 1 < grainy.noise and poor.compression > 1


@pytest.mark.parametrize("quality", [75, 50, 30, 15])
def test_jpeg_is_measured_beside_saturated_colours(quality):
    """There it goes beyond black and white in one channel, and is cut off, where the luma does not show it: a third was read once, or nothing."""
    rng = np.random.default_rng(0)
    soft = cv2.GaussianBlur(rng.uniform(0, 255, (160, 160, 3)), (0, 0), 2)
    picture = np.rint(128 + 6 * (soft - soft.mean())).clip(0, 255).astype(np.uint8)
    picture[40:] = np.where(picture[40:] > 128, (250, 40, 4), (6, 60, 252))
    poor = compressed(picture, quality)
    grey, poor_grey = (cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in (picture, poor))
    error = np.std(poor_grey.astype(float) - grey)
    assert jpeg_noise(poor / np.float32(255)) == pytest.approx(error, rel=0.5)


@pytest.mark.parametrize("side", [64, 256, 1024])
def test_measuring_takes_milliseconds(side):
    """It stands before everything adaptive. Twice of what it takes on an idle machine is allowed here."""
    picture, seconds = compressed(grain(np.full((side, side, 3), 120), 20), 60), []
    for _ in range(3):
        started = time.process_time()
        measure(picture)
        seconds.append(time.process_time() - started)
    assert min(seconds) < 2 * (0.004 + 0.050 * (side / 1000) ** 2)


@pytest.mark.parametrize("seed", range(5))
def test_grain_is_not_jpeg(seed):
    assert jpeg_noise(in_colour(grain(np.full((96, 96), 120), 2 + 3 * seed, seed))) < 1.2


@needs_photographs
def test_the_texture_of_small_sharp_photographs_is_not_noise():
    """Else `consistency=auto` leaves clean pictures alone, which it is for."""
    assert np.mean([auto_consistency(measure(reduced(photograph)).noise)[0] for photograph in photographs(10)]) > 0.8


# ---- blur ----


@pytest.mark.parametrize("sigma", [1, 1.5, 2, 3, 4])
def test_the_blur_of_edges_is_measured(sigma):
    squares = np.kron(np.random.default_rng(3).integers(30, 226, (6, 6)), np.ones((32, 32)))
    blurred = cv2.GaussianBlur(np.repeat(squares[..., None], 3, 2), (0, 0), sigma)
    assert measure(np.rint(blurred).astype(np.uint8)).blur == pytest.approx(sigma, rel=0.15)


def test_noise_alone_is_not_blur():
    assert measure(grain(np.full((96, 96, 3), 128), 10)).blur < 0.7


@needs_photographs
def test_blurred_photographs_are_ranked_by_their_blur():
    widths = (0, 1, 1.5, 2, 3)
    found = []
    for photograph in photographs(8):
        small = cv2.resize(photograph, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        found.append([measure(cv2.GaussianBlur(small, (0, 0), width) if width else small).blur for width in widths])
        assert found[-1] == sorted(found[-1]), found[-1]
    assert np.median(found, axis=0)[1:] == pytest.approx(widths[1:], rel=0.25)
