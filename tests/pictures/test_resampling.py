"""Resizing."""

import pytest
import torch

from utils.pictures.resampling import bicubic_antialiased


@pytest.mark.parametrize(("size", "target"), [((100, 10), (7, 1)), ((100, 1), (7, 1)), ((7, 1), (100, 1))])
def test_the_rows_of_a_single_column_are_resized_too(size, target):
    picture = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    turned = bicubic_antialiased(picture.mT, target[::-1]).mT
    torch.testing.assert_close(bicubic_antialiased(picture, target), turned)
