"""Colours that a file can hold and sRGB, in which pictures are processed, cannot: they go round the networks."""

from collections.abc import Iterator

import numpy as np
import torch

from utils.pictures.bands import rows_at_once
from utils.pictures.colour_profiles import Use, from_srgb, space, to_srgb, use
from utils.pictures.picture import Picture
from utils.pictures.resized_rows import resized
from utils.pictures.tensors import full_scale

_UNCERTAIN = 1 / 255
"""What a profile's tables may be wrong by for colours that sRGB does have: of a difference, only what is beyond it counts."""


def beyond_srgb(picture: Picture) -> np.ndarray | None:
    """What clipping to sRGB takes from each pixel, in the numbers of the picture's own profile: float32 [h,w,3] in [-1,1]; None if it is nothing.

    Colours under transparency count as little as they are seen.
    """
    if picture.icc is None or space(picture.icc) != "rgb" or use(picture.icc) is not Use.BOTH_WAYS:
        return None
    kept = from_srgb(to_srgb(picture.rgb, picture.icc), picture.icc, np.dtype(np.float32))
    lost = picture.rgb.astype(np.float32) / np.float32(full_scale(picture.rgb.dtype)) - kept
    lost = np.sign(lost) * np.maximum(np.abs(lost) - _UNCERTAIN, 0)
    if picture.alpha is not None:
        lost *= picture.alpha[..., None] / np.float32(full_scale(picture.alpha.dtype))
    return lost if lost.any() else None


def put_back(lost: np.ndarray, rgb: np.ndarray) -> None:
    """Adds what `beyond_srgb` found, enlarged bicubically, to the result [H,W,3] of any depth, in place."""
    height, width = rgb.shape[:2]

    def stretches() -> Iterator[tuple[int, torch.Tensor]]:
        at_once = rows_at_once(width)
        for top in range(0, len(lost), at_once):
            yield top, torch.from_numpy(lost[top : top + at_once]).permute(2, 0, 1)[None] / 2 + 0.5  # `resized` is for values in [0,1]

    largest = full_scale(rgb.dtype)
    for top, rows in resized(stretches(), len(lost), (height, width)):
        there = rgb[top : top + rows.shape[2]]
        added = there + ((rows[0].permute(1, 2, 0) - 0.5) * 2 * largest).numpy()
        there[:] = added.clip(0, largest) if np.issubdtype(rgb.dtype, np.floating) else np.rint(added).clip(0, largest)
