"""From a picture to a file, in each of the formats of results."""

import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import IO, Any, cast

import numpy as np
from PIL import Image

from utils.pictures import colour_profiles, deep_png, png_chunks, provenance, tiff_encoding
from utils.pictures.formats import OutputFormat
from utils.pictures.metadata import EXIF_BLOCK, USER_COMMENT, set_exif_resolution
from utils.pictures.picture import Picture
from utils.pictures.stored_pixels import StoredPixels
from utils.planning.errors import UserError

_PNG_EFFORT = 3  # zlib level: a third of the time of the usual 6 for files 6 % larger
_WEBP_EFFORT = 50  # of 100
_JPEG_QUALITY = 95
_LARGEST_BLOCK = 65_533 - 29  # bytes of EXIF or XMP in a JPEG, after the longest header of the two
_XMP_KEYWORD = "XML:com.adobe.xmp"


def encode(stream: IO[bytes], picture: Picture, kind: OutputFormat, texts: Mapping[str, str], keep_metadata: bool) -> list[str]:
    """Write the file; returns sentences on what of the picture the format cannot hold. texts: see `utils.pictures.provenance`.

    keep_metadata: without, EXIF, XMP and texts are left out. No second picture of that size is in memory for PNG and TIFF. UserError if the picture
    holds values that are not numbers, or has no place in the format at all.
    """
    notes: list[str] = []
    kind.check_size(picture.size)
    check_transparency(picture, kind)
    if not kind.has_alpha:
        picture = replace(picture, alpha=None)
    if picture.grey and picture.icc and not kind.has_grey:
        picture = _in_srgb(picture)
    if not keep_metadata:
        picture, texts = replace(picture, exif=None, xmp=None), {}
    pixels = StoredPixels(picture, kind.has_16_bits)
    if picture.rgb.dtype != np.uint8 and not kind.has_16_bits:
        notes.append(f"{kind.name} holds 8 bits for each colour; the 16 of the picture were rounded to them.")
    _ENCODERS[kind.name](stream, pixels, picture, texts if keep_metadata else None, notes)
    return notes


def check_transparency(picture: Picture, kind: OutputFormat) -> None:
    """UserError if the picture hides something behind transparency that the format cannot hold."""
    alpha = picture.alpha
    if alpha is not None and not kind.has_alpha and alpha.min() < (np.iinfo(alpha.dtype).max if alpha.dtype.kind == "u" else 1):
        raise UserError(f"A {kind.name} file holds no transparency; choose PNG, WebP or TIFF for this result.")


def _in_srgb(picture: Picture) -> Picture:
    """The picture without need of a profile."""
    return replace(picture, rgb=colour_profiles.from_srgb(_floats(picture), None, picture.rgb.dtype), icc=None)


def _floats(picture: Picture) -> np.ndarray:
    srgb = colour_profiles.to_srgb(picture.rgb, picture.icc)
    return srgb if srgb.dtype == np.float32 else srgb / np.float32(np.iinfo(srgb.dtype).max)


# Each takes where to write, the pixels as stored, the picture they are of, the texts (None: no mark at all) and the notes, to which it may add.


def _png(stream: IO[bytes], pixels: StoredPixels, picture: Picture, texts: Mapping[str, str] | None, notes: list[str]) -> None:
    chunks = [png_chunks.profile_chunk(picture.icc)] if picture.icc else []
    if picture.dpi:
        chunks.append(png_chunks.resolution_chunk(picture.dpi))
    if picture.exif:
        chunks.append(png_chunks.exif_chunk(picture.exif))
    if picture.xmp:
        chunks.append(png_chunks.text_chunk(_XMP_KEYWORD, picture.xmp.decode("utf-8")))
    if texts is not None:
        chunks.extend(provenance.png_texts(texts))
    if pixels.dtype == np.uint16:
        deep_png.write(stream, pixels, chunks)
    else:
        rest = cast(IO[bytes], png_chunks.AfterHeader(stream, chunks))  # all that Pillow asks of a stream for a PNG is that it can be written to
        _image(pixels).save(rest, "PNG", compress_level=_PNG_EFFORT)


