"""What is in a file comes into the picture, and whatever cannot come in is refused in one sentence."""

import errno
import os
import struct
import sys
import warnings
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.pictures.picture_files import (
    ENCODED,
    ENOUGH,
    LAB,
    SRGB,
    encoded,
    header_of,
    noise,
    raw_png,
    refused,
    round_trip,
    smooth,
    tiff16,
    tiff_by_library,
    written,
)
from utils.pictures import png_chunks
from utils.pictures.picture import Picture, to_array
from utils.pictures.reading import from_pil, load, picture_size
from utils.planning.errors import UserError


@pytest.mark.parametrize("kind", ENCODED)
def test_every_allowed_format_is_recognised_by_content_not_by_name(tmp_path, kind):
    path = tmp_path / "picture.txt"
    path.write_bytes(encoded(smooth(), kind))
    picture = load(path, ENOUGH, 4)
    assert picture_size(path) == picture.rgb.shape[:2] == (48, 64)
    difference = np.abs(picture.rgb / (255 if picture.rgb.dtype == np.uint8 else 65535) * 255 - smooth()).mean()
    assert difference < (12 if kind in ("JPEG", "GIF", "WEBP", "AVIF", "HEIC") else 0.001)  # the lossy ones; GIF has few colours


@pytest.mark.parametrize("kind", ["PPM", "ICO", "TGA"])
def test_other_formats_are_refused_even_under_an_allowed_name(tmp_path, kind):
    refused(written(tmp_path / "picture.png", Image.fromarray(smooth()), kind), "not a picture of a supported kind")


@pytest.mark.parametrize("kind", ENCODED)
@pytest.mark.parametrize("part", [0.3, 0.9])
def test_a_truncated_file_is_refused(tmp_path, kind, part):
    path, whole = tmp_path / "cut.png", encoded(noise(64, 64, 3), kind)
    path.write_bytes(whole[: int(len(whole) * part)])
    refused(path, "damaged")


def test_files_that_are_no_files(tmp_path):
    assert "does not exist" in refused(tmp_path / "missing.png")
    assert "folder" in refused(tmp_path)
    (tmp_path / "empty.png").touch()
    assert "empty" in refused(tmp_path / "empty.png")
    (tmp_path / "text.jpg").write_text("not a picture at all, only words")
    assert "supported kind" in refused(tmp_path / "text.jpg")
    os.mkfifo(tmp_path / "pipe.png")
    assert "ordinary file" in refused(tmp_path / "pipe.png")
    with pytest.raises(UserError, match=r"missing\.png does not exist"):
        picture_size(tmp_path / "missing.png")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = written(tmp_path / "locked.png", Image.new("RGB", (4, 4)))

    def forbidden(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)  # a real lock would not stop a test that runs as root
    refused(path, "Permission denied", "permissions")


@pytest.mark.parametrize(
    "error", [MemoryError(), struct.error("unpack"), EOFError(), RecursionError(), Image.DecompressionBombError("bomb"), KeyError(3)]
)
def test_whatever_a_decoder_raises_becomes_a_sentence(tmp_path, monkeypatch, error):
    path = written(tmp_path / "picture.bmp", Image.new("RGB", (4, 4)))

    def fail(_):
        raise error

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    refused(path)


def test_size_is_judged_in_output_pixels_before_anything_is_decoded(tmp_path, monkeypatch):
    path = written(tmp_path / "picture.png", Image.new("RGB", (30, 20)))
    assert load(path, 120 * 80, 4).rgb.shape == (20, 30, 3)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("decoded"))
    monkeypatch.setattr(imagecodecs, "png_decode", lambda *_: pytest.fail("decoded"))
    assert picture_size(path) == (20, 30)
    refused(path, "30 x 20", "120 x 80", "0.0095", "max_output_megapixels", limit=9500)


