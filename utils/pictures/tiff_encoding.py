"""TIFF files of 8 or 16 bits in grey or RGB, with or without alpha. Pillow writes no 16-bit colour, and libraries that do write no EXIF."""

import shutil
import tempfile
import zlib
from typing import IO, Any

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from utils.pictures.metadata import BLOCKS, EXIF_BLOCK, TIFF_DESCRIPTION, XMP, Dpi
from utils.pictures.stored_pixels import StoredPixels
from utils.pictures.temporary_files import errors_explained
from utils.planning.errors import UserError

_STRIP_BYTES = 2**20
_MOST_IN_MEMORY = 2**27  # bytes of strips; more of them wait in a temporary file
_LARGEST = 2**32 - 2**26  # bytes of strips, with room for the directory
_DEFLATE, _HORIZONTAL_DIFFERENCES = 8, 2
_EFFORT = 6


def write(stream: IO[bytes], pixels: StoredPixels, icc: bytes | None, exif: Image.Exif | None, xmp: bytes | None, dpi: Dpi | None) -> None:
    """A little-endian TIFF, losslessly compressed. See TIFF 6.0, sections 8, 14 and 18 for the tags. UserError if it would be too large for one."""
    h, w, channels = pixels.shape
    rows = max(_STRIP_BYTES // (w * channels * pixels.dtype.itemsize), 1)
    with tempfile.SpooledTemporaryFile(_MOST_IN_MEMORY) as strips:  # the directory, which comes first, says where they are
        with errors_explained("The temporary file of a large TIFF"):
            sizes = [strips.write(_compressed(pixels[slice(start, start + rows)])) for start in range(0, h, rows)]
        if sum(sizes) > _LARGEST:
            raise UserError("A TIFF file holds at most 4 GB; choose PNG for this result.")
        tags = ImageFileDirectory_v2()
        if exif is not None:
            _describe(tags, exif)
        tags[256], tags[257] = w, h
        tags[258] = (8 * pixels.dtype.itemsize,) * channels
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
            tags.tagtype[XMP] = 1  # bytes
            tags[XMP] = xmp
        if icc:
            tags.tagtype[34675] = 7  # undefined
            tags[34675] = icc
        start = tags.prefix + b"*\0" + (8).to_bytes(4, "little")
        stream.write(start + tags.tobytes(len(start)))  # it counts offsets of strips from its own end
        strips.seek(0)
        shutil.copyfileobj(strips, stream, _STRIP_BYTES)


def _compressed(rows: np.ndarray) -> bytes:
    differences = rows.copy()
    differences[:, 1:] -= rows[:, :-1]  # modulo 2^8 or 2^16, as the format has it
    return zlib.compress(differences.astype(differences.dtype.newbyteorder("<"), copy=False).tobytes(), _EFFORT)


def _describe(tags: ImageFileDirectory_v2, exif: Image.Exif) -> None:
    for tag, value in exif.items():
        if tag not in TIFF_DESCRIPTION:  # one of another file's layout would be taken for this one's
            continue
        block: dict[int, Any] | None = exif.get_ifd(tag) if tag in BLOCKS else None
        tags[tag] = value if block is None else block
    if exif.get_ifd(EXIF_BLOCK):
        tags[EXIF_BLOCK] = exif.get_ifd(EXIF_BLOCK)
