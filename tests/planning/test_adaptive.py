import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.planning.adaptive import adaptive_enhancement, adaptive_guidance, adaptive_timesteps, auto_consistency, extremes, needs_statistics
from utils.planning.checked_settings import make_settings
from utils.planning.schedule import PUBLISHED
from utils.planning.settings import Settings
from utils.planning.statistics import ComplexityMap, ImageStats

share = st.floats(0, 1)
level = st.floats(0, 255)


def stats(complexity=0.5, noise=0.0, blur=0.0):
    return ImageStats(complexity, noise, 0.0, blur, ComplexityMap(np.full((4, 4), complexity, np.float32), 16))


def test_what_is_decided_by_the_picture_needs_its_statistics():
    assert not needs_statistics(
        make_settings({"edge_enhancement": True, "attention_fusion": True, "consistency": 1, "restraint": 0, "attention_blending": True})
    )
    for name in ("adaptive_scheduler", "adaptive_guidance", "smart_chopping", "adaptive_enhancement"):
        assert needs_statistics(make_settings({"consistency": 1, "restraint": 0, name: True})), name
    assert all(needs_statistics(make_settings({"consistency": 1, "restraint": 0, name: "auto"})) for name in ("consistency", "restraint"))
    assert needs_statistics(Settings())


def test_the_extremes_of_adaptive_settings_need_no_statistics_and_leave_the_others_as_they_are():
    adaptive = {"adaptive_scheduler": True, "adaptive_guidance": True, "smart_chopping": True, "adaptive_enhancement": True}
    least, most = extremes(make_settings(adaptive | {"guidance_max": 3.0, "seed": 7}), 1, 220)
    assert not needs_statistics(least) and not needs_statistics(most)
    assert (least.timesteps, least.cfg_scale, least.basesr.chopping.overlap) == ((200,), 1.0, 0.25)
    assert (most.timesteps, most.cfg_scale, most.basesr.chopping.overlap) == (PUBLISHED[4], 3.0, 0.5)  # the fifth list is beyond the model
    assert (least.restraint, most.restraint) == (0.0, 1.0)
    assert least.seed == most.seed == 7
    fixed = make_settings({"timesteps": [300, 30], "cfg_scale": 2.0, "overlap": 0.1, "consistency": 0.5, "restraint": 0.5})
    assert extremes(fixed, 1, 1000) == (fixed, fixed)


# ---- timesteps ----


@pytest.mark.parametrize(
    ("noise", "blur", "steps", "words"),
    [
        (0.5, 0.4, 1, "Clean (sigma 0.5) and sharp (blur 0.4): one step from timestep 200."),
        (9, 0.0, 1, "Noisy (sigma 9.0): one step from timestep 200."),
        (9, 4.0, 1, "Noisy (sigma 9.0): one step from timestep 200."),  # more steps would sharpen the noise
        (0.5, 1.5, 2, "Clean (sigma 0.5) and blurred (blur 1.5): two steps from timestep 200."),
        (0.5, 4.0, 5, "Clean (sigma 0.5) and blurred (blur 4.0): five steps from timestep 250."),
    ],
)
def test_timesteps_follow_noise_and_blur(noise, blur, steps, words):
    timesteps, reason = adaptive_timesteps(stats(noise=noise, blur=blur), 1, 1000, [200])
    assert timesteps == PUBLISHED[steps] and reason == words


def test_one_step_never_becomes_a_second_one_at_20():
    """Defect of the reference programs: the adaptive scheduler never reduces the steps, and adds one at t = 20, far below their range."""
    published = set(PUBLISHED.values())
    for noise in (0, 1, 2, 5, 20):
        for blur in np.linspace(0, 8, 40):
            timesteps, _ = adaptive_timesteps(stats(noise=noise, blur=blur), 1, 1000, [250, 200, 150, 100, 50])
            assert timesteps in published and min(timesteps) >= 50
    assert adaptive_timesteps(stats(), 1, 1000, [250, 200, 150, 100, 50])[0] == (200,)


@given(level, st.floats(0, 20), st.floats(0, 20))
def test_more_blur_never_means_fewer_steps(noise, blur, more):
    fewer, _ = adaptive_timesteps(stats(noise=noise, blur=blur), 1, 1000, [200])
    steps, _ = adaptive_timesteps(stats(noise=noise, blur=blur + more), 1, 1000, [200])
    assert len(fewer) <= len(steps)


@given(level, st.floats(0, 20), st.integers(1, 300), st.integers(0, 300))
def test_timesteps_stay_where_the_model_can_go(noise, blur, low, width):
    timesteps, reason = adaptive_timesteps(stats(noise=noise, blur=blur), low, low + width, [low])
    assert all(low <= t <= low + width for t in timesteps) and reason.endswith(".")


def test_a_model_that_knows_only_late_timesteps_gets_what_is_set():
    timesteps, reason = adaptive_timesteps(stats(blur=4), 300, 1000, [500, 400])
    assert timesteps == (500, 400) and "none of the published" in reason
    assert adaptive_timesteps(stats(blur=4), 100, 1000, [200])[0] == (200, 100)  # those with 50 are not its own


# ---- guidance ----


@given(share, share, st.floats(1, 20), st.floats(0, 19))
def test_guidance_rises_with_complexity_within_its_own_range(complexity, other, low, width):
    high = min(low + width, 20)
    first, second = (adaptive_guidance(value, low, high)[0] for value in sorted((complexity, other)))
    assert first <= second
    assert all(low <= value <= high or (value == 1 and low <= 1.005) for value in (first, second))


def test_guidance_has_an_effect_at_every_complexity():
    """Defect of the reference programs: adaptive guidance multiplies 1 and does nothing below a complexity of 0.6."""
    assert adaptive_guidance(0.3, 1, 2)[0] == pytest.approx(1.3)
    assert adaptive_guidance(0.3, 1, 2)[1] == "Complexity 0.30: guidance 1.30, every step runs the network twice."


@pytest.mark.parametrize("complexity", [0, 0.004])
def test_guidance_that_is_as_good_as_none_is_none(complexity):
    assert adaptive_guidance(complexity, 1, 2) == (1.0, "Complexity 0.00: no guidance.")


# ---- strengths ----


@given(level, level)
def test_the_more_noise_the_less_consistency(noise, more):
    (strong, _), (weak, _) = auto_consistency(noise), auto_consistency(noise + more)
    assert 0 <= weak <= strong <= 1


def test_clean_pictures_get_full_consistency_and_noisy_ones_a_quarter():
    assert auto_consistency(0) == (1.0, "Noise sigma 0.0: consistency 1.00.")
    assert auto_consistency(1.2)[0] > 0.9 and auto_consistency(5)[0] < 0.3 and auto_consistency(10)[0] == pytest.approx(0.25, abs=0.01)


@given(share, level, share)
def test_adaptive_enhancement_never_exceeds_the_strength(complexity, noise, strength):
    value, reason = adaptive_enhancement(stats(complexity, noise), strength)
    assert 0 <= value <= strength * complexity + 1e-12 and reason.endswith(".")


def test_adaptive_enhancement_of_a_clean_picture_is_the_seed_programs():
    assert adaptive_enhancement(stats(0.5, 0), 0.3)[0] == pytest.approx(0.3 * 0.5)
