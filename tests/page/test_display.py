"""Copies for looking at."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from utils.page.display import comparison, display_size, preview_uri, progress_uri
from utils.pictures.picture import Picture


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


@pytest.mark.parametrize(
    "size, limit, shown",
    [
        ((100, 200), 20_000, (100, 200)),
        ((100, 200), 5_000, (50, 100)),
        ((1, 40_000), 10_000, (1, 20_000)),
        ((12_000, 8_000), 6_000_000, (3000, 2000)),
    ],
)
def test_copies_keep_the_shape_and_are_reduced_only_when_they_must(size, limit, shown):
    assert display_size(size, limit) == shown


def test_before_is_the_bicubic_enlargement_at_the_size_of_after_and_after_is_exact(tmp_path):
    rng = np.random.default_rng(0)
    small, large = (rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in (12, 48))
    before, after = comparison(Picture(small), Picture(large), tmp_path)
    expected = Image.fromarray(small).resize((48, 48), Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(Image.open(before)), np.asarray(expected))
    assert np.array_equal(np.asarray(Image.open(after)), large)
    assert Path(before).name.startswith("before") and Path(after).name.startswith("after")
    assert {Path(before).parent, Path(after).parent} == {tmp_path}


def test_sixteen_bits_are_rounded_to_eight_and_grey_keeps_its_profile(tmp_path):
    grey = np.array([[0, 128, 129, 65535]], dtype=np.uint16)[..., None].repeat(3, axis=2)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    _, after = comparison(Picture(grey, grey=True, icc=profile), Picture(grey, grey=True, icc=profile), tmp_path)
    with Image.open(after) as image:
        assert image.mode == "L"
        assert np.asarray(image).tolist() == [[0, 0, 1, 255]]
        assert image.info["icc_profile"] == profile


def test_transparency_shows_a_checkerboard():
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    alpha = np.zeros((32, 32), dtype=np.uint8)
    alpha[:, 16:] = 255
    shown = np.asarray(opened(preview_uri(Picture(pixels, alpha))))
    assert {tuple(pixel) for pixel in shown[:, :16].reshape(-1, 3)} == {(255, 255, 255), (214, 214, 214)}
    assert shown[:, 16:].max() == 0


def test_the_preview_of_a_large_picture_is_small():
    assert opened(preview_uri(Picture(np.zeros((300, 2560, 3), dtype=np.uint8)))).size == (640, 75)


def test_the_growing_picture_is_a_jpeg_of_the_same_size():
    image = opened(progress_uri(np.zeros((20, 30, 3), dtype=np.uint8)))
    assert (image.format, image.size) == ("JPEG", (30, 20))
