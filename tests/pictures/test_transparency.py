import pytest
import torch

from utils.pictures.transparency import extend_colours


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
    rgb[..., 20:25, 30:33] = torch.tensor([0.9, 0.2, 0.1]).view(1, 3, 1, 1)
    alpha[..., 20:25, 30:33] = 0.5
    expected = torch.tensor([0.9, 0.2, 0.1]).view(1, 3, 1, 1).expand_as(rgb)
    torch.testing.assert_close(extend_colours(rgb, alpha), expected)


def test_a_picture_without_anything_visible_stays_as_it_is():
    rgb = torch.rand(1, 3, 5, 7)
    assert torch.equal(extend_colours(rgb, torch.zeros(1, 1, 5, 7)), rgb)
