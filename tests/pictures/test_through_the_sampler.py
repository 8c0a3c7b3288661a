"""What a picture is besides its pixels, from file to result with a sampler between."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pictures.icc_profiles import DISPLAY_P3, LINEAR_GREY, PROPHOTO
from tests.pictures.picture_files import ENOUGH, smooth, tiff_by_library, written
from utils.pictures.colour_profiles import from_srgb, to_srgb
from utils.pictures.picture import Picture
from utils.pictures.reading import load
from utils.pictures.writing import save

ODD = Path(__file__).resolve().parents[3] / "shared" / "data" / "odd"
MANIFEST = list(csv.DictReader((ODD / "manifest.csv").read_text().splitlines())) if (ODD / "manifest.csv").exists() else []


@pytest.mark.parametrize("icc", [DISPLAY_P3, PROPHOTO], ids=["Display P3", "ProPhoto"])
def test_the_networks_see_srgb_and_the_result_has_its_own_colours(sampler, tmp_path, icc):
    pixels = from_srgb(0.1 + 0.8 * smooth(24, 32).astype(np.float32) / 255, icc, np.dtype(np.uint8))
    path = written(tmp_path / "photo.png", Image.fromarray(pixels), icc_profile=icc)
    (row,) = sampler.inference(path, tmp_path / "results")
    result = load(row.output, ENOUGH, 1)
    assert result.icc == icc
    expected = from_srgb(sampler.upscale(to_srgb(pixels, icc)).picture, icc, np.dtype(np.uint8))
    np.testing.assert_array_equal(result.rgb, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colours_that_srgb_does_not_have_come_back(embedded_sampler, dtype):
    """A wide gamut's green, whose red would rise from 0.1 to 0.47 by clipping, beside a colour that sRGB has, and the same at another size."""
    pixels = np.empty((40, 48, 3), np.float32)
    pixels[:, :24], pixels[:, 24:] = (0.1, 0.9, 0.1), (0.5, 0.4, 0.3)
    picture = Picture(np.rint(pixels * np.iinfo(dtype).max).astype(dtype), icc=DISPLAY_P3)
    for size, overrides in (((160, 192), {}), ((60, 72), {"sf": 1.5})):
        result, _, _ = embedded_sampler.with_settings(**overrides)._upscale(picture, embedded_sampler.with_settings(**overrides).settings, None)
        rgb = result.rgb / np.iinfo(dtype).max
        assert rgb.shape == (*size, 3) and result.rgb.dtype == dtype
        columns = size[1] // 2 - size[1] // 8
        np.testing.assert_allclose(rgb[:, :columns].mean((0, 1)), pixels[0, 0], atol=3 / 255)
        np.testing.assert_allclose(rgb[:, -columns:].mean((0, 1)), pixels[0, -1], atol=3 / 255)


def test_grey_with_a_profile_stays_grey(sampler, tmp_path):
    path = written(tmp_path / "scan.png", Image.fromarray(smooth(24, 32)[..., 1]), icc_profile=LINEAR_GREY, dpi=(300, 300))
    (row,) = sampler.inference(path, tmp_path / "results")
    result = load(row.output, ENOUGH, 1)
    assert result.grey and result.icc == LINEAR_GREY and result.dpi == pytest.approx((1200, 1200), rel=1e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("icc", [None, DISPLAY_P3], ids=["sRGB", "Display P3"])
def test_colour_files_without_colour_stay_without(sampler, tmp_path, icc, dtype):
    """The networks tint greys slightly."""
    grey = smooth(24, 32)[..., 1].astype(dtype) * (np.iinfo(dtype).max // 255)
    save(Picture(np.repeat(grey[..., None], 3, 2), icc=icc), tmp_path / "scan.png", {})
    (row,) = sampler.inference(tmp_path / "scan.png", tmp_path / "results")
    result = load(row.output, ENOUGH, 1)
    assert not result.grey and result.icc == icc and result.rgb.dtype == dtype
    assert result.colourless and len(np.unique(result.rgb)) > 50


def test_a_grey_picture_has_the_same_result_however_it_is_stored(sampler):
    grey = smooth(24, 32)[..., 1]
    in_colour = np.repeat(grey[..., None], 3, 2)
    np.testing.assert_array_equal(sampler.upscale(in_colour).picture, sampler.upscale(grey).picture)
    in_colour[5, 5, 0] ^= 1
    assert np.ptp(sampler.upscale(in_colour).picture, axis=2).any()  # one coloured pixel, and colour is taken for meant


def test_16_bits_and_alpha_of_a_tiff_reach_the_result(sampler, tmp_path):
    colours = smooth(24, 32).astype(np.uint16) * 257
    alpha = np.linspace(0, 65535, 32).astype(np.uint16)[None, :].repeat(24, 0)
    path = tmp_path / "scan.tif"
    path.write_bytes(tiff_by_library(np.dstack([colours, alpha]), extrasamples=["unassalpha"]))
    (row,) = sampler.inference(path, tmp_path / "results")
    result = load(row.output, ENOUGH, 1)
    assert result.rgb.dtype == np.uint16 and result.size == (96, 128) and result.alpha is not None
    assert len(np.unique(result.alpha)) > 100 and (np.diff(result.alpha[0].astype(int)) >= 0).all()


@pytest.mark.skipif(not MANIFEST, reason="the shared odd files are not here")
def test_results_of_the_odd_files_have_the_mean_colours_of_their_inputs(embedded_sampler, tmp_path):
    for row in MANIFEST:
        w, h = (int(side) for side in row["pillow_13_strict_result"].split()[-1].split("x")) if row["expected"] == "decodes" else (0, 0)
        if not 0 < h * w <= 4_000:  # the larger ones take too long
            continue
        source = load(ODD / row["file"], ENOUGH, 4)
        (written_row,) = embedded_sampler.inference(ODD / row["file"], tmp_path / row["file"])
        result = load(written_row.output, ENOUGH, 1)
        assert result.size == (4 * source.size[0], 4 * source.size[1]) and result.rgb.dtype == source.rgb.dtype
        full = np.iinfo(source.rgb.dtype).max
        shown = [picture.rgb if picture.alpha is None else picture.rgb * (picture.alpha[..., None] / full) for picture in (source, result)]
        assert np.abs(shown[0].mean((0, 1)) - shown[1].mean((0, 1))).max() / full < 8 / 255, row["file"]
