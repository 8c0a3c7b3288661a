"""The last resizing of a result."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.pictures.resampling import at_size, bicubic_antialiased

sides = st.integers(1, 80)


def test_what_has_the_size_is_not_touched():
    picture = torch.rand(1, 3, 20, 30)
    assert at_size(picture, (20, 30)) is picture


@given(size=st.tuples(sides, sides), target=st.tuples(sides, sides))
def test_flat_stays_flat_and_nothing_leaves_the_range(size, target):
    flat = at_size(torch.full((1, 3, *size), 0.37), target)
    torch.testing.assert_close(flat, torch.full((1, 3, *target), 0.37))
    hard = at_size(torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)).round(), target)
    assert hard.shape == (1, 3, *target) and hard.min() >= 0 and hard.max() <= 1


@given(factor=st.floats(0.25, 4))
def test_the_mean_colour_is_kept(factor):
    y, x = torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(0, 1, 96), indexing="ij")
    picture = torch.stack([0.1 + 0.8 * x, 0.5 + 0.3 * torch.sin(9 * y), 0.2 + 0.6 * x * y])[None]
    resized = at_size(picture, (round(64 * factor), round(96 * factor)))
    torch.testing.assert_close(resized.mean((2, 3)), picture.mean((2, 3)), atol=2e-3, rtol=0)


def test_a_reduction_is_antialiased():
    stripes = (torch.arange(64) % 2).float().expand(1, 3, 64, 64)
    torch.testing.assert_close(at_size(stripes, (16, 16))[..., 2:-2], torch.full((1, 3, 16, 12), 0.5), atol=0.02, rtol=0)
    torch.testing.assert_close(at_size(stripes, (32, 32)), bicubic_antialiased(stripes, (32, 32)))
