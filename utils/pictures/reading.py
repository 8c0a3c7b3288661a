"""Reading a picture from a file or from PIL.

What a file is, its content decides, not its name; and its size is judged by the header, before anything is decoded. What a picture is besides its
colours (transparency, bit depth, colour profile, EXIF, XMP, resolution, being grey) is kept; what cannot be kept is said in `Picture.notes`.
"""

import contextlib
import ctypes
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import IO

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from utils.pictures import formats, png_chunks, wide_tiff
from utils.pictures.decoding import decoded
from utils.pictures.metadata import orientation_of
from utils.pictures.picture import Picture
from utils.pictures.unreadable import Unreadable, plain_errors
from utils.pictures.wide_tiff import WideTiff
from utils.planning.errors import UserError
from utils.planning.memory import memory_words

MOST_BYTES = 2**28
LONGEST_SIDE = 2**16
MOST_PIXELS = 100_000_000
"""The largest files and pictures that are decoded at all, whatever the limit on results."""
_MOST_SCANS = 200  # of a progressive JPEG; encoders make about ten, and each costs a pass over all pixels

_PIL_IMAGES = Lock()

with contextlib.suppress(AttributeError, OSError):  # where libtiff cannot be reached beside Pillow, it goes on printing what it finds wrong
    _libtiff = ctypes.CDLL(Image.core.__file__)
    _libtiff.TIFFSetErrorHandler(None)
    _libtiff.TIFFSetWarningHandler(None)

Reader = Callable[[IO[bytes], str], ImageFile.ImageFile]
# Not Image.open, for it has a limit of its own whose warning cannot be silenced safely among threads; ours is `_check_size`.
_READERS: dict[str, Reader] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
}

Opened = ImageFile.ImageFile | WideTiff


