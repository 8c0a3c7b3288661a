"""Presets, and when a setting matters."""

import pytest

from utils.planning.checked_settings import make_settings, with_overrides
from utils.planning.presets import DECIDED, PRESETS, preset_of, preset_values
from utils.planning.settings import OFFERED, OPTIONS, matters


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_recognised_from_what_it_sets_and_leaves_the_rest(name):
    own = make_settings(
        {
            "seed": 5,
            "pch_size": 64,
            "color_fix": "ycbcr",
            "sf": 2,
            "longest_side": 900,
            "consistency": 0.7,
            "attention_fusion": True,
            "timesteps": [150, 50],
        }
    )
    settings = with_overrides(own, preset_values(name))
    assert preset_of(settings) == name
    assert (settings.seed, settings.basesr.chopping.pch_size, settings.color_fix) == (5, 64, "ycbcr")
    assert (settings.basesr.sf, settings.basesr.longest_side) == (2, 900)
    assert preset_of(with_overrides(settings, {"fidelity": 0.9})) is None


def test_one_preset_after_another_leaves_nothing_of_the_first():
    settings = make_settings()
    for first in PRESETS:
        for second in PRESETS:
            changed = with_overrides(with_overrides(settings, preset_values(first)), preset_values(second))
            assert changed == with_overrides(settings, preset_values(second))


def test_what_does_not_matter_makes_no_other_preset():
    assert preset_of(with_overrides(make_settings(), preset_values("Creative") | {"cfg_scale": 3.0})) == "Creative"
    assert preset_of(with_overrides(make_settings(), preset_values("Balanced") | {"enhancement_strength": 0.9})) == "Balanced"


def test_presets_set_offered_settings_only():
    assert all(set(preset.values) <= set(DECIDED) for preset in PRESETS.values())
    assert set(DECIDED) <= set(OFFERED)


def test_a_setting_matters_when_all_that_it_needs_does():
    off = {"attention_fusion": False, "color_fix": "wavelet", "adaptive_guidance": False, "edge_enhancement": False}
    assert [matters(name, off) for name in ("fusion_method", "hybrid_mode", "cfg_scale", "guidance_max", "seed")] == [False, False, True, False, True]
    on = off | {"attention_fusion": True, "color_fix": "hybrid", "adaptive_guidance": True}
    assert [matters(name, on) for name in ("fusion_method", "hybrid_mode", "cfg_scale", "guidance_max", "seed")] == [True, True, False, True, True]


def test_what_needs_others_names_settings_and_values_that_there_are():
    for name in OFFERED:
        for other, wanted in OPTIONS[name]["needs"].items():
            for value in wanted:
                make_settings({other: value})
        assert not OPTIONS[name]["turns_on"] or OPTIONS[name]["turns_on"] in OPTIONS[name]["needs"]


def test_every_setting_that_decides_pixels_can_be_chosen_but_what_belongs_to_the_model():
    assert set(make_settings().reproducible()) - set(OFFERED) == {"extra_bs", "dtype"}
