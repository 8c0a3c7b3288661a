"""What is known of a picture before anything is decided about it."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class ComplexityMap:
    """Where a picture is detailed: values [rows, columns] in [0,1], one for each cell of `cell` x `cell` pixels, the last ones cut by the border."""

    values: np.ndarray
    cell: int


@dataclass(frozen=True, eq=False)
class ImageStats:
    """Measured once, over the whole unpadded picture.

    complexity: 0 (flat) to 1. noise: standard deviation of grain and of JPEG's errors together, compression: of the latter alone, in units of 1/255.
    blur: standard deviation in pixels of a Gaussian that would blur as much.
    """

    complexity: float
    noise: float
    compression: float
    blur: float
    complexity_map: ComplexityMap
