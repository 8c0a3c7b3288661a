"""Profile, EXIF, XMP and resolution."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.pictures.icc_profiles import DISPLAY_P3
from tests.pictures.picture_files import ENOUGH, LAB, LARGE, SRGB, noise, round_trip, smooth, tiff16, written
from utils.pictures import png_chunks
from utils.pictures.picture import Picture
from utils.pictures.reading import load, picture_size
from utils.pictures.writing import save


def test_profile_and_exif_round_trip(tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif[0x8769] = {0x829A: 0.5, 0x927C: b"maker note"}
    path = written(tmp_path / "photo.jpg", Image.fromarray(smooth()), icc_profile=SRGB, exif=exif)
    picture = load(path, ENOUGH, 4)
    assert picture.icc == SRGB and picture.exif is not None and picture.exif[:2] in (b"II", b"MM") and picture.notes == ()
    for depth in (picture.rgb, picture.rgb.astype(np.uint16) * 257):
        again = round_trip(tmp_path, Picture(depth, icc=picture.icc, exif=picture.exif))
        assert (again.icc, again.exif) == (SRGB, picture.exif)
        with Image.open(tmp_path / "result.png") as result:
            assert result.info["icc_profile"] == SRGB
            assert result.getexif()[0x010F] == "Maker" and result.getexif().get_ifd(0x8769)[0x927C] == b"maker note"


def test_only_the_describing_tags_of_a_tiff_are_kept(tmp_path):
    path = tmp_path / "photo.tif"
    path.write_bytes(tiff16(noise(4, 3, 3, dtype=np.uint16), maker=b"Maker\0"))
    kept = Image.Exif()
    kept.load(load(path, ENOUGH, 4).exif or b"")
    assert dict(kept) == {0x010F: "Maker"}
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    picture = load(written(path, Image.fromarray(noise(4, 3, 3)), big_tiff=True, exif=exif), ENOUGH, 4)
    assert path.read_bytes()[2] == 43 and picture.exif is not None and picture.exif[:4] == b"II*\0" and picture.notes == ()


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage!!", b"Exif\0\0II*\0\xff\xff\xff\x7f"])
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_is_dropped_with_a_note(tmp_path, kind, exif):
    path = written(tmp_path / "picture", Image.fromarray(noise(4, 6, 3)), kind, exif=exif)
    picture = load(path, ENOUGH, 4)
    assert picture.exif is None and picture.notes == ("The EXIF data of the file is damaged and was dropped.",)
    assert picture_size(path) == (4, 6)


@pytest.mark.parametrize(
    ("icc", "word"),
    [(b"no profile", "damaged"), (SRGB[:100], "damaged"), (LAB, "unknown kind"), (LARGE, "converted to sRGB")],
    ids=["text", "cut", "of another space", "large"],  # profiles tell when they were made, so they are no names
)
def test_a_damaged_or_foreign_profile_is_dropped_with_a_note(tmp_path, icc, word):
    picture = load(written(tmp_path / "picture.jpg", Image.fromarray(smooth()), icc_profile=icc), ENOUGH, 4)
    assert picture.icc is None and len(picture.notes) == 1 and word in picture.notes[0]


def test_an_rgb_profile_does_not_suit_a_grey_png(tmp_path):
    picture = load(written(tmp_path / "grey.jpg", Image.fromarray(smooth()).convert("L"), icc_profile=SRGB), ENOUGH, 4)
    assert picture.grey and picture.icc is None and "does not suit" in picture.notes[0]


@pytest.mark.parametrize("damage", ["profile too large", "checksum of a text"])
def test_a_png_is_not_lost_for_its_metadata(tmp_path, damage):
    path = written(tmp_path / "picture.png", Image.fromarray(noise(4, 6, 3)))
    bad = png_chunks.profile_chunk(bytes(3 * 2**20)) if damage == "profile too large" else png_chunks.text_chunk("key", "text")[:-1] + b"!"
    path.write_bytes(png_chunks.insert_after_header(path.read_bytes(), [bad]))
    picture = load(path, ENOUGH, 4)
    np.testing.assert_array_equal(picture.rgb, noise(4, 6, 3))
    assert picture.notes == ("The metadata of the file is damaged and was dropped.",)


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><d tiff:Orientation="6" a:note="gr\xc3\xb6\xc3\x9fer"/></x:xmpmeta>'
SUFFIXES = ("png", "webp", "tif", "jpg")


def located():
    """EXIF with what a camera writes: where the picture was taken, and the size that it had."""
    exif = Image.Exif()
    exif[0x010F], exif[0x011A], exif[0x011B], exif[0x0128] = "Maker", 72.0, 72.0, 2
    exif[0x8769] = {0xA002: 64, 0xA003: 48, 0x829A: 0.5}
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 12.0)}
    return exif


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_xmp_goes_with_the_picture_and_its_orientation_is_reset(tmp_path, suffix):
    path = written(tmp_path / "photo.jpg", Image.fromarray(smooth()), xmp=XMP)
    picture = load(path, ENOUGH, 4)
    assert picture.size == (64, 48) and picture.xmp == XMP.replace(b'Orientation="6"', b'Orientation="1"')
    save(picture, tmp_path / f"result.{suffix}", {})
    again = load(tmp_path / f"result.{suffix}", ENOUGH, 4)
    assert again.xmp == picture.xmp and again.size == picture.size


def test_xmp_within_exif_has_its_orientation_reset(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x02BC] = 6, XMP
    kept = Image.Exif()
    kept.load(load(written(tmp_path / "photo.jpg", Image.fromarray(smooth()), exif=exif), ENOUGH, 4).exif)
    assert kept[0x0112] == 1 and kept[0x02BC] == XMP.replace(b'Orientation="6"', b'Orientation="1"')


@pytest.mark.parametrize("packet", [b"\xff\xfe not text", b"a\0b" * 5, b"x" * (2**20 + 1)])
def test_xmp_that_is_no_text_is_dropped_with_a_note(tmp_path, packet):
    path = written(tmp_path / "photo.webp", Image.fromarray(smooth()), xmp=packet)
    picture = load(path, ENOUGH, 4)
    assert picture.xmp is None and picture.notes == ("The XMP data of the file is damaged and was dropped.",)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_where_a_picture_was_taken_is_kept_or_dropped_as_asked(tmp_path, suffix):
    picture = load(written(tmp_path / "photo.jpg", Image.fromarray(smooth()), exif=located(), xmp=XMP, icc_profile=DISPLAY_P3), ENOUGH, 4)
    path = tmp_path / f"result.{suffix}"
    save(picture, path, {"settings": "{}"})
    with Image.open(path) as result:
        exif = result.getexif()
        assert exif.get_ifd(0x8825)[2] == (52.0, 31.0, 12.0) and exif.get_ifd(0x8769)[0x829A] == 0.5 and exif[0x010F] == "Maker"
        assert not {0xA002, 0xA003} & set(exif.get_ifd(0x8769))  # the size is no longer that
    save(picture, path, {"settings": "{}"}, keep_metadata=False)
    again = load(path, ENOUGH, 4)
    assert again.exif is again.xmp is None and again.icc == DISPLAY_P3
    data = path.read_bytes()
    assert all(word not in data for word in (b"Maker", b"xmpmeta", b"invsr", b"settings"))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
def test_a_result_is_as_large_in_inches_as_its_input(tmp_path, kind, suffix):
    picture = load(written(tmp_path / "scan", Image.fromarray(smooth()), kind, dpi=(300, 150)), ENOUGH, 4)
    larger = picture.resized(picture.rgb.repeat(4, 0).repeat(4, 1), None)
    for keep_metadata in (True, False):
        save(larger, tmp_path / f"result.{suffix}", {}, keep_metadata=keep_metadata, overwrite=True)
        assert load(tmp_path / f"result.{suffix}", ENOUGH, 1).dpi == pytest.approx((1200, 600), rel=1e-3)


@pytest.mark.parametrize(("kind", "depth"), [*((kind, 8) for kind in ("JPEG", "PNG", "WEBP", "TIFF", "BigTIFF")), ("TIFF", 16), ("BigTIFF", 16)])
def test_resolution_turns_with_the_picture(tmp_path, kind, depth):
    path = tmp_path / "a"
    if depth == 16:
        pixels = noise(4, 6, 3, dtype=np.uint16)
        tags = [(0x0112, "H", 1, 6, True), (0x010F, "s", 0, "Maker", True)]
        tifffile.imwrite(path, pixels, bigtiff=kind == "BigTIFF", photometric="rgb", resolution=(300, 150), resolutionunit=2, extratags=tags)
    else:
        exif = Image.Exif()
        exif[0x0112], exif[0x010F] = 6, "Maker"
        options = {"big_tiff": True} if kind == "BigTIFF" else {}
        exif[0x011A], exif[0x011B], exif[0x0128] = 300.0, 150.0, 2
        written(path, Image.fromarray(noise(4, 6, 3)), kind.removeprefix("Big"), exif=exif, dpi=(300, 150), **options)
    picture = load(path, ENOUGH, 4)
    assert (picture.size, picture_size(path), picture.dpi, picture.notes) == ((6, 4), (6, 4), pytest.approx((150, 300), rel=1e-3), ())
    kept = Image.Exif()
    kept.load(picture.exif or b"")
    assert kept[0x010F] == "Maker"


def test_a_resolution_without_a_unit_is_none(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(4, 6, 3), photometric="rgb", resolution=(300, 150), resolutionunit=1)
    assert load(path, ENOUGH, 4).dpi is None


@pytest.mark.parametrize(
    ("tag", "value"),
    [(284, 2), (338, 0), (338, 2), (339, 3), (266, 2), (322, 16), (530, (2, 1)), (320, (0,) * 768), (34675, SRGB), (700, b"<x/>"), (330, 8)],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_no_tag_of_a_photograph_is_taken_for_the_layout_of_a_tiff(tmp_path, tag, value, dtype):
    exif = Image.Exif()
    exif[0x010F], exif[0x9C9B], exif[tag] = "Maker", "Title".encode("utf-16-le"), value
    pixels = noise(4, 6, 3, dtype=dtype)
    save(Picture(pixels, exif=exif.tobytes().removeprefix(b"Exif\0\0")), tmp_path / "a.tif", {})
    again = load(tmp_path / "a.tif", ENOUGH, 1)
    assert np.array_equal(again.rgb, pixels) and np.array_equal(tifffile.imread(tmp_path / "a.tif"), pixels)
    assert (again.icc, again.xmp, again.notes) == (None, None, ())
    kept = Image.Exif()
    kept.load(again.exif or b"")
    assert kept[0x010F] == "Maker" and 0x9C9B in kept


@pytest.mark.parametrize(
    ("unit", "values", "dpi"), [(2, (300.0, 150.0), (300, 150)), (3, (100.0, 50.0), (254, 127)), (2, (0.0, 0.0), None), (2, (1e9, 1e9), None)]
)
def test_resolution_comes_from_exif_where_the_format_names_none(tmp_path, unit, values, dpi):
    exif = Image.Exif()
    exif[0x011A], exif[0x011B], exif[0x0128] = *values, unit
    for kind in ("WEBP", "JPEG"):
        assert load(written(tmp_path / "a", Image.fromarray(smooth()), kind, exif=exif), ENOUGH, 4).dpi == dpi


def test_no_resolution_is_made_up(tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    for kind in ("JPEG", "PNG", "WEBP"):
        assert load(written(tmp_path / "a", Image.fromarray(smooth()), kind, exif=exif), ENOUGH, 4).dpi is None
