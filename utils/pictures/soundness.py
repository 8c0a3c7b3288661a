"""What no result may be: full of values that are not numbers, black where its input is not, or of another size than planned."""

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


def check_sound(result: torch.Tensor, source: torch.Tensor, output_size: tuple[int, int]) -> None:
    """UserError for a result [1, 3, h, w] that must not be written. source: the input it is of, in [0,1]. output_size: (h, w) as planned."""
    h, w = result.shape[-2:]
    if (h, w) != output_size:
        raise UserError(f"The result has {w} x {h} pixels instead of {output_size[1]} x {output_size[0]}, and is not kept; please report it.")
    if unsound(result, source).any():
        raise UserError("The result holds values that are not numbers, or is black though the picture is not, and is not kept; try dtype=float32.")
