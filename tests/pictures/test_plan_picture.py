from dataclasses import replace

import numpy as np
import pytest

from tests.fixed_settings import fixed_settings
from utils.pictures.plan_picture import PADDING_COLOUR, draw_plan
from utils.planning.geometry import Box, fixed_tiles
from utils.planning.model_spec import ModelSpec
from utils.planning.plan import Plan, make_plan
from utils.planning.statistics import ComplexityMap

SPEC = ModelSpec("some", 4, 4, 48, 16, (1, 1000), False)


def plan_of(size: tuple[int, int], patch: int = 64) -> Plan:
    return make_plan(size, fixed_settings({"basesr": {"chopping": {"pch_size": patch}}}), SPEC)


def map_of(size: tuple[int, int], value: float = 0.0) -> ComplexityMap:
    return ComplexityMap(np.full(tuple(-(-side // 16) for side in size), value, np.float32), 16)


def noise(size: tuple[int, int], dtype: type) -> np.ndarray:
    rgb = np.random.default_rng(0).random((*size, 3))
    return rgb.astype(dtype) if dtype is np.float32 else (rgb * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("size", [(1, 1), (20, 300), (64, 64), (70, 90), (512, 48)])
@pytest.mark.parametrize("dtype", [None, np.uint8, np.uint16, np.float32])
def test_of_any_size_and_depth(size, dtype):
    plan = plan_of(size)
    drawn = draw_plan(plan, map_of(size), None if dtype is None else noise(size, dtype), longest=256)
    assert drawn.dtype == np.uint8 and drawn.ndim == 3 and drawn.shape[2] == 3
    assert max(drawn.shape) == 256 and drawn.shape[0] / drawn.shape[1] == pytest.approx(plan.lq_size[0] / plan.lq_size[1], rel=0.05)


@pytest.mark.parametrize("size", [(2100, 1), (1, 3000), (9000, 2), (3, 40000)])
@pytest.mark.parametrize("longest", [1024, 64])
@pytest.mark.parametrize("multiple", [4, 16])
def test_a_picture_thinner_than_a_pixel_of_the_drawing_is_drawn(size, longest, multiple):
    """It ended the process: OpenCV divides by a side of 0."""
    plan = make_plan(size, fixed_settings({"max_output_megapixels": 500}), replace(SPEC, lq_multiple=multiple))
    for lq in (None, noise(size, np.uint8)):
        drawn = draw_plan(replace(plan, tiles=()), map_of(size, 1.0), lq, longest)
        assert max(drawn.shape) == longest and (drawn != PADDING_COLOUR).any(), "the picture itself"
        assert draw_plan(plan, map_of(size), lq, longest).shape == drawn.shape


def test_depth_does_not_change_the_drawing():
    plan, eight = plan_of((70, 90)), noise((70, 90), np.uint8)
    sixteen = eight.astype(np.uint16) * 257
    assert (draw_plan(plan, map_of((70, 90)), eight) == draw_plan(plan, map_of((70, 90)), sixteen)).all()


def test_every_tile_has_its_outline():
    """Each tile taken away changes the drawing around its own border."""
    plan = plan_of((128, 128))
    assert len(plan.tiles) == 9
    whole = draw_plan(plan, map_of((128, 128)), longest=512).astype(int)
    for box in plan.tiles:
        without = draw_plan(replace(plan, tiles=tuple(tile for tile in plan.tiles if tile != box)), map_of((128, 128)), longest=512)
        changed = np.abs(whole - without).max(-1) > 16
        middle = ((box.top + box.bottom) * 2, (box.left + box.right) * 2)
        assert changed[middle], "the dot at its centre"


def test_outlines_lie_where_the_tile_is():
    plan = replace(plan_of((128, 128)), tiles=(Box(32, 64, 96, 128),))
    drawn, empty = (draw_plan(p, map_of((128, 128)), longest=512).astype(int) for p in (plan, replace(plan, tiles=())))
    changed = np.argwhere(np.abs(drawn - empty).max(-1) > 16)
    assert changed.min(0) == pytest.approx([128, 256], abs=2) and changed.max(0) == pytest.approx([384, 511], abs=2)


def test_more_tiles_over_a_place_make_it_lighter():
    plan = plan_of((128, 64))
    once = replace(plan, tiles=(Box(0, 0, 64, 64), Box(64, 0, 128, 64)))
    twice = replace(plan, tiles=(Box(0, 0, 64, 64), Box(32, 0, 96, 64), Box(64, 0, 128, 64)))
    spot = (slice(200, 220), slice(60, 80))  # within all three, beside outlines and dots
    assert draw_plan(twice, map_of((128, 64)), longest=512)[spot].mean() > draw_plan(once, map_of((128, 64)), longest=512)[spot].mean() + 10


def test_complexity_is_seen():
    plan = replace(plan_of((128, 128)), tiles=())
    values = np.zeros((8, 8), np.float32)
    values[:, 4:] = 1
    drawn = draw_plan(plan, ComplexityMap(values, 16), longest=256).astype(int)
    assert drawn[:, 140:, 1].min() > drawn[:, :120, 1].max() + 100


def test_the_picture_shows_through():
    plan, lq = replace(plan_of((128, 128)), tiles=()), np.zeros((128, 128, 3), np.uint8)
    lq[:, 64:] = 255
    drawn = draw_plan(plan, map_of((128, 128), 0.5), lq, longest=256).astype(int)
    assert drawn[:, 140:].mean() > drawn[:, :110].mean() + 50


def test_padding_is_grey():
    plan = replace(plan_of((100, 20)), tiles=())
    drawn = draw_plan(plan, map_of((100, 20)), longest=plan.lq_size[0])
    left = plan.origin[1]
    assert plan.lq_size == (112, 64) and (drawn[:, :left] == PADDING_COLOUR).all() and (drawn[100:] == PADDING_COLOUR).all()
    assert not (drawn[:100, left : left + 20] == PADDING_COLOUR).all()


def test_thousands_of_tiles_leave_the_map_visible():
    plan = plan_of((2000, 2000))
    tiles = tuple(fixed_tiles(plan.lq_size, 64, 0.3))
    assert len(tiles) > 2000
    values = np.zeros((125, 125), np.float32)
    values[:, 62:] = 1
    drawn = draw_plan(replace(plan, tiles=tiles), ComplexityMap(values, 16)).astype(int)
    assert drawn[:, 600:, 1].mean() > drawn[:, :400, 1].mean() + 60
