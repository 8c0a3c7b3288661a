"""Large results are written by rows."""

import io

import imagecodecs
import numpy as np
import pytest

from tests.pictures.picture_files import ENOUGH, noise, smooth
from utils.pictures import deep_png, stored_pixels
from utils.pictures.picture import Picture, to_array
from utils.pictures.reading import load
from utils.pictures.stored_pixels import StoredPixels
from utils.pictures.writing import save
from utils.planning.errors import UserError


def picture_of(channels, dtype=np.uint16):
    full = 65535 if dtype == np.uint16 else 255
    pixels = (np.linspace(0, full, 37 * 23 * 4).reshape(37, 23, 4) + noise(37, 23, 4) / 8).clip(0, full).astype(dtype)
    rgb = pixels[..., :1].repeat(3, axis=2) if channels < 3 else pixels[..., :3]
    return Picture(rgb, pixels[..., 3] if channels in (2, 4) else None, grey=channels < 3)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_bands_of_rows_do_not_show_in_a_file(tmp_path, monkeypatch, channels, suffix, dtype):
    picture = picture_of(channels, dtype)
    if suffix == "jpg" and picture.alpha is not None:
        return
    save(picture, tmp_path / f"whole.{suffix}", {})
    monkeypatch.setattr(stored_pixels, "_BAND", 5 * 23)
    save(picture, tmp_path / f"banded.{suffix}", {})
    whole, banded = (load(tmp_path / f"{name}.{suffix}", ENOUGH, 1) for name in ("whole", "banded"))
    np.testing.assert_array_equal(to_array(banded), to_array(whole))
    if (suffix, dtype) in [("png", np.uint16), ("tif", np.uint8), ("tif", np.uint16)]:
        np.testing.assert_array_equal(to_array(banded), to_array(picture))


def test_16_bit_png_files_are_small_where_there_is_little_to_tell(tmp_path):
    """By the filter of each row: across for stripes that stand, down for stripes that lie."""
    ramp = np.arange(0, 60000, 60, dtype=np.uint16)
    for rgb in (np.broadcast_to(ramp[None, :, None], (500, 1000, 3)), np.broadcast_to(ramp[:, None, None], (1000, 500, 3))):
        save(Picture(np.ascontiguousarray(rgb)), tmp_path / "a.png", {})
        assert (tmp_path / "a.png").stat().st_size < rgb.nbytes / 100
        np.testing.assert_array_equal(load(tmp_path / "a.png", ENOUGH, 1).rgb, rgb)


def test_the_bands_of_a_16_bit_png_are_one_stream(monkeypatch):
    monkeypatch.setattr(stored_pixels, "_BAND", 23)
    streams = io.BytesIO(), io.BytesIO()
    deep_png.write(streams[0], StoredPixels(picture_of(3)), [])
    monkeypatch.setattr(stored_pixels, "_BAND", 10**6)
    deep_png.write(streams[1], StoredPixels(picture_of(3)), [])
    decoded = [imagecodecs.png_decode(stream.getvalue()) for stream in streams]
    assert np.array_equal(*decoded) and np.array_equal(decoded[0], picture_of(3).rgb)


def test_strips_of_a_large_tiff_wait_in_a_file_of_no_name(tmp_path, monkeypatch):
    picture = Picture(noise(600, 500, 3))
    save(picture, tmp_path / "a.tif", {})
    monkeypatch.setattr("utils.pictures.tiff_encoding._MOST_IN_MEMORY", 1000)
    save(picture, tmp_path / "b.tif", {})
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes() and len(list(tmp_path.iterdir())) == 2


def test_a_tiff_of_more_than_it_can_hold_is_refused_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("utils.pictures.tiff_encoding._LARGEST", 5000)
    with pytest.raises(UserError, match="A TIFF file holds at most 4 GB; choose PNG"):
        save(Picture(noise(60, 50, 3)), tmp_path / "a.tif", {})
    assert list(tmp_path.iterdir()) == []


def test_a_value_that_is_no_number_is_found_in_any_band(tmp_path, monkeypatch):
    monkeypatch.setattr(stored_pixels, "_BAND", 64)
    rgb = smooth(20, 30).astype(np.float32) / 255
    rgb[-1, -1, 2] = np.inf
    with pytest.raises(UserError, match="not numbers"):
        save(Picture(rgb), tmp_path / "a.png", {})
