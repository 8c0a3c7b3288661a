"""The geometric self-ensemble: the mean over views of the same tile, turned and mirrored (EDSR, arXiv 1707.02921, section 3.4).

What a network makes of a tile depends a little on how the tile lies. That is chance, most of it where the input leaves much open, and the mean has
less of it: less invented detail, and a result a little nearer to the original.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch

from utils.models.denoising import Draws


class View(NamedTuple):
    """Rows and columns exchanged, then columns reversed, then rows: the eight ways in which a square can lie."""

    transposed: bool
    mirrored: bool
    upended: bool

    def of(self, pictures: torch.Tensor) -> torch.Tensor:
        """[...,h,w] as this view shows them."""
        if self.transposed:
            pictures = pictures.transpose(-1, -2)
        return pictures.flip(self._reversed()).contiguous()

    def undone(self, pictures: torch.Tensor) -> torch.Tensor:
        """Back to how they lay."""
        pictures = pictures.flip(self._reversed())
        return pictures.transpose(-1, -2) if self.transposed else pictures

    def _reversed(self) -> list[int]:
        return [axis for axis, is_reversed in ((-1, self.mirrored), (-2, self.upended)) if is_reversed]


VIEWS = (
    View(transposed=False, mirrored=False, upended=False),
    View(transposed=False, mirrored=True, upended=True),
    View(transposed=True, mirrored=True, upended=False),
    View(transposed=True, mirrored=False, upended=True),
    View(transposed=False, mirrored=True, upended=False),
    View(transposed=False, mirrored=False, upended=True),
    View(transposed=True, mirrored=False, upended=False),
    View(transposed=True, mirrored=True, upended=True),
)
"""As it lies, turned by half, then by the quarters, then the mirrored ones: the first two differ most, the first four are all turns."""


def averaged(compute: Callable[[torch.Tensor, Draws], torch.Tensor], lq: torch.Tensor, draws: Draws, views: int) -> torch.Tensor:
    """The mean of what compute(lq [B,3,h,w], draws) -> [B,3,H,W] makes of the first `views` of VIEWS; every place has the same noise in all."""
    total = torch.zeros(())
    for view in VIEWS[:views]:
        seen = draws if draws == "mean" else {name: view.of(values) for name, values in draws.items()}
        total = total + view.undone(compute(view.of(lq), seen))
    return total / views