@pytest.mark.parametrize("size", [(10001, 10000), (30000, 30000), (10**6, 10**6)])
def test_decompression_bombs_get_our_sentence_and_no_warning(tmp_path, size):
    path = raw_png(tmp_path / "bomb.png", size, 1, 0, [b"\0"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refused(path, "too large", "GB of memory", limit=10**7)
        refused(path, "too large", "GB of memory", limit=10**18)  # a limit that lets it pass still leaves the one on inputs
        assert picture_size(path) == size


def test_a_header_that_promises_more_than_the_file_holds(tmp_path):
    refused(raw_png(tmp_path / "liar.png", (2000, 2000), 8, 2, [b"\1\2\3"] * 3), "damaged")


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 3)])
def test_small_and_thin_pictures(tmp_path, shape):
    rgb = noise(*shape, 3)
    path = written(tmp_path / "thin.png", Image.fromarray(rgb))
    assert picture_size(path) == shape
    np.testing.assert_array_equal(load(path, ENOUGH, 4).rgb, rgb)


TURNED = {  # how a camera stores an upright picture under each orientation
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(upright, 2).transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP", "AVIF", "PNG16", "TIFF16"])
@pytest.mark.parametrize("orientation", TURNED)
def test_every_orientation_comes_out_upright_and_stays_so(tmp_path, kind, orientation):
    upright = smooth(32, 48) if kind in ("JPEG", "WEBP", "AVIF") else noise(5, 7, 3)
    stored = np.ascontiguousarray(TURNED[orientation](upright))
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Maker"
    path = tmp_path / "turned"
    if kind == "PNG16":
        upright = upright.astype(np.uint16) * 257 + 1
        data = imagecodecs.png_encode(np.ascontiguousarray(TURNED[orientation](upright)))
        path.write_bytes(png_chunks.insert_after_header(data, [png_chunks.exif_chunk(exif.tobytes()[6:])]))
    elif kind == "TIFF16":
        upright = upright.astype(np.uint16) * 257 + 1
        path.write_bytes(tiff16(TURNED[orientation](upright), orientation=orientation, maker=b"Maker\0"))
    else:
        Image.fromarray(stored).save(path, kind, exif=exif, **({} if kind in ("TIFF", "PNG") else {"quality": 95}))
    picture = load(path, ENOUGH, 4)
    assert picture_size(path) == picture.rgb.shape[:2] == upright.shape[:2]
    assert np.abs(picture.rgb.astype(int) - upright).mean() < (4 if kind in ("JPEG", "WEBP", "AVIF") else 1e-9)
    again = round_trip(tmp_path, picture)
    np.testing.assert_array_equal(again.rgb, picture.rgb)
    with Image.open(tmp_path / "result.png") as result:
        assert result.getexif()[0x010F] == "Maker" and result.getexif().get(0x0112, 1) == 1


def test_exif_behind_the_pixels_of_a_png_counts_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = written(tmp_path / "late.png", Image.fromarray(noise(5, 7, 3)))
    data = path.read_bytes()
    path.write_bytes(data[:-12] + png_chunks.exif_chunk(exif.tobytes()[6:]) + data[-12:])
    assert picture_size(path) == (7, 5) == load(path, ENOUGH, 4).rgb.shape[:2]


def test_a_meaningless_orientation_is_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 77
    path = written(tmp_path / "odd.png", Image.fromarray(noise(5, 7, 3)), exif=exif)
    np.testing.assert_array_equal(load(path, ENOUGH, 4).rgb, noise(5, 7, 3))


# Modes


def test_grey_palette_and_transparency_modes(tmp_path):
    rgba = noise(6, 5, 4)
    for mode, grey, has_alpha in [("L", True, False), ("LA", True, True), ("1", True, False), ("P", False, False), ("RGBA", False, True)]:
        image = Image.fromarray(rgba if has_alpha else rgba[..., :3]).convert(mode)
        picture = load(written(tmp_path / f"{mode}.png", image), ENOUGH, 4)
        expected = np.asarray(image.convert("RGBA"))
        assert (picture.grey, picture.alpha is not None) == (grey, has_alpha), mode
        np.testing.assert_array_equal(picture.rgb, expected[..., :3])
        if has_alpha:
            np.testing.assert_array_equal(picture.alpha, expected[..., 3])


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP"])
def test_a_palette_of_greys_is_grey_but_with_a_profile_of_colours(tmp_path, kind):
    image = Image.fromarray(noise(6, 5, 1, seed=3)[..., 0]).convert("RGB").quantize(20)
    assert load(written(tmp_path / "grey", image, kind), ENOUGH, 4).grey
    if kind == "PNG":
        tagged = load(written(tmp_path / "tagged.png", image, icc_profile=SRGB), ENOUGH, 4)
        assert not tagged.grey and tagged.icc == SRGB and tagged.notes == ()


def test_a_transparent_palette_entry_becomes_alpha(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    for name, options in [("p.png", {"transparency": 1}), ("p.gif", {"transparency": 1}), ("ramp.png", {"transparency": bytes([255, 0, 255])})]:
        picture = load(written(tmp_path / name, image, **options), ENOUGH, 4)
        assert picture.alpha is not None and picture.alpha.tolist() == [[255, 0, 255]]
        assert picture.rgb[0, [0, 2]].tolist() == [[10, 20, 30], [70, 80, 90]]


@pytest.mark.parametrize(
    ("depth", "rows", "key", "grey"),
    [(1, b"\x40", 1, [0, 255]), (2, b"\x60", 2, [85, 170]), (4, b"\x5a", 10, [85, 170]), (8, b"\x07\x09", 9, [7, 9])],
)
def test_a_transparent_grey_value_is_compared_in_the_depth_of_the_file(tmp_path, depth, rows, key, grey):
    path = raw_png(tmp_path / "key.png", (1, 2), depth, 0, [rows], png_chunks.chunk(b"tRNS", struct.pack(">H", key)))
    picture = load(path, ENOUGH, 4)
    assert picture.rgb[0, :, 0].tolist() == grey and picture.alpha is not None and picture.alpha.tolist() == [[255, 0]]


def test_a_transparent_16_bit_value_is_compared_in_all_bits(tmp_path):
    key = png_chunks.chunk(b"tRNS", struct.pack(">HHH", 257, 2, 3))
    path = raw_png(tmp_path / "key.png", (1, 2), 16, 2, [np.array([256, 2, 3, 257, 2, 3], ">u2").tobytes()], key)
    picture = load(path, ENOUGH, 4)
    assert picture.alpha is not None and picture.alpha.tolist() == [[65535, 0]] and picture.rgb.tolist() == [[[256, 2, 3], [257, 2, 3]]]
    path = raw_png(tmp_path / "key.png", (1, 2), 16, 0, [np.array([256, 257], ">u2").tobytes()], png_chunks.chunk(b"tRNS", struct.pack(">H", 257)))
    picture = load(path, ENOUGH, 4)
    assert picture.alpha is not None and picture.alpha.tolist() == [[65535, 0]] and picture.grey


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB", "HSV", "RGBX", "RGBa", "PA", "La"])
def test_other_colour_models_become_rgb(mode):
    source = Image.fromarray(smooth()).convert("RGB")
    if mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.applyTransform(source, ImageCms.buildTransform(srgb, lab, "RGB", "LAB")) or source
    elif mode == "La":
        source = source.convert("L").convert("RGB")
        image = source.convert("LA").convert("La")
    elif mode == "PA":
        source = source.convert("P").convert("RGB")
        image = source.convert("P", palette=Image.Palette.ADAPTIVE).convert("PA")
    else:
        image = source.convert("RGBA").convert(mode) if mode == "RGBa" else source.convert(mode)
    picture = from_pil(image)
    assert np.abs(picture.rgb.astype(int) - np.asarray(source)).mean() < 3
    assert (picture.alpha is not None) == (mode in ("RGBa", "PA", "La"))
    if mode == "LAB":
        image.info["icc_profile"] = LAB
        assert from_pil(image).icc is None and from_pil(image).notes == ()


def test_integer_and_float_images_need_a_known_range(tmp_path):
    values = np.linspace(0, 1, 20, dtype=np.float32).reshape(4, 5)
    picture = load(written(tmp_path / "float.tif", Image.fromarray(values)), ENOUGH, 4)
    assert picture.grey and picture.rgb.dtype == np.float32
    np.testing.assert_array_equal(picture.rgb[..., 1], values)
    refused(written(tmp_path / "float.tif", Image.fromarray(values * 255)), "from 0 to 255", "scale")
    refused(written(tmp_path / "nan.tif", Image.fromarray(values * np.nan)), "not numbers")
    integers = np.arange(20, dtype=np.int32).reshape(4, 5)
    assert load(written(tmp_path / "int.tif", Image.fromarray(integers * 3000)), ENOUGH, 4).rgb[..., 0].max() == 57000
    refused(written(tmp_path / "int.tif", Image.fromarray(integers * 30000)), "0 to 570000", "scale")
    refused(written(tmp_path / "int.tif", Image.fromarray(integers - 1)), "-1 to 18")


def test_several_frames_give_the_first_and_a_note(tmp_path):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "lime", "blue")]
    for name, what in (("a.gif", "frames"), ("a.png", "frames"), ("a.tif", "pages"), ("a.webp", "frames")):
        picture = load(written(tmp_path / name, frames[0], save_all=True, append_images=frames[1:]), ENOUGH, 4)
        assert picture.notes == (f"The file has several {what}; the first was used.",)
        assert np.abs(picture.rgb.astype(int) - (255, 0, 0)).max() < 8
    assert load(written(tmp_path / "one.gif", frames[0]), ENOUGH, 4).notes == ()


