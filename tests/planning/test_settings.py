import numpy as np
import pytest
from omegaconf import OmegaConf

from tests.conftest import PROJECT
from utils.planning import settings as module
from utils.planning.checked_settings import make_settings, parse_assignments, with_overrides
from utils.planning.errors import UserError
from utils.planning.settings import Settings, leaves

BY_THE_PICTURE = ("consistency", "restraint")


@pytest.mark.parametrize("preset", ["sample-tiny.yaml", "sample-sd-turbo.yaml"])
def test_presets_are_valid_and_spell_out_every_setting(preset):
    config = OmegaConf.load(PROJECT / "configs" / preset)
    for name, _ in leaves():
        assert OmegaConf.select(config, name, throw_on_missing=True, default="absent") != "absent", name
    make_settings(config)


def test_the_embedded_preset_is_the_default():
    assert make_settings(PROJECT / "configs" / "sample-tiny.yaml") == make_settings() == Settings()


def test_nested_settings_go_by_their_last_name():
    settings = make_settings({"basesr": {"chopping": {"pch_size": 64}}}, {"extra_bs": 2, "basesr.chopping.overlap": 0.25})
    chopping = settings.basesr.chopping
    assert (chopping.pch_size, chopping.extra_bs, chopping.overlap) == (64, 2, 0.25)
    assert make_settings({"pch_size": 64}).basesr.chopping.pch_size == 64


def test_last_names_are_unique():
    names = [name for name, _ in leaves()]
    assert len(module.DOTTED_NAMES) == len(names) - 1  # all but model_start.params


def test_overrides_leave_the_original_alone():
    settings = make_settings({"timesteps": [200, 100], "model_start": {"params": {"layers_per_block": [3, 3]}}})
    changed = with_overrides(settings, {"seed": 7, "timesteps": (100,)})
    assert (changed.seed, changed.timesteps, changed.model_start) == (7, (100,), settings.model_start)
    assert (settings.seed, settings.timesteps) == (12345, (200, 100))
    with pytest.raises(AttributeError):
        settings.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"pch_siz": 64}, "did you mean pch_size?"),
        ({"basesr": {"choping": {}}}, "did you mean chopping?"),
        ({"zzzzzzzz": 1}, "no setting zzzzzzzz"),
        ({"basesr": 5}, "group of settings"),
        ({"seed": 1.5}, "seed must be a whole number from 0 to"),
        ({"seed": True}, "seed must be a whole number"),
        ({"seed": -1}, "seed must be from 0"),
        ({"cfg_scale": 0.5}, "cfg_scale must be from 1"),
        ({"cfg_scale": float("nan")}, "cfg_scale must be from 1"),
        ({"cfg_scale": "much"}, "cfg_scale must be a number from 1 to 20\\."),
        ({"cfg_scale": 40}, "cfg_scale must be from 1 to 20, not 40\\."),
        ({"overlap": 1.0}, "overlap must be from 0"),
        ({"extra_bs": 0}, "extra_bs must be from 1"),
        ({"max_output_megapixels": float("inf")}, "max_output_megapixels must be from 0.000001 to 1000000, not inf"),
        ({"color_fix": "histogramm"}, "color_fix must be one of none, wavelet, ycbcr"),
        ({"adaptive_scheduler": "perhaps"}, "adaptive_scheduler must be true or false"),
        ({"smart_chopping": 0.3}, "smart_chopping must be true or false"),
        ({"min_overlap": 0.04}, "min_overlap must be from 0.05"),
        ({"min_overlap": 0.6}, "min_overlap must not be above max_overlap, and 0.6 is above 0.5"),
        ({"guidance_min": 3}, "guidance_min must not be above guidance_max, and 3 is above 2"),
        ({"color_fix": "Wavlet"}, "color_fix must be one of none, wavelet, ycbcr, histogram, hybrid, adain, not 'Wavlet'; did you mean 'wavelet'\\?"),
        ({"color_fix": "blue"}, "adain, not 'blue'\\."),
        *(({name: value}, f"{name} must be from 0 to 1 or auto, not {value!r}") for name in BY_THE_PICTURE for value in ("much", 1.1)),
        *(({name: value}, f"{name} must be a number or auto") for name in BY_THE_PICTURE for value in (True, None)),
        ({"fidelity": 2}, "fidelity must be from 0 to"),
        ({"enhancement_strength": -0.1}, "enhancement_strength must be from 0 to"),
        ({"fusion_method": "mean"}, "fusion_method must be one of weighted, max"),
        ({"fusion_candidates": "prompts"}, "fusion_candidates must be one of"),
        ({"hybrid_mode": "worst"}, "hybrid_mode must be one of adaptive, seed, best"),
        ({"device": "tpu"}, "device must be one of"),
        ({"dtype": "int8"}, "dtype must be one of"),
        ({"prompt": "${oc.env:HOME}"}, "contain '"),
        ({"seed": "???"}, "must not be"),
        ({"prompt": None}, "prompt must be a text"),
        ({"timesteps": "many"}, "list of whole numbers"),
        ({"timesteps": {"a": 1}}, "list of whole numbers"),
        ({"timesteps": [200.5]}, "list of whole numbers"),
        ({"timesteps": [[200]]}, "list of whole numbers"),
        ({"SEED": 1}, "did you mean seed"),
        ({"seed": 10**400}, "seed must be from 0 to"),
        ({"fidelity": 10**400}, "fidelity must be a number"),
        ({"fidelity": float("nan")}, "fidelity must be from 0 to 1, not nan"),
        ({"basesr.chopping.pch_size" + ".a" * 100_000: 1}, "pch_size must be a whole number"),
        ({"a" * 100_000: 1}, "There is no setting a{60}; "),
        ({"timesteps": []}, "at least one"),
        ({"timesteps": [0]}, "0 is not"),
        ({"timesteps": [1001]}, "1001 is not"),
        ({"timesteps": [100, 200]}, "must fall"),
        ({"timesteps": [200, 200]}, "must fall"),
    ],
)
def test_wrong_settings_get_one_plain_sentence(given, words):
    with pytest.raises(UserError, match=words.replace("(", r"\(")) as caught:
        make_settings({}, given)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError):
        make_settings(given)


