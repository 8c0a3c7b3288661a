"""TIFF files of 8 or 16 bits in grey or RGB, with or without alpha. Pillow writes no 16-bit colour, and libraries that do write no EXIF."""

import zlib
from typing import Any

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from utils.pictures.metadata import EXIF_BLOCK, Dpi

_GPS_BLOCK = 0x8825
_STRIP_BYTES = 2**20
_DEFLATE, _HORIZONTAL_DIFFERENCES = 8, 2
_EFFORT = 6


def encoded(pixels: np.ndarray, icc: bytes | None, exif: Image.Exif | None, xmp: bytes | None, dpi: Dpi | None) -> bytes:
    """A little-endian TIFF of [h, w, 1|2|3|4] uint8 or uint16, losslessly compressed. See TIFF 6.0, sections 8, 14 and 18 for the tags."""
    h, w, channels = pixels.shape
    rows = max(_STRIP_BYTES // (w * channels * pixels.itemsize), 1)
    strips = [_compressed(pixels[start : start + rows]) for start in range(0, h, rows)]
    sizes = [len(strip) for strip in strips]
    tags = ImageFileDirectory_v2()
    if exif is not None:
        _describe(tags, exif)
    tags[256], tags[257] = w, h
    tags[258] = (8 * pixels.itemsize,) * channels
    tags[259], tags[317] = _DEFLATE, _HORIZONTAL_DIFFERENCES
    tags[262] = 1 if channels < 3 else 2  # black is zero, or RGB
    tags[277], tags[278] = channels, rows
    tags[273] = tuple(int(offset) for offset in np.cumsum([0, *sizes[:-1]]))
    tags[279] = tuple(sizes)
    if channels in (2, 4):
        tags[338] = 2  # the last channel is alpha, not premultiplied
    if dpi:
        tags[282], tags[283], tags[296] = *dpi, 2  # pixels per inch
    if xmp:
        tags.tagtype[700] = 1  # bytes
        tags[700] = xmp
    if icc:
        tags.tagtype[34675] = 7  # undefined
        tags[34675] = icc
    start = tags.prefix + b"*\0" + (8).to_bytes(4, "little")
    return b"".join([start, tags.tobytes(len(start)), *strips])  # the directory counts offsets of strips from its own end


def _compressed(rows: np.ndarray) -> bytes:
    differences = rows.copy()
    differences[:, 1:] -= rows[:, :-1]  # modulo 2^8 or 2^16, as the format has it
    return zlib.compress(differences.astype(differences.dtype.newbyteorder("<"), copy=False).tobytes(), _EFFORT)


def _describe(tags: ImageFileDirectory_v2, exif: Image.Exif) -> None:
    for tag, value in exif.items():
        block: dict[int, Any] | None = exif.get_ifd(tag) if tag in (EXIF_BLOCK, _GPS_BLOCK) else None
        tags[tag] = value if block is None else block
    if exif.get_ifd(EXIF_BLOCK):
        tags[EXIF_BLOCK] = exif.get_ifd(EXIF_BLOCK)