# 16 bits


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_survive_png_exactly(tmp_path, channels):
    pixels = noise(9, 7, channels, dtype=np.uint16)
    rgb = pixels[..., :1].repeat(3, axis=2) if channels < 3 else pixels[..., :3]
    alpha = pixels[..., -1] if channels in (2, 4) else None
    again = round_trip(tmp_path, Picture(rgb, alpha, grey=channels < 3))
    assert header_of(tmp_path / "result.png") == (16, {1: 0, 2: 4, 3: 2, 4: 6}[channels])
    assert again.grey == (channels < 3) and again.rgb.dtype == np.uint16
    np.testing.assert_array_equal(again.rgb, rgb)
    if alpha is None:
        assert again.alpha is None
    else:
        np.testing.assert_array_equal(again.alpha, alpha)


def test_16_bit_grey_with_alpha_written_by_others(tmp_path):
    pixels = noise(3, 4, 2, dtype=np.uint16)
    picture = load(raw_png(tmp_path / "la.png", (3, 4), 16, 4, [row.astype(">u2").tobytes() for row in pixels]), ENOUGH, 4)
    np.testing.assert_array_equal(to_array(picture)[..., 2:], pixels)


def test_16_bit_tiffs(tmp_path):
    pixels = noise(6, 5, 4, dtype=np.uint16)
    path = tmp_path / "wide.tif"
    for name, data, expected in [
        ("lzw", tiff_by_library(pixels[..., :3], compression="lzw", predictor=True), pixels[..., :3]),
        ("rgb", tiff16(pixels[..., :3]), pixels[..., :3]),
        ("straight alpha", tiff16(pixels, extra=(2,)), pixels),
        ("spare channel", tiff16(pixels, extra=(0,)), pixels[..., :3]),
        ("planes", tiff16(pixels[..., :3], planes=True), pixels[..., :3]),
        ("grey with alpha", tiff16(pixels[..., :2], photometric=1, extra=(2,)), pixels[..., [0, 0, 0, 1]]),
        ("deflated, big-endian", tiff_by_library(pixels, compression="zlib", predictor=True, byteorder=">", extrasamples=["unassalpha"]), pixels),
        ("tiled", tiff_by_library(pixels[..., :3], tile=(16, 16)), pixels[..., :3]),
        ("grey", tiff16(pixels[..., :1], photometric=1), pixels[..., :1].repeat(3, axis=2)),
        ("white is zero", tiff16(pixels[..., :1], photometric=0), 65535 - pixels[..., :1].repeat(3, axis=2)),
    ]:
        path.write_bytes(data)
        picture = load(path, ENOUGH, 4)
        np.testing.assert_array_equal(to_array(picture), expected, err_msg=name)
        assert picture_size(path) == (6, 5) and picture.grey == ("grey" in name or "white" in name) and picture.notes == ()


