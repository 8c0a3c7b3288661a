"""PNG at the level of its chunks: what image libraries cannot put into, or must not see in, the files they write and read.

A PNG is a signature followed by chunks of (length, type, body, CRC); see the PNG specification, section 5 (https://www.w3.org/TR/png-3/).
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_AFTER_HEADER = len(SIGNATURE) + 12 + 13  # the header chunk IHDR is always first and has 13 bytes
_PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_PLAIN = b"\0\0\0\0"  # of an iTXt chunk, after the keyword: not compressed, no language, no translation
MOST_CHUNKS = 150_000
_MOST_BEFORE_PIXELS = 10_000
_LONGEST_TEXT = 2**25
_AT_ONCE = 2**20  # bytes of pixels to unpack
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# First row, step, first column, step of the parts of an interlaced picture.
_ADAM7 = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk, with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def text_chunk(keyword: str, text: str) -> bytes:
    """An iTXt chunk. Not compressed, because readers refuse compressed text above 1 MiB. ValueError for a keyword that PNG does not allow."""
    name = keyword.encode("latin-1")
    if not 1 <= len(name) <= 79 or b"\0" in name or "\0" in text:
        raise ValueError(f"not a PNG text entry: {keyword!r}")
    return chunk(b"iTXt", name + b"\0" + _PLAIN + text.encode("utf-8", "backslashreplace"))


def plain_texts(stream: IO[bytes]) -> Iterator[tuple[str, str]]:
    """(keyword, text) of the uncompressed iTXt chunks before the pixels. ValueError where the file is not sound up to there."""
    for kind, length in islice(_chunks(stream), _MOST_BEFORE_PIXELS):
        if kind in (b"IDAT", b"IEND"):
            return
        if kind != b"iTXt" or length > _LONGEST_TEXT:
            continue
        body, checksum = stream.read(length), stream.read(4)
        keyword, separator, rest = body.partition(b"\0")
        if checksum != struct.pack(">I", zlib.crc32(b"iTXt" + body)) or not separator:
            raise ValueError("a text of the file is damaged")
        if rest.startswith(_PLAIN):
            yield keyword.decode("latin-1"), rest[len(_PLAIN) :].decode("utf-8")


def resolution_chunk(dpi: tuple[float, float]) -> bytes:
    """A pHYs chunk; PNG counts pixels per metre."""
    return chunk(b"pHYs", struct.pack(">IIB", round(dpi[0] / 0.0254), round(dpi[1] / 0.0254), 1))


def profile_chunk(icc: bytes) -> bytes:
    """An iCCP chunk holding a colour profile."""
    return chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))


def exif_chunk(exif: bytes) -> bytes:
    """An eXIf chunk; `exif` starts with its byte order mark (II or MM)."""
    return chunk(b"eXIf", exif)


def insert_after_header(png: bytes, chunks: Iterable[bytes]) -> bytes:
    """The file with `chunks` before its pixels, where readers that only look at the beginning find them."""
    return b"".join([png[:_AFTER_HEADER], *chunks, png[_AFTER_HEADER:]])


class AfterHeader:
    """A stream that puts chunks before the pixels of the PNG that is written to it."""

    def __init__(self, stream: IO[bytes], chunks: Iterable[bytes]) -> None:
        self._stream, self._chunks, self._start = stream, chunks, b""

    def write(self, data: bytes) -> None:
        if len(self._start) < _AFTER_HEADER:
            self._start += data
            if len(self._start) < _AFTER_HEADER:
                return
            data = insert_after_header(self._start, self._chunks)
        self._stream.write(data)

    def flush(self) -> None:
        self._stream.flush()


def find_chunk(stream: IO[bytes], kind: bytes) -> bytes | None:
    """The body of the first chunk of that kind, found by stepping over the others unread."""
    return next((stream.read(length) for found, length in _chunks(stream) if found == kind), None)


def pixel_chunks_only(png: bytes) -> bytes:
    """The file reduced to what defines its pixels: no colour management, orientation, text or further frames. It ends where a chunk is cut off."""
    kept, start = [SIGNATURE], len(SIGNATURE)
    while start + 12 <= len(png):
        end = start + 12 + struct.unpack_from(">I", png, start)[0]
        if png[start + 4 : start + 8] in _PIXEL_CHUNKS:
            kept.append(png[start:end])
        start = end
    return b"".join(kept)


def too_many(stream: IO[bytes]) -> bool:
    """Whether the file is of more chunks than any real one: a small file of millions would keep a decoder busy for minutes."""
    return next(islice(_chunks(stream), MOST_CHUNKS, None), None) is not None


def are_pixels_whole(stream: IO[bytes]) -> bool:
    """Whether the checksums of header and pixels are right, and there are as many pixels as the header says: Pillow looks at neither."""
    unpacker, missing = zlib.decompressobj(), 0
    for kind, length in _chunks(stream):
        if kind not in (b"IHDR", b"IDAT"):
            continue
        body = stream.read(length)
        if stream.read(4) != struct.pack(">I", zlib.crc32(kind + body)):
            return False
        if kind == b"IHDR":
            missing = _filtered_bytes(body)
            continue
        try:
            while missing > 0 and (pixels := unpacker.decompress(body, _AT_ONCE)):
                missing, body = missing - len(pixels), unpacker.unconsumed_tail
        except zlib.error:
            return False
    return missing <= 0


def _chunks(stream: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """(type, length) of every chunk, the stream standing at its body each time."""
    start = len(SIGNATURE)
    while True:
        stream.seek(start)
        header = stream.read(8)
        if len(header) < 8:
            return
        length = int.from_bytes(header[:4], "big")
        yield header[4:], length
        start += 12 + length


def _filtered_bytes(header: bytes) -> int:
    """How many bytes the unpacked pixels of a file with this IHDR body are: rows of whole bytes after a filter type; see section 7 and 8."""
    w, h, depth, colour_type, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    bits = depth * _CHANNELS[colour_type]
    parts = [(-(-(h - top) // down), -(-(w - left) // right)) for top, down, left, right in (_ADAM7 if interlaced else ((0, 1, 0, 1),))]
    return sum(rows * (1 + (columns * bits + 7) // 8) for rows, columns in parts if rows > 0 and columns > 0)
