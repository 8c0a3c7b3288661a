import math
import time
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.planning.geometry import Box, fixed_tiles
from utils.planning.smart_chopping import RESPONSE, smart_tiles
from utils.planning.statistics import ComplexityMap


@dataclass(frozen=True)
class Case:
    """A picture of picture_size at origin within the padded one of lq_size, and what is asked."""

    lq_size: tuple[int, int]
    origin: tuple[int, int]
    picture_size: tuple[int, int]
    patch: int
    map: ComplexityMap
    overlaps: tuple[float, float]

    def tiles(self) -> list[Box]:
        return smart_tiles(self.lq_size, self.origin, self.patch, self.map, *self.overlaps)

    def transposed(self) -> "Case":
        (h, w), (top, left), (picture_h, picture_w) = self.lq_size, self.origin, self.picture_size
        turned = ComplexityMap(np.ascontiguousarray(self.map.values.T), self.map.cell)
        return Case((w, h), (left, top), (picture_w, picture_h), self.patch, turned, self.overlaps)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Padded to multiples of 16, or to none, as for the embedded model."""
    multiple = draw(st.sampled_from([1, 16]))
    patch = draw(st.sampled_from([16, 32, 48, 64] if multiple > 1 else [16, 31, 47, 64]))
    picture_size = draw(st.integers(1, 6 * patch)), draw(st.integers(1, 6 * patch))
    padded_h, padded_w = (max(-(-side // multiple) * multiple, patch) for side in picture_size)
    top, left = ((patch - side) // 2 if side < patch else 0 for side in picture_size)
    cell = draw(st.sampled_from([4, 7, 16, 64]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = tuple(-(-side // cell) for side in picture_size)
    kind = draw(st.sampled_from(["noise", "blocks", "cut", "flat", "full"]))
    values = {
        "noise": lambda: rng.random(shape),
        "blocks": lambda: np.kron(rng.integers(0, 2, (-(-shape[0] // 8), -(-shape[1] // 8))), np.ones((8, 8)))[: shape[0], : shape[1]],
        "cut": lambda: (np.arange(shape[1]) > rng.integers(shape[1])) * np.ones((shape[0], 1)),
        "flat": lambda: np.zeros(shape),
        "full": lambda: np.ones(shape),
    }[kind]()
    low, high = sorted((draw(st.floats(0.05, 0.9)), draw(st.floats(0.05, 0.9))))
    return Case((padded_h, padded_w), (top, left), picture_size, patch, ComplexityMap(values.astype(np.float32), cell), (low, high))


def depths(case: Case, tiles: list[Box]) -> np.ndarray:
    """By how many pixels each pixel of the padded picture lies within the tile that has it deepest inside; -1 in none.

    A tile's side on the border of the picture is infinitely far.
    """
    h, w = case.lq_size
    deepest = np.full((h, w), -1)
    for box in tiles:
        rows, columns = np.arange(box.top, box.bottom)[:, None], np.arange(box.left, box.right)
        sides = [
            rows - box.top if box.top else np.array([[9999]]),
            box.bottom - 1 - rows if box.bottom < h else np.array([[9999]]),
            columns - box.left if box.left else np.array([9999]),
            box.right - 1 - columns if box.right < w else np.array([9999]),
        ]
        here = np.minimum(np.minimum(sides[0], sides[1]), np.minimum(sides[2], sides[3]))
        area = deepest[box.top : box.bottom, box.left : box.right]
        np.maximum(area, here, out=area)
    return deepest


def complexity_of_pixels(case: Case) -> np.ndarray:
    """The map over the pixels of the picture."""
    (h, w), cell = case.picture_size, case.map.cell
    return case.map.values[np.arange(h) // cell][:, np.arange(w) // cell]


@given(cases())
def test_every_tile_is_a_whole_patch_inside_and_none_repeats(case):
    tiles = case.tiles()
    h, w = case.lq_size
    assert tiles == sorted(set(tiles))
    for box in tiles:
        assert box.size == (case.patch, case.patch) and box.top >= 0 and box.left >= 0 and box.bottom <= h and box.right <= w


@given(cases())
def test_neighbours_overlap_by_min_overlap_or_more(case):
    """Every pixel lies at least half of it inside some tile, so every place is covered and no two tiles meet with less.

    Of an odd overlap in the even grid that is taken where nothing is saved, the halves may be a pixel apart."""
    tiles, half = case.tiles(), case.patch * case.overlaps[0] / 2
    saves = len(tiles) < len(fixed_tiles(case.lq_size, case.patch, case.overlaps[1]))
    assert depths(case, tiles).min() >= (math.ceil(half - 1e-6) if saves else int(half + 1e-6))


@given(cases())
def test_overlap_is_at_least_what_the_least_complex_place_of_a_region_asks_for(case):
    """A pixel's region reaches half a tile to all sides, and further by half a cell of the grid on which it is known."""
    (h, w), (top, left), (low, high) = case.picture_size, case.origin, case.overlaps
    reach = case.patch // 2 + case.patch // 16 + 2
    least = cv2.erode(complexity_of_pixels(case), np.ones((2 * reach + 1, 2 * reach + 1)))
    asked = case.patch / 2 * (low + (high - low) * least**RESPONSE)
    assert (depths(case, case.tiles())[top : top + h, left : left + w] >= asked - 1).all()