def test_12_bit_grey_is_stretched_to_16(tmp_path):
    data = tiff16(np.frombuffer(bytes([0xFF, 0xF8, 0x00, 0x00, 0x10, 0x00]), "<u2").reshape(1, 3, 1), photometric=1)
    for tag, sixteen_bit, twelve_bit in [(258, 16, 12), (256, 3, 4)]:  # the same six bytes hold four values of 12 bits
        start = data.index(struct.pack("<H", tag), 14)
        data = data[: start + 8] + data[start + 8 : start + 12].replace(bytes([sixteen_bit]), bytes([twelve_bit])) + data[start + 12 :]
    path = tmp_path / "scan.tif"
    path.write_bytes(data)
    assert load(path, ENOUGH, 4).rgb[..., 0].tolist() == [[65535, 32776, 16, 0]]


def test_premultiplied_alpha_is_divided_out(tmp_path):
    path = tmp_path / "premultiplied.tif"
    path.write_bytes(tiff16(np.array([[[100, 200, 300, 32768], [5, 6, 7, 0], [1, 2, 65535, 65535]]], np.uint16), extra=(1,)))
    assert to_array(load(path, ENOUGH, 4))[0, [0, 2]].tolist() == [[200, 400, 600, 32768], [1, 2, 65535, 65535]]


