import numpy as np
import pytest

from utils.training import drawings
from utils.training.drawings import FINENESS, draw_on

GREY = np.full((48, 64, 3), 0.5, np.float32)


def test_a_drawing_is_a_function_of_the_generator_in_range_and_of_the_pictures_size():
    for seed in range(30):
        drawn, again = (draw_on(GREY, np.random.default_rng(seed)) for _ in range(2))
        assert drawn.shape == GREY.shape and drawn.dtype == np.float32
        assert drawn.min() >= 0 and drawn.max() <= 1
        assert np.array_equal(drawn, again)


def test_what_lies_beside_the_shapes_stays_as_it_is():
    kept = [np.mean(draw_on(GREY, np.random.default_rng(seed)) == GREY) for seed in range(30)]
    assert 0.3 < np.mean(kept) < 0.95 and min(kept) < 0.9


@pytest.mark.parametrize("shape", [drawings._bars, drawings._outline, drawings._polygon, drawings._word])
def test_every_kind_of_shape_covers_a_part_of_most_pictures(shape):
    canvases = [shape(48, 64, np.random.default_rng(seed)) for seed in range(40)]
    assert {canvas.shape for canvas in canvases} == {(48 * FINENESS, 64 * FINENESS)}
    covered = [np.mean(canvas > 0) for canvas in canvases]
    assert sum(0 < share < 1 for share in covered) > 25


def test_an_edge_has_no_stair_steps_of_its_own():
    """The pixels that it crosses hold fractions."""
    drawn = [draw_on(np.zeros((48, 64, 3), np.float32), np.random.default_rng(seed)) for seed in range(20)]
    for picture in drawn:
        levels = np.unique(np.round(picture[..., 0], 3))
        assert len(levels) > 6 or picture.max() == 0
