"""What every stage promises, over the whole table: a new stage needs an entry in VARIANTS and nothing else here."""

import itertools
from dataclasses import replace

import pytest
import torch

from tests.fixed_settings import fixed_settings
from utils.pictures.fusion import fused
from utils.pictures.stages import STAGES, StageContext, run_stages
from utils.planning.model_spec import ModelSpec
from utils.planning.plan import make_plan
from utils.planning.settings import COLOR_FIXES, FUSION_CANDIDATES, FUSION_METHODS, HYBRID_MODES

SPEC = ModelSpec(name="test", scale=4, latent_factor=8, latent_channels=4, lq_multiple=16, timesteps=(1, 1000), has_text=True)
OFF = {
    "color_fix": "none",
    "fusion": "none",
    "consistency": 0.0,
    "consistency_tolerance": None,
    "restraint": 0.0,
    "fidelity": 0.0,
    "enhancement": 0.0,
}
VARIANTS = {
    "color_fix": [{"color_fix": name} for name in COLOR_FIXES if name != "none"] + [{"color_fix": "hybrid", "hybrid_mode": x} for x in HYBRID_MODES],
    "fusion": [{"fusion": method, "fusion_candidates": kind} for method in FUSION_METHODS for kind in FUSION_CANDIDATES],
    "consistency": [{"consistency": 0.3}, {"consistency": 1.0}, {"consistency": 1.0, "consistency_tolerance": 5.0}],
    "restraint": [{"restraint": 0.3}, {"restraint": 1.0}],
    "fidelity": [{"fidelity": 0.3}, {"fidelity": 1.0}],
    "enhancement": [{"enhancement": 0.3}, {"enhancement": 1.0}],
}
CASES = [(stage, changes) for stage in STAGES for changes in VARIANTS.get(stage, [])]
every_variant = pytest.mark.parametrize(("stage", "changes"), CASES, ids=["-".join([stage, *map(str, changes.values())]) for stage, changes in CASES])
PRECISIONS = [torch.float32, torch.float16]


def context(lq, changes=None, candidates=(), canvas=None):
    plan = replace(make_plan((lq.shape[-2], lq.shape[-1]), fixed_settings(), SPEC), **(OFF | (changes or {})))
    return StageContext(lq, plan, candidates, canvas)


def noise(*shape, seed):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def results_of(lq, seeds=(1, 2)):
    """What networks could have made of an input: its enlargement in wrong colours with invented detail."""
    size = tuple(4 * side for side in lq.shape[-2:])
    up = torch.nn.functional.interpolate(lq.float(), size=size, mode="bicubic") * 0.8 + torch.tensor([0.06, 0.1, 0.14]).view(3, 1, 1)
    detail = [torch.nn.functional.avg_pool2d(noise(len(lq), 3, size[0] + 2, size[1] + 2, seed=seed) - 0.5, 3, 1) for seed in seeds]
    return tuple((up + 0.4 * one).clamp(0, 1).to(lq.dtype) for one in detail)


def run(stage, lq, changes, canvas=None, candidate=None):
    """The stage on a picture with (for fusion) a candidate."""
    made = results_of(lq)
    sr, candidate = (made[0] if canvas is None else canvas), (made[1] if candidate is None else candidate)
    return STAGES[stage](sr, context(lq, changes, (candidate,)))


def test_the_order():
    assert list(STAGES) == ["color_fix", "fusion", "consistency", "restraint", "fidelity", "enhancement"]


def test_every_stage_is_tested():
    assert list(VARIANTS) == list(STAGES)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("dtype", PRECISIONS)
def test_off_is_the_very_same_tensor(stage, dtype):
    lq = noise(2, 3, 9, 11, seed=0).to(dtype)
    sr = results_of(lq)[0]
    assert STAGES[stage](sr, context(lq)) is sr


@every_variant
def test_on_changes_the_picture(stage, changes):
    lq = 0.4 + 0.2 * noise(1, 3, 24, 32, seed=0)  # or the invented detail would be faint beside it, with nothing to restrain
    assert (run(stage, lq, changes) - results_of(lq)[0]).abs().mean() > 1e-3


@every_variant
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3), (21, 37)])
def test_any_size_and_precision(stage, changes, size, dtype):
    lq = noise(2, 3, *size, seed=0).to(dtype)
    sr = results_of(lq)[0]
    before = sr.clone()
    result = run(stage, lq, changes, sr)
    assert result.shape == sr.shape and result.dtype == dtype
    assert result.min() >= 0 and result.max() <= 1, "false for NaN too"
    assert torch.equal(sr, before), "the picture it was given"


