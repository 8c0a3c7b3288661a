import numpy as np
import pytest
import torch
from skimage.color import lab2rgb

from utils.metrics.color_error import color_error


def flat(lab, size=(40, 48)):
    rgb = lab2rgb(np.array(lab, dtype=float).reshape(1, 1, 3))
    return torch.from_numpy(rgb).permute(2, 0, 1)[None].expand(1, 3, *size)


def test_pairs_published_with_the_formula():
    """Test data of Sharma, Wu and Dalal (2005), table 1, of colours within sRGB."""
    for one, other, expected in [
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((50, 2.5, 0), (50, 3.1736, 0.5854), 1.0000),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ]:
        assert color_error(flat(one), flat(other)) == pytest.approx(expected, abs=2e-3)


def test_equal_pictures_have_none():
    rgb = torch.rand(1, 3, 40, 48, generator=torch.Generator().manual_seed(0))
    assert color_error(rgb, rgb) == 0


def test_detail_is_left_aside_and_a_shift_of_colour_is_not():
    grey = torch.full((1, 3, 64, 64), 0.5)
    checked = grey.clone()
    checked[..., ::2, ::2] += 0.1
    checked[..., 1::2, 1::2] += 0.1
    checked[..., ::2, 1::2] -= 0.1
    checked[..., 1::2, ::2] -= 0.1
    reddish = grey + torch.tensor([0.05, 0, 0]).view(3, 1, 1)
    assert color_error(checked, grey) < 0.1
    assert color_error(reddish, grey) > 2