@given(cases())
def test_never_more_tiles_than_the_fixed_grid(case):
    """The seed's smart chopping often needs more."""
    assert len(case.tiles()) <= len(fixed_tiles(case.lq_size, case.patch, case.overlaps[1]))


@given(cases())
def test_a_transposed_picture_takes_as_many_tiles(case):
    assert len(case.transposed().tiles()) == len(case.tiles())


@pytest.mark.parametrize("seed", range(10))
def test_a_transposed_board_of_squares_takes_as_many_tiles(seed):
    """Here cuts across rows and columns are often equally good at first."""
    rng = np.random.default_rng(seed)
    board = np.kron(rng.integers(0, 2, (3, 3)), np.ones((6, 6))).astype(np.float32)
    case = Case((288, 288), (0, 0), (288, 288), 64, ComplexityMap(board, 16), (0.25, 0.5))
    assert len(case.transposed().tiles()) == len(case.tiles())


@pytest.mark.parametrize("seed", range(60))
def test_tiles_of_coarse_maps_are_half_the_least_spacing_apart(seed):
    """Maps with regions of some tiles invite narrow parts."""
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(8, 30, 2).tolist()
    size = int(rng.integers(1, 6))
    values = np.kron(rng.random((rows, columns)), np.ones((size, size)))[:rows, :columns]
    tiles = smart_tiles((16 * rows, 16 * columns), (0, 0), 64, ComplexityMap(values, 16), 0.05, 0.7)
    starts = np.array([box[:2] for box in tiles])
    apart = np.abs(starts[:, None] - starts).max(-1)
    np.fill_diagonal(apart, 64)
    assert apart.min() >= 64 * (1 - 0.7) / 2 - 1


@given(cases())
def test_no_slivers(case):
    """No two tiles nearly repeat each other: they are a quarter of the least spacing apart, unless the picture is hardly larger than a tile."""
    apart = int(case.patch * (1 - case.overlaps[1]) / 4)
    starts = np.array([box[:2] for box in case.tiles()])
    short = np.array([side - case.patch for side in case.lq_size])
    needed = np.where(short > 0, np.minimum(apart, short), apart)
    far = np.abs(starts[:, None] - starts) >= np.maximum(needed, 1)
    np.fill_diagonal(far[..., 0], True)
    assert far.any(-1).all()


@given(cases())
def test_starts_are_even_where_the_sizes_and_the_overlap_let_them(case):
    """The latents of the usual models have a pixel for every two of the input."""
    if int(case.patch * (1 - case.overlaps[1])) % 2 == 0 and all((side - case.patch) % 2 == 0 for side in case.lq_size):
        assert all(box.top % 2 == 0 and box.left % 2 == 0 for box in case.tiles())


@given(cases())
def test_the_map_stays_as_it_is(case):
    before = case.map.values.copy()
    case.tiles()
    assert (case.map.values == before).all()


