import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.pictures.attention import attention_map
from utils.pictures.blending import Canvas, gaussian_window
from utils.pictures.rows import RowsInMemory
from utils.planning.geometry import Box, fixed_tiles


def canvas_of(size, box=None, batch=1):
    """A canvas for padded pictures of that size, and what its finished rows go into: the picture in `box`."""
    box = box or Box(0, 0, *size)
    rows = RowsInMemory(torch.full((batch, 3, *box.size), torch.nan))
    return Canvas(rows, size[1], box), rows


def blended(canvas, rows, bottom):
    canvas.finish(bottom)
    return rows.read(0, rows.shape[2])


@given(h=st.integers(1, 6).map(lambda k: k * 16), w=st.integers(1, 6).map(lambda k: k * 16), overlap=st.floats(0, 0.8))
def test_equal_tiles_blend_to_the_picture_they_were_cut_from(h, w, overlap):
    h, w = max(h, 32), max(w, 32)
    picture = torch.rand(3, h, w, generator=torch.Generator().manual_seed(h * w))
    canvas, rows = canvas_of((h, w))
    for box in fixed_tiles((h, w), 32, overlap):
        canvas.finish(box.top)
        canvas.add(0, box, picture[:, box.top : box.bottom, box.left : box.right])
    torch.testing.assert_close(blended(canvas, rows, h)[0], picture, atol=1e-6, rtol=0)


def test_blending_in_float32_agrees_with_float64():
    generator = torch.Generator().manual_seed(0)
    boxes = fixed_tiles((192, 192), 128, 0.5)
    tiles = torch.rand(len(boxes), 3, 128, 128, generator=generator)
    (canvas, rows), window = canvas_of((192, 192)), gaussian_window(128, 128)
    sums, weights = torch.zeros(3, 192, 192, dtype=torch.float64), torch.zeros(192, 192, dtype=torch.float64)
    for box, tile in zip(boxes, tiles, strict=True):
        canvas.add(0, box, tile)
        sums[:, box.top : box.bottom, box.left : box.right] += tile * window
        weights[box.top : box.bottom, box.left : box.right] += window
    torch.testing.assert_close(blended(canvas, rows, 192)[0].double(), sums / weights, atol=1e-6, rtol=0)


def test_pictures_of_a_batch_do_not_mix():
    canvas, rows = canvas_of((8, 8), batch=2)
    canvas.add(0, Box(0, 0, 8, 8), torch.zeros(3, 8, 8))
    canvas.add(1, Box(0, 0, 8, 8), torch.ones(3, 8, 8))
    pictures = blended(canvas, rows, 8)
    assert pictures[0].max() == 0 and pictures[1].min() == 1


@pytest.mark.parametrize("finished", [0, 3, 100, 450, 500])
def test_preview_shows_what_is_done_over_the_input(finished):
    canvas, _ = canvas_of((1000, 600))
    canvas.add(0, Box(0, 0, 500, 600), torch.ones(3, 500, 600))
    canvas.finish(finished)
    preview = canvas.preview(torch.zeros(3, 250, 150))
    assert preview.dtype == np.uint8 and preview.shape == (500, 300, 3)
    assert preview[:250].min() == 255 and preview[250:].max() == 0


