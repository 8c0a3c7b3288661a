"""How large a result is to be."""

from utils.planning.settings import BaseSR


def target_size(picture_size: tuple[int, int], asked: BaseSR) -> tuple[int, int]:
    """(h, w) of the result of a picture of `picture_size`, of the same shape to within rounding, and at least one pixel along each axis."""
    h, w = picture_size
    if asked.longest_side:
        longest = max(h, w)
        return max(round(h * asked.longest_side / longest), 1), max(round(w * asked.longest_side / longest), 1)
    return max(round(h * asked.sf), 1), max(round(w * asked.sf), 1)