@given(level=st.floats(0, 1), overlaps=st.tuples(st.floats(0.05, 0.45), st.floats(0.45, 0.8)), columns=st.integers(4, 9))
def test_an_even_map_gets_an_even_grid_of_its_overlap(level, overlaps, columns):
    patch, (low, high) = 128, overlaps
    size = (patch, columns * patch)
    tiles = smart_tiles(size, (0, 0), patch, ComplexityMap(np.full((8, columns * 8), level), 16), low, high)
    overlap = patch * (low + (high - low) * level**RESPONSE)
    gaps = np.diff([box.left for box in tiles])
    fewest = -(-(size[1] - patch) // (patch - overlap + 2)) + 1
    most = -(-(size[1] - patch) // max(patch - overlap - 2, 1)) + 1
    assert fewest <= len(tiles) <= most and np.ptp(gaps) <= 2
    assert (patch - gaps >= overlap - 2).all()


def halves(n: int, detail: float = 1.0) -> ComplexityMap:
    """n x n pixels, flat on the left and detailed on the right."""
    values = np.zeros((n // 16, n // 16))
    values[:, n // 32 :] = detail
    return ComplexityMap(values, 16)


@pytest.mark.parametrize("n", [512, 768, 1024, 2048])
@pytest.mark.parametrize("turn", [False, True])
def test_flat_on_one_side_saves_as_much_as_flat_on_top(n, turn):
    """The seed's grid of whole rows and columns saves in one direction only."""
    picture = halves(n, detail=0.6)
    values = picture.values.T if turn else picture.values
    tiles = smart_tiles((n, n), (0, 0), 128, ComplexityMap(values, 16), 0.25, 0.5)
    assert len(tiles) <= 0.75 * len(fixed_tiles((n, n), 128, 0.5))


def test_each_half_gets_its_own_overlap():
    n, patch = 1024, 128
    case = Case((n, n), (0, 0), (n, n), patch, halves(n), (0.25, 0.5))
    tiles = case.tiles()
    assert depths(case, tiles)[:, n // 2 + patch // 2 + 8 :].min() >= 0.5 * patch / 2 - 1
    area = np.zeros((n, n))
    for box in tiles:
        area[box.top : box.bottom, box.left : box.right] += 1
    assert area[128:-128, 128:384].mean() < 2 and area[128:-128, 640:-128].mean() > 3.5


def test_a_simple_picture_takes_the_grid_at_min_overlap():
    assert len(smart_tiles((1024, 1024), (0, 0), 128, ComplexityMap(np.zeros((64, 64)), 16), 0.25, 0.5)) == 11 * 11


def test_quarters_save_although_no_single_cut_does():
    """Flat and detailed quarters like a chess board: only the second cut separates them."""
    n, values = 1024, np.zeros((64, 64))
    values[:32, :32] = values[32:, 32:] = 1
    assert len(smart_tiles((n, n), (0, 0), 128, ComplexityMap(values, 16), 0.25, 0.5)) < 0.85 * 225


def test_one_tile_is_one_tile():
    assert smart_tiles((64, 64), (11, 3), 64, ComplexityMap(np.ones((3, 4)), 16), 0.25, 0.5) == [Box(0, 0, 64, 64)]


def test_detail_beyond_a_tile_changes_nothing_far_away():
    """Regions are as large as a tile: a detailed corner does not raise the overlap at the other end."""
    values = np.zeros((64, 64))
    values[:8, :8] = 1
    tiles = smart_tiles((1024, 1024), (0, 0), 128, ComplexityMap(values, 16), 0.25, 0.5)
    assert len(tiles) <= 11 * 11 * 1.2


def planning_time(n, patch, values, overlaps=(0.25, 0.5)):
    """Seconds of processor time for n x n pixels, the least of three."""
    seconds = []
    for _ in range(3):
        started = time.process_time()
        smart_tiles((n, n), (0, 0), patch, ComplexityMap(values, 16), *overlaps)
        seconds.append(time.process_time() - started)
    return min(seconds)


@pytest.mark.parametrize("patch", [16, 32, 64, 128, 256, 512])
@pytest.mark.parametrize("regions", [1, 16])
def test_planning_takes_milliseconds(patch, regions):
    """The limit is 50 ms for a megapixel of input, at every patch size; twice that is allowed here for machines that do other work."""
    values = np.kron(np.random.default_rng(0).random((80 // regions, 80 // regions)), np.ones((regions, regions)))
    assert planning_time(1280, patch, values) < 2 * 0.050 * 1.28**2


@pytest.mark.parametrize(("n", "patch", "overlaps"), [(1024, 64, (0.4, 0.8)), (768, 32, (0.4, 0.8)), (1024, 16, (0.25, 0.5))])
def test_a_picture_that_is_symmetric_about_its_diagonal_is_planned_as_fast(n, patch, overlaps):
    """Each cut across rows is then as good as one across columns; following both, at every depth, took a second."""
    y, x = np.mgrid[: n // 16, : n // 16]
    for values in (y > x, abs(y - x) < 2):
        assert planning_time(n, patch, values * 1.0, overlaps) < 2 * 0.050 * (n / 1000) ** 2
