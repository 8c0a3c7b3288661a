"""What is drawn much sharper than the input can tell is held back, and nothing else is touched."""

import cv2
import pytest
import torch
import torch.nn.functional as F

from utils.pictures.resampling import bicubic_antialiased
from utils.pictures.restraint import RESTRAINT_REACH, SHARPNESS_LIMIT, restrained


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def enlarged(lq):
    return bicubic_antialiased(lq, (4 * lq.shape[-2], 4 * lq.shape[-1])).clamp(0, 1)


def sharpness(rgb):
    """Root mean square of fine detail over squares of 24 pixels."""
    grey = rgb[0].mean(0).numpy()
    fine = torch.from_numpy(grey - cv2.GaussianBlur(grey, (0, 0), 1, borderType=cv2.BORDER_REPLICATE))
    return F.avg_pool2d(fine.square()[None, None], 24).sqrt()


@pytest.fixture
def lq():
    return 0.3 + 0.4 * noise(1, 3, 48, 60)


def test_what_is_not_much_sharper_stays_to_the_last_bit(lq):
    plain = enlarged(lq)
    somewhat = plain + 0.1 * (plain - F.avg_pool2d(plain, 3, 1, 1))
    assert torch.equal(restrained(somewhat, lq, 1.0), somewhat) and torch.equal(restrained(plain * 0.9, lq, 1.0), plain * 0.9)


def test_what_is_much_sharper_is_brought_to_the_limit(lq):
    plain = enlarged(lq)
    drawn = (plain + 0.2 * (noise(*plain.shape, seed=1) - 0.5)).clamp(0, 1)
    before, after = (sharpness(rgb) / sharpness(plain) for rgb in (drawn, restrained(drawn, lq, 1.0)))
    assert before.min() > 1.5 * SHARPNESS_LIMIT
    assert after.median() == pytest.approx(SHARPNESS_LIMIT, rel=0.15)


def test_it_is_held_back_where_it_is_drawn_and_not_far_from_there(lq):
    sr = enlarged(lq)
    sr[..., 90:110, 100:120] = noise(1, 3, 20, 20, seed=2)
    change = (restrained(sr, lq, 1.0) - sr).abs().amax((0, 1))
    assert change[90:110, 100:120].mean() > 0.05
    reach = 4 * RESTRAINT_REACH
    change[90 - reach : 110 + reach, 100 - reach : 120 + reach] = 0
    assert change.max() == 0


@pytest.mark.parametrize("scale", [1, 3, 4, 8])
def test_the_strength_is_the_part_of_the_way(scale):
    lq = noise(1, 3, 20, 24).round()  # black and white, of which the enlargement overshoots
    sr = noise(1, 3, 20 * scale, 24 * scale, seed=3)
    full, part = restrained(sr, lq, 1.0), restrained(sr, lq, 0.4)
    torch.testing.assert_close(part, torch.lerp(sr, full, 0.4), atol=1e-5, rtol=0)


def test_grain_on_a_flat_input_may_stay():
    lq = torch.full((1, 3, 30, 30), 0.5)
    sr = 0.5 + 0.002 * (noise(1, 1, 120, 120, seed=4) - 0.5).expand(1, 3, -1, -1)
    assert torch.equal(restrained(sr, lq, 1.0), sr)