@every_variant
def test_half_precision_is_only_rounded(stage, changes):
    lq = noise(1, 3, 16, 20, seed=0).half()
    exact = run(stage, lq.float(), changes, results_of(lq)[0].float(), results_of(lq)[1].float())
    torch.testing.assert_close(run(stage, lq, changes).float(), exact, atol=1e-3, rtol=0)


@every_variant
def test_a_batch_is_its_pictures(stage, changes):
    lq = noise(3, 3, 13, 10, seed=0)
    sr, candidate = results_of(lq)
    sr[1] = torch.nn.functional.interpolate(lq[1:2], scale_factor=4, mode="bicubic", antialias=True).clamp(0, 1)[0]  # right already
    together = run(stage, lq, changes, sr, candidate)
    for k in range(3):
        one = slice(k, k + 1)
        torch.testing.assert_close(run(stage, lq[one], changes, sr[one], candidate[one]), together[one], atol=2e-6, rtol=0)


@every_variant
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_flat_stays_flat(stage, changes, level, dtype):
    """Defects of the seed: fusion made flat areas black, enhancement brightened the frame."""
    lq = torch.full((1, 3, 14, 18), level, dtype=dtype)
    made = (torch.full((1, 3, 56, 72), level) * 0.8 + torch.tensor([0.06, 0.1, 0.14]).view(3, 1, 1)).to(dtype)
    result = run(stage, lq, changes, made, made).float()
    assert (result - result[..., :1, :1]).abs().max() < (1e-6 if dtype == torch.float32 else 6e-4)  # one rounding
    low, high = min(level, float(made.min())), max(level, float(made.max()))
    assert result.min() > low - 0.02 and result.max() < high + 0.02, "between what it was and what it should be"


@every_variant
@pytest.mark.parametrize("axis", [2, 3])
def test_borders_are_nothing_special(stage, changes, axis):
    """What is the same all along an axis stays so, up to the border."""
    profile = noise(1, 3, 20, 1, seed=0)
    lq = profile.expand(1, 3, 20, 24)
    sr, candidate = (made[..., 40:41].expand(1, 3, 80, 96) for made in results_of(lq))
    if axis == 3:
        lq, sr, candidate = lq.mT, sr.mT, candidate.mT
    result = run(stage, lq, changes, sr, candidate)
    along = 5 - axis
    torch.testing.assert_close(result, result.narrow(along, 40, 1).expand_as(result), atol=2e-6, rtol=0)


@every_variant
@pytest.mark.parametrize("turn", [lambda x: x.flip(2), lambda x: x.flip(3), lambda x: x.mT], ids=["upside down", "mirrored", "transposed"])
def test_no_direction_is_special(stage, changes, turn):
    lq = noise(1, 3, 13, 16, seed=0)
    sr, candidate = results_of(lq)
    turned = run(stage, turn(lq), changes, turn(sr), turn(candidate))  # not contiguous, too
    torch.testing.assert_close(turned, turn(run(stage, lq, changes)), atol=5e-6, rtol=0)


@every_variant
def test_grey_stays_grey(stage, changes):
    lq = noise(1, 1, 16, 20, seed=0).expand(-1, 3, -1, -1)
    sr, candidate = (made.mean(1, keepdim=True).expand(-1, 3, -1, -1) for made in results_of(lq))
    result = run(stage, lq, changes, sr, candidate)
    assert (result - result[:, :1]).abs().max() < 1e-6


@every_variant
def test_nothing_is_left_behind(stage, changes):
    """Defect of the reference programs: results depended on the pictures before."""
    lq = noise(1, 3, 12, 12, seed=0)
    made = results_of(lq)
    kept = context(lq, changes, made[1:])
    before, state = replace(kept, lq=lq.clone(), candidates=(made[1].clone(),)), torch.get_rng_state()
    first = STAGES[stage](made[0], kept)
    run(stage, noise(1, 3, 20, 9, seed=5), changes)
    for _ in range(3):
        assert torch.equal(STAGES[stage](made[0], kept), first)
    assert torch.equal(kept.lq, before.lq) and torch.equal(kept.candidates[0], before.candidates[0]) and kept.plan == before.plan
    assert torch.equal(torch.get_rng_state(), state)