def picture_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(h, w) of the upright picture, from the header alone. UserError as for `load`, but for size."""
    with _file(path) as stream:
        return _upright_size(_header(stream)[0])


def load(
    path: str | os.PathLike[str],
    max_output_pixels: int,
    scale: int,
    *,
    tolerant: bool = False,
    own: bool = False,
    check: Callable[[tuple[int, int]], None] = lambda size: None,
) -> Picture:
    """The first frame of the file. UserError for a file that is missing, empty, unreadable, damaged, no picture, or too large.

    Too large means that (h*scale) * (w*scale) is more than max_output_pixels, or that the file is beyond the limits above.
    tolerant: of a damaged or incomplete file, the picture is what can be decoded, and a note says so. own: it is a result of this program, for which
    only the limit on results counts. check((h, w)), of the size as stored, may raise
    before anything is decoded.
    """
    name = Path(path).name
    with _file(path, own) as stream:
        opened, notes = _header(stream)
        _check_size(name, opened.size, max_output_pixels, scale, own)
        check((opened.size[1], opened.size[0]))
        _check_scans(stream, opened)
        if isinstance(opened, WideTiff):
            with contextlib.suppress(*([Exception] if tolerant else [])):  # Pillow may still read a part, if with eight bits
                return opened.picture(notes)
            opened, notes = TiffImagePlugin.TiffImageFile(_from_start(stream), ""), []
        try:
            return decoded(opened, notes, tolerant)
        except (SyntaxError, ValueError):
            if opened.format != "PNG":
                raise
        opened, notes = _without_metadata(stream)  # what is behind the pixels may be what is damaged
        return decoded(opened, notes, tolerant)


def from_pil(image: Image.Image) -> Picture:
    """The current frame of a PIL image of any mode, with its profile, EXIF and orientation. UserError if it cannot be decoded."""
    with plain_errors("The picture"), _PIL_IMAGES:  # one that is still to be read must not be read by two threads
        if isinstance(image, TiffImagePlugin.TiffImageFile) and image.tile and image.fp and image.tell() == 0:
            position = image.fp.tell()
            wide = wide_tiff.opened(image.fp)
            picture = wide.picture([]) if wide else None
            image.fp.seek(position)
            if picture:
                return picture
        return decoded(image, [])


def check_file_size(name: str, size: int) -> None:
    """UserError if a file of so many bytes is not read."""
    if size > MOST_BYTES:
        raise UserError(f"{name} is too large: files may have up to {MOST_BYTES // 2**20} MiB; use a smaller picture.")


@contextlib.contextmanager
def _file(path: str | os.PathLike[str], own: bool = False) -> Iterator[IO[bytes]]:
    """The opened file; errors in the body are turned into sentences too."""
    path = Path(path)
    with plain_errors(path.name):
        if path.is_dir():
            raise UserError(f"{path} is a folder; give a picture file.")
        if not path.exists():
            raise UserError(f"{path} does not exist; check the name.")
        if not path.is_file():
            raise UserError(f"{path} is not an ordinary file; give a picture file.")
        with path.open("rb") as stream:
            if not own:
                check_file_size(path.name, os.fstat(stream.fileno()).st_size)
            yield stream


def _header(stream: IO[bytes]) -> tuple[Opened, list[str]]:
    """The file with its header read, and the notes so far."""
    start = stream.read(formats.START_LENGTH)
    if not start:
        raise Unreadable("the file is empty; copy or download it again")
    kind = formats.recognised(start)
    if kind is None:
        names = ", ".join(formats.READABLE[:-1])
        raise Unreadable(f"it is not a picture of a supported kind; use {names} or {formats.READABLE[-1]}")
    if kind == "TIFF" and (wide := wide_tiff.opened(stream)):
        return wide, []
    if kind == "PNG" and png_chunks.too_many(stream):
        raise Unreadable(f"it is in more than {png_chunks.MOST_CHUNKS} pieces; save it again as an ordinary PNG")
    reader = _heic_reader() if kind == "HEIC" else _READERS[kind]
    try:
        return reader(_from_start(stream), ""), []
    except (SyntaxError, ValueError):
        if kind != "PNG":
            raise
    return _without_metadata(stream)


def _without_metadata(stream: IO[bytes]) -> tuple[ImageFile.ImageFile, list[str]]:
    """A PNG reduced to its pixels: Pillow gives up on one for metadata alone (bad checksum, oversized text or profile)."""
    pixels = io.BytesIO(png_chunks.pixel_chunks_only(_from_start(stream).read()))
    return PngImagePlugin.PngImageFile(pixels, ""), ["The metadata of the file is damaged and was dropped."]


def _heic_reader() -> Reader:
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise Unreadable("HEIC pictures need the package pillow-heif; install it, or save the picture as JPEG or PNG") from None
    return HeifImageFile


def _from_start(stream: IO[bytes]) -> IO[bytes]:
    stream.seek(0)
    return stream


def _check_size(name: str, size: tuple[int, int], max_output_pixels: int, scale: int, own: bool) -> None:
    w, h = size
    if h * w * scale * scale > max_output_pixels:
        raise UserError(
            f"{name} is too large: {w} x {h} pixels would become {w * scale} x {h * scale} in the networks, more than the {max_output_pixels / 1e6:g}"
            f" megapixels allowed, and take {memory_words(h * w * scale * scale)}; use a smaller picture or raise max_output_megapixels."
        )
    if own:
        return
    if h * w > MOST_PIXELS:
        raise UserError(
            f"{name} is too large: {w} x {h} pixels are more than {MOST_PIXELS / 1e6:.0f} megapixels, and their result would take"
            f" {memory_words(h * w * scale * scale)}; use a smaller picture."
        )
    if max(h, w) > LONGEST_SIDE:
        raise UserError(f"{name} is too large: {w} x {h} pixels, and no side may have more than {LONGEST_SIDE}; use a smaller picture.")


def _check_scans(stream: IO[bytes], opened: Opened) -> None:
    """Unreadable for a JPEG that is drawn over too often: a small file could keep the decoder busy for hours."""
    if isinstance(opened, JpegImagePlugin.JpegImageFile) and "progressive" in opened.info:
        position = stream.tell()
        scans = _from_start(stream).read().count(b"\xff\xda")
        stream.seek(position)
        if scans > _MOST_SCANS:
            raise Unreadable(f"it has {scans} scans, more than the {_MOST_SCANS} that are decoded; save it as an ordinary JPEG")


def _upright_size(opened: Opened) -> tuple[int, int]:
    w, h = opened.size
    if isinstance(opened, TiffImagePlugin.TiffImageFile):  # Pillow turns TIFFs, and only these, itself
        return h, w
    with contextlib.suppress(Exception):  # damaged EXIF says nothing about the orientation
        if isinstance(opened, PngImagePlugin.PngImageFile) and "exif" not in opened.info and opened.fp:
            # Else Pillow decodes everything in search of EXIF behind the pixels.
            opened.info["exif"] = png_chunks.find_chunk(opened.fp, b"eXIf")
        if orientation_of(opened.exif() if isinstance(opened, WideTiff) else opened.getexif()) >= 5:
            return w, h
    return h, w