@pytest.mark.parametrize("kind", [b"gAMA", b"cICP", b"iCCP", b"sBIT", b"bKGD"])
def test_colour_chunks_change_no_16_bit_values_and_print_nothing(tmp_path, capfd, kind):
    pixels = noise(6, 5, 3, dtype=np.uint16)
    body = {b"gAMA": struct.pack(">I", 100000), b"cICP": bytes([9, 16, 0, 1]), b"sBIT": b"\x0c\x0c\x0c", b"bKGD": b"\0\1" * 3}.get(kind)
    chunk = png_chunks.profile_chunk(LAB) if body is None else png_chunks.chunk(kind, body)
    path = raw_png(tmp_path / "tagged.png", (6, 5), 16, 2, [row.astype(">u2").tobytes() for row in pixels], chunk)
    np.testing.assert_array_equal(load(path, ENOUGH, 4).rgb, pixels)
    assert capfd.readouterr().err == ""


def test_a_16_bit_file_opened_by_pillow_keeps_its_bits(tmp_path):
    pixels = noise(6, 5, 3, dtype=np.uint16)
    path = raw_png(tmp_path / "wide.png", (6, 5), 16, 2, [row.astype(">u2").tobytes() for row in pixels])
    with Image.open(path) as image:
        np.testing.assert_array_equal(from_pil(image).rgb, pixels)


def test_a_16_bit_tiff_opened_by_pillow_keeps_its_bits(tmp_path):
    pixels = noise(6, 5, 3, dtype=np.uint16)
    path = tmp_path / "wide.tif"
    path.write_bytes(tiff16(pixels))
    with Image.open(path) as image:
        np.testing.assert_array_equal(from_pil(image).rgb, pixels)


def test_16_bit_cmyk_keeps_its_bits(tmp_path):
    path = tmp_path / "ink.tif"
    path.write_bytes(tiff16(np.array([[[0, 0, 0, 0], [0, 0, 0, 65535], [32768, 0, 0, 0], [1000, 2000, 3000, 0]]], np.uint16), photometric=5))
    picture = load(path, ENOUGH, 4)
    assert picture.rgb.tolist() == [[[65535] * 3, [0] * 3, [32767, 65535, 65535], [64535, 63535, 62535]]]
    assert "without a usable profile" in picture.notes[0]


