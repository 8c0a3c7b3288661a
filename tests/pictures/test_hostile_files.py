"""Files that are damaged, that lie, or that were made to hurt: a picture or a plain sentence comes out, in bounded time and memory."""

import csv
import functools
import io
import json
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import PROJECT, SHARED
from tests.pictures.picture_files import ENCODED, ENOUGH, encoded, noise, refused, round_trip, smooth, tiff16
from utils.pictures import png_chunks
from utils.pictures.picture import to_array
from utils.pictures.provenance import made_by_us
from utils.pictures.reading import load, picture_size
from utils.planning.errors import UserError

ODD = SHARED / "data" / "odd"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(ENCODED), places=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=4))
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_bytes_give_a_picture_or_a_sentence_never_anything_else(tmp_path, kind, places):
    data = bytearray(encoded(noise(8, 8, 3), kind))
    for place, value in places:
        data[int(place * len(data))] = value
    path = tmp_path / "damaged"
    path.write_bytes(data)
    for read in (lambda: load(path, 10**6, 4), lambda: load(path, 10**6, 4, tolerant=True), lambda: picture_size(path)):
        try:
            read()
        except UserError as error:
            assert str(error).startswith("damaged ") and str(error).endswith(".")
    made_by_us(path)


# Every kind of PNG


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("colour_type", "depth"),
    [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4), (3, 8), (4, 8), (4, 16), (6, 8), (6, 16)],
)
def test_every_colour_type_and_depth_of_png(tmp_path, colour_type, depth, interlaced):
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour_type]
    values = np.random.default_rng(depth).integers(0, 2**depth, (11, 13, channels))
    palette = noise(2**depth, 3) if colour_type == 3 else None
    path = tmp_path / "suite.png"
    path.write_bytes(_png(values, colour_type, depth, interlaced, palette))
    picture = load(path, ENOUGH, 4)
    full = 65535 if depth == 16 else 255
    expected = palette[values[..., 0]] if palette is not None else values * (full // (2**depth - 1))
    expected = expected[..., [0, 0, 0, 1][: channels + 2]] if channels < 3 and palette is None else expected
    assert picture.rgb.dtype == (np.uint16 if depth == 16 else np.uint8) and picture.grey == (colour_type in (0, 4)) and picture.notes == ()
    np.testing.assert_array_equal(to_array(picture), expected)


def _png(values: np.ndarray, colour_type: int, depth: int, interlaced: bool, palette: np.ndarray | None) -> bytes:
    h, w, _ = values.shape
    # Adam7: each pass is every (row step, column step)th pixel from a start; see the PNG specification, section 8.
    passes = [(0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1)] if interlaced else [(0, 1, 0, 1)]
    data = b""
    for top, down, left, right in passes:
        part = values[top::down, left::right]
        for row in part if part.size else ():
            bits = ((row.reshape(-1, 1) >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8)
            data += b"\0" + np.packbits(bits.reshape(-1)).tobytes()
    chunks = [png_chunks.chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, colour_type, 0, 0, int(interlaced)))]
    if palette is not None:
        chunks.append(png_chunks.chunk(b"PLTE", palette.tobytes()))
    return png_chunks.SIGNATURE + b"".join([*chunks, png_chunks.chunk(b"IDAT", zlib.compress(data)), png_chunks.chunk(b"IEND", b"")])


# Files made to hurt


def _png_with(*before: bytes, after: tuple[bytes, ...] = (), size: tuple[int, int] = (24, 32)) -> bytes:
    plain = encoded(smooth(*size), "PNG")
    return b"".join([png_chunks.insert_after_header(plain[:-12], before), *after, plain[-12:]])


def _patched(data: bytes, offset: int, layout: str, *values: int) -> bytes:
    return data[:offset] + struct.pack(layout, *values) + data[offset + struct.calcsize(layout) :]


def _jpeg_of_size(h: int, w: int) -> bytes:
    data = encoded(smooth(24, 32), "JPEG")
    return _patched(data, data.index(b"\xff\xc0") + 5, ">HH", h, w)


