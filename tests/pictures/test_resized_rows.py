"""The last resizing of a result."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.pictures.resampling import bicubic_antialiased
from utils.pictures.resized_rows import resized

sides = st.integers(1, 80)


def at_size(picture: torch.Tensor, size: tuple[int, int], rows: int = 1000) -> torch.Tensor:
    """The picture in stretches of `rows`, resized and put together again."""
    given = ((top, picture[..., top : top + rows, :]) for top in range(0, picture.shape[-2], rows))
    starts, parts = zip(*resized(given, picture.shape[-2], size), strict=True)
    assert list(starts) == [0, *torch.tensor([part.shape[-2] for part in parts]).cumsum(0).tolist()[:-1]]
    return torch.cat(parts, 2)


@pytest.mark.parametrize("rows", [1, 3, 17, 1000])
@pytest.mark.parametrize(
    ("size", "target"), [((80, 60), (40, 30)), ((80, 60), (50, 38)), ((81, 7), (233, 20)), ((4, 8), (9, 18)), ((100, 10), (7, 1)), ((1, 1), (9, 1))]
)
def test_stretches_are_resized_as_the_whole_picture_is(size, target, rows):
    picture = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(at_size(picture, target, rows), bicubic_antialiased(picture, target).clamp(0, 1), atol=2e-5, rtol=0)


def test_an_enlargement_comes_in_pieces_no_larger_than_a_stretch(monkeypatch):
    monkeypatch.setattr("utils.pictures.bands.STRETCH", 30 * 90)
    picture = torch.rand(2, 3, 40, 30, generator=torch.Generator().manual_seed(0))
    pieces = [piece for _, piece in resized([(0, picture[..., :25, :]), (25, picture[..., 25:, :])], 40, (160, 90))]
    assert max(2 * piece.shape[-2] * 90 for piece in pieces) <= 30 * 90 and len(pieces) > 10
    torch.testing.assert_close(torch.cat(pieces, 2), bicubic_antialiased(picture, (160, 90)).clamp(0, 1), atol=2e-5, rtol=0)


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
    result = at_size(picture, (round(64 * factor), round(96 * factor)))
    torch.testing.assert_close(result.mean((2, 3)), picture.mean((2, 3)), atol=2e-3, rtol=0)


def test_a_reduction_is_antialiased():
    stripes = (torch.arange(64) % 2).float().expand(1, 3, 64, 64)
    torch.testing.assert_close(at_size(stripes, (16, 16))[..., 2:-2], torch.full((1, 3, 16, 12), 0.5), atol=0.02, rtol=0)
