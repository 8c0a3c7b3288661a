import json
import sys
from dataclasses import FrozenInstanceError, replace
from subprocess import run

import numpy as np
import pytest

from tests.conftest import PARITY, PROJECT
from tests.fixed_settings import fixed_settings
from utils.planning.checked_settings import make_settings
from utils.planning.errors import UserError
from utils.planning.model_spec import ModelSpec
from utils.planning.plan import Run, make_plan
from utils.planning.schedule import timesteps_for
from utils.planning.settings import CONSISTENCY_TOLERANCE, HIGHEST_SEED, Settings
from utils.planning.statistics import ComplexityMap, ImageStats

SPEC = ModelSpec(name="test", scale=4, latent_factor=8, latent_channels=4, lq_multiple=16, timesteps=(1, 1000), has_text=True)


ADAPTIVE = {
    "adaptive_scheduler": True,
    "adaptive_guidance": True,
    "smart_chopping": True,
    "attention_blending": True,
    "consistency": "auto",
    "adaptive_enhancement": True,
    "attention_fusion": True,
    "fusion_candidates": "steps",
}


def stats(h, w, complexity=0.5, noise=0.5, compression=0.0, blur=2.0):
    return ImageStats(complexity, noise, compression, blur, ComplexityMap(np.full((-(-h // 16), -(-w // 16)), complexity, np.float32), 16))


def test_what_a_model_of_exact_latents_repairs_does_not_come_back():
    exact, auto = replace(SPEC, latent_factor=4, latent_channels=48), {"consistency": "auto"}
    cases = (
        (exact, auto, CONSISTENCY_TOLERANCE),
        (exact, {**auto, "cfg_scale": 2.0}, 4 * CONSISTENCY_TOLERANCE),  # guidance leads away from the input without repairing it
        (exact, {"consistency": 1.0}, None),
        (SPEC, auto, None),
    )
    for spec, settings, tolerance in cases:
        plan = make_plan((300, 300), make_settings(settings), spec, stats(300, 300))
        assert plan.consistency_tolerance == tolerance
        assert ("Consistency 0.25 where the model repairs the input." in plan.reasons) == (tolerance is not None)
    noisy = replace(stats(300, 300), noise=15.0)
    for spec, guidance, by_noise in ((exact, 1.0, False), (exact, 2.0, True), (SPEC, 1.0, True)):
        plan = make_plan((300, 300), make_settings({**auto, "cfg_scale": guidance}), spec, noisy)
        assert plan.consistency < 0.3 if by_noise else plan.consistency == 1
        assert ("repairs" in str(plan)) != by_noise


def test_plan_is_plain_frozen_and_repeatable():
    plan = make_plan((100, 300), fixed_settings(), SPEC)
    assert plan == make_plan((100, 300), fixed_settings(), SPEC)
    assert json.loads(json.dumps(plan.to_dict())) == plan.to_dict()
    with pytest.raises(FrozenInstanceError):
        plan.seed = 1  # type: ignore[misc]
    adaptive = make_plan((300, 300), make_settings(ADAPTIVE), SPEC, stats(300, 300))
    assert json.loads(json.dumps(adaptive.to_dict())) == adaptive.to_dict()
    assert adaptive.to_dict()["extra_runs"] == [{"timesteps": [200], "seed": 12345}]


def test_plan_says_what_will_be_done():
    plan = make_plan((100, 300), fixed_settings({"cfg_scale": 2, "timesteps": [200, 100], "self_ensemble": 4}), SPEC)
    assert plan.output_size == (400, 1200) and plan.lq_size == (128, 304) and plan.origin == (14, 0)
    assert [box.left for box in plan.tiles] == [0, 64, 128, 176]
    words = " ".join(plan.reasons)
    for fact in ("300 x 100", "1200 x 400", "4 tiles", "2 steps", "Guidance 2", "4 views", "Padded"):
        assert fact in words, fact


def test_every_adaptive_decision_is_in_the_plan_with_its_reason():
    plan = make_plan((300, 300), make_settings(ADAPTIVE), SPEC, stats(300, 300))
    assert (plan.timesteps, plan.cfg_scale, plan.complexity, plan.noise, plan.blur) == ((200, 100, 50), 1.5, 0.5, 0.5, 2.0)
    assert 0.9 < plan.consistency < 1 and 0.1 < plan.enhancement < 0.15 and plan.attention_blending and plan.fusion == "weighted"
    words = str(plan)
    for fact in (
        "Clean (sigma 0.5) and blurred (blur 2.0): three steps from timestep 200.",
        "Complexity 0.50: guidance 1.50",
        "overlapping by 25% where the picture is simple and up to 50% where it is detailed",
        "Noise sigma 0.5: consistency 1.00.",
        "edges enhanced by 0.15 of at most 0.3",
        "Fusion (weighted) of results with 3 steps and 1 step: every tile goes through the networks twice.",
    ):
        assert fact in words, fact


def test_results_of_faintly_compressed_inputs_are_restrained_where_a_model_of_exact_latents_is_not_asked_to_sharpen():
    exact = replace(SPEC, latent_factor=4, latent_channels=48)
    cases = (
        (exact, {}, 2.0, 1.0),
        (exact, {}, 1.25, 0.5),
        (exact, {}, 0.0, 0.0),
        (exact, {}, 1.0, 0.0),
        (exact, {}, 3.0, 0.5),
        (exact, {}, 5.0, 0.0),
        (exact, {"cfg_scale": 1.5}, 2.0, 0.0),
        (SPEC, {}, 2.0, 0.0),
        (SPEC, {"restraint": 0.3}, 0.0, 0.3),
    )
    for spec, settings, compression, expected in cases:
        plan = make_plan((300, 300), make_settings(settings), spec, stats(300, 300, compression=compression))
        assert plan.restraint == expected
        assert ("estraint" in str(plan)) == (expected > 0)


def test_what_is_off_is_off_and_needs_no_statistics():
    settings = Settings(consistency=0.0, restraint=0.0)
    plan = make_plan((300, 300), settings, SPEC)
    assert (plan.fusion, plan.extra_runs, plan.consistency, plan.restraint, plan.fidelity, plan.enhancement) == ("none", (), 0, 0, 0, 0)
    assert (plan.complexity, plan.noise, plan.compression, plan.blur) == (None, None, None, None) and not plan.attention_blending
    assert make_plan((300, 300), settings, SPEC, stats(300, 300)).reasons == plan.reasons
    with pytest.raises(ValueError, match="measure"):
        make_plan((300, 300), make_settings({"adaptive_guidance": True}), SPEC)


def test_settings_say_what_decisions_do_not():
    given = {
        "consistency": 0.5,
        "fidelity": 0.25,
        "edge_enhancement": True,
        "enhancement_strength": 0.4,
        "color_fix": "hybrid",
        "hybrid_mode": "best",
    }
    plan = make_plan((300, 300), fixed_settings(given), SPEC)
    assert (plan.consistency, plan.fidelity, plan.enhancement, plan.color_fix, plan.hybrid_mode) == (0.5, 0.25, 0.4, "hybrid", "best")
    for fact in ("Consistency 0.5, as set.", "Fidelity 0.25, as set.", "Edges enhanced by 0.4, as set."):
        assert fact in plan.reasons, fact


def test_smart_chopping_saves_tiles_where_the_picture_is_simple():
    settings = make_settings({"smart_chopping": True, "pch_size": 64})
    simple, detailed = (make_plan((400, 400), settings, SPEC, stats(400, 400, complexity)) for complexity in (0.0, 1.0))
    fixed = make_plan((400, 400), fixed_settings({"pch_size": 64}), SPEC)
    assert len(simple.tiles) < 0.7 * len(detailed.tiles) and len(detailed.tiles) <= len(fixed.tiles)
    assert f"(a fixed grid at 50% takes {len(fixed.tiles)})" in str(simple)


def test_adaptive_enhancement_works_by_itself():
    """Defect of the reference programs: adaptive enhancement is ignored unless another adaptive option is on."""
    for given in ({"adaptive_enhancement": True}, {"adaptive_enhancement": True, "edge_enhancement": True}):
        plan = make_plan((64, 64), make_settings(given), SPEC, stats(64, 64, complexity=0.5, noise=0))
        assert plan.enhancement == pytest.approx(0.15)


@pytest.mark.parametrize(("candidates", "runs"), [("back_projected", 1), ("color_fixes", 1), ("steps", 2), ("seeds", 2)])
def test_the_cost_of_fusion_is_in_the_plan_before_it_runs(candidates, runs):
    plan = make_plan((300, 300), fixed_settings({"attention_fusion": True, "fusion_candidates": candidates}), SPEC)
    assert len(plan.runs) == len({*plan.runs}) == runs and plan.runs[0] == Run(plan.timesteps, plan.seed)
    assert plan.tile_count == runs * len(plan.tiles)
    assert ("networks twice" in str(plan)) == (runs == 2)


def test_fusion_of_steps_and_seeds_has_genuinely_different_candidates():
    def other(given, spec=SPEC):
        return make_plan((64, 64), fixed_settings({"attention_fusion": True, **given}), spec).extra_runs[0]

    assert other({"fusion_candidates": "seeds", "seed": HIGHEST_SEED}) == Run((200,), 0)
    assert other({"fusion_candidates": "steps"}) == Run((200, 100), 12345)
    assert other({"fusion_candidates": "steps", "timesteps": [200, 100]}) == Run((200,), 12345)
    with pytest.raises(UserError, match="fusion_candidates"):
        other({"fusion_candidates": "steps", "timesteps": [500]}, replace(SPEC, timesteps=(300, 1000)))


@pytest.mark.parametrize(
    ("size", "given", "words"),
    [
        ((10, 10), {"pch_size": 100}, "multiple of 16"),
        ((3000, 3000), {"max_output_megapixels": 64}, r"144.0 megapixels, about 2.4 GB of memory\), above the limit of 64"),
        ((0, 5), {}, "no pixels"),
        (
            (1, 2_000_000),
            {},
            "Padded to tiles of 128 pixels the result would be 8000000 x 512 and take 132 GB of memory or more, above the limit of 300 ",
        ),
        ((2800, 2800), {"pch_size": 16, "overlap": 0.9, "max_output_megapixels": 1000}, "more than 100000 tiles"),
    ],
)
def test_what_the_model_cannot_do_is_refused(size, given, words):
    with pytest.raises(UserError, match=words):
        make_plan(size, fixed_settings({}, given), SPEC)


def test_tiles_are_counted_as_they_are_laid():
    """Steps between tiles are whole pixels: of a tile of 3 that overlap by half they are 1, of one of 1 never less."""
    spec, least = replace(SPEC, lq_multiple=1), {"max_output_megapixels": 1000}
    with pytest.raises(UserError, match="more than 100000 tiles"):
        make_plan((470, 470), fixed_settings(least, {"pch_size": 3, "overlap": 0.5}), spec)
    assert make_plan((32, 32), fixed_settings(least, {"pch_size": 1, "overlap": 0.9}), spec).tile_count == 1024


def test_a_picture_within_the_limit_is_not_refused_for_being_padded_to_the_models_multiple():
    assert make_plan((1990, 2010), fixed_settings({"max_output_megapixels": 64}), SPEC).lq_size == (2000, 2016)


def test_timesteps_the_model_was_not_trained_for_are_refused():
    with pytest.raises(UserError, match="from 1 to 250"):
        make_plan((10, 10), fixed_settings({"timesteps": [500]}), replace(SPEC, timesteps=(1, 250)))


@pytest.mark.parametrize(("steps", "row"), json.loads((PARITY / "timestep_table.json").read_text())["steps"].items())
def test_timesteps_by_number_of_steps_are_the_published_ones(steps, row):
    assert list(timesteps_for(int(steps))) == row["timesteps_argument"]


@pytest.mark.parametrize("steps", [0, -1, 251])
def test_impossible_numbers_of_steps_are_refused(steps):
    with pytest.raises(UserError):
        timesteps_for(steps)


def test_planning_needs_neither_torch_nor_pictures():
    code = "import sys, utils.planning.plan, sampler_invsr; assert not {'torch', 'PIL', 'diffusers', 'cv2'} & set(sys.modules)"
    assert run([sys.executable, "-c", code], cwd=PROJECT).returncode == 0
