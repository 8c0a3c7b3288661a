"""PNG files of 16 bits, written by rows: no library here writes these but from one array that holds the whole picture, and into another."""

import struct
import zlib
from collections.abc import Iterable
from typing import IO

import numpy as np

from utils.pictures import png_chunks
from utils.pictures.stored_pixels import StoredPixels

_EFFORT = 1  # zlib level; higher ones take longer for nothing, for the lower bytes are noise
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by the number of channels: grey, grey with alpha, RGB, RGBA
_SUB, _UP = 1, 2


def write(stream: IO[bytes], pixels: StoredPixels, chunks: Iterable[bytes]) -> None:
    """The file, with further chunks before its pixels."""
    h, w, channels = pixels.shape
    header = png_chunks.chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 16, _COLOUR_TYPES[channels], 0, 0, 0))
    stream.write(png_chunks.insert_after_header(png_chunks.SIGNATURE + header, chunks))
    compressor, above = zlib.compressobj(_EFFORT), np.zeros((1, w * channels * 2), np.uint8)
    for band in pixels:
        rows = np.ascontiguousarray(band, ">u2").view(np.uint8).reshape(len(band), -1)
        stream.write(_pixel_chunk(compressor.compress(_filtered(rows, above, channels * 2).data)))
        above = rows[-1:]
    stream.write(_pixel_chunk(compressor.flush()) + png_chunks.chunk(b"IEND", b""))


def _filtered(rows: np.ndarray, above: np.ndarray, pixel_bytes: int) -> np.ndarray:
    """Bytes [n, row bytes] as differences from those to the left, or from those above, behind the number of the filter: in each row the one that
    leaves the lesser sum of magnitudes, as the specification advises (https://www.w3.org/TR/png-3/, section 12.7). above: the row before the first.
    """
    across = rows.copy()
    across[:, pixel_bytes:] -= rows[:, :-pixel_bytes]
    down = rows - np.concatenate([above, rows[:-1]])
    is_across = _magnitude(across) <= _magnitude(down)
    filtered = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = np.where(is_across, _SUB, _UP)
    filtered[:, 1:] = np.where(is_across[:, None], across, down)
    return filtered


def _magnitude(differences: np.ndarray) -> np.ndarray:
    return np.minimum(differences, 0 - differences).sum(1, dtype=np.int64)  # modulo 256, 255 is as little as 1


def _pixel_chunk(compressed: bytes) -> bytes:
    return png_chunks.chunk(b"IDAT", compressed) if compressed else b""
