"""From an image that Pillow has opened to a picture: its pixels in full depth, upright, with its colour profile and metadata."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

from utils.pictures import colour_profiles, jpeg_markers, metadata, png_chunks
from utils.pictures.colour_profiles import Use
from utils.pictures.picture import Picture, checked_floats
from utils.pictures.tensors import full_scale
from utils.pictures.unreadable import DAMAGED, Unreadable


@dataclass(frozen=True)
class Pixels:
    """As stored, before turning. rgb: [h, w, 3] or CMYK [h, w, 4]; alpha: [h, w] of the same dtype or None; grey: the channels are equal."""

    rgb: np.ndarray
    alpha: np.ndarray | None
    grey: bool


def decoded(image: Image.Image, notes: list[str], tolerant: bool = False) -> Picture:
    """The current frame of the image. tolerant: what is left of a damaged file will do. Raises what decoders raise, and Unreadable."""
    if getattr(image, "is_animated", False) and image.tell() == 0:
        what = {"TIFF": "pages", "HEIF": "pictures"}.get(str(image.format), "frames")
        notes.append(f"The file has several {what}; the first was used.")
    raw_mode, data, turns = _raw_mode(image), _file_bytes(image), _is_turned_by_decoder(image)
    is_whole = _load(image, tolerant, notes)
    pixels = _pixels(image, raw_mode, data if is_whole else b"", notes)
    icc = None if image.mode == "LAB" else image.info.get("icc_profile")
    exif, dpi, orientation = described(image.format, image.info, image.getexif, notes)
    if dpi and turns:
        dpi = dpi[1], dpi[0]
    return finished(pixels, icc, exif, kept_xmp(image.info.get("xmp"), notes), dpi, orientation, notes)


def finished(
    pixels: Pixels, icc: bytes | None, exif: bytes | None, xmp: bytes | None, dpi: metadata.Dpi | None, orientation: int, notes: list[str]
) -> Picture:
    """The picture, turned upright; its colours in sRGB where they are of a kind that results cannot have."""
    rgb, icc = _kept_colours(pixels, icc, notes)
    return Picture(
        rgb=_upright(rgb, orientation),
        alpha=None if pixels.alpha is None else _upright(pixels.alpha, orientation),
        icc=icc,
        exif=exif,
        xmp=xmp,
        dpi=(dpi[1], dpi[0]) if dpi and orientation >= 5 else dpi,
        grey=pixels.grey,
        notes=tuple(notes),
    )


def described(
    kind: str | None, info: Mapping[Any, Any], read_exif: Callable[[], Image.Exif], notes: list[str]
) -> tuple[bytes | None, metadata.Dpi | None, int]:
    """(EXIF to be kept, resolution, orientation). A picture is not lost for its EXIF: if that cannot be read, a note says so."""
    exif, kept, orientation = None, None, 1
    try:
        exif = read_exif()
        orientation = metadata.orientation_of(exif)
        kept = metadata.kept_exif(exif, from_tiff=kind == "TIFF")
        if not exif and info.get("exif"):
            raise ValueError("nothing readable")
    except Exception:  # Pillow's parser raises many kinds
        notes.append("The EXIF data of the file is damaged and was dropped.")
        exif, kept, orientation = None, None, 1
    return kept, metadata.resolution(kind, info, exif), orientation


def kept_xmp(packet: Any, notes: list[str]) -> bytes | None:
    """The XMP packet to be kept, with a note if that cannot be."""
    try:
        return metadata.kept_xmp(packet)
    except ValueError:
        notes.append("The XMP data of the file is damaged and was dropped.")
        return None


# Pixels


def _raw_mode(image: Image.Image) -> str:
    """How the file stores its pixels, such as "RGB;16B" or "L;4"; empty for an image that is decoded already or is not from a file."""
    if not isinstance(image, ImageFile.ImageFile) or not image.tile:
        return ""
    arguments = image.tile[0].args
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _is_turned_by_decoder(image: Image.Image) -> bool:
    """Whether decoding will exchange rows and columns: Pillow does so with TIFFs, and forgets that it did."""
    return isinstance(image, TiffImagePlugin.TiffImageFile) and bool(image.tile) and image.tag_v2.get(metadata.ORIENTATION) in range(5, 9)


def _file_bytes(image: Image.Image) -> bytes:
    """The whole file if it may hold more than Pillow makes of it: 16 bits of a colour PNG, 10 or 12 of AVIF and HEIC."""
    stream = image.fp if isinstance(image, ImageFile.ImageFile) else None
    is_deep_png = image.format == "PNG" and ";16" in _raw_mode(image) and image.mode in ("RGB", "RGBA", "LA")
    if stream is None or not (is_deep_png or image.format == "AVIF" or image.info.get("bit_depth", 8) > 8):
        return b""
    position = stream.tell()
    stream.seek(0)
    data = stream.read()
    stream.seek(position)
    return data


def _load(image: Image.Image, tolerant: bool, notes: list[str]) -> bool:
    """Let Pillow decode; whether everything was there."""
    is_damaged = _lacks_pixels(image)
    if is_damaged and not tolerant:
        raise Unreadable(DAMAGED)
    if not tolerant or not isinstance(image, ImageFile.ImageFile):
        image.load()
        return True
    ended = _end_when_cut_off(image)
    try:
        image.load()
        if not ended and not is_damaged:
            return True
    except MemoryError:
        raise
    except Exception as error:  # decoders raise many kinds
        if getattr(error, "errno", None) or image._im is None:
            raise
        image.tile = []  # what is decoded so far counts as all
        image.load()
    extremes = image.getextrema()
    if all(low == high for low, high in (extremes if isinstance(extremes[0], tuple) else [extremes])):  # type: ignore[union-attr]
        raise Unreadable("nothing of its pixels is left; copy or download it again")
    notes.append("The file is damaged or incomplete: what could not be read of it is blank.")
    return False


def _lacks_pixels(image: Image.Image) -> bool:
    """Whether the file is damaged in a way that Pillow passes over, so that a part would silently be blank."""
    if not isinstance(image, ImageFile.ImageFile) or not image.tile or image.fp is None:
        return False
    if image.format == "TIFF":  # the size may be that of the turned picture, but the strips lie as stored
        return sorted(max(tile.extents[k] for tile in image.tile if tile.extents) for k in (2, 3)) != sorted(image.size)
    check = {"PNG": png_chunks.are_pixels_whole, "JPEG": jpeg_markers.are_scans_in_order}.get(str(image.format))
    if check is None:
        return False
    position = image.fp.tell()
    is_whole = check(image.fp)
    image.fp.seek(position)
    return not is_whole


def _end_when_cut_off(image: ImageFile.ImageFile) -> list[bool]:
    """Lets a JPEG that stops early end properly, so that its decoder gives what it has; the list is no longer empty once that was needed."""
    ended: list[bool] = []
    read = getattr(image, "load_read", None)
    if image.format == "JPEG" and read is not None:

        def read_or_end(count: int) -> bytes:
            data = read(count)
            if data or ended:
                return data
            ended.append(True)
            return b"\xff\xd9"

        image.load_read = read_or_end  # type: ignore[attr-defined]
    return ended


def _pixels(image: Image.Image, raw_mode: str, data: bytes, notes: list[str]) -> Pixels:
    """The pixels of a decoded image of any mode, from the file's bytes where these hold more."""
    if data and image.format == "PNG":
        return _from_channels(np.asarray(imagecodecs.png_decode(png_chunks.pixel_chunks_only(data))), image.size)
    if data and image.format == "AVIF" and (bits := _avif_bits(data)) > 8:
        return _from_channels(_stretched(np.asarray(imagecodecs.avif_decode(data, index=0)), 2**bits - 1), image.size)
    if data and image.format == "HEIF":
        return _from_channels(_deep_heic(data, image.info["bit_depth"]), image.size)
    if ";16" in raw_mode and image.mode in ("RGB", "RGBA", "CMYK", "LA"):
        notes.append("Its 16 bits for each colour were read as 8.")
    if image.mode == "CMYK":
        return Pixels(np.asarray(image), None, False)
    if image.mode in ("1", "L", "I", "F") or image.mode.startswith("I;16"):
        grey = _grey_values(image, raw_mode)
        key = image.info.get("transparency")  # one grey value, given as the file stores it, that is transparent
        alpha = None
        if isinstance(key, int):
            key *= {"L;2": 85, "L;4": 17}.get(raw_mode, 1)
            alpha = np.where(grey == key, 0, np.iinfo(grey.dtype).max).astype(grey.dtype)
        return _from_channels(np.dstack([grey] if alpha is None else [grey, alpha]), image.size)
    if image.mode in ("LA", "La"):
        return _from_channels(np.asarray(image.convert("LA")), image.size)
    pixels = _from_channels(np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB")), image.size)
    # A palette of greys is grey; with a profile, it is of the colours that this is for.
    return replace(pixels, grey=image.mode in ("P", "PA") and "icc_profile" not in image.info and bool((np.ptp(pixels.rgb, axis=2) == 0).all()))


def _from_channels(pixels: np.ndarray, size: tuple[int, int]) -> Pixels:
    """[h, w], or [h, w, 1|2|3|4] with alpha as the second or fourth; Unreadable if that is not what another decoder found. size: (w, h)."""
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.shape[1::-1] != size or pixels.shape[2] not in (1, 2, 3, 4):
        raise Unreadable("its layout is not supported; save it as an ordinary PNG")
    colours, alpha = (pixels[..., :-1], pixels[..., -1]) if pixels.shape[2] in (2, 4) else (pixels, None)
    is_grey = colours.shape[2] == 1
    return Pixels(np.repeat(colours, 3, axis=2) if is_grey else colours, alpha, is_grey)


def _grey_values(image: Image.Image, raw_mode: str) -> np.ndarray:
    """[h, w] uint8, uint16 or float32 of an image of one channel."""
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))
    values = np.asarray(image)
    if image.mode == "F":
        return checked_floats(values)
    if values.min() < 0 or values.max() > 65535:
        raise Unreadable(f"its values, {values.min()} to {values.max()}, are not 16-bit; scale them to 0 to 65535")
    if raw_mode == "I;12":
        return _stretched(values, 4095)
    values = values.astype(np.uint16)
    is_inverted = getattr(image, "tag_v2", {}).get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0  # Pillow inverts 8-bit TIFFs only
    return 65535 - values if is_inverted else values


