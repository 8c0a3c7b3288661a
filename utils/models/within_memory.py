"""Tiles through the networks in the memory there is: fewer at a time where it runs out, then in parts. What is finished is kept."""

from collections.abc import Callable, Iterator, Sequence

import torch

from utils.models.device import free_memory
from utils.models.remedies import Remedies
from utils.pictures.blending import Canvas
from utils.pictures.rows import RowsInMemory
from utils.planning.errors import is_out_of_memory
from utils.planning.geometry import Box, fixed_tiles
from utils.planning.model_spec import ModelSpec

SMALLEST_PART = 32
"""Side of the smallest parts of tiles that are tried for want of memory; still smaller ones are mostly border."""
PARTS_OVERLAP = 0.25

Tile = tuple[Box, int]
"""A square of the padded input, and which picture of the batch it is of."""
Compute = Callable[[Sequence[Tile]], torch.Tensor]
"""n tiles of one size -> [n,3,H,W], each `spec.scale` times its box."""


class WithinMemory:
    """Computes tiles for one picture, and notes in `remedies` what it took. Once tiles were too many or too large, later ones start from there."""

    def __init__(self, compute: Compute, remedies: Remedies, spec: ModelSpec, device: torch.device) -> None:
        """Results depend on when memory ran out, and on nothing else: where parts lie follows from their tile, their noise from where they lie."""
        self._compute, self._remedies, self._spec, self._device = compute, remedies, spec, device

    def batches(self, tiles: Sequence[Tile]) -> Iterator[tuple[Sequence[Tile], torch.Tensor]]:
        """The tiles in their order, some at a time, with their results [n,3,H,W]. MemoryError where even the smallest parts are too much."""
        remedies, done = self._remedies, 0
        while done < len(tiles):
            batch = tiles[done : done + remedies.tile_batch]
            if len(batch) == 1:
                made = self._alone(batch[0])
                remedies.tiles_in_parts += batch[0][0].size[0] > remedies.largest
            elif (made := self._attempted(batch)) is None:
                remedies.tile_batch = len(batch) // 2
                continue
            yield batch, made
            done += len(batch)

    def _alone(self, tile: Tile) -> torch.Tensor:
        """[1,3,H,W] of one tile, or part of a tile: as a whole if that fits, else of parts."""
        side, remedies = tile[0].size[0], self._remedies
        if side <= remedies.largest:
            if (made := self._attempted([tile])) is not None:
                return made
            smaller = smaller_side(side, self._spec.lq_multiple)
            if smaller is None:
                raise MemoryError(f"tiles of {side} pixels are too much")
            remedies.tile_batch, remedies.largest = 1, smaller
        return self._of_parts(tile)

    def _of_parts(self, tile: Tile) -> torch.Tensor:
        """[1,3,H,W] of overlapping parts, blended as tiles are."""
        (box, picture), scale = tile, self._spec.scale
        whole = Box(0, 0, *box.size).scaled(scale)
        rows = RowsInMemory(torch.empty(1, 3, *whole.size, device=self._device))
        canvas = Canvas(rows, whole.right, whole)
        for part in fixed_tiles(box.size, self._remedies.largest, PARTS_OVERLAP):
            canvas.add(0, part.scaled(scale), self._alone((part.moved(box.top, box.left), picture))[0])
        canvas.finish(whole.bottom)
        return rows.read(0, whole.bottom)

    def _attempted(self, tiles: Sequence[Tile]) -> torch.Tensor | None:
        """Their results, or None where memory ran out, of which all is then given back."""
        try:
            return self._compute(tiles)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        free_memory(self._device)  # now that the failed attempt is no longer held by its exception
        return None


def smaller_side(side: int, multiple: int) -> int | None:
    """The side of parts for what was too large for the memory; None if that would be too small to be of use.

    Five eighths, for two parts along an axis then overlap by more than they must: four parts of two fifths of the memory each.
    """
    smaller = max(side * 5 // 8, SMALLEST_PART) // multiple * multiple
    return smaller if SMALLEST_PART <= smaller < side else None
