"""Between the colours of a file, as its ICC profile means them, and sRGB, in which pictures are processed.

The transforms are Little CMS's over floating-point numbers (relative colorimetric), so 16 bits do not pass through 8.
"""

import struct
from enum import Enum
from functools import lru_cache

import imagecodecs
import numpy as np
from PIL import PngImagePlugin

from utils.pictures.tensors import GREY_WEIGHTS, full_scale

_LARGEST = 4 * 2**20  # bytes of a profile; printers' are the largest, of 1 to 3 MB
_LARGEST_KEPT = PngImagePlugin.MAX_TEXT_CHUNK  # Pillow refuses to open a PNG with a larger one
_SRGB = imagecodecs.cms_profile("srgb")
_SPACES = {b"RGB ": "rgb", b"GRAY": "gray", b"CMYK": "cmyk"}
_CHANNELS = {"rgb": 3, "gray": 1, "cmyk": 4}
_TRUE = 1 / 255  # the tables of some profiles undo each other less well than this
_SAME = 1 / 255  # a profile that moves no colour by more is sRGB in all but name
_BAND = 2**19  # pixels converted at a time, which bounds the memory for temporary numbers


class Use(Enum):
    """What can be done with a profile."""

    SAME = "its colours are those of sRGB"
    BOTH_WAYS = "to sRGB and back"
    TO_SRGB = "to sRGB only"
    NONE = "unusable"


def space(icc: bytes) -> str | None:
    """rgb, gray or cmyk, by the profile's header; None for others (such as Lab) and for what is no profile."""
    return _SPACES.get(icc[16:20]) if len(icc) >= 132 and icc[36:40] == b"acsp" else None


def use(icc: bytes) -> Use:
    """What can be done with the profile."""
    return Use.NONE if len(icc) > _LARGEST else _found_use(icc)


@lru_cache(maxsize=32)
def _found_use(icc: bytes) -> Use:
    """What can be done with the profile, found by trying."""
    name = space(icc)
    if name is None or struct.unpack_from(">I", icc)[0] > len(icc):
        return Use.NONE
    levels = np.linspace(0, 1, 33 if name == "gray" else 9, dtype=np.float32)
    samples = np.stack(np.meshgrid(*[levels] * _CHANNELS[name], indexing="ij"), -1).reshape(1, -1, _CHANNELS[name])
    try:
        srgb = _transform(samples, icc, name, _SRGB, "rgb")
        if not np.isfinite(srgb).all():
            return Use.NONE
        if len(icc) > _LARGEST_KEPT:
            return Use.TO_SRGB
        if name != "cmyk" and np.abs(srgb - samples).max() < _SAME:
            return Use.SAME
    except imagecodecs.CmsError:
        return Use.NONE
    if name == "cmyk":  # many mixtures of ink have the same colour, so there is no way back to the ones of the file
        return Use.TO_SRGB
    try:
        back = _transform(srgb.clip(0, 1), _SRGB, "rgb", icc, name)
    except imagecodecs.CmsError:
        return Use.TO_SRGB
    shown = ((srgb >= 0) & (srgb <= 1)).all(2)  # without those beyond sRGB
    return Use.BOTH_WAYS if np.abs(back - samples)[shown].max(initial=0) < _TRUE else Use.TO_SRGB


def to_srgb(pixels: np.ndarray, icc: bytes | None) -> np.ndarray:
    """[h, w, 3] of any depth, or CMYK [h, w, 4] (1 is full ink), with a usable profile -> [h, w, 3] float32 in [0,1].

    Without a profile, and with one that is sRGB's, the pixels as they are. Of a grey profile the three channels are equal.
    Colours outside sRGB are clipped to it; `gamut.py` keeps what that takes.
    """
    if icc is None or use(icc) is Use.SAME:
        return pixels
    srgb = np.empty((*pixels.shape[:2], 3), np.float32)
    name = str(space(icc))
    for rows in _bands(pixels.shape):
        values = pixels[rows].astype(np.float32) / np.float32(full_scale(pixels.dtype))
        converted = _transform(values[..., : _CHANNELS[name]], icc, name, _SRGB, "rgb")
        srgb[rows] = (converted.mean(2, keepdims=True) if name == "gray" else converted).clip(0, 1)
    return srgb


def from_srgb(srgb: np.ndarray, icc: bytes | None, dtype: np.dtype, colourless: bool = False) -> np.ndarray:
    """[h, w, 3] float32 in [0,1] -> [h, w, 3] of `dtype`, the same colours as the profile means them, rounded. The inverse of `to_srgb`.

    colourless: all three channels become the luma, exactly.
    """
    pixels = np.empty(srgb.shape, dtype)
    name = None if icc is None or use(icc) is Use.SAME else space(icc)
    for rows in _bands(srgb.shape):
        values = srgb[rows]
        if icc is not None and name is not None:
            values = _transform(np.ascontiguousarray(values), _SRGB, "rgb", icc, name).clip(0, 1)
        if colourless and values.shape[2] == 3:
            values = values @ np.array(GREY_WEIGHTS, np.float32)[:, None]
        values = values * np.float32(full_scale(dtype))
        pixels[rows] = values if np.issubdtype(dtype, np.floating) else np.rint(values)
    return pixels


def _transform(values: np.ndarray, source: bytes, source_space: str, target: bytes, target_space: str) -> np.ndarray:
    """float32 [h, w, channels] -> float32 [h, w, channels], not clipped."""
    if source_space == "cmyk":
        values = values * np.float32(100)  # Little CMS counts ink in percent
    if source_space == "gray":
        values = values[..., 0]
    converted = imagecodecs.cms_transform(
        np.ascontiguousarray(values), source, target, colorspace=source_space, outcolorspace=target_space, outdtype="float32",
        intent=imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC,
    )  # fmt: skip
    return np.asarray(converted).reshape(*values.shape[:2], _CHANNELS[target_space])


def _bands(shape: tuple[int, ...]) -> list[slice]:
    rows = max(_BAND // shape[1], 1)
    return [slice(start, start + rows) for start in range(0, shape[0], rows)]