@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
def test_pictures_of_10_bits_keep_more_than_8(tmp_path, kind):
    ramp = np.linspace(0, 1, 256)[None, :, None].repeat(64, 0).repeat(3, 2)
    path = tmp_path / "deep"
    if kind == "AVIF":
        data = imagecodecs.avif_encode(np.rint(ramp * 1023).astype(np.uint16), level=imagecodecs.AVIF.QUALITY.LOSSLESS, bitspersample=10)
        path.write_bytes(data)
    else:
        heif = pytest.importorskip("pillow_heif")
        heif.from_bytes("RGB;16", (256, 64), np.rint(ramp * 65535).astype(np.uint16).tobytes()).save(path, quality=-1, format="HEIF")
    picture = load(path, ENOUGH, 4)
    assert picture.rgb.dtype == np.uint16 and len(np.unique(picture.rgb[0, :, 1])) > 200
    assert np.abs(picture.rgb / 65535 - ramp).max() < 4 / 1023
    assert picture.rgb.max() == 65535


# What is left of a damaged file


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "progressive JPEG", "GIF", "BMP", "TIFF"])
def test_the_rest_of_a_cut_off_file_can_be_asked_for(tmp_path, kind):
    rgb = smooth(96, 128) // 2 + noise(96, 128, 3) // 16
    path = tmp_path / "cut"
    options = {"progressive": True, "quality": 95} if kind.startswith("progressive") else {}
    whole = written(path, Image.fromarray(rgb), kind.split()[-1], **options).read_bytes()
    path.write_bytes(whole[: int(len(whole) * 0.6)])
    refused(path, "damaged")
    picture = load(path, ENOUGH, 4, tolerant=True)
    assert picture.size == (96, 128) and any("what could not be read of it is blank" in note for note in picture.notes)
    whole_rows = slice(-24, None) if kind == "BMP" else slice(24)  # which stores the last row first
    assert np.abs(picture.rgb[whole_rows].astype(int) - rgb[whole_rows]).mean() < 20
    path.write_bytes(whole)
    whole_one, strict = load(path, ENOUGH, 4, tolerant=True), load(path, ENOUGH, 4)
    assert whole_one.notes == strict.notes == ()
    np.testing.assert_array_equal(whole_one.rgb, strict.rgb)


