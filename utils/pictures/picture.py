"""A picture in memory: its colours, and what it is besides."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from utils.pictures.unreadable import Unreadable, plain_errors
from utils.planning.errors import UserError


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture, upright.

    rgb: [h, w, 3] uint8, uint16 or float32 in [0, 1]. alpha: [h, w] of the same dtype, not premultiplied, or None. icc: colour profile of `rgb`
    (sRGB where None). exif: EXIF bytes from the byte order mark on, orientation reset. xmp: an XMP packet, likewise. dpi: pixels per inch,
    horizontal and vertical, or None. grey: the source was grey, so the result is written grey. notes: sentences on what was left out.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    grey: bool = False
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(h, w)."""
        return self.rgb.shape[0], self.rgb.shape[1]

    @property
    def colourless(self) -> bool:
        """Whether red, green and blue are equal everywhere, though the file may have stored all three."""
        red, green, blue = (self.rgb[..., k] for k in range(3))
        return self.grey or (np.array_equal(red, green) and np.array_equal(green, blue))

    def resized(self, rgb: np.ndarray, alpha: np.ndarray | None) -> Picture:
        """The same picture in other pixels of any size, as large in inches as before."""
        scales = rgb.shape[1] / self.size[1], rgb.shape[0] / self.size[0]
        dpi = None if self.dpi is None else (self.dpi[0] * scales[0], self.dpi[1] * scales[1])
        return replace(self, rgb=rgb, alpha=alpha, dpi=dpi)


def from_array(array: np.ndarray) -> Picture:
    """[h, w] or [h, w, 1|3|4] of uint8, uint16, or float in [0, 1]; the fourth channel is alpha. UserError for anything else."""
    kind, array = type(array).__name__, np.asarray(array)
    if array.dtype == object and array.ndim == 0:
        raise UserError(f"{kind} is not the type of a picture; give a path, an open picture of Pillow's, or an array of pixels.")
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or array.size == 0:
        raise UserError(f"An array of shape {array.shape} is not a picture; give height x width, or height x width x 1, 3 or 4 channels.")
    if array.dtype.kind == "f":
        with plain_errors("The array"):
            array = checked_floats(array)
    elif array.dtype.kind != "u" or array.dtype.itemsize > 2:
        raise UserError(f"An array of {array.dtype} is not a picture; give uint8, uint16, or floating-point values from 0 to 1.")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    rgb = np.repeat(array, 3, axis=2) if array.shape[2] == 1 else np.ascontiguousarray(array[..., :3])
    alpha = np.ascontiguousarray(array[..., 3]) if array.shape[2] == 4 else None
    return Picture(rgb, alpha, grey=array.shape[2] == 1)


def to_array(picture: Picture) -> np.ndarray:
    """[h, w, 3], or [h, w, 4] with alpha, in the picture's own depth."""
    return picture.rgb if picture.alpha is None else np.dstack([picture.rgb, picture.alpha])


def checked_floats(values: np.ndarray) -> np.ndarray:
    """The values as float32; Unreadable if they are not all in [0, 1]."""
    if not np.isfinite(values).all():
        raise Unreadable("it holds values that are not numbers; replace them")
    if values.min() < 0 or values.max() > 1:
        raise Unreadable(f"it holds floating-point values from {values.min():g} to {values.max():g}; scale them to 0 to 1")
    return values.astype(np.float32)
