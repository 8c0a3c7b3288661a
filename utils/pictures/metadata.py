"""What a file says of a picture besides its pixels: EXIF, XMP and resolution, as they are kept in an upright, enlarged copy."""

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from PIL import Image

Dpi = tuple[float, float]

ORIENTATION = 0x0112
EXIF_BLOCK = 0x8769
BLOCKS = (EXIF_BLOCK, 0x8825)
"""Tags whose values are tags again; the second with the place."""
USER_COMMENT = 0x9286
XMP = 0x02BC
"""The tag of an XMP packet in a TIFF; some programs write one into EXIF, too."""
_RESOLUTION = (0x011A, 0x011B, 0x0128)  # horizontal, vertical, unit
# What describes the pixels of the file, not the picture: sizes of both blocks, and the resolution, which `Picture.dpi` carries.
_OF_THE_FILE = {0x0100, 0x0101, *_RESOLUTION}
_OF_THE_FILE_IN_BLOCK = {0xA002, 0xA003}
TIFF_DESCRIPTION = {
    *(0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x8298),  # title, maker, model, software, date, artist, computer, copyright
    *(0x4746, 0x4749),  # rating, by stars and in per cent
    *range(0x9C9B, 0x9CA0),  # title, comment, author, keywords and subject, as Windows writes them
    *BLOCKS,
}
"""A TIFF's tags mix its layout with its EXIF; these describe the picture."""
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[2-8]")
_LARGEST_XMP = 2**20
_MOST_DPI = 100_000
_INCHES = {2: 1.0, 3: 2.54}  # of a resolution's unit, by its code in EXIF; 1 is no unit


def orientation_of(exif: Image.Exif) -> int:
    """1 to 8 as in the EXIF standard; 1 (upright) for values that mean nothing."""
    value = exif.get(ORIENTATION, 1)
    return value if value in range(1, 9) else 1


def kept_exif(exif: Image.Exif, from_tiff: bool) -> bytes | None:
    """The EXIF bytes for an upright copy of another size, or None where nothing is left. Raises anything for damaged EXIF; `exif` stays as it is."""
    kept = {tag for tag in exif if tag not in _OF_THE_FILE and (not from_tiff or tag in TIFF_DESCRIPTION)}
    if not kept:
        return None
    exif.bigtiff = False  # EXIF has the layout of a plain TIFF
    upright = Image.Exif()
    upright.load(exif.tobytes())
    for tag in set(upright) - kept:
        del upright[tag]
    if EXIF_BLOCK in upright:
        block = upright.get_ifd(EXIF_BLOCK)
        for tag in _OF_THE_FILE_IN_BLOCK & set(block):
            del block[tag]
    if ORIENTATION in upright:
        upright[ORIENTATION] = 1
    if isinstance(upright.get(XMP), bytes):
        upright[XMP] = _turned_upright(upright[XMP])
    return upright.tobytes().removeprefix(b"Exif\0\0")


def kept_xmp(packet: Any) -> bytes | None:
    """The XMP packet with its orientation reset; ValueError for one that is not UTF-8 text of reasonable size."""
    if not packet:
        return None
    packet = bytes(packet, "utf-8") if isinstance(packet, str) else bytes(packet).rstrip(b"\0")
    if len(packet) > _LARGEST_XMP or b"\0" in packet:
        raise ValueError("not an XMP packet")
    packet.decode("utf-8")
    return _turned_upright(packet)


def _turned_upright(packet: bytes) -> bytes:
    return _XMP_ORIENTATION.sub(rb"\g<1>1", packet)


def resolution(kind: str | None, info: Mapping[Any, Any], exif: Image.Exif | None) -> Dpi | None:
    """(horizontal, vertical) in pixels per inch, from what Pillow read of a file of that kind; None if it says none that makes sense."""
    if kind == "JPEG":  # for which Pillow's own figure is 72 where the file names none
        inches = {1: 1.0, 2: 2.54}.get(info.get("jfif_unit", 0))
        found = _sensible([inches * density for density in info["jfif_density"]]) if inches else None
    else:
        found = _sensible(info.get("dpi"))
    return found or exif_resolution(exif)


def exif_resolution(exif: Image.Exif | None) -> Dpi | None:
    """(horizontal, vertical) in pixels per inch, or None."""
    if exif is None or _RESOLUTION[0] not in exif:
        return None
    inches = _INCHES.get(exif.get(_RESOLUTION[2], 2))
    if inches is None:
        return None
    try:
        return _sensible([inches * float(exif.get(tag, exif[_RESOLUTION[0]])) for tag in _RESOLUTION[:2]])
    except (TypeError, ValueError, ZeroDivisionError):
        return None


def set_exif_resolution(exif: Image.Exif, dpi: Dpi) -> None:
    """Write the resolution into EXIF, for formats that hold it nowhere else."""
    for tag, value in zip(_RESOLUTION[:2], dpi, strict=True):
        exif[tag] = Fraction(value).limit_denominator(1000)
    exif[_RESOLUTION[2]] = 2


def _sensible(values: Any) -> Dpi | None:
    try:
        horizontal, vertical = (float(value) for value in values)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (horizontal, vertical) if all(math.isfinite(v) and 1 <= v <= _MOST_DPI for v in (horizontal, vertical)) else None