@pytest.mark.parametrize("kind", ["PNG16", "TIFF16"])
def test_the_rest_of_a_cut_off_16_bit_file_has_8_and_says_so(tmp_path, kind):
    path, whole = tmp_path / "cut", encoded(smooth(400, 300) + noise(400, 300, 3) // 16, kind)
    path.write_bytes(whole[: int(len(whole) * 0.6)])
    refused(path)
    try:
        picture = load(path, ENOUGH, 4, tolerant=True)
    except UserError as error:  # of a compressed TIFF, whose directory is at the end
        assert kind == "TIFF16" and "damaged" in str(error)
    else:
        assert picture.rgb.dtype == np.uint8 and "read as 8" in " ".join(picture.notes) and "blank" in " ".join(picture.notes)


@pytest.mark.parametrize("damage", ["checksum", "rows"])
def test_a_png_that_is_damaged_where_its_decoder_does_not_look_is_refused_or_marked(tmp_path, damage):
    path, rows = tmp_path / "a.png", [row.tobytes() for row in smooth(40, 50)]
    if damage == "checksum":
        data = bytearray(raw_png(path, (40, 50), 8, 2, rows).read_bytes())
        data[-13] ^= 1  # in the checksum of the pixels, before the last chunk
        path.write_bytes(data)
    else:
        raw_png(path, (60, 50), 8, 2, rows)
    refused(path, "damaged")
    with Image.open(path) as image, pytest.raises(UserError, match="damaged"):
        from_pil(image)
    picture = load(path, ENOUGH, 4, tolerant=True)
    np.testing.assert_array_equal(picture.rgb[:40], smooth(40, 50))
    assert "damaged or incomplete" in " ".join(picture.notes)


def middle_replaced(data, replacement, length):
    """The file without `length` bytes from its middle on, and with others instead."""
    middle = len(data) // 2
    return data[:middle] + replacement + data[middle + length :]


@pytest.mark.parametrize(
    ("options", "replacement"),
    [
        ({"restart_marker_rows": 1}, b""),
        ({"restart_marker_rows": 1}, bytes(2000)),
        ({}, b"\xff\xe5" + bytes(1998)),
        ({"progressive": True}, b"\xff\xd3"),
    ],
)
def test_a_jpeg_whose_markers_show_damage_is_refused_or_marked(tmp_path, options, replacement):
    rgb = smooth(192, 128) // 2 + noise(192, 128, 3) // 16
    path = written(tmp_path / "a.jpg", Image.fromarray(rgb), quality=95, **options)
    path.write_bytes(middle_replaced(path.read_bytes(), replacement, len(replacement) or 2000))
    with Image.open(path) as image:
        image.load()  # the decoder alone takes it for whole
    refused(path, "damaged")
    with Image.open(path) as image, pytest.raises(UserError, match="damaged"):
        from_pil(image)
    picture = load(path, ENOUGH, 4, tolerant=True)
    assert picture.size == (192, 128) and "damaged or incomplete" in " ".join(picture.notes)
    assert np.abs(picture.rgb[:48].astype(int) - rgb[:48]).mean() < 20


@pytest.mark.parametrize("options", [{"restart_marker_blocks": 1}, {"restart_marker_rows": 1, "progressive": True}, {"subsampling": 2}])
def test_a_sound_jpeg_is_not_taken_for_a_damaged_one(tmp_path, options):
    path = written(tmp_path / "a.jpg", Image.fromarray(noise(100, 90, 3)), quality=95, **options)
    whole = path.read_bytes()
    for data in (
        whole,
        whole + b"\xff\xd3 and more \xff\xe1",
        whole.replace(b"\xff\xd9", b"\0\0\xff\xff\xd9"),
        whole[:2] + b"\xff\xfe\0\4\xff\xd9" + whole[2:],
    ):
        path.write_bytes(data)
        assert load(path, ENOUGH, 4).notes == ()


def test_where_nothing_is_left_there_is_no_picture(tmp_path):
    path = written(tmp_path / "cut.png", Image.fromarray(smooth()))
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"IDAT") + 8])
    with pytest.raises(UserError, match="nothing of its pixels is left"):
        load(path, ENOUGH, 4, tolerant=True)


# Limits


@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1)])
def test_no_shape_is_too_thin(tmp_path, shape):
    assert load(written(tmp_path / "thin.png", Image.fromarray(noise(*shape, 3))), ENOUGH, 4).size == shape


def test_files_and_sides_have_limits_of_their_own(tmp_path, monkeypatch):
    refused(raw_png(tmp_path / "long.png", (1, 70000), 1, 0, [b"\0"]), "no side may have more than 65536")
    path = written(tmp_path / "large.png", Image.fromarray(noise(9, 9, 3)))
    with path.open("r+b") as stream:
        stream.truncate(2**28 + 1)
    refused(path, "up to 256 MiB")


def test_of_a_result_only_the_limit_on_results_counts(tmp_path, monkeypatch):
    path = written(tmp_path / "result.png", Image.new("L", (70000, 2)))
    monkeypatch.setattr("utils.pictures.reading.MOST_BYTES", 10)
    assert load(path, 140_000, 1, own=True).size == (2, 70000)
    with pytest.raises(UserError, match="max_output_megapixels"):
        load(path, 139_999, 1, own=True)


def test_heic_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "phone.heic"
    path.write_bytes(encoded(smooth(), "HEIC"))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    refused(path, "pillow-heif", "install it")