def _stretched(values: np.ndarray, full: int) -> np.ndarray:
    """Values from 0 to `full` as uint16 from 0 to 65535."""
    return np.rint(values * (65535 / full)).astype(np.uint16)


def _avif_bits(data: bytes) -> int:
    """Bits for each colour, from the flags in the av1C box (AV1 in ISOBMFF, section 2.3.3)."""
    place = data.find(b"av1C")
    flags = data[place + 6] if 0 <= place < len(data) - 6 else 0
    return (12 if flags & 0x20 else 10) if flags & 0x40 else 8


def _deep_heic(data: bytes, bits: int) -> np.ndarray:
    import pillow_heif

    deep = np.asarray(pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False))
    return _stretched(deep >> (16 - bits), 2**bits - 1)  # its values start at the highest bit


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The stored pixels turned as EXIF `orientation` asks."""
    if orientation >= 5:
        pixels = np.swapaxes(pixels, 0, 1)
    flip_rows, flip_columns = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return np.ascontiguousarray(pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1])


# Colours


def _kept_colours(pixels: Pixels, icc: bytes | None, notes: list[str]) -> tuple[np.ndarray, bytes | None]:
    """[h, w, 3] and the profile that a result in these colours is given."""
    how = colour_profiles.use(icc) if icc else Use.NONE
    if pixels.rgb.shape[2] == 4:
        return _from_cmyk(pixels.rgb, icc, how, notes), None
    if not icc:
        return pixels.rgb, None
    if how is Use.NONE:
        notes.append("The colour profile of the file is damaged or of an unknown kind and was dropped.")
        return pixels.rgb, None
    if colour_profiles.space(icc) != ("gray" if pixels.grey else "rgb"):
        notes.append("The colour profile of the file does not suit the picture and was dropped.")
        return pixels.rgb, None
    if how is Use.TO_SRGB:
        notes.append("The colours were converted to sRGB, because a result cannot have the colour profile of the file.")
        return _as_stored(colour_profiles.to_srgb(pixels.rgb, icc), pixels.rgb.dtype), None
    return pixels.rgb, icc


def _from_cmyk(cmyk: np.ndarray, icc: bytes | None, how: Use, notes: list[str]) -> np.ndarray:
    """sRGB [h, w, 3] through the picture's own profile; without one, by the plain formula."""
    if icc and how is Use.TO_SRGB and colour_profiles.space(icc) == "cmyk":
        notes.append("The CMYK colours were converted to sRGB by the profile in the file.")
        return _as_stored(colour_profiles.to_srgb(cmyk, icc), cmyk.dtype)
    notes.append("The CMYK colours were converted to RGB without a usable profile; they may differ from print.")
    ink = cmyk.astype(np.float32) / np.float32(full_scale(cmyk.dtype))
    return _as_stored((1 - ink[..., :3]) * (1 - ink[..., 3:]), cmyk.dtype)


def _as_stored(rgb: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return colour_profiles.from_srgb(rgb, None, dtype)
