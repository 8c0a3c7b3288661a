"""Copies of pictures for looking at: 8 bits, transparency over a checkerboard, reduced where they would be too much for a browser."""

import base64
import io
import math
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from utils.pictures.picture import Picture

COMPARED_PIXELS = 6_000_000
"""The most pixels of each picture in the comparison."""
_PREVIEW_SIDE = 640
_THUMBNAIL_SIDE = 320
_SQUARE = 8  # pixels of a square of the checkerboard
_LIGHT, _DARK = 255, 214
_QUICK = 1  # zlib level: these files live for minutes, on one machine


def display_size(size: tuple[int, int], limit: int = COMPARED_PIXELS) -> tuple[int, int]:
    """(h, w) of the copy of a picture of that size: its own, or the largest of the same shape with at most about `limit` pixels."""
    factor = min(1.0, math.sqrt(limit / (size[0] * size[1])))
    return max(round(size[0] * factor), 1), max(round(size[1] * factor), 1)


def comparison(before: Picture, after: Picture, folder: Path) -> tuple[str, str]:
    """PNG copies of both in `folder`, of equal size, that of `after` or less; `before` is enlarged bicubically."""
    size = display_size(after.size)
    # Their names are seen in menus like "save image as", so they say what the files are.
    paths = folder / f"before-bicubic-{secrets.token_hex(8)}.png", folder / f"after-{secrets.token_hex(8)}.png"
    for picture, path in zip((before, after), paths, strict=True):
        save_copy(picture, size, path)
    return str(paths[0]), str(paths[1])


def save_copy(picture: Picture, size: tuple[int, int], path: Path) -> None:
    """A PNG copy of `size` (h, w)."""
    displayed(picture, size).save(path, compress_level=_QUICK, icc_profile=picture.icc)


def preview_uri(picture: Picture) -> str:
    """A small copy as a data: address."""
    h, w = picture.size
    factor = min(1.0, _PREVIEW_SIDE / max(h, w))
    image = displayed(picture, (max(round(h * factor), 1), max(round(w * factor), 1)))
    return _uri(image, "PNG", icc_profile=picture.icc)


def thumbnail(picture: Picture, folder: Path) -> Path:
    """A file in `folder` with a copy to be known by: at most 320 pixels along each axis, compressed."""
    step = max(max(picture.size) // (4 * _THUMBNAIL_SIDE), 1)  # of a huge picture, few pixels are enough
    alpha = None if picture.alpha is None else picture.alpha[::step, ::step]
    thinned = replace(picture, rgb=picture.rgb[::step, ::step], alpha=alpha)
    h, w = thinned.size
    factor = min(1.0, _THUMBNAIL_SIDE / max(h, w))
    path = folder / f"{secrets.token_hex(8)}.jpg"
    displayed(thinned, (max(round(h * factor), 1), max(round(w * factor), 1))).save(path, quality=85, icc_profile=picture.icc)
    return path


def progress_uri(rgb: np.ndarray) -> str:
    """[h, w, 3] uint8 in sRGB as a data: address; JPEG, for it changes several times a second."""
    return _uri(Image.fromarray(rgb), "JPEG", quality=88)


def displayed(picture: Picture, size: tuple[int, int]) -> Image.Image:
    """The picture at `size` (h, w): RGB, or L where it is grey, so that its colour profile still suits it."""
    pixels = _eight_bits(picture.rgb)
    if picture.alpha is not None:
        pixels = np.dstack([pixels, _eight_bits(picture.alpha)])
    image = Image.fromarray(pixels)
    if picture.size != size:
        image = image.resize((size[1], size[0]), Image.Resampling.BICUBIC)
    if picture.alpha is not None:
        image = Image.alpha_composite(_checkerboard(size), image).convert("RGB")
    return image.convert("L") if picture.grey else image


def _eight_bits(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:
        return values
    full = 65535 if values.dtype == np.uint16 else 1
    return np.rint(values * np.float32(255 / full)).astype(np.uint8)


def _checkerboard(size: tuple[int, int]) -> Image.Image:
    rows, columns = (np.arange(length) // _SQUARE for length in size)
    grey = np.where((rows[:, None] + columns) % 2, _DARK, _LIGHT).astype(np.uint8)
    return Image.fromarray(grey).convert("RGBA")


def _uri(image: Image.Image, kind: str, **options: Any) -> str:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"
