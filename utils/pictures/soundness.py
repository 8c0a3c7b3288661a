"""What no result may be: full of values that are not numbers, black where its input is not, or of another size than planned."""

import math
from collections.abc import Iterable, Iterator

import torch

from utils.planning.errors import UserError

BLACK = 0.5 / 255
"""A picture that reaches this nowhere is stored as black in 8 bits."""
LIT = 8 / 255
"""Mean of a source that a black picture cannot have come of: colours move less than this from input to result."""


def unsound(pictures: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
    """Which of the pictures [n, ...] hold values that are not numbers, or are black though their sources [n, ...] in [0,1] are not: a mask [n]."""
    low, high = pictures.flatten(1).aminmax(dim=1)  # which are not numbers as soon as one value is not
    is_black = (high < BLACK) & (sources.flatten(1).mean(1) > LIT).to(high.device)
    return is_black | ~(low.isfinite() & high.isfinite())


def checked(stretches: Iterable[tuple[int, torch.Tensor]], source: torch.Tensor, output_size: tuple[int, int]) -> Iterator[tuple[int, torch.Tensor]]:
    """A result as it comes, in stretches of rows [1,3,n,w], each with its first; UserError where it must not be written, of a black one at its end.

    source: the input it is of, in [0,1]. output_size: (h, w) as planned.
    """
    rows, highest = 0, 0.0
    for top, stretch in stretches:
        low, high = (extreme.item() for extreme in stretch.aminmax())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise UserError("The result holds values that are not numbers and is not kept; try dtype=float32.")
        _check_size((output_size[0] + rows - top, stretch.shape[-1]), output_size)  # rows between the last stretch and this one are missing
        rows, highest = rows + stretch.shape[-2], max(highest, high)
        yield top, stretch
    _check_size((rows, output_size[1]), output_size)
    if highest < BLACK and source.mean() > LIT:
        raise UserError("The result is black though the picture is not, and is not kept; try dtype=float32.")


def _check_size(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    if size != wanted:
        raise UserError(f"The result has {size[1]} x {size[0]} pixels instead of {wanted[1]} x {wanted[0]}, and is not kept; please report it.")
