import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.pictures.blending import Canvas, gaussian_window
from utils.planning.geometry import Box, fixed_tiles

CPU = torch.device("cpu")


@given(h=st.integers(1, 6).map(lambda k: k * 16), w=st.integers(1, 6).map(lambda k: k * 16), overlap=st.floats(0, 0.8))
def test_equal_tiles_blend_to_the_picture_they_were_cut_from(h, w, overlap):
    h, w = max(h, 32), max(w, 32)
    picture = torch.rand(3, h, w, generator=torch.Generator().manual_seed(h * w))
    canvas = Canvas(1, (h, w), CPU)
    for box in fixed_tiles((h, w), 32, overlap):
        canvas.add(0, box, picture[:, box.top : box.bottom, box.left : box.right])
    torch.testing.assert_close(canvas.blended()[0], picture, atol=1e-6, rtol=0)


def test_blending_in_float32_agrees_with_float64():
    generator = torch.Generator().manual_seed(0)
    boxes = fixed_tiles((192, 192), 128, 0.5)
    tiles = torch.rand(len(boxes), 3, 128, 128, generator=generator)
    canvas, window = Canvas(1, (192, 192), CPU), gaussian_window(128, 128)
    sums, weights = torch.zeros(3, 192, 192, dtype=torch.float64), torch.zeros(192, 192, dtype=torch.float64)
    for box, tile in zip(boxes, tiles, strict=True):
        canvas.add(0, box, tile)
        sums[:, box.top : box.bottom, box.left : box.right] += tile * window
        weights[box.top : box.bottom, box.left : box.right] += window
    torch.testing.assert_close(canvas.blended()[0].double(), sums / weights, atol=1e-6, rtol=0)


def test_pictures_of_a_batch_do_not_mix():
    canvas = Canvas(2, (8, 8), CPU)
    canvas.add(0, Box(0, 0, 8, 8), torch.zeros(3, 8, 8))
    canvas.add(1, Box(0, 0, 8, 8), torch.ones(3, 8, 8))
    blended = canvas.blended()
    assert blended[0].max() == 0 and blended[1].min() == 1


def test_preview_shows_what_is_done_over_the_input():
    canvas = Canvas(1, (1000, 600), CPU)
    canvas.add(0, Box(0, 0, 500, 600), torch.ones(3, 500, 600))
    preview = canvas.preview(torch.zeros(3, 250, 150), Box(0, 0, 1000, 600))
    assert preview.dtype == np.uint8 and preview.shape == (500, 300, 3)
    assert preview[:240].min() == 255 and preview[260:].max() == 0
