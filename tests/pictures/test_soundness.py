"""Results that must not be written are told from dark ones."""

import pytest
import torch

from utils.pictures.soundness import check_sound, unsound
from utils.planning.errors import UserError


def test_black_where_the_source_is_not_and_values_that_are_no_numbers_are_unsound():
    sources = torch.tensor([0.5, 0.5, 0.5, 0.5, 0.02, 0.0]).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)
    pictures = torch.zeros(6, 3, 8, 8)
    pictures[1, 2, 3, 4] = 0.01  # a single visible point
    pictures[2, 0, 0, 0], pictures[3, 0, 0, 0] = float("nan"), float("-inf")
    assert unsound(pictures, sources).tolist() == [True, False, True, True, False, False]
    assert unsound(pictures - 5, sources)[:2].tolist() == [True, True]  # before clamping


def test_a_result_of_another_size_is_a_sentence():
    source = torch.full((1, 3, 4, 5), 0.5)
    check_sound(torch.full((1, 3, 16, 20), 0.5), source, (16, 20))
    with pytest.raises(UserError, match="16 x 20 pixels instead of 20 x 16"):
        check_sound(torch.full((1, 3, 20, 16), 0.5), source, (16, 20))
