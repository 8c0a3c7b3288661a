"""What goes in comes out: depth, transparency, colour profile, EXIF, orientation; and whatever cannot go in is refused in one sentence."""

import csv
import errno
import io
import os
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from utils.pictures import image_io, png_chunks
from utils.pictures.image_io import Picture, check_target, from_array, from_pil, load, made_by_us, picture_size, save, to_array
from utils.planning.errors import UserError

ODD = Path(__file__).resolve().parents[3] / "shared" / "data" / "odd"
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LARGE = struct.pack(">I", len(SRGB) + 2**21) + SRGB[4:] + bytes(2**21)  # valid, but Pillow opens no PNG that holds it
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
ENOUGH = 10**8


def noise(*shape: int, dtype: Any = np.uint8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def smooth(h=48, w=64):
    """A picture that lossy formats keep well."""
    rows, columns = np.mgrid[0:h, 0:w]
    return np.dstack([255 * rows // h, 255 * columns // w, np.full((h, w), 90)]).astype(np.uint8)


def written(path, image, *arguments, **options):
    image.save(path, *arguments, **options)
    return path


def raw_png(path, size, depth, colour_type, rows, *chunks):
    """A PNG put together by hand: `rows` are the bytes of each row as the format stores them."""
    header = struct.pack(">IIBBBBB", size[1], size[0], depth, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    parts = [png_chunks.chunk(b"IHDR", header), *chunks, png_chunks.chunk(b"IDAT", pixels), png_chunks.chunk(b"IEND", b"")]
    path.write_bytes(png_chunks.SIGNATURE + b"".join(parts))
    return path


def refused(path, *words, limit=ENOUGH):
    """The one sentence that `load` answers with; nothing in it comes from the libraries' insides."""
    with pytest.raises(UserError) as caught:
        load(path, limit, 4)
    sentence = str(caught.value)
    assert Path(path).name in sentence and "\n" not in sentence and "<" not in sentence and " at 0x" not in sentence
    for word in words:
        assert word in sentence
    return sentence


def round_trip(tmp_path, picture, **metadata):
    save(picture, tmp_path / "result.png", metadata)
    return load(tmp_path / "result.png", ENOUGH, 1)


def header_of(path):
    """(bit depth, colour type) that the PNG declares."""
    return tuple(Path(path).read_bytes()[24:26])


# Reading


@pytest.mark.parametrize("kind", image_io.FORMATS)
def test_every_allowed_format_is_recognised_by_content_not_by_name(tmp_path, kind):
    path = written(tmp_path / "picture.txt", Image.fromarray(smooth()), kind)
    picture = load(path, ENOUGH, 4)
    assert picture_size(path) == picture.rgb.shape[:2] == (48, 64)
    difference = np.abs(picture.rgb.astype(int) - smooth()).mean()
    assert difference < (12 if kind in ("JPEG", "GIF", "WEBP", "AVIF") else 0.001)  # the lossy ones; GIF has few colours


@pytest.mark.parametrize("kind", ["PPM", "ICO", "TGA"])
def test_other_formats_are_refused_even_under_an_allowed_name(tmp_path, kind):
    refused(written(tmp_path / "picture.png", Image.fromarray(smooth()), kind), "not a picture of a supported kind")


@pytest.mark.parametrize("kind", image_io.FORMATS)
@pytest.mark.parametrize("part", [0.3, 0.9])
def test_a_truncated_file_is_refused(tmp_path, kind, part):
    path = written(tmp_path / "cut.png", Image.fromarray(noise(64, 64, 3)), kind)
    whole = path.read_bytes()
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
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    assert picture_size(path) == (20, 30)
    refused(path, "30 x 20", "120 x 80", "0.0095", "max_output_megapixels", limit=9500)


@pytest.mark.parametrize("size", [(9500, 10000), (30000, 30000), (10**6, 10**6)])
def test_decompression_bombs_get_our_sentence_and_no_warning(tmp_path, size):
    path = raw_png(tmp_path / "bomb.png", size, 1, 0, [b"\0"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refused(path, "too large", limit=10**7)
        refused(path, "too large", limit=10**18)  # a limit that lets it pass still leaves Pillow's guard
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
        data = cv2.imencode(".png", np.ascontiguousarray(TURNED[orientation](upright))[..., ::-1])[1].tobytes()
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


def test_cmyk_goes_through_its_profile_and_loses_it(tmp_path):
    image = Image.fromarray(smooth()).convert("CMYK")
    plain = load(written(tmp_path / "plain.tif", image), ENOUGH, 4)
    np.testing.assert_array_equal(plain.rgb, np.asarray(image.convert("RGB")))
    broken = load(written(tmp_path / "broken.tif", image, icc_profile=SRGB), ENOUGH, 4)  # not a CMYK profile
    np.testing.assert_array_equal(broken.rgb, plain.rgb)
    assert plain.icc is broken.icc is None and "without a usable profile" in plain.notes[0] and plain.notes == broken.notes


def test_cmyk_profile_is_given_to_the_colour_engine(tmp_path, monkeypatch):
    seen = {}

    def convert(image, source, target, outputMode):
        seen.update(mode=image.mode, profile=source.read(), output=outputMode)
        return Image.new("RGB", image.size, (1, 2, 3))

    monkeypatch.setattr(ImageCms, "profileToProfile", convert)
    picture = load(written(tmp_path / "print.tif", Image.new("CMYK", (4, 3)), icc_profile=b"a CMYK profile"), ENOUGH, 4)
    assert seen == {"mode": "CMYK", "profile": b"a CMYK profile", "output": "RGB"}
    assert (picture.rgb == (1, 2, 3)).all() and picture.icc is None and "sRGB by the profile" in picture.notes[0]


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
    for name in ("a.gif", "a.png", "a.tif", "a.webp"):
        picture = load(written(tmp_path / name, frames[0], save_all=True, append_images=frames[1:]), ENOUGH, 4)
        assert picture.notes == ("The file has 3 frames; the first was used.",)
        assert np.abs(picture.rgb.astype(int) - (255, 0, 0)).max() < 8
    assert load(written(tmp_path / "one.gif", frames[0]), ENOUGH, 4).notes == ()


# 16 bits


def tiff16(pixels, *, orientation=1, maker=b"", planes=False, extra=(), photometric=2):
    """A little-endian 16-bit TIFF of [h, w, channels], put together by hand."""
    h, w, channels = pixels.shape
    data = (pixels.transpose(2, 0, 1) if planes else pixels).astype("<u2").tobytes()
    tags = [(256, 4, [w]), (257, 4, [h]), (258, 3, [16] * channels), (259, 3, [1]), (262, 3, [photometric]), (271, 2, list(maker))]
    strips = [8 + i * (len(data) // channels) for i in range(channels)] if planes else [8]
    tags += [(273, 4, strips), (274, 3, [orientation]), (277, 3, [channels]), (278, 4, [h])]
    tags += [(279, 4, [len(data) // len(strips)] * len(strips)), (284, 3, [2 if planes else 1]), (338, 3, list(extra))]
    tags = [tag for tag in tags if tag[2]]
    start = 8 + len(data)
    after = start + 2 + 12 * len(tags) + 4
    entries = spill = b""
    for tag, kind, values in tags:
        packed = struct.pack(f"<{len(values)}{' BHI'[kind - 1]}", *values)
        if len(packed) > 4:
            packed, spill = struct.pack("<I", after + len(spill)), spill + packed + b"\0" * (len(packed) % 2)
        entries += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<I", start) + data + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0" + spill


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
        ("lzw", cv2.imencode(".tif", pixels[..., 2::-1])[1].tobytes(), pixels[..., :3]),
        ("rgb", tiff16(pixels[..., :3]), pixels[..., :3]),
        ("straight alpha", tiff16(pixels, extra=(2,)), pixels),
        ("spare channel", tiff16(pixels, extra=(0,)), pixels[..., :3]),
        ("grey", tiff16(pixels[..., :1], photometric=1), pixels[..., :1].repeat(3, axis=2)),
        ("white is zero", tiff16(pixels[..., :1], photometric=0), 65535 - pixels[..., :1].repeat(3, axis=2)),
    ]:
        path.write_bytes(data)
        np.testing.assert_array_equal(to_array(load(path, ENOUGH, 4)), expected, err_msg=name)


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


def test_16_bit_planes_are_refused_not_scrambled(tmp_path):
    path = tmp_path / "planes.tif"
    path.write_bytes(tiff16(noise(6, 5, 3, dtype=np.uint16), planes=True))
    refused(path, "plane")


def test_readers_that_disagree_on_16_bits_are_not_believed(tmp_path, monkeypatch):
    path = tmp_path / "wide.png"
    path.write_bytes(cv2.imencode(".png", noise(6, 5, 3, dtype=np.uint16))[1].tobytes())
    right = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda *arguments: np.asarray(right(*arguments)).byteswap())
    refused(path, "16-bit")


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


# Profile and EXIF


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


@pytest.mark.parametrize(("icc", "word"), [(b"no profile", "damaged"), (SRGB[:100], "damaged"), (LAB, "does not suit"), (LARGE, "does not suit")])
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


# Arrays


@given(
    h=st.integers(1, 5), w=st.integers(1, 5), channels=st.sampled_from([None, 1, 3, 4]), dtype=st.sampled_from(["u1", "<u2", ">u2", "f2", "f4", "f8"])
)
def test_arrays_come_back_in_their_depth(h, w, channels, dtype):
    shape = (h, w) if channels is None else (h, w, channels)
    array = (
        np.random.default_rng(0).random(shape).astype(dtype) if "f" in dtype else noise(*shape, dtype=np.dtype(dtype).newbyteorder("=")).astype(dtype)
    )
    picture = from_array(array)
    assert picture.rgb.shape == (h, w, 3) and picture.rgb.dtype == {"u1": np.uint8, "u2": np.uint16}.get(dtype[-2:], np.float32)
    assert picture.grey == (channels in (None, 1)) and (picture.alpha is not None) == (channels == 4)
    back = to_array(picture)
    np.testing.assert_array_equal(back[..., 0] if channels is None else back[..., :channels], array.astype(back.dtype))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.int32),
        np.zeros((4, 4, 3), bool),
        np.zeros((4, 4, 3), complex),
        np.zeros((3, 4, 5), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.full((4, 4, 3), np.nan),
        np.full((4, 4, 3), np.inf),
        np.full((4, 4, 3), 1.01),
        np.full((4, 4, 3), -0.01),
        np.array("text"),
        np.array([[None]]),
    ],
)
def test_arrays_that_are_no_pictures(array):
    with pytest.raises(UserError, match=r"^(An|The) array.*(give|replace|scale)"):
        from_array(array)


def test_a_pil_image_is_turned_upright_and_left_as_it_was():
    image = Image.fromarray(noise(5, 7, 3))
    image.getexif()[0x0112] = 6
    np.testing.assert_array_equal(from_pil(image).rgb, np.rot90(noise(5, 7, 3), -1))
    assert image.getexif()[0x0112] == 6 and image.size == (7, 5)


# Writing


def test_8_bit_pictures_are_written_in_the_fewest_channels(tmp_path):
    pixels = noise(6, 5, 4)
    for channels, colour_type in [(1, 0), (2, 4), (3, 2), (4, 6)]:
        rgb = pixels[..., :1].repeat(3, axis=2) if channels < 3 else pixels[..., :3]
        alpha = pixels[..., 3] if channels in (2, 4) else None
        again = round_trip(tmp_path, Picture(rgb, alpha, grey=channels < 3))
        assert header_of(tmp_path / "result.png") == (8, colour_type)
        np.testing.assert_array_equal(to_array(again), to_array(Picture(rgb, alpha)))


def test_a_grey_picture_is_written_as_the_mean_of_its_channels(tmp_path):
    again = round_trip(tmp_path, Picture(np.array([[[1, 2, 6], [255, 255, 255]]], np.uint8), grey=True))
    assert again.rgb[..., 0].tolist() == [[3, 255]]


def test_a_float_picture_is_written_with_16_bits(tmp_path):
    rgb = np.array([[[0, 0.5, 1], [0.25, 1 / 65535, 1.001]]], np.float32)
    again = round_trip(tmp_path, Picture(rgb, np.array([[0.5, 1]], np.float32)))
    assert again.rgb.tolist() == [[[0, 32768, 65535], [16384, 1, 65535]]] and again.alpha is not None and again.alpha.tolist() == [[32768, 65535]]


def test_values_that_are_not_numbers_are_not_written(tmp_path):
    with pytest.raises(UserError, match="not numbers"):
        save(Picture(np.full((2, 2, 3), np.nan, np.float32)), tmp_path / "result.png", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_metadata_is_text_in_the_file_and_equal_inputs_give_equal_bytes(tmp_path, dtype):
    picture = Picture(noise(20, 30, 3, dtype=dtype), noise(20, 30, dtype=dtype), icc=SRGB)
    save(picture, tmp_path / "a.png", {"settings": '{"prompt": "größer 図"}', "plan": "two\nlines " + "x" * 2**21})
    save(picture, tmp_path / "b.png", {"plan": "two\nlines " + "x" * 2**21, "settings": '{"prompt": "größer 図"}'})
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as result:
        assert result.info["invsr:settings"] == '{"prompt": "größer 図"}' and result.info["invsr:plan"].startswith("two\nlines")
        result.load()
    assert made_by_us(tmp_path / "a.png")
    with pytest.raises(ValueError, match="PNG text"):
        save(picture, tmp_path / "c.png", {"x" * 80: ""})
    assert not (tmp_path / "c.png").exists()


def test_only_our_own_files_are_replaced(tmp_path):
    target, picture = tmp_path / "result.png", Picture(noise(4, 4, 3))
    for content in (png_bytes(), b"", b"notes", png_bytes()[:40]):
        target.write_bytes(content)
        assert not made_by_us(target)
        with pytest.raises(UserError, match=r"result\.png was not made by this program"):
            save(picture, target, {})
        with pytest.raises(UserError, match="not replaced"):
            check_target(target)
        assert target.read_bytes() == content and list(tmp_path.iterdir()) == [target]
    target.unlink()
    check_target(target)
    save(picture, target, {})
    check_target(target)
    save(Picture(noise(4, 4, 3, seed=1)), target, {})
    np.testing.assert_array_equal(load(target, ENOUGH, 4).rgb, noise(4, 4, 3, seed=1))
    assert list(tmp_path.iterdir()) == [target]
    assert not made_by_us(tmp_path) and not made_by_us(tmp_path / "missing.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to("nowhere")
    for name in ("folder.png", "link.png"):
        with pytest.raises(UserError, match="not made by this program"):
            save(picture, tmp_path / name, {})


def png_bytes():
    stream = io.BytesIO()
    Image.fromarray(noise(4, 4, 3)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("step", ["os.replace", "os.fsync"])
@pytest.mark.parametrize("before", [False, True])
def test_a_failing_write_leaves_nothing_and_spoils_nothing(tmp_path, monkeypatch, step, before):
    target = tmp_path / "result.png"
    if before:
        save(Picture(noise(4, 4, 3)), target, {})
    listing = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(step, full)
        with pytest.raises(UserError, match=r"result\.png cannot be written: No space left on device"):
            save(Picture(noise(4, 4, 3, seed=1)), target, {})
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == listing

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(step, interrupted)
        save(Picture(noise(4, 4, 3, seed=1)), target, {})
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == listing


def test_places_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for path, words in [
        (tmp_path / "file" / "a.png", "is not a folder"),
        (tmp_path / "missing" / "a.png", "is not a folder"),
        (tmp_path / "a.jpg", "PNG"),
        (tmp_path / ("a" * 300 + ".png"), "name"),
    ]:
        with pytest.raises(UserError, match=words):
            save(Picture(noise(2, 2, 3)), path, {})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_files_get_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    save(Picture(noise(2, 2, 3)), tmp_path / "result.png", {})
    assert (tmp_path / "result.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


# Damage of every kind


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from([*image_io.FORMATS, "PNG16"]), places=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=4)
)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_bytes_give_a_picture_or_a_sentence_never_anything_else(tmp_path, kind, places):
    if kind == "PNG16":
        data = bytearray(cv2.imencode(".png", noise(8, 8, 3, dtype=np.uint16))[1].tobytes())
    else:
        stream = io.BytesIO()
        Image.fromarray(noise(8, 8, 3)).save(stream, kind)
        data = bytearray(stream.getvalue())
    for place, value in places:
        data[int(place * len(data))] = value
    path = tmp_path / "damaged"
    path.write_bytes(data)
    for read in (lambda: load(path, 10**6, 4), lambda: picture_size(path)):
        try:
            read()
        except UserError as error:
            assert "damaged" in str(error)
    made_by_us(path)


ODD_FILES = list(csv.DictReader((ODD / "manifest.csv").read_text().splitlines())) if (ODD / "manifest.csv").exists() else []


@pytest.mark.skipif(not ODD_FILES, reason="the shared odd files are not here")
@pytest.mark.parametrize("row", ODD_FILES, ids=lambda row: row["file"])
@pytest.mark.filterwarnings("ignore:Truncated File Read")
def test_odd_files_keep_the_promises_of_their_manifest(tmp_path, row):
    path = ODD / row["file"]
    if row["expected"] == "must be a clear error":
        refused(path)
        return
    picture = load(path, ENOUGH, 4)
    assert picture_size(path) == picture.rgb.shape[:2]
    w, h = map(int, row["pillow_13_strict_result"].split()[-1].split("x"))
    assert picture.rgb.shape[:2] == ((w, h) if "EXIF orientation 5" in row["what_it_is"] else (h, w))
    again = round_trip(tmp_path, picture)
    np.testing.assert_array_equal(to_array(again), to_array(picture))
    assert (again.icc, again.grey) == (picture.icc, picture.grey)
    assert picture.rgb.dtype == (np.uint16 if "16-bit" in row["what_it_is"] else np.uint8)
    if "RGBA" in row["what_it_is"] or "transparency" in row["what_it_is"] or "tRNS" in row["what_it_is"]:
        assert picture.alpha is not None and picture.alpha.min() < picture.alpha.max()


@pytest.mark.skipif(not ODD_FILES, reason="the shared odd files are not here")
def test_the_turned_hopper_is_upright():
    with Image.open(ODD / "hopper_orientation_3.jpg") as image:
        expected = np.asarray(image.convert("RGB"))[::-1, ::-1]
    np.testing.assert_array_equal(load(ODD / "hopper_orientation_3.jpg", ENOUGH, 4).rgb, expected)
