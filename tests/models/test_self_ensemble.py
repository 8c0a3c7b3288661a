"""The mean over turned and mirrored views."""

import pytest
import torch
import torch.nn.functional as F

from utils.models.self_ensemble import VIEWS, averaged
from utils.pictures.resampling import bicubic


def of_any(shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def lopsided(lq, draws="mean"):
    """[B,3,h,w] -> [B,3,2h,2w], by a kernel without any symmetry."""
    kernel = of_any((1, 1, 3, 3), seed=1)
    return F.conv2d(lq.flatten(0, 1)[:, None], kernel, padding=1).reshape(lq.shape).repeat_interleave(2, -1).repeat_interleave(2, -2)


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_undone(view):
    picture = of_any((2, 3, 5, 7))
    assert torch.equal(view.undone(view.of(picture)), picture)


def test_the_views_are_the_eight_ways_to_lie_and_the_first_is_the_picture_itself():
    picture = of_any((1, 1, 4, 4))
    seen = [view.of(picture) for view in VIEWS]
    assert torch.equal(seen[0], picture)
    assert len({tuple(one.flatten().tolist()) for one in seen}) == 8
    assert {tuple(torch.rot90(picture, k, (-2, -1)).flatten().tolist()) for k in range(4)} == {tuple(one.flatten().tolist()) for one in seen[:4]}


def test_one_view_changes_nothing():
    lq = of_any((2, 3, 6, 8))
    assert torch.equal(averaged(lopsided, lq, "mean", 1), lopsided(lq))


@pytest.mark.parametrize("views", range(1, 9))
def test_what_is_the_same_in_all_views_stays(views):
    lq = of_any((2, 3, 6, 8))
    mean = averaged(lambda lq, draws: bicubic(lq, (4 * lq.shape[-2], 4 * lq.shape[-1])), lq, "mean", views)
    torch.testing.assert_close(mean, bicubic(lq, (24, 32)), atol=1e-6, rtol=0)


def test_over_all_views_it_no_longer_matters_how_a_picture_lies():
    lq = of_any((1, 3, 6, 8))
    assert not torch.allclose(lopsided(lq.flip(-1)), lopsided(lq).flip(-1), atol=1e-2)
    for view in VIEWS:
        torch.testing.assert_close(averaged(lopsided, view.of(lq), "mean", 8), view.of(averaged(lopsided, lq, "mean", 8)), atol=1e-6, rtol=0)


@pytest.mark.parametrize("views", [2, 4, 8])
def test_every_place_has_the_same_noise_in_all_views(views):
    draws = {"predictor": of_any((2, 3, 6, 8)), "vae": of_any((2, 3, 6, 8), seed=1)}
    mean = averaged(lambda lq, draws: lq + draws["predictor"] - draws["vae"], torch.zeros(2, 3, 6, 8), draws, views)
    torch.testing.assert_close(mean, draws["predictor"] - draws["vae"])
