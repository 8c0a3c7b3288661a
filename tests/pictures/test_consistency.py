import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from utils.pictures.consistency import agreement, back_projected, blended_with_faithful, lr_consistency
from utils.pictures.resampling import bicubic_antialiased
from utils.planning.settings import LEAST_CONSISTENCY


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def scene(h=30, w=41, seed=0):
    """A low-resolution picture with edges and texture, smooth enough to have come from a camera."""
    return F.avg_pool2d(noise(1, 3, h + 2, w + 2, seed=seed).round() * 0.9 + 0.05, 3, 1)


def generated(lq, seed=1):
    """An enlargement in slightly wrong colours with invented detail."""
    up = F.interpolate(lq, scale_factor=4, mode="bicubic")
    return (up * 0.9 + 0.07 + 0.15 * (noise(*up.shape, seed=seed) - 0.5)).clamp(0, 1)


def test_by_hand():
    lq = torch.full((1, 3, 8, 8), 0.5)
    assert lr_consistency(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 8, 8)) == math.inf
    assert abs(lr_consistency(torch.full((1, 3, 32, 32), 0.6), lq) - 20) < 1e-3


def test_back_projection_is_its_formula():
    lq = scene()
    sr = generated(lq) * 0.8 + 0.1
    down = F.interpolate(sr, size=lq.shape[-2:], mode="bicubic", antialias=True)
    expected = sr + 0.3 * F.interpolate(lq - down, size=sr.shape[-2:], mode="bicubic", antialias=True)
    torch.testing.assert_close(back_projected(sr, lq, 0.3), expected.clamp(0, 1), atol=1e-6, rtol=0)


def test_agreement_goes_by_the_difference_around():
    for difference, expected in ((0.0, 1.0), (5 / 255, (1 + LEAST_CONSISTENCY) / 2), (0.5, LEAST_CONSISTENCY)):
        values = agreement(torch.full((2, 3, 9, 13), difference), 5.0)
        torch.testing.assert_close(values, torch.full((2, 1, 9, 13), expected), atol=1e-3, rtol=0)
    spot = torch.zeros(1, 3, 40, 40)
    spot[..., 20, 20] = 1
    near, far = slice(16, 25), slice(0, 16)
    values = agreement(spot, 5.0)
    assert values[..., far, :].min() == 1 and values[0, 0, near, near].max() < LEAST_CONSISTENCY + 0.01


def test_with_a_tolerance_the_strength_is_the_agreement_at_most():
    lq = scene()
    sr = F.interpolate(lq, scale_factor=4, mode="bicubic").clamp(0, 1)
    sr[..., :80] = generated(lq)[..., :80]
    difference = lq - F.interpolate(sr, size=lq.shape[-2:], mode="bicubic", antialias=True)
    strengths = agreement(difference, 6.0).clamp(max=0.7)
    assert strengths.min() < 0.6 and strengths.max() == pytest.approx(0.7)
    expected = sr + F.interpolate(strengths * difference, size=sr.shape[-2:], mode="bicubic", antialias=True)
    torch.testing.assert_close(back_projected(sr, lq, 0.7, 6.0), expected.clamp(0, 1), atol=1e-6, rtol=0)


def test_stair_steps_that_a_model_took_away_stay_away():
    """A slanted bar, reduced by skipping pixels, and a model that has found out how it was."""
    rows, columns = torch.meshgrid(torch.arange(160.0), torch.arange(320.0), indexing="ij")
    bar = 1 - (rows - 60 - 0.1 * columns).abs().sub(7).clamp(0, 1).expand(1, 3, -1, -1) * 0.8
    stepped = bar[..., 2::4, 2::4]
    wrong = [float((back_projected(bar, stepped, 1.0, tolerance) - bar).square().mean().sqrt()) for tolerance in (None, 5.0)]
    assert wrong[1] < 0.35 * wrong[0]


def test_one_iteration_brings_the_input_back():
    lq = scene()
    values = [lr_consistency(back_projected(generated(lq), lq, strength), lq) for strength in (0, 0.25, 0.5, 0.75, 1)]
    assert values == sorted(values) and values[-1] > values[0] + 8


def test_what_agrees_already_is_left_alone():
    sr = noise(1, 3, 64, 80)
    torch.testing.assert_close(back_projected(sr, bicubic_antialiased(sr, (16, 20))), sr, atol=1e-6, rtol=0)


def test_detail_stays():
    """What the reduced picture cannot show is not touched."""
    lq = torch.full((1, 3, 20, 20), 0.5)
    stripes = 0.5 + 0.2 * (torch.arange(80) % 2 * 2 - 1).expand(1, 3, 80, 80)
    assert (back_projected(stripes, lq) - stripes).abs()[..., 8:-8, 8:-8].max() < 0.01


def test_fidelity_goes_evenly_from_the_result_to_the_faithful_one():
    lq = scene()
    sr = generated(lq)
    start, end = blended_with_faithful(sr, lq, 0), blended_with_faithful(sr, lq, 1)
    assert start is sr
    for fidelity in (0.01, 0.5, 0.99):
        torch.testing.assert_close(blended_with_faithful(sr, lq, fidelity), torch.lerp(sr, end, fidelity), atol=1e-6, rtol=0)


def test_the_faithful_end_knows_only_the_input():
    lq = scene()
    ends = [blended_with_faithful(generated(lq, seed), lq, 1) for seed in (1, 2)]
    torch.testing.assert_close(ends[0], ends[1], atol=1e-6, rtol=0)
    assert lr_consistency(ends[0], lq) > 45 > 5 + lr_consistency(bicubic_antialiased(lq, (120, 164)).clamp(0, 1), lq)


@given(seed=st.integers(0, 50), before=st.sampled_from([0.0, 0.5, 1.0]))
def test_more_fidelity_is_more_consistency(seed, before):
    lq = scene(16, 20, seed)
    sr = back_projected(generated(lq, seed), lq, before)
    values = [lr_consistency(blended_with_faithful(sr, lq, k / 4), lq) for k in range(5)]
    assert all(later > earlier for earlier, later in pairwise(values))


@pytest.mark.parametrize("sd", [5, 20])
def test_full_strength_puts_noise_back_and_less_puts_back_less(sd):
    """Why `auto` ties the strength to the noise."""
    clean = torch.full((1, 3, 40, 40), 0.5)
    noisy = clean + sd / 255 * torch.randn(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    result = torch.full((1, 3, 160, 160), 0.5)
    full, half = (float((back_projected(result, noisy, strength) - 0.5).std()) * 255 for strength in (1.0, 0.5))
    assert full > 0.6 * sd and half == pytest.approx(full / 2, rel=0.01)
