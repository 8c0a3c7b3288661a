"""From a picture to the bytes of a file, in each of the formats of results."""

import io
from collections.abc import Callable, Mapping
from dataclasses import replace

import imagecodecs
import numpy as np
from PIL import Image

from utils.pictures import colour_profiles, png_chunks, provenance, tiff_encoding
from utils.pictures.formats import OutputFormat
from utils.pictures.metadata import EXIF_BLOCK, USER_COMMENT, set_exif_resolution
from utils.pictures.picture import Picture
from utils.planning.errors import UserError

_PNG_EFFORT = 3  # zlib level: a third of the time of the usual 6 for files 6 % larger
_WEBP_EFFORT = 50  # of 100
_JPEG_QUALITY = 95
_LARGEST_BLOCK = 65_533 - 29  # bytes of EXIF or XMP in a JPEG, after the longest header of the two
_XMP_KEYWORD = "XML:com.adobe.xmp"


def encoded(picture: Picture, kind: OutputFormat, texts: Mapping[str, str], keep_metadata: bool) -> tuple[bytes, list[str]]:
    """The file, and sentences on what of the picture the format cannot hold. texts: see `utils.pictures.provenance`.

    keep_metadata: without, EXIF, XMP and texts are left out. UserError if the picture holds values that are not numbers, or has no place in
    the format at all.
    """
    notes: list[str] = []
    if max(picture.size) > kind.longest_side:
        raise UserError(f"A {kind.name} file holds at most {kind.longest_side} pixels a side; choose PNG or TIFF for this result.")
    if picture.alpha is not None and not kind.has_alpha:
        picture = _opaque(picture, kind)
    if picture.grey and picture.icc and not kind.has_grey:
        picture = _in_srgb(picture)
    if not keep_metadata:
        picture, texts = replace(picture, exif=None, xmp=None), {}
    pixels = _stored_pixels(picture)
    if pixels.dtype == np.uint16 and not kind.has_16_bits:
        pixels = np.rint(pixels / np.float32(257)).astype(np.uint8)
        notes.append(f"{kind.name} holds 8 bits for each colour; the 16 of the picture were rounded to them.")
    return _ENCODERS[kind.name](pixels, picture, texts if keep_metadata else None, notes), notes


def _opaque(picture: Picture, kind: OutputFormat) -> Picture:
    """Without an alpha that hides nothing; UserError for one that does."""
    alpha = picture.alpha
    assert alpha is not None
    if alpha.min() < (np.iinfo(alpha.dtype).max if alpha.dtype.kind == "u" else 1):
        raise UserError(f"A {kind.name} file holds no transparency; choose PNG, WebP or TIFF for this result.")
    return replace(picture, alpha=None)


def _in_srgb(picture: Picture) -> Picture:
    """The picture without need of a profile."""
    return replace(picture, rgb=colour_profiles.from_srgb(_floats(picture), None, picture.rgb.dtype), icc=None)


def _floats(picture: Picture) -> np.ndarray:
    srgb = colour_profiles.to_srgb(picture.rgb, picture.icc)
    return srgb if srgb.dtype == np.float32 else srgb / np.float32(np.iinfo(srgb.dtype).max)


def _stored_pixels(picture: Picture) -> np.ndarray:
    """[h, w, channels] uint8 or uint16 as the file will hold them: grey or RGB, then alpha."""
    rgb, alpha = picture.rgb, picture.alpha
    if alpha is not None and (alpha.shape != picture.size or alpha.dtype != rgb.dtype):
        raise ValueError(f"alpha {alpha.dtype} {alpha.shape} beside colours {rgb.dtype} {rgb.shape}")
    if rgb.dtype.kind == "f" and not (np.isfinite(rgb).all() and (alpha is None or np.isfinite(alpha).all())):
        raise UserError("The result holds values that are not numbers and was not written; try dtype=float32.")
    channels = rgb.mean(axis=2, keepdims=True, dtype=np.float32) if picture.grey else rgb  # three equal values have exactly that mean
    if rgb.dtype.kind == "f":
        channels = np.clip(channels, 0, 1) * 65535
        alpha = None if alpha is None else np.rint(np.clip(alpha, 0, 1) * 65535)
    depth = np.uint8 if rgb.dtype == np.uint8 else np.uint16
    channels = np.rint(channels).astype(depth) if channels.dtype.kind == "f" else channels
    return channels if alpha is None else np.dstack([channels, alpha.astype(depth)])


# Each takes the pixels as stored, the picture they are of, the texts (None: no mark at all) and the notes, to which it may add.


def _png(pixels: np.ndarray, picture: Picture, texts: Mapping[str, str] | None, notes: list[str]) -> bytes:
    chunks = [png_chunks.profile_chunk(picture.icc)] if picture.icc else []
    if picture.dpi:
        chunks.append(png_chunks.resolution_chunk(picture.dpi))
    if picture.exif:
        chunks.append(png_chunks.exif_chunk(picture.exif))
    if picture.xmp:
        chunks.append(png_chunks.text_chunk(_XMP_KEYWORD, picture.xmp.decode("utf-8")))
    if texts is not None:
        chunks.extend(provenance.png_texts(texts))
    return png_chunks.insert_after_header(_bare_png(pixels), chunks)


def _bare_png(pixels: np.ndarray) -> bytes:
    pixels = np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    if pixels.dtype == np.uint8:
        return _by_pillow(pixels, "PNG", compress_level=_PNG_EFFORT)
    return bytes(imagecodecs.png_encode(pixels, level=1))  # higher levels take longer for nothing: the lower bytes are noise


def _webp(pixels: np.ndarray, picture: Picture, texts: Mapping[str, str] | None, notes: list[str]) -> bytes:
    if picture.grey:
        pixels = np.dstack([pixels[..., :1].repeat(3, axis=2), pixels[..., 1:]])
    exif = _commented(picture.exif, texts)
    if exif is not None and picture.dpi:
        set_exif_resolution(exif, picture.dpi)
    data = b"" if exif is None else exif.tobytes()
    # exact: colours stay where alpha is 0
    return _by_pillow(
        pixels, "WEBP", lossless=True, exact=True, quality=_WEBP_EFFORT, icc_profile=picture.icc or b"", exif=data, xmp=picture.xmp or b""
    )


def _tiff(pixels: np.ndarray, picture: Picture, texts: Mapping[str, str] | None, notes: list[str]) -> bytes:
    return tiff_encoding.encoded(pixels, picture.icc, _commented(picture.exif, texts), picture.xmp, picture.dpi)


def _jpeg(pixels: np.ndarray, picture: Picture, texts: Mapping[str, str] | None, notes: list[str]) -> bytes:
    exif = _fitting_exif(picture.exif, texts, notes)
    xmp = picture.xmp
    if xmp and len(xmp) > _LARGEST_BLOCK:
        xmp = None
        notes.append("The XMP data of the picture is too large for a JPEG file and was dropped.")
    dpi = {"dpi": tuple(min(round(value), 65535) for value in picture.dpi)} if picture.dpi else {}
    pixels = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    return _by_pillow(
        pixels, "JPEG", quality=_JPEG_QUALITY, subsampling=0, icc_profile=picture.icc or b"", exif=exif, **({"xmp": xmp} if xmp else {}), **dpi
    )


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


def _by_pillow(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


_ENCODERS: dict[str, Callable[[np.ndarray, Picture, Mapping[str, str] | None, list[str]], bytes]] = {
    "PNG": _png,
    "WebP": _webp,
    "TIFF": _tiff,
    "JPEG": _jpeg,
}
