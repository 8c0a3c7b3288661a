"""Where the tiles of a picture lie if simple regions get little overlap and complex ones much.

Every pixel has a margin: half the overlap that the complexity of its region asks for. The tiles are laid such that every pixel is at least its margin
inside some tile, where sides of tiles on the border of the padded picture do not count; between two tiles that share a border of their territories
that is an overlap of twice the margin there.

The picture is cut in two, and the parts again, across rows or columns, wherever that takes fewer tiles; the territories that remain are covered by
even grids of tiles, each spaced as its largest margin allows. The seed program spaced whole rows and columns of one grid by mean complexities,
so a picture that was detailed on one side alone saved next to nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from utils.planning.geometry import Box, count_fixed_tiles, even_tiles
from utils.planning.statistics import ComplexityMap

CELLS_PER_PATCH = 16
"""How finely margins are known and cuts are tried, along one side of a tile."""
SMALLEST_CELL = 8
"""In pixels, but at least four cells for a tile: finer ones cost time with small tiles, and save hardly any of them."""
SHORTEST_PART, SMALLEST_CUT = 64, 1 << 16
"""Side of the smallest part that is cut off, and area of the smallest that is cut, in pixels: so the number of cuts, and with it the time, depends on
the size of the picture and not on that of the tiles."""
RESPONSE = 1.5
"""Overlap grows with complexity to this power: ordinary texture, of a complexity of about 0.5, gets a third of what the most complex regions get
beyond the least. docs/chopping.md shows what that costs."""
MOST_CUTS = 200
"""How often parts of parts are cut: deeper than pictures need, and no strain on Python's stack."""
PATIENCE = 3
"""How many cuts in a row may fail to save tiles before a part is left as it is: four quarters of which two are simple take two cuts to save any."""
BOTH_TRIED = 2
"""How many cuts deep both are tried if one across rows is as good as one across columns: it doubles the work each time, and hardly pays later."""


def smart_tiles(
    lq_size: tuple[int, int], origin: tuple[int, int], patch: int, complexity_map: ComplexityMap, min_overlap: float, max_overlap: float
) -> list[Box]:
    """patch x patch tiles over a padded picture of `lq_size` (at least `patch` a side), in reading order.

    origin: row and column of the padded picture where the picture, and the map, starts. min_overlap, max_overlap: of regions of complexity 0 and 1,
    in parts of a tile; a pixel's region is as large as a tile. Never more tiles than `fixed_tiles` at max_overlap; where nothing is saved, its grid,
    evenly spread. Starts are multiples of 2 where the sizes and max_overlap let them.
    """
    fewest, most = (count_fixed_tiles(lq_size, patch, overlap) for overlap in (min_overlap, max_overlap))
    if fewest == most:
        return even_tiles(lq_size, patch, max_overlap)  # nothing can be saved
    edges = _cell_edges(lq_size[0], patch), _cell_edges(lq_size[1], patch)
    margins = _margins(edges, origin, patch, complexity_map, min_overlap, max_overlap)
    demands = _demands(lq_size, edges, patch, margins)
    whole = _Territory(0, margins.shape[0], 0, margins.shape[1])
    grids = ([_even_starts(demands, territory, axis) for axis in (0, 1)] for territory in _covered(demands, whole, PATIENCE, MOST_CUTS).territories)
    places = np.concatenate([np.add.outer(rows * lq_size[1], columns).ravel() for rows, columns in grids])
    # In reading order, each once: where tiles are a few pixels apart, rounding may make two neighbours one.
    tops, lefts = np.divmod(np.unique(places), lq_size[1])
    if len(tops) >= most:
        return even_tiles(lq_size, patch, max_overlap)
    return list(map(Box, tops.tolist(), lefts.tolist(), (tops + patch).tolist(), (lefts + patch).tolist()))


