import numpy as np
import pytest
import torch

from utils.pictures.resampling import bicubic
from utils.pictures.transparency import alpha_at_size, extend_colours

RED, GREEN = (torch.tensor(colour).view(1, 3, 1, 1) for colour in ([0.9, 0.2, 0.1], [0.0, 1.0, 0.0]))


def disc(size: int, softness: float, faint: float = 0.0) -> torch.Tensor:
    """Alpha of a disc whose edge is `softness` pixels wide, `faint` around it."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    distance = ((rows - size / 2) ** 2 + (columns - size / 2) ** 2).sqrt()
    return ((size / 3 - distance) / max(softness, 1e-6) + 0.5).clamp(0, 1).clamp_min(faint).view(1, 1, size, size)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (33, 20), (64, 64)])
def test_visible_colours_stay_and_hidden_ones_do_not_count(size):
    generator = torch.Generator().manual_seed(0)
    rgb, alpha = torch.rand(1, 3, *size, generator=generator), (torch.rand(1, 1, *size, generator=generator) > 0.7).float()
    alpha[..., 0, 0] = 1
    extended = extend_colours(rgb, alpha)
    assert torch.equal(extended[alpha.expand_as(rgb) > 0], rgb[alpha.expand_as(rgb) > 0])
    other = extend_colours(torch.where(alpha > 0, rgb, 1 - rgb), alpha)
    torch.testing.assert_close(extended, other)
    assert extended.min() >= 0 and extended.max() <= 1


def test_one_visible_colour_fills_everything():
    rgb, alpha = torch.zeros(1, 3, 50, 41), torch.zeros(1, 1, 50, 41)
    rgb[..., 20:25, 30:33] = RED
    alpha[..., 20:25, 30:33] = 0.5
    torch.testing.assert_close(extend_colours(rgb, alpha), RED.expand_as(rgb))


@pytest.mark.parametrize("alpha", [0.0, 0.01, 0.5, 1.0])
def test_a_picture_of_one_alpha_stays_as_it_is(alpha):
    rgb = torch.rand(1, 3, 5, 7)
    assert torch.equal(extend_colours(rgb, torch.full((1, 1, 5, 7), alpha)), rgb)


@pytest.mark.parametrize("softness", [0, 1, 6])
@pytest.mark.parametrize("faint", [0.0, 3 / 255])
@pytest.mark.parametrize("background", [0.0, 1.0])
def test_no_hidden_colour_leaks_and_no_edge_rings(softness, faint, background):
    alpha = disc(40, softness, faint)
    rgb = torch.where(alpha > faint, RED, GREEN)
    colours = bicubic(extend_colours(rgb, alpha), (160, 160))
    opacity = enlarged(alpha)
    shown = colours * opacity + background * (1 - opacity)
    lowest, highest = torch.minimum(RED, torch.tensor(background)), torch.maximum(RED, torch.tensor(background))
    # Only what a faint pixel truly shows of its own colour may be seen of green.
    assert (shown >= lowest - 2 * faint - 1e-5).all() and (shown <= highest + 2 * faint + 1e-5).all()
    if faint == 0:
        torch.testing.assert_close(colours, RED.expand_as(colours))
    if softness == 0:  # what it would be without
        leaking = bicubic(rgb, (160, 160)) * opacity + background * (1 - opacity)
        assert not ((leaking >= lowest - 0.05).all() and (leaking <= highest + 0.05).all())


def at_canvas_size(alpha):
    """[h,w] -> [4h,4w]."""
    size = 4 * alpha.shape[0], 4 * alpha.shape[1]
    return alpha_at_size(alpha, size, size)


def enlarged(alpha):
    """[1,1,h,w] -> [1,1,4h,4w]."""
    return torch.from_numpy(at_canvas_size(alpha[0, 0].numpy()))[None, None]


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (17, 13)])
def test_alpha_has_no_overshoot_and_keeps_what_is_even(size):
    alpha = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(1)).round() * 0.4 + 0.3
    larger = enlarged(alpha)
    assert larger.shape[-2:] == (4 * size[0], 4 * size[1]) and larger.min() >= alpha.min() and larger.max() <= alpha.max()
    torch.testing.assert_close(enlarged(torch.full((1, 1, *size), 0.37)), torch.full((1, 1, 4 * size[0], 4 * size[1]), 0.37))
    ramp = torch.linspace(0, 1, 40).expand(1, 1, 10, 40)
    expected = torch.linspace(-1.5 / 156, 1 + 1.5 / 156, 160).expand(1, 1, 40, 160)
    torch.testing.assert_close(enlarged(ramp)[..., 8:-8], expected[..., 8:-8], atol=2e-3, rtol=0)


def test_alpha_is_enlarged_in_stretches_as_it_is_as_a_whole(monkeypatch):
    alpha = (np.random.default_rng(0).random((23, 9)) * 65535).astype(np.uint16)
    whole = at_canvas_size(alpha)
    monkeypatch.setattr("utils.pictures.bands.STRETCH", 4 * 36)
    assert np.array_equal(at_canvas_size(alpha), whole) and len(np.unique(whole)) > 1000


def test_alpha_is_reduced_and_enlarged_to_any_size():
    alpha = (np.add.outer(np.arange(30), np.arange(20)) * 5).astype(np.uint8)
    for size in ((45, 30), (200, 133), (3, 2), (1, 1)):
        resized = alpha_at_size(alpha, (120, 80), size)
        assert resized.shape == size and resized.dtype == np.uint8 and abs(resized.mean() - alpha.mean()) < 6
