import pytest
import torch
import torch.nn.functional as F

from utils.pictures.attention import attention_map
from utils.pictures.fusion import EVERYONES_SHARE, fused

METHODS = ["weighted", "max"]
both = pytest.mark.parametrize("method", METHODS)


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def shapes():
    """Sharp edges between flat colours, [1,3,96,128]."""
    return F.interpolate(noise(1, 3, 6, 8).round() * 0.8 + 0.1, size=(96, 128), mode="nearest")


def blurred(rgb):
    return F.avg_pool2d(F.pad(rgb, (4, 4, 4, 4), mode="replicate"), 9, 1)


def error(rgb, truth):
    return float((rgb - truth).square().mean())


def test_weighted_is_its_formula():
    one, other = noise(1, 3, 20, 24), noise(1, 3, 20, 24, seed=1) * 0.3
    weights = [attention_map(x) + EVERYONES_SHARE for x in (one, other)]
    expected = (one * weights[0] + other * weights[1]) / (weights[0] + weights[1])
    torch.testing.assert_close(fused([one, other], "weighted"), expected, atol=1e-6, rtol=0)


@both
def test_each_place_comes_from_the_candidate_that_shows_it(method):
    """Two results, each sharp in one half: together they are nearer to the truth than either, and than their mean."""
    truth = shapes()
    soft = blurred(truth)
    left, right = (torch.cat(halves, -1) for halves in ((truth[..., :64], soft[..., 64:]), (soft[..., :64], truth[..., 64:])))
    limit = 0.92 if method == "weighted" else 0.6
    together = error(fused([left, right], method), truth)
    assert together < min(error(left, truth), error(right, truth))
    assert together < limit * error((left + right) / 2, truth)


@both
def test_inventions_are_averaged_out_where_it_is_flat(method):
    truth = torch.full((1, 3, 64, 64), 0.5)
    candidates = [truth + 0.01 * torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    assert error(fused(candidates, method), truth) < 0.65 * error(candidates[0], truth)


@both
@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_flat_areas_are_not_painted_black(method, level):
    """Defect of the seed: a saturated square became 0.0, because both of its weights were 0."""
    square = noise(1, 3, 64, 64)
    square[..., 16:48, 16:48] = level
    result = fused([square, square.clone()], method)
    torch.testing.assert_close(result, square, atol=1e-6, rtol=0)
    one, other = torch.full((1, 3, 32, 32), level), torch.full((1, 3, 32, 32), 0.5)
    torch.testing.assert_close(fused([one, other], method), (one + other) / 2, atol=1e-6, rtol=0)


@both
def test_the_result_lies_between_the_candidates(method):
    candidates = [noise(2, 3, 30, 40, seed=seed) for seed in range(4)]
    result, stack = fused(candidates, method), torch.stack(candidates)
    assert (result >= stack.amin(0) - 1e-6).all() and (result <= stack.amax(0) + 1e-6).all()


@both
def test_the_order_does_not_matter(method):
    candidates = [noise(1, 3, 30, 40, seed=seed) for seed in range(3)]
    torch.testing.assert_close(fused(candidates[::-1], method), fused(candidates, method), atol=1e-6, rtol=0)


@both
def test_candidates_are_not_changed(method):
    candidates = [noise(1, 3, 30, 40, seed=seed) for seed in range(2)]
    before = [candidate.clone() for candidate in candidates]
    fused(candidates, method)
    assert all(torch.equal(*pair) for pair in zip(candidates, before, strict=True))


def test_max_takes_the_most_detailed():
    sharp = shapes() * 0.9 + 0.05 * noise(1, 3, 96, 128)
    soft = blurred(sharp)
    at_edges = attention_map(sharp) > attention_map(soft) + 0.05
    assert at_edges.float().mean() > 0.1
    assert ((fused([sharp, soft], "max") - sharp) * at_edges).abs().max() < 1e-6


def test_max_hands_over_gradually():
    """No line where one candidate takes over from another: a tiny change of attention is a tiny change of the result."""
    sharp = shapes()
    soft = blurred(sharp)
    nudged = soft + 0.001 * (sharp - soft)
    assert (fused([sharp, nudged], "max") - fused([sharp, soft], "max")).abs().max() < 0.05