def _webp(stream: IO[bytes], pixels: StoredPixels, picture: Picture, texts: Mapping[str, str] | None, notes: list[str]) -> None:
    exif = _commented(picture.exif, texts)
    if picture.dpi:
        exif = exif or Image.Exif()
        set_exif_resolution(exif, picture.dpi)
    data = b"" if exif is None else exif.tobytes()
    # exact: colours stay where alpha is 0
    options = {"lossless": True, "exact": True, "quality": _WEBP_EFFORT, "icc_profile": picture.icc or b"", "exif": data, "xmp": picture.xmp or b""}
    image = _image(pixels)
    _save(image.convert("RGB" if image.mode == "L" else "RGBA") if picture.grey else image, stream, "WEBP", **options)


def _tiff(stream: IO[bytes], pixels: StoredPixels, picture: Picture, texts: Mapping[str, str] | None, notes: list[str]) -> None:
    tiff_encoding.write(stream, pixels, picture.icc, _commented(picture.exif, texts), picture.xmp, picture.dpi)


def _jpeg(stream: IO[bytes], pixels: StoredPixels, picture: Picture, texts: Mapping[str, str] | None, notes: list[str]) -> None:
    exif = _fitting_exif(picture.exif, texts, notes)
    xmp = picture.xmp
    if xmp and len(xmp) > _LARGEST_BLOCK:
        xmp = None
        notes.append("The XMP data of the picture is too large for a JPEG file and was dropped.")
    dpi = {"dpi": tuple(min(round(value), 65535) for value in picture.dpi)} if picture.dpi else {}
    options = {"quality": _JPEG_QUALITY, "subsampling": 0, "icc_profile": picture.icc or b"", "exif": exif, **({"xmp": xmp} if xmp else {}), **dpi}
    _save(_image(pixels), stream, "JPEG", **options)


def _fitting_exif(exif: bytes | None, texts: Mapping[str, str] | None, notes: list[str]) -> bytes:
    """EXIF with as many of the texts as a JPEG has room for, the shortest first; with the picture's own only if it leaves room for one."""
    left = dict(texts or {})
    while True:
        commented = _commented(exif, None if texts is None else left)
        data = b"" if commented is None else commented.tobytes()
        if len(data) <= _LARGEST_BLOCK:
            return data
        if len(left) > 1 or (left and exif is None):
            longest = max(left, key=lambda key: len(left[key]))
            del left[longest]
            notes.append(f"The text '{longest}' is too long for a JPEG file and was left out.")
        else:
            exif = None
            notes.append("The EXIF data of the picture is too large for a JPEG file and was dropped.")


def _commented(exif: bytes | None, texts: Mapping[str, str] | None) -> Image.Exif | None:
    """EXIF with the texts as its comment; None if there is neither."""
    if exif is None and texts is None:
        return None
    commented = Image.Exif()
    if exif:
        commented.load(exif)
    if texts is not None:
        block = commented.get_ifd(EXIF_BLOCK)
        block[USER_COMMENT] = provenance.exif_comment(texts)
        commented[EXIF_BLOCK] = block
    return commented


def _image(pixels: StoredPixels) -> Image.Image:
    """Of 8 bits."""
    h, w, channels = pixels.shape
    image, top = Image.new(("L", "LA", "RGB", "RGBA")[channels - 1], (w, h)), 0
    for band in pixels:
        image.paste(Image.fromarray(np.ascontiguousarray(band[..., 0] if channels == 1 else band)), (0, top))
        top += len(band)
    return image


def _save(image: Image.Image, stream: IO[bytes], kind: str, **options: Any) -> None:
    data = io.BytesIO()  # into a file itself, Pillow would lose what the system says of a full disk
    image.save(data, kind, **options)
    stream.write(data.getbuffer())


_ENCODERS: dict[str, Callable[[IO[bytes], StoredPixels, Picture, Mapping[str, str] | None, list[str]], None]] = {
    "PNG": _png,
    "WebP": _webp,
    "TIFF": _tiff,
    "JPEG": _jpeg,
}