def _jpeg_with_scans(count: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(smooth(1000, 1000)).save(stream, "JPEG", progressive=True)
    data = stream.getvalue()
    start = data.rindex(b"\xff\xda")  # the last scan, again and again
    return data[:start] + data[start:-2] * count + b"\xff\xd9"


def _jpeg_with_profile(segments: int) -> bytes:
    data = encoded(smooth(24, 32), "JPEG")
    parts = [b"\xff\xe2\xff\xff" + b"ICC_PROFILE\0" + bytes([k + 1, segments]) + bytes(65519) for k in range(segments)]
    return data[:2] + b"".join(parts) + data[2:]


def _boxes_of_size(kind: str, w: int, h: int) -> bytes:
    data = encoded(smooth(64, 64), kind)
    place = data.index(b"ispe") + 8
    return _patched(data, place, ">II", w, h)


def _gif_of_frames(count: int) -> bytes:
    frame = b",\0\0\0\0\1\0\1\0\0\2\2D\1\0"
    return b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff" + frame * count + b";"


def _tiff(*tags: tuple[int, int, int, int], more: bytes = b"", following: int = 0) -> bytes:
    entries = b"".join(struct.pack("<HHI", tag, kind, count) + struct.pack("<I", value) for tag, kind, count, value in sorted(tags))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + struct.pack("<I", following) + more


_GREY_TIFF = ((256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 1), (279, 4, 1, 64))

_TILED_TIFF = (*(tag for tag in _GREY_TIFF if tag[0] not in (273, 279)), (322, 4, 1, 1), (323, 4, 1, 1), (324, 4, 64, 200), (325, 4, 64, 200))


def _grey_tiff(*changes: tuple[int, int, int, int], **options: object) -> bytes:
    tags = {tag[0]: tag for tag in (*_GREY_TIFF, *changes)}
    return _tiff(*tags.values(), more=bytes(4096), **options)  # type: ignore[arg-type]


def _webp_of_size(w: int, h: int) -> bytes:
    header = b"VP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + (w - 1).to_bytes(3, "little") + (h - 1).to_bytes(3, "little")
    frame = b"ANIM" + struct.pack("<IIH", 6, 0, 0)
    body = b"WEBP" + header + frame
    return b"RIFF" + struct.pack("<I", len(body)) + body


@functools.cache
def _zeros() -> bytes:
    return zlib.compress(bytes(200 * 2**20), 1)


# What each is, and whether a picture must come out of it (else a sentence; None: either).
HOSTILE: dict[str, tuple[Callable[[], bytes], bool | None]] = {
    "png of 60000 x 60000": (lambda: raw_bytes_png((60000, 60000), b""), False),
    "png of no width": (lambda: _patched(_png_with(), 16, ">II", 0, 10), False),
    "jpeg of 60000 x 60000": (lambda: _jpeg_of_size(60000, 60000), False),
    "jpeg of no height": (lambda: _jpeg_of_size(0, 100), False),
    "gif of 65535 x 65535": (lambda: _patched(encoded(smooth(8, 8), "GIF"), 6, "<HH", 65535, 65535), False),
    "gif with a frame outside": (lambda: b"GIF89a\1\0\1\0\0\0\0,\xff\xff\xff\xff\xff\xff\xff\xff\0\2\2D\1\0;", False),
    "webp of 16383 x 16383": (lambda: _webp_of_size(16383, 16383), False),
    "webp of 2^24 x 2^24": (lambda: _webp_of_size(2**24, 2**24), False),
    "bmp of 30000 x 30000": (lambda: _patched(encoded(smooth(8, 8), "BMP"), 18, "<II", 30000, 30000), False),
    "bmp of negative size": (lambda: _patched(encoded(smooth(8, 8), "BMP"), 18, "<ii", -8, -(2**31)), False),
    "avif of 60000 x 60000": (lambda: _boxes_of_size("AVIF", 60000, 60000), False),
    "heic of 60000 x 60000": (lambda: _boxes_of_size("HEIC", 60000, 60000), False),
    "tiff of 60000 x 60000": (lambda: _grey_tiff((256, 4, 1, 60000), (257, 4, 1, 60000)), False),
    "tiff of 2^32 x 2^32": (lambda: _grey_tiff((256, 4, 1, 2**32 - 1), (257, 4, 1, 2**32 - 1)), False),
    "16-bit tiff of 60000 x 60000": (lambda: _patched_wide_tiff(60000), False),
    "tiff of 65535 samples": (lambda: _grey_tiff((277, 3, 1, 65535)), False),
    "tiff of endless pages": (lambda: _grey_tiff(following=8), None),
    "tiff with a tag of 2^31 values": (lambda: _grey_tiff((270, 2, 2**31 - 1, 8)), None),
    "tiff with 2^28 strips": (lambda: _grey_tiff((273, 4, 2**28, 8), (279, 4, 2**28, 8)), False),
    "tiff of tiles of one pixel": (lambda: _tiff(*_TILED_TIFF, more=bytes(4096)), None),
    "tiff without pixels": (lambda: b"II*\0\x08\0\0\0\0\0\0\0\0\0", False),
    "text bomb before the pixels": (lambda: _png_with(png_chunks.chunk(b"zTXt", b"a\0\0" + _zeros())), True),
    "text bomb behind the pixels": (lambda: _png_with(after=(png_chunks.chunk(b"zTXt", b"a\0\0" + _zeros()),)), True),
    "international text bomb": (lambda: _png_with(png_chunks.chunk(b"iTXt", b"a\0\1\0\0\0" + _zeros())), True),
    "xmp bomb": (lambda: _png_with(png_chunks.chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + _zeros())), True),
    "100,000 texts": (lambda: _png_with(*[png_chunks.chunk(b"tEXt", b"a\0b")] * 100_000), True),
    "profile bomb": (lambda: _png_with(png_chunks.chunk(b"iCCP", b"a\0\0" + _zeros())), True),
    "profile of 16 MB": (lambda: _jpeg_with_profile(255), True),
    "exif of 60 MB": (lambda: _png_with(png_chunks.chunk(b"eXIf", b"II*\0\x08\0\0\0" + bytes(60 * 2**20))), True),
    "exif that says it is large": (
        lambda: _png_with(png_chunks.chunk(b"eXIf", b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 0x927C, 7, 2**31 - 1, 8) + bytes(4))), True
    ),
    "exif that goes in circles": (
        lambda: _png_with(png_chunks.chunk(b"eXIf", b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 0x8769, 4, 1, 8) + struct.pack("<I", 8))), True
    ),
    "pixels of 2000 x 2000 in a few bytes": (lambda: encoded(np.zeros((2000, 2000, 3), np.uint8), "PNG"), True),
    "pixels that go on and on": (
        lambda: raw_bytes_png((8, 8), _zeros()), None
    ),
    "apng of 2^31 frames": (lambda: _png_with(png_chunks.chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))), True),
    "gif of 300,000 frames": (lambda: _gif_of_frames(300_000), True),
    "jpeg of 5000 scans": (lambda: _jpeg_with_scans(5000), False),
    "svg": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/hostname"/></svg>', False),
    "html": (lambda: b"<!DOCTYPE html><script>alert(1)</script>", False),
    "postscript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", False),
    "zip": (lambda: b"PK\3\4" + bytes(100), False),
    "signature alone": (lambda: png_chunks.SIGNATURE, False),
    "zeros": (lambda: bytes(10_000), False),
}  # fmt: skip


