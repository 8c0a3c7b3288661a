"""Pictures are processed in sRGB and come back in the colours of their own profile."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.pictures.icc_profiles import ADOBE_RGB, DISPLAY_P3, LINEAR_GREY, PROPHOTO, WHITE, table_profile
from tests.pictures.picture_files import ENOUGH, LAB, LARGE, SRGB, noise, smooth, tiff16, written
from utils.pictures import colour_profiles
from utils.pictures.colour_profiles import Use, from_srgb, to_srgb, use
from utils.pictures.picture import Picture
from utils.pictures.reading import load
from utils.pictures.tensors import full_scale
from utils.pictures.writing import save

# Chromaticities of sRGB's primaries under D50, as every sRGB profile has them.
SRGB_TO_XYZ = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
GAMMA = 1.8


def by_formula(rgb):
    """A table's RGB, of sRGB's primaries but another gamma, to XYZ."""
    return rgb**GAMMA @ SRGB_TO_XYZ.T


def back_by_formula(xyz):
    return np.clip(xyz @ np.linalg.inv(SRGB_TO_XYZ).T, 0, 1) ** (1 / GAMMA)


def inks(cmyk):
    """A printer of ideal inks on white paper."""
    return ((1 - cmyk[:, :3]) * (1 - cmyk[:, 3:])) ** 2.2 @ SRGB_TO_XYZ.T


COARSE_TABLE = table_profile(b"RGB ", by_formula, back_by_formula)
ONE_WAY_TABLE = table_profile(b"RGB ", by_formula)
CMYK_TABLE = table_profile(b"CMYK", inks)


def in_gamut(icc, dtype):
    """Colours of the profile that sRGB has too, of every part of its gamut."""
    levels = np.linspace(0, 1, 24, dtype=np.float32)
    srgb = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(96, -1, 3)
    return from_srgb(srgb, icc, np.dtype(dtype))


@pytest.mark.parametrize("icc", [ADOBE_RGB, DISPLAY_P3, PROPHOTO], ids=["Adobe RGB", "Display P3", "ProPhoto"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_to_srgb_and_back_is_true_within_the_gamut(icc, dtype):
    assert use(icc) is Use.BOTH_WAYS
    pixels = in_gamut(icc, dtype)
    again = from_srgb(to_srgb(pixels, icc), icc, pixels.dtype)
    error = np.abs(again / full_scale(pixels.dtype) - pixels / full_scale(pixels.dtype)).max()
    # Where rounding takes a colour across the border of the gamut, it comes back clipped.
    assert error <= (1.001 / 255 if dtype == np.uint8 else 0.0011)


@pytest.mark.parametrize("icc", [ADOBE_RGB, DISPLAY_P3, PROPHOTO])
def test_colours_are_converted_as_another_engine_call_does(icc):
    pixels = in_gamut(icc, np.uint8)
    expected = ImageCms.profileToProfile(Image.fromarray(pixels), io.BytesIO(icc), ImageCms.createProfile("sRGB"), renderingIntent=1)
    assert np.abs(to_srgb(pixels, icc) * 255 - np.asarray(expected)).max() < 1.6
    assert np.abs(to_srgb(pixels, icc) - pixels / 255).max() > 0.05  # it does something


def test_a_table_means_what_its_formula_says():
    rgb = np.random.default_rng(0).random((1, 500, 3)).astype(np.float32)
    linear = rgb[0] ** GAMMA
    expected = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    assert np.abs(to_srgb(rgb, COARSE_TABLE)[0] - expected).max() < 0.03  # as well as 17 steps can say it
    assert np.median(np.abs(to_srgb(rgb, COARSE_TABLE)[0] - expected)) < 0.002


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_srgb_and_no_profile_leave_every_value_as_it_is(dtype):
    pixels = noise(9, 9, 3, dtype=dtype)
    for icc in (None, SRGB):
        assert to_srgb(pixels, icc) is pixels
        np.testing.assert_array_equal(from_srgb((pixels / np.iinfo(dtype).max).astype(np.float32), icc, np.dtype(dtype)), pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_stays_grey_through_its_profile(dtype):
    pixels = np.linspace(0, np.iinfo(dtype).max, 700).astype(dtype)[None, :, None].repeat(3, axis=2)
    srgb = to_srgb(pixels, LINEAR_GREY)
    assert (srgb[..., 0] == srgb[..., 1]).all() and (srgb[..., 0] == srgb[..., 2]).all() and (np.diff(srgb[0, :, 0]) >= 0).all()
    assert srgb[0, 350, 0] == pytest.approx(0.735, abs=0.002)  # half the light
    again = from_srgb(srgb, LINEAR_GREY, np.dtype(dtype))
    assert np.abs(again.astype(int) - pixels).max() <= (0 if dtype == np.uint8 else 4)


def test_sixteen_bits_do_not_pass_through_eight():
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1).repeat(3, axis=2)
    again = from_srgb(to_srgb(ramp, ADOBE_RGB), ADOBE_RGB, ramp.dtype)
    assert np.abs(again.astype(int) - ramp).max() <= 8 and len(np.unique(again)) > 60_000


def test_colours_beyond_srgb_are_clipped_not_wrapped():
    srgb = to_srgb(np.array([[[0, 255, 0], [255, 255, 255], [0, 0, 0]]], np.uint8), PROPHOTO)
    assert srgb.min() >= 0 and srgb.max() <= 1 and srgb[0, 0, 1] == 1 and srgb[0, 1].min() > 0.998 and srgb[0, 2].max() < 0.002


def test_bands_do_not_show(monkeypatch):
    pixels = noise(50, 40, 3)
    whole = to_srgb(pixels, ADOBE_RGB)
    monkeypatch.setattr(colour_profiles, "_BAND", 130)
    np.testing.assert_array_equal(to_srgb(pixels, ADOBE_RGB), whole)
    once = from_srgb(whole, ADOBE_RGB, np.dtype(np.uint8))
    monkeypatch.undo()
    np.testing.assert_array_equal(once, from_srgb(whole, ADOBE_RGB, np.dtype(np.uint8)))


@pytest.mark.parametrize(
    ("icc", "expected"),
    [
        (SRGB, Use.SAME),
        (LARGE, Use.TO_SRGB),
        (ONE_WAY_TABLE, Use.TO_SRGB),
        (COARSE_TABLE, Use.TO_SRGB),
        (CMYK_TABLE, Use.TO_SRGB),
        (LAB, Use.NONE),
        (b"", Use.NONE),
        (b"x" * 500, Use.NONE),
        (SRGB[:140], Use.NONE),
        (SRGB[:132] + b"\xff" * (len(SRGB) - 132), Use.NONE),
        (bytes(2**23), Use.NONE),
    ],
)
def test_what_a_profile_is_good_for(icc, expected):
    assert use(icc) is expected


def test_profiles_that_are_too_large_are_not_kept():
    before = colour_profiles._found_use.cache_info().misses
    assert use(bytes(2**22 + 1)) is Use.NONE and colour_profiles._found_use.cache_info().misses == before


@pytest.mark.parametrize("place", range(0, len(COARSE_TABLE), 9973))
def test_damaged_profiles_raise_nothing(place):
    for icc in (COARSE_TABLE, ADOBE_RGB, CMYK_TABLE, LINEAR_GREY):
        damaged = bytearray(icc)
        damaged[place % len(icc)] ^= 0x55
        use(bytes(damaged))


# In files


@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "jpg"])
@pytest.mark.parametrize("icc", [ADOBE_RGB, PROPHOTO])
def test_every_format_carries_the_profile(tmp_path, suffix, icc):
    path = tmp_path / f"result.{suffix}"
    save(Picture(smooth(), icc=icc), path, {})
    with Image.open(path) as image:
        assert image.info["icc_profile"] == icc
    assert load(path, ENOUGH, 4).icc == icc


def test_a_grey_profile_is_applied_where_the_format_has_no_grey(tmp_path):
    pixels = np.linspace(0, 255, 64).astype(np.uint8)[None, :, None].repeat(3, 2).repeat(4, 0)
    picture = Picture(pixels, icc=LINEAR_GREY, grey=True)
    save(picture, tmp_path / "result.webp", {})
    stored = load(tmp_path / "result.webp", ENOUGH, 4)
    assert stored.icc is None
    assert np.abs(stored.rgb / 255 - to_srgb(pixels, LINEAR_GREY)).max() < 0.6 / 255


def test_a_profile_of_one_direction_is_applied_on_reading(tmp_path):
    path = written(tmp_path / "scan.tif", Image.fromarray(smooth()), icc_profile=ONE_WAY_TABLE)
    picture = load(path, ENOUGH, 4)
    assert picture.icc is None and picture.notes == (
        "The colours were converted to sRGB, because a result cannot have the colour profile of the file.",
    )
    assert np.abs(picture.rgb / 255 - to_srgb(smooth(), ONE_WAY_TABLE)).max() < 0.6 / 255


def test_cmyk_goes_through_its_profile_and_loses_it(tmp_path):
    image = Image.fromarray(smooth()).convert("CMYK")
    plain = load(written(tmp_path / "plain.tif", image), ENOUGH, 4)
    np.testing.assert_array_equal(plain.rgb, smooth())
    broken = load(written(tmp_path / "broken.tif", image, icc_profile=SRGB), ENOUGH, 4)  # not a CMYK profile
    np.testing.assert_array_equal(broken.rgb, plain.rgb)
    assert plain.icc is broken.icc is None and "without a usable profile" in plain.notes[0] and plain.notes == broken.notes
    printed = load(written(tmp_path / "print.tif", image, icc_profile=CMYK_TABLE), ENOUGH, 4)
    assert printed.icc is None and "sRGB by the profile" in printed.notes[0]
    assert np.median(np.abs(printed.rgb.astype(int) - smooth())) <= 3 and not np.array_equal(printed.rgb, plain.rgb)


def test_cmyk_of_16_bits_goes_through_its_profile_in_all_of_them(tmp_path):
    ramp = np.zeros((4, 500, 4), np.uint16)
    ramp[..., 3] = np.arange(20_000, 22_000).reshape(4, 500)
    path = tmp_path / "print.tif"
    path.write_bytes(tiff16(ramp, photometric=5))
    assert len(np.unique(load(path, ENOUGH, 4).rgb)) > 1500


@pytest.mark.parametrize("adobe", [True, False])
def test_a_cmyk_jpeg_is_not_a_negative(tmp_path, adobe):
    image = Image.new("CMYK", (16, 16), (0, 0, 0, 0) if adobe else (0, 255, 255, 0))
    picture = load(written(tmp_path / "print.jpg", image, quality=95), ENOUGH, 4)
    assert np.abs(picture.rgb.astype(int) - ((255, 255, 255) if adobe else (255, 0, 0))).max() <= 3


def test_the_white_of_profiles_is_d50():
    np.testing.assert_allclose(by_formula(np.ones((1, 3)))[0], WHITE, atol=5e-4)
