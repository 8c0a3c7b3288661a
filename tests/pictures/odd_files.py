"""Unusual and broken files by the hundred, made here, each with what it must become: a picture of known size and colours, or a sentence."""

import functools
import gzip
import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.pictures.picture_files import encoded, noise, smooth, tiff16
from utils.pictures import png_chunks

chunk = png_chunks.chunk


@dataclass(frozen=True)
class Promise:
    """An upright picture of this (h, w). colour: the mean of what is visible, 0 to 255, to 8 of these. word: what its note must hold."""

    size: tuple[int, int]
    colour: tuple[float, ...]
    alpha: bool = False
    deep: bool = False
    word: str = ""


Odd = tuple[Callable[[], bytes], Promise | None]
"""How the file is made, and the picture it holds; None where it must be refused."""

H, W = 24, 32
PIXELS = smooth(H, W)
MEAN = tuple(PIXELS.reshape(-1, 3).mean(0).tolist())
GREY = np.asarray(Image.fromarray(PIXELS).convert("L"))
GREY_MEAN = (float(GREY.mean()),) * 3
ALPHA = np.tile(np.linspace(0, 255, W).astype(np.uint8), (H, 1))
PLAIN, TURNED = Promise((H, W), MEAN), Promise((W, H), MEAN)


def _by_pillow(image: Image.Image | np.ndarray, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(stream, kind, **options)
    return stream.getvalue()


def _visible_mean(rgba: np.ndarray) -> tuple[float, ...]:
    return tuple((rgba[..., :3] * (rgba[..., 3:] / 255)).reshape(-1, 3).mean(0).tolist())


# ---- PNG ----


def _png(header: tuple[int, ...], data: bytes | None, *before: bytes, after: bytes = b"", parts: int = 1, end: bool = True) -> bytes:
    """header: w, h, depth, colour type, compression, filter, interlace. data: filtered rows, None for no IDAT chunk at all."""
    packed = b"" if data is None else zlib.compress(data)
    step = max(-(-len(packed) // parts), 1)
    pixels = b"" if data is None else b"".join(chunk(b"IDAT", packed[k : k + step]) for k in range(0, len(packed), step))
    return b"".join([png_chunks.SIGNATURE, chunk(b"IHDR", struct.pack(">IIBBBBB", *header)), *before, pixels, after, chunk(b"IEND", b"") * end])


def _rows(pixels: np.ndarray, kind: int = 0) -> bytes:
    """[h, w, channels] uint8 with the PNG filter `kind` (0 none, 1 left, 2 up) on every row."""
    before = {0: np.zeros_like(pixels), 1: np.pad(pixels, ((0, 0), (1, 0), (0, 0)))[:, :-1], 2: np.pad(pixels, ((1, 0), (0, 0), (0, 0)))[:-1]}
    return b"".join(bytes([kind]) + row.tobytes() for row in pixels - before.get(kind, 0))


_RGB = (W, H, 8, 2, 0, 0, 0)
_GOOD = _rows(PIXELS)


def _rgb_png(*before: bytes, **options: Any) -> bytes:
    return _png(_RGB, _GOOD, *before, **options)


def _with_header(*values: int) -> bytes:
    return _png(values, _GOOD)


def _with_bytes(data: bytes, offset: int, new: bytes) -> bytes:
    return data[:offset] + new + data[offset + len(new) :]


def _square(side: int) -> Odd:
    pixels = smooth(40, 40)[:side, :side]
    mean = tuple(pixels.reshape(-1, 3).mean(0).tolist())
    return lambda: _png((side, side, 8, 2, 0, 0, 0), _rows(pixels)), Promise((side, side), mean)


def _palette_png(depth: int, *, entries: int, transparency: bytes = b"") -> bytes:
    palette = bytes(range(0, 3 * 16 * entries, 16))[: 3 * entries] if entries <= 5 else noise(entries, 3).tobytes()
    row = np.arange(W) % min(entries, 2**depth)
    bits = ((row[:, None] >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8)
    data = (b"\0" + np.packbits(bits.reshape(-1)).tobytes()) * H
    more = [chunk(b"tRNS", transparency)] if transparency else []
    return _png((W, H, depth, 3, 0, 0, 0), data, chunk(b"PLTE", palette), *more)


def _deep_png(colour_type: int, *before: bytes) -> bytes:
    """16 bits, its value the 8-bit one twice; alpha and grey as GREY and ALPHA."""
    grey, rgb, alpha = GREY[..., None], PIXELS, ALPHA[..., None]
    channels = np.dstack({0: [grey], 2: [rgb], 4: [grey, alpha], 6: [rgb, alpha]}[colour_type])
    return _png((W, H, 16, colour_type, 0, 0, 0), _rows(channels.repeat(2, axis=2)), *before)


@functools.cache
def _bomb() -> bytes:
    return zlib.compress(bytes(64 * 2**20), 1)


def _mean_over_black(colours: np.ndarray) -> tuple[float, ...]:
    return _visible_mean(np.dstack([colours, ALPHA]))


_GREY_RGB = GREY[..., None].repeat(3, 2)

PNGS: dict[str, Odd] = {
    **{f"png of {side} x {side}": _square(side) for side in (1, 2, 3, 4, 5, 6, 7, 8, 9, 33, 36, 40)},
    **{f"png filtered by {kind}": (lambda kind=kind: _png(_RGB, _rows(PIXELS, kind)), PLAIN) for kind in (0, 1, 2)},
    "png in pieces": (lambda: _rgb_png(parts=40), PLAIN),
    "png in pieces of one byte": (lambda: _rgb_png(parts=10**6), PLAIN),
    "png with all kinds of chunks": (
        lambda: _rgb_png(
            chunk(b"gAMA", struct.pack(">I", 45455)),
            chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
            chunk(b"sBIT", b"\x05\x05\x05"),
            chunk(b"bKGD", b"\0\xff\0\0\0\0"),
            chunk(b"pHYs", struct.pack(">IIB", 1, 4, 0)),
            chunk(b"tIME", struct.pack(">HBBBBB", 2000, 1, 1, 12, 34, 56)),
            chunk(b"tEXt", b"Title\0PngSuite"),
            chunk(b"zTXt", b"Disclaimer\0\0" + zlib.compress(b"Freeware.")),
            chunk(b"iTXt", b"Author\0\0\0fi\0Nimi\0" + "Ä".encode()),
            chunk(b"prVt", b"private"),
        ),
        PLAIN,
    ),
    "png with a suggested palette": (lambda: _rgb_png(chunk(b"PLTE", noise(16, 3).tobytes()), chunk(b"hIST", bytes(32))), PLAIN),
    "png with bytes after its end": (lambda: _rgb_png() + b"more" * 100, PLAIN),
    "png without an end": (lambda: _rgb_png(end=False), PLAIN),
    "png with a transparent colour": (
        lambda: _rgb_png(chunk(b"tRNS", struct.pack(">HHH", *map(int, PIXELS[0, 0])))),
        Promise((H, W), MEAN, alpha=True),
    ),
    "png of 1-bit palette": (lambda: _palette_png(1, entries=2), Promise((H, W), (24, 40, 56))),
    "png of 2-bit palette": (lambda: _palette_png(2, entries=4), Promise((H, W), (72, 88, 104))),
    "png of a short palette": (lambda: _palette_png(8, entries=3), Promise((H, W), (46.5, 62.5, 78.5))),
    "png of a transparent palette": (lambda: _palette_png(2, entries=4, transparency=b"\0\xff"), Promise((H, W), (72, 84, 96), alpha=True)),
    "16-bit grey png": (lambda: _deep_png(0), Promise((H, W), GREY_MEAN, deep=True)),
    "16-bit grey png with alpha": (lambda: _deep_png(4), Promise((H, W), _mean_over_black(_GREY_RGB), alpha=True, deep=True)),
    "16-bit png": (lambda: _deep_png(2), Promise((H, W), MEAN, deep=True)),
    "16-bit png with alpha": (lambda: _deep_png(6), Promise((H, W), _mean_over_black(PIXELS), alpha=True, deep=True)),
    "16-bit png with a transparent colour": (
        lambda: _deep_png(2, chunk(b"tRNS", struct.pack(">HHH", *(257 * int(v) for v in PIXELS[0, 0])))),
        Promise((H, W), MEAN, alpha=True, deep=True),
    ),
    "16-bit png with gamma and background": (
        lambda: _deep_png(2, chunk(b"gAMA", struct.pack(">I", 100000)), chunk(b"bKGD", bytes(6))),
        Promise((H, W), MEAN, deep=True),
    ),
    "png with EXIF turned": (lambda: _rgb_png(png_chunks.exif_chunk(_turned_exif(6))), TURNED),
    "apng": (
        lambda: _by_pillow(PIXELS, "PNG", save_all=True, append_images=[Image.new("RGB", (W, H), c) for c in ("red", "blue")]),
        Promise((H, W), MEAN, word="several frames; the first"),
    ),
    "png with a bad signature, first byte": (lambda: _with_bytes(_rgb_png(), 0, b"\x88"), None),
    "png with a bad signature, letters": (lambda: _with_bytes(_rgb_png(), 1, b"Png"), None),
    "png after a transfer as text": (lambda: _rgb_png().replace(b"\r\n", b"\n", 1), None),
    "png after the other transfer as text": (lambda: _rgb_png().replace(b"\n", b"\r\n"), None),
    "png of colour type 1": (lambda: _with_header(W, H, 8, 1, 0, 0, 0), None),
    "png of colour type 9": (lambda: _with_header(W, H, 8, 9, 0, 0, 0), None),
    "png of bit depth 0": (lambda: _with_header(W, H, 0, 2, 0, 0, 0), None),
    "png of bit depth 3": (lambda: _with_header(W, H, 3, 0, 0, 0, 0), None),
    "png of bit depth 99": (lambda: _with_header(W, H, 99, 2, 0, 0, 0), None),
    "png of a deep palette": (lambda: _with_header(W, H, 16, 3, 0, 0, 0), None),
    "png of unknown filtering": (lambda: _with_header(W, H, 8, 2, 0, 1, 0), None),
    "png of unknown interlacing": (lambda: _with_header(W, H, 8, 2, 0, 0, 7), None),
    "png of no height": (lambda: _with_header(W, 0, 8, 2, 0, 0, 0), None),
    "png of 2^31 pixels a side": (lambda: _with_header(2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0), None),
    "png of 2^32 pixels a side": (lambda: _with_header(2**32 - 1, 2**32 - 1, 8, 6, 0, 0, 0), None),
    "png higher than its pixels": (lambda: _with_header(W, 10 * H, 8, 2, 0, 0, 0), None),
    "png of an unknown row filter": (lambda: _png(_RGB, _rows(PIXELS, 77)), None),
    "png without pixels": (lambda: _png(_RGB, None), None),
    "png with empty pixels": (lambda: _png(_RGB, b""), None),
    "png with a wrong checksum of the header": (lambda: _with_bytes(_rgb_png(), 29, b"\0\0\0\0"), None),
    "png with a wrong checksum of the pixels": (lambda: _rgb_png()[:-16] + b"\0\0\0\0" + _rgb_png()[-12:], None),
    "png with a wrong checksum of zlib": (lambda: _png_of_zlib(zlib.compress(_GOOD)[:-4] + b"\0\0\0\0"), None),
    "png that is not zlib": (lambda: _png_of_zlib(b"\x79\x9d" + zlib.compress(_GOOD)[2:]), None),
    "png of a palette without one": (lambda: _png((W, H, 8, 3, 0, 0, 0), _rows(GREY[..., None])), None),
    "png with a header that is too short": (lambda: png_chunks.SIGNATURE + chunk(b"IHDR", b"\0\0\0\1\0\0\0\1") + chunk(b"IEND", b""), None),
    "png whose chunk is longer than the file": (lambda: _rgb_png()[:33] + struct.pack(">I", 2**31 - 1) + b"IDAT" + bytes(100), None),
    "png of 200,000 pieces": (lambda: _rgb_png(*[chunk(b"prVt", b"")] * 200_000), None),
    "png with a bomb for a profile": (lambda: _rgb_png(chunk(b"iCCP", b"a\0\0" + _bomb())), PLAIN),
    "png with bombs for texts": (lambda: _rgb_png(*[chunk(b"zTXt", b"%d\0\0" % k + _bomb()) for k in range(40)]), PLAIN),
    "png with a bomb for XMP": (lambda: _rgb_png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + _bomb())), PLAIN),
    "jng": (lambda: b"\x8bJNG\r\n\x1a\n" + bytes(100), None),
    "mng": (lambda: b"\x8aMNG\r\n\x1a\n" + bytes(100), None),
}


def _png_of_zlib(data: bytes) -> bytes:
    plain = _png(_RGB, None)
    return png_chunks.insert_after_header(plain, [chunk(b"IDAT", data)])


def _turned_exif(orientation: int) -> bytes:
    return b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 0x0112, 3, 1, orientation) + bytes(4)


# ---- JPEG ----


def _cmyk(transform: int) -> bytes:
    """Of Adobe's kind: inks inverted; transform 2 is YCCK, which Pillow writes for no picture."""
    if transform == 0:
        return _by_pillow(Image.fromarray(PIXELS).convert("CMYK"), "JPEG", quality=95)
    ink = np.dstack([PIXELS, np.full((H, W), 255, np.uint8)])
    return bytes(imagecodecs.jpeg8_encode(ink, level=95, colorspace="CMYK", outcolorspace="YCCK"))


def _jpeg_xmp(orientation: int) -> bytes:
    packet = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'
    return _by_pillow(PIXELS, "JPEG", quality=95, xmp=packet.encode())


def _mpo() -> bytes:
    return _by_pillow(PIXELS, "MPO", save_all=True, append_images=[Image.new("RGB", (W, H), "red")], quality=95)


def _jpeg(**options: Any) -> bytes:
    return _by_pillow(PIXELS, "JPEG", **{"quality": 95, **options})


def _wide_jpeg() -> bytes:
    return _by_pillow(np.full((1, 65500, 3), (200, 100, 50), np.uint8), "JPEG", quality=95)


JPEGS: dict[str, Odd] = {
    "progressive jpeg": (lambda: _jpeg(progressive=True), PLAIN),
    "jpeg of colour at half size": (lambda: _jpeg(subsampling=2), PLAIN),
    "jpeg with restart marks": (lambda: _jpeg(restart_marker_blocks=1), PLAIN),
    "jpeg of RGB": (lambda: _jpeg(keep_rgb=True), PLAIN),
    "jpeg of low quality": (lambda: _jpeg(quality=10), PLAIN),
    "grey jpeg": (lambda: _by_pillow(GREY, "JPEG", quality=95), Promise((H, W), GREY_MEAN)),
    "jpeg of one pixel": (lambda: _by_pillow(np.full((1, 1, 3), (200, 100, 50), np.uint8), "JPEG"), Promise((1, 1), (200, 100, 50))),
    "jpeg of CMYK": (lambda: _cmyk(0), Promise((H, W), MEAN, word="CMYK")),
    "jpeg of YCCK": (lambda: _cmyk(2), Promise((H, W), MEAN, word="CMYK")),
    "jpeg of 65500 x 1": (_wide_jpeg, Promise((1, 65500), (200, 100, 50))),
    "jpeg turned by XMP alone": (lambda: _jpeg_xmp(6), TURNED),
    "jpeg turned by EXIF, not by XMP": (lambda: _jpeg(exif=b"Exif\0\0" + _turned_exif(8)), TURNED),
    "jpeg with a comment and more after its end": (lambda: _jpeg(comment=b"a" * 5000) + b"x" * 5000, PLAIN),
    "jpeg with damaged EXIF": (lambda: _jpeg(exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), Promise((H, W), MEAN, word="EXIF")),
    "jpeg of two pictures": (_mpo, Promise((H, W), MEAN)),
    "jpeg cut in half": (lambda: _jpeg()[: len(_jpeg()) // 2], None),
    "jpeg without tables": (lambda: _without_tables(_jpeg()), None),
    "jpeg header alone": (lambda: b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xd9", None),
    "jpeg of 12 bits": (lambda: _with_bytes(_jpeg(), _jpeg().index(b"\xff\xc0") + 4, b"\x0c"), None),
    "jpeg of arithmetic coding without data": (lambda: _jpeg().replace(b"\xff\xc0", b"\xff\xcb", 1), None),
    "jpeg 2000": (lambda: _by_pillow(PIXELS, "JPEG2000"), None),
    "jpeg xl": (lambda: b"\xff\x0a" + bytes(100), None),
}


def _without_tables(data: bytes) -> bytes:
    start = data.index(b"\xff\xdb")
    return data[:start] + data[data.index(b"\xff\xc0") :]


# ---- TIFF ----


def _tiff(pixels: np.ndarray, **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, metadata=None, **options)
    return stream.getvalue()


_DEEP = PIXELS.astype(np.uint16) * 257


def _lab_tiff() -> bytes:
    from PIL import ImageCms

    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.applyTransform(Image.fromarray(PIXELS), ImageCms.buildTransform(srgb, lab, "RGB", "LAB"))
    assert image is not None
    return _by_pillow(image, "TIFF")


def _pages() -> bytes:
    return _by_pillow(PIXELS, "TIFF", save_all=True, append_images=[Image.new("RGB", (9, 7), "red")])


_TIFF_COMPRESSIONS = ("raw", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "zstd", "lzma")
_DEEP_PROMISE = Promise((H, W), MEAN, deep=True)

TIFFS: dict[str, Odd] = {
    **{f"tiff of {name}": (lambda name=name: _by_pillow(PIXELS, "TIFF", compression=name), PLAIN) for name in _TIFF_COMPRESSIONS},
    "tiff of jpeg": (lambda: _by_pillow(PIXELS, "TIFF", compression="jpeg", quality=95), PLAIN),
    "1-bit tiff of group 4": (
        lambda: _by_pillow(Image.fromarray(GREY).convert("1"), "TIFF", compression="group4"),
        Promise((H, W), (float(np.asarray(Image.fromarray(GREY).convert("1")).mean()) * 255,) * 3),
    ),
    "tiff of CMYK": (lambda: _by_pillow(Image.fromarray(PIXELS).convert("CMYK"), "TIFF"), Promise((H, W), MEAN, word="CMYK")),
    "tiff of LAB": (_lab_tiff, PLAIN),
    "tiff in planes": (lambda: _tiff(PIXELS.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"), PLAIN),
    "tiff in tiles": (lambda: _tiff(PIXELS, photometric="rgb", tile=(16, 16)), PLAIN),
    "tiff in packed tiles": (lambda: _tiff(PIXELS, photometric="rgb", tile=(16, 16), compression="zlib", predictor=True), PLAIN),
    "big-endian tiff": (lambda: _tiff(PIXELS, photometric="rgb", byteorder=">"), PLAIN),
    "bigtiff": (lambda: _tiff(PIXELS, photometric="rgb", bigtiff=True), PLAIN),
    "16-bit bigtiff": (lambda: _tiff(_DEEP, photometric="rgb", bigtiff=True), _DEEP_PROMISE),
    "16-bit tiff in tiles": (lambda: _tiff(_DEEP, photometric="rgb", tile=(16, 16), compression="lzw"), _DEEP_PROMISE),
    "16-bit tiff in planes": (lambda: tiff16(_DEEP, planes=True), _DEEP_PROMISE),
    "16-bit tiff, turned": (lambda: tiff16(_DEEP, orientation=6), Promise((W, H), MEAN, deep=True)),
    "16-bit tiff with alpha": (
        lambda: tiff16(np.dstack([_DEEP, ALPHA.astype(np.uint16) * 257]), extra=(2,)),
        Promise((H, W), _mean_over_black(PIXELS), alpha=True, deep=True),
    ),
    "16-bit grey tiff": (lambda: _tiff(GREY.astype(np.uint16) * 257, photometric="minisblack"), Promise((H, W), GREY_MEAN, deep=True)),
    "float tiff": (lambda: _tiff((GREY / 255).astype(np.float32), photometric="minisblack"), Promise((H, W), GREY_MEAN, deep=True)),
    "tiff of two pages": (_pages, Promise((H, W), MEAN, word="several pages; the first")),
    "tiff with alpha": (
        lambda: _by_pillow(np.dstack([PIXELS, ALPHA]), "TIFF"),
        Promise((H, W), _mean_over_black(PIXELS), alpha=True),
    ),
    "float tiff of large values": (lambda: _tiff(GREY.astype(np.float32) * 9, photometric="minisblack"), None),
    "tiff of 64-bit floats": (lambda: _tiff(GREY.astype(np.float64), photometric="minisblack"), None),
    "tiff cut in half": (lambda: _tiff(noise(64, 64, 3), photometric="rgb")[:4000], None),
    "tiff without a directory": (lambda: b"MM\0*\xff\xff\xff\xff", None),
    "tiff whose directory is itself": (lambda: b"II*\0\x04\0\0\0" + bytes(8), None),
    "tiff with strips outside the file": (lambda: _moved_strip(_by_pillow(PIXELS, "TIFF"), 2**31), None),
    "tiff of lzw that breaks off": (lambda: _broken(_by_pillow(PIXELS, "TIFF", compression="tiff_lzw"), 40), None),
    "tiff of deflate that breaks off": (lambda: _broken(_by_pillow(PIXELS, "TIFF", compression="tiff_adobe_deflate"), 40), None),
    "tiff of half its strips": (lambda: _half_the_strips(_tiff(noise(64, 64, 3), photometric="rgb", rowsperstrip=16)), None),
    "16-bit tiff of half its strips": (
        lambda: _half_the_strips(_tiff(noise(64, 64, 3, dtype=np.uint16), photometric="rgb", rowsperstrip=16)),
        None,
    ),
    "tiff of unknown compression": (lambda: _tag_changed(_by_pillow(PIXELS, "TIFF"), 259, 4242), None),
    "tiff of no width": (lambda: _tag_changed(_by_pillow(PIXELS, "TIFF"), 256, 0), None),
}


def _tag_place(data: bytes, tag: int) -> int:
    start = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, start)[0]
    return next(place for place in range(start + 2, start + 2 + 12 * count, 12) if struct.unpack_from("<H", data, place)[0] == tag)


def _tag_changed(data: bytes, tag: int, value: int) -> bytes:
    return _with_bytes(data, _tag_place(data, tag) + 8, struct.pack("<I", value))


def _moved_strip(data: bytes, place: int) -> bytes:
    return _tag_changed(data, 273, place)


def _half_the_strips(data: bytes) -> bytes:
    """Of a file of four."""
    for tag in (273, 279):
        data = _with_bytes(data, _tag_place(data, tag) + 4, struct.pack("<I", 2))
    return data


def _broken(data: bytes, after: int) -> bytes:
    """With rubbish in the packed pixels from `after` bytes on."""
    start = struct.unpack_from("<I", data, _tag_place(data, 273) + 8)[0] + after
    return _with_bytes(data, start, b"\xa5" * 200)


# ---- the others ----


def _gif(frames: int, **options: Any) -> bytes:
    others = [Image.new("RGB", (W, H), (30 * k, 0, 0)) for k in range(1, frames)]
    return _by_pillow(Image.fromarray(PIXELS), "GIF", save_all=frames > 1, append_images=others, **options)


def _grey_alpha_webp() -> bytes:
    return _by_pillow(np.dstack([PIXELS, ALPHA]), "WEBP", lossless=True, exact=True)


def _animated(kind: str, **options: Any) -> bytes:
    return _by_pillow(PIXELS, kind, save_all=True, append_images=[Image.new("RGB", (W, H), "red")], **options)


def _bmp(depth: int, rows: bytes, palette: bytes = b"", header: int = 40, compression: int = 0, size: tuple[int, int] = (W, H)) -> bytes:
    start = 14 + header + len(palette)
    info = struct.pack("<IiiHHIIiiII", header, *size, 1, depth, compression, len(rows), 2835, 2835, len(palette) // 4, 0).ljust(header, b"\0")
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + info + palette + rows


def _bmp_rows(pixels: np.ndarray) -> bytes:
    data = [row.tobytes() for row in pixels[::-1]]
    return b"".join(row + bytes(-len(row) % 4) for row in data)


_FIVES = (PIXELS >> 3).astype(np.uint16)
_BMP16 = _FIVES[..., 0] << 10 | _FIVES[..., 1] << 5 | _FIVES[..., 2]


def _heic(pixels: np.ndarray, **options: Any) -> bytes:
    heif = pytest.importorskip("pillow_heif")
    stream = io.BytesIO()
    heif.from_pillow(Image.fromarray(pixels)).save(stream, quality=-1, **options)
    return stream.getvalue()


def _rotated_avif() -> bytes:
    """With the rotation in a box of the container (irot), as Pillow stores EXIF's."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return _by_pillow(PIXELS, "AVIF", quality=95, exif=exif)


_RGBA = np.dstack([PIXELS, ALPHA])
_SEE_THROUGH = Promise((H, W), _mean_over_black(PIXELS), alpha=True)

OTHERS: dict[str, Odd] = {
    "gif": (lambda: _gif(1), PLAIN),
    "animated gif": (lambda: _gif(4), Promise((H, W), MEAN, word="several frames; the first")),
    "gif of greys": (lambda: _by_pillow(Image.fromarray(GREY).quantize(9), "GIF"), Promise((H, W), GREY_MEAN)),
    "interlaced gif": (lambda: _gif(1, interlace=1), PLAIN),
    "gif with a transparent colour": (
        lambda: b"GIF89a\2\0\1\0\x80\0\0\xff\xff\xff\0\0\0!\xf9\4\1\0\0\1\0,\0\0\0\0\2\0\1\0\0\2\2\x44\x0a\0;",
        Promise((1, 2), (127.5, 127.5, 127.5), alpha=True),
    ),
    "gif of no frames": (lambda: b"GIF89a\x20\0\x18\0\x80\0\0\0\0\0\xff\xff\xff;", None),
    "gif of no size": (lambda: b"GIF89a\0\0\0\0\0\0\0;", None),
    "gif cut off in its palette": (lambda: _gif(1)[:40], None),
    "gif of a code size of 99": (lambda: b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\1\0\1\0\0\x63\2D\1\0;", None),
    "gif cut in half": (lambda: _by_pillow(noise(64, 64, 3), "GIF")[:2500], None),
    "webp": (lambda: _by_pillow(PIXELS, "WEBP", quality=95), PLAIN),
    "lossless webp with alpha": (_grey_alpha_webp, _SEE_THROUGH),
    "animated webp": (lambda: _animated("WEBP", lossless=True), Promise((H, W), MEAN, word="several frames; the first")),
    "webp cut in half": (lambda: _by_pillow(noise(64, 64, 3), "WEBP")[:800], None),
    "webp without pixels": (lambda: b"RIFF\x04\0\0\0WEBP", None),
    "riff that is a sound": (lambda: b"RIFF" + struct.pack("<I", 40) + b"WAVEfmt " + bytes(32), None),
    "bmp": (lambda: _by_pillow(PIXELS, "BMP"), PLAIN),
    "bmp from the top down": (lambda: _bmp(24, _bmp_rows(PIXELS[::-1, :, ::-1]), size=(W, -H)), PLAIN),
    "16-bit bmp": (lambda: _bmp(16, _bmp_rows(_BMP16)), PLAIN),
    "32-bit bmp": (lambda: _bmp(32, _bmp_rows(np.dstack([PIXELS[..., ::-1], np.zeros_like(GREY)]))), PLAIN),
    "bmp of a palette": (lambda: _by_pillow(Image.fromarray(PIXELS).quantize(200), "BMP"), PLAIN),
    "1-bit bmp": (
        lambda: _by_pillow(Image.fromarray(GREY).convert("1"), "BMP"),
        Promise((H, W), (float(np.asarray(Image.fromarray(GREY).convert("1")).mean()) * 255,) * 3),
    ),
    "bmp of run lengths": (
        lambda: _bmp(8, (bytes([W, 1]) + b"\0\0") * H + b"\0\1", bytes(4) + b"\x32\x64\xc8\0", compression=1),
        Promise((H, W), (200, 100, 50)),
    ),
    "bmp cut off": (lambda: _by_pillow(PIXELS, "BMP")[:900], None),
    "bmp of 99 bits": (lambda: _bmp(99, bytes(5000)), None),
    "bmp of 2^31 rows": (lambda: _bmp(24, bytes(100), size=(1, 2**31 - 1)), None),
    "bmp of a header that is too long": (lambda: _bmp(24, _bmp_rows(PIXELS), header=999), None),
    "bmp of unknown compression": (lambda: _bmp(24, _bmp_rows(PIXELS), compression=77), None),
    "text that begins like a bmp": (lambda: b"BM is short for bitmap. " * 20, None),
    "avif": (lambda: _by_pillow(PIXELS, "AVIF", quality=95), PLAIN),
    "avif with alpha": (lambda: _by_pillow(_RGBA, "AVIF", quality=95), _SEE_THROUGH),
    "avif that is turned": (_rotated_avif, TURNED),
    "animated avif": (lambda: _animated("AVIF", quality=95), Promise((H, W), MEAN, word="several frames; the first")),
    "avif cut in half": (lambda: _by_pillow(noise(64, 64, 3), "AVIF")[:1500], None),
    "heic": (lambda: _heic(PIXELS), PLAIN),
    "heic with alpha": (lambda: _heic(_RGBA), _SEE_THROUGH),
    "heic that is turned": (lambda: _heic(PIXELS, exif=_turned_exif(6)), TURNED),
    "heic cut in half": (lambda: _heic(noise(64, 64, 3))[:1500], None),
    "heic without a picture": (lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64), None),
    "video": (lambda: b"\0\0\0\x18ftypisom\0\0\2\0isommp42" + bytes(64), None),
    **{
        f"{kind}, which Pillow reads": (lambda kind=kind: _by_pillow(PIXELS, kind), None)
        for kind in ("ICO", "TGA", "SGI", "PCX", "DDS", "PPM", "ICNS", "IM", "EPS", "PDF", "QOI")
    },
    "psd": (lambda: b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, H, W, 8, 3) + bytes(20 + 3 * H * W), None),
    "fli": (lambda: struct.pack("<IHHHHHH", 128, 0xAF11, 1, W, H, 8, 3) + bytes(112), None),
    "sun raster": (lambda: struct.pack(">8I", 0x59A66A95, W, H, 24, W * H * 3, 1, 0, 0) + bytes(W * H * 3), None),
    "wmf": (lambda: b"\xd7\xcd\xc6\x9a" + bytes(60), None),
    "fits": (lambda: b"SIMPLE  =                    T".ljust(2880), None),
    "djvu": (lambda: b"AT&TFORM" + bytes(100), None),
    "openexr": (lambda: b"\x76\x2f\x31\x01" + bytes(100), None),
    "html": (lambda: b"<!DOCTYPE html><title>404</title>", None),
    "svg": (lambda: b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', None),
    "json": (lambda: b'{"error": "not found"}', None),
    "gzip of a picture": (lambda: gzip.compress(encoded(PIXELS, "PNG"), mtime=0), None),
    "gzip bomb": (lambda: gzip.compress(bytes(64 * 2**20), 1, mtime=0), None),
    "python object": (lambda: b"\x80\x04\x95" + bytes(50), None),
    "program": (lambda: b"\x7fELF\2\1\1" + bytes(200), None),
    "one byte": (lambda: b"\x89", None),
    "nothing": (lambda: b"", None),
    "text of another writing": (lambda: b"\xff\xfe" + "nothing".encode("utf-16-le") * 20, None),
}

ODD_FILES: dict[str, Odd] = {**PNGS, **JPEGS, **TIFFS, **OTHERS}
_ENDINGS = (".png", ".jpg", ".tif", ".gif", ".webp", ".bmp", ".heic", ".avif")


def ending(name: str) -> str:
    """A file's ending that says nothing true of it, for the content decides."""
    return _ENDINGS[sum(name.encode()) % len(_ENDINGS)]
