"""Files of pictures for tests: ordinary ones, and ones put together by hand as no library would write them."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from utils.pictures import png_chunks
from utils.pictures.reading import load
from utils.pictures.writing import save
from utils.planning.errors import UserError

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


ENCODED = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIC", "PNG16", "TIFF16")


def encoded(rgb, kind):
    """The bytes of a file of [h, w, 3] uint8, as common libraries write it."""
    if kind == "PNG16":
        return imagecodecs.png_encode(rgb.astype(np.uint16) * 257)
    if kind == "TIFF16":
        return tiff_by_library(rgb.astype(np.uint16) * 257, compression="zlib")
    stream = io.BytesIO()
    if kind == "HEIC":
        pytest.importorskip("pillow_heif").from_pillow(Image.fromarray(rgb)).save(stream)
    else:
        Image.fromarray(rgb).save(stream, kind)
    return stream.getvalue()


def tiff_by_library(pixels, **options):
    """The bytes of a TIFF with 16-bit colour, which Pillow does not write."""
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, photometric="rgb" if pixels.ndim == 3 and pixels.shape[2] > 2 else "minisblack", metadata=None, **options)
    return stream.getvalue()


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