def test_preview_is_every_so_many_pixels_of_the_picture_whenever_they_are_finished():
    picture, box = noise(3, 1300, 80), Box(7, 9, 1293, 69)
    canvas, rows = canvas_of((1300, 80), box)
    for top in range(0, 1300, 100):
        canvas.add(0, Box(top, 0, top + 100, 80), picture[:, top : top + 100])
        canvas.finish(top + 37)
        seen = canvas.preview(torch.zeros(3, 4, 4))
        expected = (picture[:, 7:1293:3, 9:69:3] * 255).round().byte().permute(1, 2, 0)
        expected[-(-(top + 100 - 7) // 3) :] = 0
        assert np.array_equal(seen, expected)
    canvas.finish(1300)
    torch.testing.assert_close(rows.read(0, 1286)[0], picture[:, 7:1293, 9:69], atol=1e-6, rtol=0)
    assert np.array_equal(canvas.preview(torch.zeros(3, 4, 4)), expected)


def noise(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def blend(boxes, tiles, size, attention):
    canvas, rows = canvas_of(size)
    for box, tile in zip(boxes, tiles, strict=True):
        canvas.add(0, box, tile, attention)
    return blended(canvas, rows, size[0])[0]


def stripes(h, w, period=4):
    return ((torch.arange(w) // period % 2).float() * 0.8 + 0.1).expand(3, h, w).clone()


def test_pictures_whose_tiles_go_through_the_networks_together_get_their_own_attention(sampler):
    """Two pictures of two tiles each in batches of three: a batch holds tiles of both."""
    pictures = torch.stack([stripes(40, 90), torch.full((3, 40, 90), 0.4)])
    attentive = sampler.with_settings(attention_blending=True, extra_bs=3)
    together, alone = attentive.sample_image(pictures), [attentive.sample_image(picture[None]) for picture in pictures]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=0)
    assert not torch.equal(together, sampler.with_settings(attention_blending=False, extra_bs=3).sample_image(pictures))


def test_flat_tiles_blend_with_attention_as_without():
    boxes = fixed_tiles((96, 96), 64, 0.5)
    tiles = [torch.full((3, 64, 64), 0.1 * number) for number in range(len(boxes))]
    torch.testing.assert_close(blend(boxes, tiles, (96, 96), True), blend(boxes, tiles, (96, 96), False), atol=1e-6, rtol=0)


def test_with_attention_the_tile_that_shows_structure_counts_more():
    boxes = [Box(0, 0, 64, 64), Box(0, 32, 64, 96)]
    detailed, flat = stripes(64, 64), torch.full((3, 64, 64), 0.5)
    contrast = [blend(boxes, [detailed, flat], (64, 96), attention)[..., 36:60].std() for attention in (False, True)]
    assert contrast[1] > 1.05 * contrast[0]


def test_weights_of_attention_are_seven_tenths_gaussian_and_three_of_attention():
    """Against one flat tile, whose weight is 0.7 of its window."""
    generator = torch.Generator().manual_seed(0)
    tile, flat = torch.rand(3, 48, 48, generator=generator), torch.full((3, 48, 48), 0.5)
    boxes = [Box(0, 0, 48, 48), Box(0, 16, 48, 64)]
    window = gaussian_window(48, 48).float()
    mine, other = window * (0.7 + 0.3 * attention_map(tile[None])[0, 0]), window * 0.7
    expected = (tile[..., 16:] * mine[:, 16:] + flat[..., :32] * other[:, :32]) / (mine[:, 16:] + other[:, :32])
    torch.testing.assert_close(blend(boxes, [tile, flat], (48, 64), True)[..., 16:48], expected, atol=1e-5, rtol=0)


def test_attention_does_not_favour_the_borders_of_tiles():
    """The seed's zero padding gave its tiles a bright frame: a tile then counts most where it knows least.

    Tiles of equal texture, one brighter: on average the brightness passes from one to the other as without attention.
    """
    generator = torch.Generator().manual_seed(1)
    boxes = [Box(0, 0, 64, 64), Box(0, 32, 64, 96)]
    mean = {False: torch.zeros(64, 96), True: torch.zeros(64, 96)}
    for _ in range(100):
        dark, bright = torch.rand(2, 3, 64, 64, generator=generator) * 0.5
        for attention, total in mean.items():
            total += blend(boxes, [dark, bright + 0.5], (64, 96), attention).mean(0) / 100
    torch.testing.assert_close(mean[True], mean[False], atol=0.01, rtol=0)


@given(half=st.booleans(), attention=st.booleans())
def test_equal_tiles_blend_to_their_picture_at_any_overlap_and_precision(half, attention):
    """Irregular tiles, as smart chopping lays them; float16 tiles lose no more than their own rounding."""
    picture = torch.rand(3, 80, 96, generator=torch.Generator().manual_seed(0))
    picture = picture.half() if half else picture
    boxes = [Box(0, 0, 64, 64), Box(0, 32, 64, 96), Box(16, 0, 80, 64), Box(16, 10, 80, 74), Box(16, 32, 80, 96)]
    tiles = [picture[:, box.top : box.bottom, box.left : box.right] for box in boxes]
    result = blend(boxes, tiles, (80, 96), attention)
    assert result.isfinite().all()
    torch.testing.assert_close(result, picture.float(), atol=2e-3 if half else 1e-5, rtol=0)
