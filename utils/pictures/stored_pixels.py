"""The pixels of a picture as a file holds them, made by rows: a large picture in memory leaves no room for a second one of its size."""

from collections.abc import Iterator

import numpy as np

from utils.pictures.picture import Picture
from utils.planning.errors import UserError

_BAND = 2**20  # pixels made at a time


class StoredPixels:
    """[h, w, channels] uint8 or uint16: grey or RGB, then alpha where there is any. Floating-point pictures have 16 bits."""

    def __init__(self, picture: Picture, has_16_bits: bool = True) -> None:
        """has_16_bits: without, 16 bits are rounded to 8. UserError if the picture holds values that are not numbers."""
        rgb, alpha = picture.rgb, picture.alpha
        if alpha is not None and (alpha.shape != picture.size or alpha.dtype != rgb.dtype):
            raise ValueError(f"alpha {alpha.dtype} {alpha.shape} beside colours {rgb.dtype} {rgb.shape}")
        self._picture, self._is_rounded = picture, rgb.dtype != np.uint8 and not has_16_bits
        self.dtype = np.dtype(np.uint8 if rgb.dtype == np.uint8 or self._is_rounded else np.uint16)
        self.shape = *picture.size, (1 if picture.grey else 3) + (alpha is not None)
        if rgb.dtype.kind == "f" and not all(np.isfinite(one[rows]).all() for one in (rgb, alpha) if one is not None for rows in self._bands()):
            raise UserError("The result holds values that are not numbers and was not written; try dtype=float32.")

    def __iter__(self) -> Iterator[np.ndarray]:
        """Bands of rows from top to bottom, [n, w, channels] each."""
        return (self[rows] for rows in self._bands())

    def __getitem__(self, rows: slice) -> np.ndarray:
        """[n, w, channels]."""
        rgb, alpha = self._picture.rgb[rows], self._picture.alpha
        channels = rgb.mean(axis=2, keepdims=True, dtype=np.float32) if self._picture.grey else rgb  # three equal values have exactly that mean
        alpha = None if alpha is None else alpha[rows]
        if rgb.dtype.kind == "f":
            channels = np.clip(channels, 0, 1) * 65535
            alpha = None if alpha is None else np.rint(np.clip(alpha, 0, 1) * 65535)
        depth = np.uint8 if rgb.dtype == np.uint8 else np.uint16
        channels = np.rint(channels).astype(depth) if channels.dtype.kind == "f" else channels
        pixels = channels if alpha is None else np.dstack([channels, alpha.astype(depth)])
        return np.rint(pixels / np.float32(257)).astype(np.uint8) if self._is_rounded else pixels

    def _bands(self) -> Iterator[slice]:
        h, w = self.shape[:2]
        rows = max(_BAND // w, 1)
        return (slice(top, min(top + rows, h)) for top in range(0, h, rows))