@every_variant
@pytest.mark.parametrize("layout", ["cropped", "channels last"])
def test_any_memory_layout(stage, changes, layout):
    lq = noise(1, 3, 12, 16, seed=0)
    sr = results_of(lq)[0]
    other = torch.nn.functional.pad(sr, (8, 4, 4, 8))[..., 4:-8, 8:-4] if layout == "cropped" else sr.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(run(stage, lq, changes, other), run(stage, lq, changes, sr), atol=1e-6, rtol=0)


@every_variant
def test_bands_do_not_show(stage, changes, monkeypatch):
    """Large pictures are gone over in bands of rows."""
    lq = noise(2, 3, 30, 10, seed=0)
    whole = run(stage, lq, changes)
    for rows in (1, 50):
        monkeypatch.setattr("utils.pictures.bands.BAND", rows * 2 * 40)
        torch.testing.assert_close(run(stage, lq, changes), whole, atol=1e-6, rtol=0)


def test_the_plan_has_no_choice_that_is_not_tested():
    """By the attributes of the plan that stages read."""
    read = set()

    class Watched:
        def __init__(self, plan):
            self._plan = plan

        def __getattr__(self, name):
            read.add(name)
            return getattr(self._plan, name)

    lq = noise(1, 3, 8, 8, seed=0)
    for stage, changes in CASES:
        watched = context(lq, changes, results_of(lq)[1:])
        STAGES[stage](results_of(lq)[0], replace(watched, plan=Watched(watched.plan)))
    assert read == set(itertools.chain(*(changes for variants in VARIANTS.values() for changes in variants)))


# ---- all stages together ----


EVERYTHING = {"color_fix": "hybrid", "fusion": "max", "fusion_candidates": "color_fixes", "consistency": 0.5, "fidelity": 0.5, "enhancement": 0.5}


def test_run_stages_is_one_after_the_other():
    lq = noise(1, 3, 16, 12, seed=0)
    sr = results_of(lq)[0]
    step = sr
    for stage in STAGES.values():
        step = stage(step, context(lq, EVERYTHING, canvas=sr))
    assert torch.equal(run_stages(sr, context(lq, EVERYTHING)), step)


@pytest.mark.parametrize("changes", [{}, {"color_fix": "wavelet"}, EVERYTHING])
def test_the_range_is_kept_and_the_input_too(changes):
    lq = noise(1, 3, 16, 16, seed=0)
    sr = noise(1, 3, 64, 64, seed=3) * 3 - 1
    before = sr.clone()
    result = run_stages(sr, context(lq, changes))
    assert result.min() >= 0 and result.max() <= 1 and torch.equal(sr, before)


@pytest.mark.parametrize("kind", ["steps", "seeds"])
def test_results_of_further_runs_get_the_same_colour_fix_first(kind):
    lq = noise(1, 3, 24, 24, seed=0)
    sr, other = results_of(lq)
    changes = {"color_fix": "wavelet", "fusion": "max", "fusion_candidates": kind}
    fixed = [run_stages(made, context(lq, {"color_fix": "wavelet"})) for made in (sr, other)]
    torch.testing.assert_close(run_stages(sr, context(lq, changes, (other,))), fused(fixed, "max"))


def test_the_sampler_gives_further_runs():
    with pytest.raises(ValueError, match="further runs"):
        STAGES["fusion"](torch.zeros(1, 3, 16, 16), context(torch.zeros(1, 3, 4, 4), {"fusion": "weighted", "fusion_candidates": "seeds"}))


@pytest.mark.parametrize("fix", COLOR_FIXES)
def test_fusion_does_something_with_every_colour_fix(fix):
    """Defect of the seed: it was nothing with the fixes hybrid, its default, and none."""
    lq = noise(1, 3, 24, 24, seed=0)
    sr = results_of(lq)[0]
    for kind in ("back_projected", "color_fixes"):
        plain, fused = (
            run_stages(sr, context(lq, {"color_fix": fix, "fusion": fusion, "fusion_candidates": kind})) for fusion in ("none", "weighted")
        )
        assert (fused - plain).abs().mean() > 2e-4, kind


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_8k(stage):
    lq = noise(1, 3, 1080, 1920, seed=0)
    sr = torch.nn.functional.interpolate(lq, scale_factor=4, mode="bilinear") * 0.8
    result = STAGES[stage](sr, context(lq, VARIANTS[stage][0]))
    assert result.shape == (1, 3, 4320, 7680) and result.min() >= 0 and result.max() <= 1
