"""TIFFs of 16 bits and several channels, of which Pillow keeps eight bits or opens none."""

import logging
from typing import IO, Any

import numpy as np
import tifffile
from PIL import Image

from utils.pictures.decoding import Pixels, described, finished, kept_xmp
from utils.pictures.metadata import BLOCKS, XMP
from utils.pictures.picture import Picture
from utils.pictures.unreadable import Unreadable

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # else it reports damage on stderr

_ICC = 34675
_GREY, _RGB, _CMYK = 1, 2, 5  # photometric interpretations
_INVERTED_GREY = 0
_COLOURS = {_INVERTED_GREY: 1, _GREY: 1, _RGB: 3, _CMYK: 4}
_PREMULTIPLIED, _STRAIGHT = 1, 2  # kinds of extra channels


class WideTiff:
    """The first page of an opened file."""

    def __init__(self, stream: IO[bytes], file: tifffile.TiffFile) -> None:
        self._stream, self._file = stream, file
        self._page: Any = file.pages[0]

    @property
    def size(self) -> tuple[int, int]:
        """(w, h) as stored."""
        return self._page.imagewidth, self._page.imagelength

    def exif(self) -> Image.Exif:
        """The tags of the page, EXIF among them."""
        exif = Image.Exif()
        exif.endian, exif.bigtiff = self._file.byteorder, self._file.is_bigtiff
        exif.load_from_fp(self._stream, self._page.offset)
        for block in BLOCKS:
            exif.get_ifd(block)  # as long as it is known how they lie in the file
        return exif

    def picture(self, notes: list[str]) -> Picture:
        """The decoded page. Raises what the decoder raises, and Unreadable."""
        if len(self._file.pages[:2]) > 1:
            notes.append("The file has several pages; the first was used.")
        pixels = self._pixels()
        exif, dpi, orientation = described("TIFF", {}, self.exif, notes)
        icc = self._page.tags.valueof(_ICC)
        return finished(pixels, icc, exif, kept_xmp(self._page.tags.valueof(XMP), notes), dpi, orientation, notes)

    def _pixels(self) -> Pixels:
        page, photometric = self._page, int(self._page.photometric)
        channels = page.asarray(maxworkers=1)
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and channels.ndim == 3:
            channels = np.moveaxis(channels, 0, -1)
        count = _COLOURS[photometric]
        if channels.dtype != np.uint16 or channels.ndim != 3 or channels.shape[1::-1] != self.size or channels.shape[2] < count:
            raise Unreadable("its layout of 16-bit pixels is not supported; save it as an ordinary 16-bit PNG")
        rgb, alpha = channels[..., :count], None
        kinds = [int(kind) for kind in page.extrasamples[:1]]
        if kinds and kinds[0] in (_PREMULTIPLIED, _STRAIGHT) and channels.shape[2] > count:
            alpha = channels[..., count]
            if kinds[0] == _PREMULTIPLIED:
                rgb = np.rint(np.minimum(rgb * (65535 / np.maximum(alpha, 1)[..., None]), 65535)).astype(np.uint16)
        if photometric == _INVERTED_GREY:
            rgb = 65535 - rgb
        return Pixels(np.repeat(rgb, 3, axis=2) if count == 1 else rgb, alpha, count == 1)


def opened(stream: IO[bytes]) -> WideTiff | None:
    """The file, if its first page is of this kind; None for others, which are Pillow's."""
    try:
        stream.seek(0)
        file = tifffile.TiffFile(stream)
        page: Any = file.pages[0]
        is_wide = page.bitspersample == 16 and page.sampleformat == 1 and page.samplesperpixel > 1 and int(page.photometric) in _COLOURS
        return WideTiff(stream, file) if is_wide and page.imagedepth == 1 else None
    except Exception:  # what this reader makes of damage, Pillow's puts right or refuses
        return None