def _cell_edges(length: int, patch: int) -> np.ndarray:
    """Where the cells begin and end that an axis is divided in, int32 [cells + 1]; the last cell may be shorter."""
    cell = max(patch // CELLS_PER_PATCH, min(SMALLEST_CELL, patch // 4), 2)
    return np.minimum(np.arange(-(-length // cell) + 1, dtype=np.int32) * cell, length).astype(np.int32)


def _margins(
    edges: tuple[np.ndarray, np.ndarray], origin: tuple[int, int], patch: int, complexity_map: ComplexityMap, min_overlap: float, max_overlap: float
) -> np.ndarray:
    """Pixels by which each cell must lie within a tile, int32 [rows, columns]."""
    values, cell = complexity_map.values.astype(np.float64), complexity_map.cell
    rows, columns = (_region_weights(edges[k], origin[k], values.shape[k], cell, patch / 2) for k in (0, 1))
    complexity = np.clip(rows @ values @ columns.T, 0, 1)
    overlap = min_overlap + (max_overlap - min_overlap) * complexity**RESPONSE
    return np.maximum(np.rint(patch / 2 * overlap), math.ceil(patch / 2 * min_overlap - 1e-6)).astype(np.int32)


def _region_weights(edges: np.ndarray, origin: int, map_cells: int, map_cell: int, reach: float) -> np.ndarray:
    """The part of each cell's region, `reach` pixels to both sides of its middle, in each of the map's cells, [cells, map_cells]; rows sum to 1.

    Regions end with the map, that is with the picture or, where it is padded, with the map's last cell, less than a cell beyond. In the padding, the
    region is that of the nearest place in the map.
    """
    length = min(map_cells * map_cell, int(edges[-1]) - origin)
    map_edges = np.minimum(np.arange(map_cells + 1) * map_cell, length)
    middles = np.clip((edges[:-1] + edges[1:]) / 2 - origin, 0, length)[:, None]
    common = np.minimum(middles + reach, map_edges[1:]) - np.maximum(middles - reach, map_edges[:-1])
    common = np.maximum(common, 0)
    return common / common.sum(1, keepdims=True)


class _Territory(NamedTuple):
    """A half-open rectangle of cells."""

    top: int
    bottom: int
    left: int
    right: int

    def side(self, axis: int) -> tuple[int, int]:
        return (self.left, self.right) if axis else (self.top, self.bottom)

    def cut(self, axis: int, at: int) -> tuple[_Territory, _Territory]:
        if axis:
            return self._replace(right=at), self._replace(left=at)
        return self._replace(bottom=at), self._replace(top=at)


@dataclass(frozen=True, eq=False)
class _Demands:
    """What the cells ask of tiles.

    cells: int32 [5, rows, columns], such that the maximum over a territory tells what its tiles have to do: its largest margin m; minus the row where
    the first tile must start, and the row that the last one must reach; the same for columns. edges: of the cells, per axis. size: (h, w) in pixels.
    unit: tiles start at multiples of it.
    """

    cells: np.ndarray
    edges: tuple[np.ndarray, np.ndarray]
    size: tuple[int, int]
    patch: int
    unit: int

    def within(self, territory: _Territory) -> np.ndarray:
        return self.cells[:, territory.top : territory.bottom, territory.left : territory.right]

    def area(self, territory: _Territory) -> int:
        """In pixels."""
        top, bottom = self.edges[0][list(territory.side(0))].tolist()
        left, right = self.edges[1][list(territory.side(1))].tolist()
        return (bottom - top) * (right - left)

    def at_ends(self, territory: _Territory, axis: int) -> tuple[bool, bool]:
        """Whether it touches the near and the far border of the picture."""
        start, end = territory.side(axis)
        return start == 0, end == len(self.edges[axis]) - 1

    def seen_along(self, territory: _Territory, axis: int) -> tuple[bool, bool, int, int, bytes]:
        """All of a territory, in such an order that it says the same of the other axis of the transposed picture."""
        start, end = self.edges[axis][list(territory.side(axis))].tolist()
        margins = self.within(territory)[0]
        return *self.at_ends(territory, axis), start, end, (margins.T if axis else margins).tobytes()


def _demands(size: tuple[int, int], edges: tuple[np.ndarray, np.ndarray], patch: int, margins: np.ndarray) -> _Demands:
    rows, columns = edges[0][:, None], edges[1]
    cells = np.stack([margins, margins - rows[:-1], margins + rows[1:], margins - columns[:-1], margins + columns[1:]])
    by_two = patch - 2 * margins.max() >= 2 and all((side - patch) % 2 == 0 for side in size)  # or the last tiles would not reach the far border
    return _Demands(cells, edges, size, patch, unit=2 if by_two else 1)


class _Cover(NamedTuple):
    """Territories that are covered by an even grid each, and how many tiles these have together."""

    tiles: int
    territories: list[_Territory]


def _covered(demands: _Demands, territory: _Territory, patience: int, cuts_left: int) -> _Cover:
    """A territory by one even grid, or cut in two parts, and these again, where they take fewer tiles.

    Where a cut across rows is as good as one across columns, both are tried at first; later one is chosen by what the territory holds, so that a
    picture and its transpose get equally many tiles.
    """
    tiles, fewest = _tiles_of_grid(demands, territory)
    whole = _Cover(tiles, [territory])
    if not cuts_left or tiles == fewest or demands.area(territory) < SMALLEST_CUT:
        return whole
    cuts = [cut for cut in (_best_cut(demands, territory, axis) for axis in (0, 1)) if cut]
    if not cuts:
        return whole
    best = min(cuts)
    saves = best.tiles < tiles
    if not saves and patience == 0:
        return whole
    left = PATIENCE if saves else patience - 1, cuts_left - 1
    tried = [cut for cut in cuts if cut[:2] == best[:2]]
    if cuts_left <= MOST_CUTS - BOTH_TRIED:
        tried = [min(tried, key=lambda cut: demands.seen_along(territory, cut.axis))]
    covers = [whole]
    for cut in tried:
        one, other = (_covered(demands, part, *left) for part in territory.cut(cut.axis, cut.at))
        covers.append(_Cover(one.tiles + other.tiles, one.territories + other.territories))
    return min(covers, key=lambda cover: cover.tiles)


def _tiles_of_grid(demands: _Demands, territory: _Territory) -> tuple[int, int]:
    """The tiles of a territory's grid, and those it would take if the smallest margin in it were that of all its cells: no cuts can do with fewer."""
    cells = demands.within(territory)
    margin = cells[0].min()
    lowest = [margin]
    for axis in (0, 1):
        start, end = demands.edges[axis][list(territory.side(axis))]
        lowest += [margin - start, margin + end]
    both = np.stack([cells.max((1, 2)), lowest], 1)
    rows, columns = (_grid_line(demands, both, axis, *demands.at_ends(territory, axis)).tiles for axis in (0, 1))
    tiles, fewest = (rows * columns).tolist()
    return tiles, fewest


class _Cut(NamedTuple):
    """A cut of a territory between cells `at` - 1 and `at`; tiles: of both parts' grids; length: the same without rounding up. Fewer is better."""

    tiles: int
    length: float
    axis: int
    at: int


def _best_cut(demands: _Demands, territory: _Territory, axis: int) -> _Cut | None:
    """The cut across an axis that takes the fewest tiles if both parts get even grids; None if the territory is too short.

    Parts are at least `SHORTEST_PART` and half a tile long: thinner ones would have tiles that nearly repeat their neighbours.
    """
    start, end = territory.side(axis)
    edges = demands.edges[axis][start : end + 1]
    shortest = max(demands.patch / 2, SHORTEST_PART)
    allowed = (edges[1:-1] - edges[0] >= shortest) & (edges[-1] - edges[1:-1] >= shortest)
    if not allowed.any():
        return None
    slices = demands.within(territory).max(2 - axis)
    before = np.maximum.accumulate(slices, 1)[:, :-1]
    after = np.maximum.accumulate(slices[:, ::-1], 1)[:, ::-1][:, 1:]
    parts = np.stack([before, after], 1)  # [5, 2, cuts]
    at_start, at_end = demands.at_ends(territory, axis)
    along = _grid_line(demands, parts, axis, np.array([[at_start], [False]]), np.array([[False], [at_end]]))
    across = _grid_line(demands, parts, 1 - axis, *demands.at_ends(territory, 1 - axis))
    allowed &= (along.distinct & across.distinct).all(0)
    if not allowed.any():
        return None
    tiles = (along.tiles * across.tiles).sum(0)
    length = (along.length * across.length).sum(0)
    best = np.lexsort((length, tiles, ~allowed))[0]
    return _Cut(int(tiles[best]), float(length[best]), axis, start + 1 + int(best))


class _GridLine(NamedTuple):
    """Tiles along one axis of territories, as arrays over these: first and last start, how many, the same without rounding up, and whether
    they are far enough apart that no two nearly repeat each other."""

    first: np.ndarray
    last: np.ndarray
    tiles: np.ndarray
    length: np.ndarray
    distinct: np.ndarray


def _grid_line(demands: _Demands, highest: np.ndarray, axis: int, at_start: bool | np.ndarray, at_end: bool | np.ndarray) -> _GridLine:
    """highest: maxima of the demands' cells over territories, [5, ...]. at_start, at_end: whether those touch the borders of the picture."""
    patch, unit, end = demands.patch, demands.unit, demands.size[axis] - demands.patch
    before, reach = highest[1 + 2 * axis], highest[2 + 2 * axis]
    # No np.clip: of arrays this small it takes several times as long, and there are thousands.
    first = np.where(at_start, 0, np.minimum(np.maximum(-before // unit * unit, 0), end))
    last = np.where(at_end, end, np.minimum(np.maximum(-((patch - reach) // unit) * unit, 0), end))
    stride = np.maximum((patch - 2 * highest[0]) // unit * unit, unit)
    distance = np.maximum(last - first, 0)
    whole = np.logical_and(at_start, at_end)  # nothing can be done about a picture slightly larger than a tile
    return _GridLine(first, last, 1 - (-distance // stride), 1 + distance / stride, whole | (distance == 0) | (2 * distance >= stride))


def _even_starts(demands: _Demands, territory: _Territory, axis: int) -> np.ndarray:
    """Starts of the tiles along one axis of a territory's grid, int64."""
    line = _grid_line(demands, demands.within(territory).max((1, 2)), axis, *demands.at_ends(territory, axis))
    first, last, unit = int(line.first), int(line.last), demands.unit
    if last <= first:
        return np.array([(first + last) // 2 // unit * unit])
    gaps, units = int(line.tiles) - 1, (last - first) // unit
    return first + np.arange(gaps + 1) * units // gaps * unit