@pytest.mark.parametrize("depth", [300, 5000])
def test_settings_deeper_than_python_can_follow_get_one_plain_sentence(tmp_path, depth):
    params = {}
    for _ in range(depth):
        params = {"a": params}
    file = tmp_path / "deep.yaml"
    file.write_text("model_start: {params: " + "{a: " * depth + "1" + "}" * depth + "}")
    for given in ({"model_start": {"params": params}}, file):
        with pytest.raises(UserError, match=r"far deeper than any there are|exceeded maximum nesting depth") as caught:
            make_settings(given)
        assert len(str(caught.value)) < 200


def test_a_value_that_is_replaced_does_no_harm_and_the_one_that_counts_is_named():
    assert make_settings({"seed": "abc"}, {"seed": 7}).seed == 7
    with pytest.raises(UserError, match=r"^sf must be a number"):
        make_settings({"seed": "abc"}, {"seed": 7, "sf": "x"})


@pytest.mark.parametrize(("given", "expected"), [("auto", "auto"), (1, 1.0), (0.5, 0.5), (np.float32(0.5), 0.5), (np.int64(1), 1.0)])
@pytest.mark.parametrize("name", BY_THE_PICTURE)
def test_what_the_picture_may_decide_is_a_number_or_auto(name, given, expected):
    settings = make_settings({}, {name: given})
    assert getattr(settings, name) == expected and type(getattr(settings, name)) is type(expected)
    assert make_settings(settings.to_dict()) == settings


def test_switches_may_be_words_on_the_command_line():
    settings = make_settings({}, parse_assignments(["smart_chopping=true", "adaptive_guidance=no", "consistency=auto", "fidelity=1"]))
    assert (settings.smart_chopping, settings.adaptive_guidance, settings.consistency, settings.fidelity) == (True, False, "auto", 1.0)


def test_config_can_be_an_omegaconf_config_with_keys_added():
    config = OmegaConf.load(PROJECT / "configs" / "sample-sd-turbo.yaml")
    config.timesteps = [200, 100]
    config.color_fix = None
    settings = make_settings(config)
    assert settings.timesteps == (200, 100) and settings.color_fix == "none"
    assert settings.model_start.params["block_out_channels"] == [256, 512]


@pytest.mark.parametrize("content", ["a: [", "just text", "- 1\n- 2", "a: *x"])
def test_unreadable_files_get_one_plain_sentence(tmp_path, content):
    path = tmp_path / "settings.yaml"
    path.write_text(content)
    with pytest.raises(UserError):
        make_settings(path)
    with pytest.raises(UserError, match="does not exist"):
        make_settings(tmp_path / "none.yaml")


def test_a_mistake_in_a_file_is_told_by_its_line(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("seed: 7\ntimesteps: [200\nsf: 4\n")
    with pytest.raises(UserError, match=r"cannot be read as YAML \(line 3: .*\); correct it"):
        make_settings(path)


def test_assignments_are_yaml_except_texts():
    words = ["timesteps=[200,100]", "prompt=sky, blue: yes", "cfg_scale=2", "pch_size=64", "negative_prompt=no", "revision=5e12345", "color_fix=null"]
    expected = {"timesteps": [200, 100], "prompt": "sky, blue: yes", "cfg_scale": 2, "pch_size": 64}
    assert parse_assignments(words) == {**expected, "negative_prompt": "no", "revision": "5e12345", "color_fix": None}
    assert parse_assignments(["timesteps=200,100"]) == {"timesteps": [200, 100]}  # without brackets, which some shells take for themselves
    for wrong in ("seed", "=5", "timesteps=[200: }"):
        with pytest.raises(UserError):
            parse_assignments([wrong])


def test_numbers_may_come_from_numpy():
    settings = make_settings({}, {"seed": np.int64(7), "cfg_scale": np.float32(2), "timesteps": np.array([200, 100])})
    assert (settings.seed, settings.cfg_scale, settings.timesteps) == (7, 2.0, (200, 100))


def test_reproducible_settings_hold_no_path_and_no_machine():
    facts = make_settings({"sd_pipe": {"params": {"pretrained_model_name_or_path": "/secret"}}, "device": "cpu"}).reproducible()
    assert "/secret" not in str(facts) and "device" not in facts and facts["pch_size"] == 128 and facts["prompt"]


def test_settings_survive_a_round_trip_through_plain_data():
    settings = make_settings({"timesteps": [150], "prompt": "a, b"})
    assert make_settings(settings.to_dict()) == settings
