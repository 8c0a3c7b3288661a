import json
import math

import pytest
import torch

from tests.fixed_settings import fixed_settings
from utils.metrics.seams import Tiling, seam_score, tiling_from_json, tiling_of
from utils.planning.geometry import Box
from utils.planning.model_spec import ModelSpec
from utils.planning.plan import make_plan

SPEC = ModelSpec("some", 4, 4, 48, 16, (1, 1000), False)
TWO = Tiling((32, 64), (Box(0, 0, 32, 32), Box(0, 32, 32, 64)), 4)
"""Two tiles side by side: one border, between columns 31 and 32."""


def ramp(h=32, w=64):
    """0.01 more with every column."""
    return (torch.arange(w) * 0.01).expand(1, 3, h, w).clone()


def plan_of(size, patch=32, **asked):
    return make_plan(size, fixed_settings({"basesr": {"chopping": {"pch_size": patch}, **asked}}), SPEC)


def test_a_ramp_across_the_border_is_invisible():
    assert seam_score(ramp(), TWO) == pytest.approx(1)


def test_a_step_at_the_border_by_hand():
    """The step there is 0.01 + 0.03 where the interior's are 0.01."""
    rgb = ramp()
    rgb[..., 32:] += 0.03
    assert seam_score(rgb, TWO) == pytest.approx(4)


def test_a_step_elsewhere_is_no_seam():
    rgb = ramp()
    rgb[..., 36:] += 0.03  # one of 15 interior places on the input's grid, less the border: 14 steps, one of 0.04
    assert seam_score(rgb, TWO) == pytest.approx(0.01 / ((13 * 0.01 + 0.04) / 14))


def test_the_blocks_of_an_enlargement_are_no_seams():
    """Nearest neighbour: steps between input pixels only, as many at the border as anywhere."""
    blocks = ramp(8, 16).repeat_interleave(4, -1).repeat_interleave(4, -2)
    assert seam_score(blocks, TWO) == pytest.approx(1)


def test_borders_are_compared_with_steps_of_their_own_direction():
    """Strong horizontal stripes do not hide a vertical seam."""
    rgb = ramp()
    rgb[..., 32:] += 0.03
    rgb[..., ::8, :] = 1 - rgb[..., ::8, :]
    assert seam_score(rgb, TWO) > 3


def test_a_flat_picture():
    flat = torch.full((1, 3, 32, 64), 0.5)
    assert seam_score(flat, TWO) == 1
    flat[..., 32:] += 0.1
    assert seam_score(flat, TWO) == math.inf


def test_without_a_border_there_is_no_score():
    assert seam_score(ramp(), Tiling((32, 64), (Box(0, 0, 32, 64),), 4)) is None
    tiling = tiling_of(plan_of((20, 30)))
    assert tiling is not None and len(tiling.tiles) == 1 and seam_score(ramp(80, 120), tiling) is None


@pytest.mark.parametrize("sf", [4, 2, 3, 8])
@pytest.mark.parametrize("size", [(32, 70), (45, 37), (70, 32)])
def test_borders_are_where_a_plan_puts_its_tiles(size, sf):
    """Tiles painted in their own greys on a slight ramp: exactly the plan's borders score, also where the picture was padded."""
    plan = plan_of(size, sf=sf)
    tiling = tiling_of(plan)
    assert tiling is not None and tiling.scale == sf
    h, w = plan.output_size
    rgb = (torch.arange(h).view(-1, 1) + torch.arange(w)).expand(1, 3, h, w) * 1e-3
    for number, box in enumerate(tiling.tiles):
        rgb[..., max(box.top, 0) : box.bottom, max(box.left, 0) : box.right] += 0.1 * (number % 2)
    edges = [box.left for box in tiling.tiles] + [box.right for box in tiling.tiles]
    assert tiling.size == plan.output_size and all(edge % sf == 0 for edge in edges)
    assert seam_score(rgb, tiling) > 5


@pytest.mark.parametrize("asked", [{}, {"sf": 2}, {"sf": 2.5}])
def test_tiles_of_a_saved_plan_are_those_of_the_plan(asked):
    plan = plan_of((45, 70), **asked)
    assert tiling_from_json(json.dumps(plan.to_dict())) == tiling_of(plan)


@pytest.mark.parametrize("asked", [{"sf": 2.5}, {"longest_side": 20}, {"longest_side": 141}])
def test_borders_within_pixels_have_no_place(asked):
    assert tiling_of(plan_of((45, 70), **asked)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"output_size": 3}',
        '{"output_size": [1, 2], "origin": [0, 0], "tiles": [], "picture_size": [0, 0]}',
        '{"output_size": [1, 2], "origin": [0, 0], "tiles": [[1]], "picture_size": [1, 2]}',
    ],
)
def test_what_is_no_plan_has_no_tiles(text):
    assert tiling_from_json(text) is None
