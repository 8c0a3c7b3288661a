"""Results that must not be written are told from dark ones."""

import pytest
import torch

from utils.pictures.soundness import checked, unsound
from utils.planning.errors import UserError


def test_black_where_the_source_is_not_and_values_that_are_no_numbers_are_unsound():
    sources = torch.tensor([0.5, 0.5, 0.5, 0.5, 0.02, 0.0]).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)
    pictures = torch.zeros(6, 3, 8, 8)
    pictures[1, 2, 3, 4] = 0.01  # a single visible point
    pictures[2, 0, 0, 0], pictures[3, 0, 0, 0] = float("nan"), float("-inf")
    assert unsound(pictures, sources).tolist() == [True, False, True, True, False, False]
    assert unsound(pictures - 5, sources)[:2].tolist() == [True, True]  # before clamping


def stretches(picture, rows=6):
    return [(top, picture[..., top : top + rows, :]) for top in range(0, picture.shape[-2], rows)]


def test_a_sound_result_comes_through_as_it_is():
    given = stretches(torch.full((1, 3, 16, 20), 0.5))
    assert list(checked(given, torch.full((1, 3, 4, 5), 0.5), (16, 20))) == given


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (stretches(torch.full((1, 3, 20, 16), 0.5)), "16 x 16 pixels instead of 20 x 16"),
        (stretches(torch.full((1, 3, 12, 20), 0.5)), "20 x 12 pixels instead of 20 x 16"),
        (stretches(torch.zeros(1, 3, 16, 20)), "black though the picture is not"),
        (stretches(torch.full((1, 3, 16, 20), float("nan"))), "not numbers"),
    ],
)
def test_what_must_not_be_written_is_a_sentence(given, words):
    with pytest.raises(UserError, match=words):
        list(checked(given, torch.full((1, 3, 4, 5), 0.5), (16, 20)))