def raw_bytes_png(size: tuple[int, int], data: bytes) -> bytes:
    header = png_chunks.chunk(b"IHDR", struct.pack(">IIBBBBB", size[1], size[0], 8, 2, 0, 0, 0))
    return png_chunks.SIGNATURE + header + png_chunks.chunk(b"IDAT", data) + png_chunks.chunk(b"IEND", b"")


def _patched_wide_tiff(side: int) -> bytes:
    data = tiff16(noise(4, 4, 3, dtype=np.uint16))
    for tag in (256, 257):
        place = data.index(struct.pack("<HHII", tag, 4, 1, 4))
        data = _patched(data, place + 8, "<I", side)
    return data


@pytest.fixture(scope="module")
def costs(tmp_path_factory):
    """What reading each of the HOSTILE costs a process that reads them all."""
    folder = tmp_path_factory.mktemp("hostile")
    for name, (content, _) in HOSTILE.items():
        (folder / f"{name}.png").write_bytes(content())
    paths = [str(folder / f"{name}.png") for name in HOSTILE]
    reading = subprocess.run(
        [sys.executable, "-m", "tests.pictures.bounded_reading", *paths], cwd=PROJECT, capture_output=True, text=True, errors="replace", timeout=300
    )
    assert reading.returncode == 0, reading.stderr[-3000:]
    return {Path(row["file"]).stem: row for row in map(json.loads, reading.stdout.splitlines())}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_made_to_hurt_costs_little(costs, name):
    cost, is_picture = costs[name], HOSTILE[name][1]
    assert cost["seconds"] < 10 and cost["megabytes"] < 500, cost
    assert cost["outcome"].endswith(".") or _is_size(cost["outcome"])
    assert is_picture is None or _is_size(cost["outcome"]) == is_picture, cost


def _is_size(outcome: str) -> bool:
    return re.fullmatch(r"\d+ x \d+", outcome) is not None


# The shared odd files


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
