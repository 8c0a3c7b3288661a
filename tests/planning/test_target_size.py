"""How large a result is to be, and what is said of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fixed_settings import fixed_settings
from tests.planning.test_plan import SPEC
from utils.planning.checked_settings import make_settings, parse_assignments
from utils.planning.errors import UserError
from utils.planning.plan import make_plan
from utils.planning.settings import BaseSR
from utils.planning.target_size import target_size

sides = st.integers(1, 300)


@given(size=st.tuples(sides, sides), sf=st.floats(1, 16))
def test_a_result_is_as_many_times_as_large_as_asked(size, sf):
    result = target_size(size, BaseSR(sf=sf))
    assert all(abs(after - before * sf) <= 0.5 and after >= 1 for before, after in zip(size, result, strict=True))


@given(size=st.tuples(sides, sides), longest=st.integers(1, 65536), sf=st.floats(1, 16))
def test_the_longer_side_is_as_long_as_asked_and_the_shape_stays(size, longest, sf):
    result = target_size(size, BaseSR(sf=sf, longest_side=longest))
    longer = size.index(max(size))
    assert result[longer] == longest == max(result)
    assert result[1 - longer] == max(round(min(size) * longest / max(size)), 1)


@given(size=st.tuples(sides, sides))
def test_the_native_scale_is_the_canvas_of_the_networks(size):
    plan = make_plan(size, fixed_settings(), SPEC)
    assert plan.output_size == plan.canvas_size == (4 * size[0], 4 * size[1]) and "at the end" not in str(plan)


@pytest.mark.parametrize(
    ("asked", "output", "words"),
    [
        ({"sf": 2}, (200, 600), "Its result of 1200 x 400 is reduced at the end."),
        ({"sf": 2.5}, (250, 750), "300 x 100 pixels become 750 x 250: the model test magnifies 4 times."),
        ({"sf": 8}, (800, 2400), "Its result of 1200 x 400 is enlarged bicubically at the end."),
        ({"longest_side": 1000}, (333, 1000), "is reduced at the end"),
        ({"longest_side": 100}, (33, 100), "is reduced at the end"),
        ({"longest_side": 3000, "sf": 2}, (1000, 3000), "300 x 100 pixels become 3000 x 1000"),
    ],
)
def test_the_networks_do_the_same_whatever_the_size_asked_for(asked, output, words):
    plan, native = make_plan((100, 300), fixed_settings({}, asked), SPEC), make_plan((100, 300), fixed_settings(), SPEC)
    assert plan.output_size == output and words in str(plan)
    assert (plan.picture_size, plan.scale, plan.canvas_size) == ((100, 300), 4, (400, 1200)) == (native.picture_size, 4, native.output_size)
    assert (plan.tiles, plan.lq_size, plan.runs) == (native.tiles, native.lq_size, native.runs)


@pytest.mark.parametrize(
    ("size", "asked", "words"),
    [
        ((3000, 3000), {"sf": 2}, r"Before it is reduced, the result would be 12000 x 12000 pixels \(144\.0 megapixels, .*\), above the limit of 64"),
        ((100, 100), {"longest_side": 9000}, r"The result would be 9000 x 9000 pixels \(81\.0 megapixels, about 2.9 GB .*\), above the limit of 64"),
        ((1000, 1000), {"sf": 10}, r"The result would be 10000 x 10000 pixels"),
    ],
)
def test_the_limit_is_on_the_largest_picture_that_is_needed(size, asked, words):
    with pytest.raises(UserError, match=words):
        make_plan(size, fixed_settings({}, asked | {"max_output_megapixels": 64}), SPEC)


def test_sizes_are_checked_as_settings_and_may_be_words():
    settings = make_settings({}, parse_assignments(["sf=2.5", "longest_side=1000"]))
    assert (settings.basesr.sf, settings.basesr.longest_side) == (2.5, 1000)
    assert make_settings({"sf": 4}) == make_settings({"basesr": {"sf": 4.0}}) == make_settings()
    for given_, words in (
        ({"sf": 0.5}, "sf must be from 1"),
        ({"sf": 17}, "sf must be from 1"),
        ({"sf": "large"}, "sf must be a number"),
        ({"longest_side": -1}, "longest_side must be from 0 to 65536, not -1"),
        ({"longest_side": 100_000}, "longest_side must be from 0 to 65536"),
        ({"longest_side": 10.5}, "longest_side must be a whole number"),
    ):
        with pytest.raises(UserError, match=words):
            make_settings(given_)
