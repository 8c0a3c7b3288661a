"""What the configuration files of a model must say before any network is built."""

import json
import shutil

import pytest

from tests.conftest import PIPELINE_TINY, PROJECT
from utils.planning.errors import UserError
from utils.planning.model_spec import read_config, read_model_spec

CONFIG = json.loads((PIPELINE_TINY / "noise_predictor" / "config.json").read_text())["config"]


@pytest.fixture
def folder(tmp_path):
    for part in ("vae", "unet"):
        (tmp_path / "model" / part).mkdir(parents=True)
        shutil.copy(PIPELINE_TINY / part / "config.json", tmp_path / "model" / part)
    (tmp_path / "model" / "text_encoder").mkdir()
    return tmp_path / "model"


def changed(path, **values):
    """The JSON file with other values; None takes a name out."""
    content = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


def test_facts_of_both_kinds_of_latents(folder):
    spec = read_model_spec(folder, CONFIG, (1, 250))
    assert (spec.scale, spec.latent_factor, spec.latent_channels, spec.lq_multiple) == (4, 8, 4, 16)
    assert spec.timesteps == (1, 250) and spec.has_text
    tiny = PROJECT / "weights" / "tiny"
    spec = read_model_spec(tiny, json.loads((tiny / "noise_predictor" / "config.json").read_text())["config"], None)
    assert (spec.scale, spec.latent_factor, spec.latent_channels, spec.lq_multiple) == (4, 4, 48, 1)
    assert spec.timesteps == (1, 1000) and not spec.has_text


@pytest.mark.parametrize("value", [None, "x", [], [16, 0], [16, -1], [16, 1.5], [True, True], [16] * 9, {"a": 1}, [10**9]])
@pytest.mark.parametrize("part", ["vae", "unet"])
def test_widths_must_be_a_list_of_sane_whole_numbers(folder, part, value):
    changed(folder / part / "config.json", block_out_channels=value)
    with pytest.raises(UserError, match="block_out_channels in the model file"):
        read_model_spec(folder, CONFIG, None)


@pytest.mark.parametrize("value", [None, 0, -4, "4", 4.0, True, [4], 10**9])
@pytest.mark.parametrize(("part", "name"), [("vae", "latent_channels"), ("unet", "in_channels"), ("unet", "out_channels")])
def test_channels_must_be_sane_whole_numbers(folder, part, name, value):
    changed(folder / part / "config.json", **{name: value})
    with pytest.raises(UserError, match=f"{name} in the model file"):
        read_model_spec(folder, CONFIG, None)


@pytest.mark.parametrize("levels", [None, 0, "2", 40])
def test_levels_of_wavelets_must_be_a_sane_whole_number(folder, levels):
    changed(folder / "vae" / "config.json", _class_name="WaveletLatents", levels=levels)
    with pytest.raises(UserError, match="levels in the model file"):
        read_model_spec(folder, CONFIG, None)


@pytest.mark.parametrize("value", [0, -1, "x", True, [1], float("nan"), float("inf")])
def test_the_scaling_factor_must_be_a_number_above_zero(folder, value):
    changed(folder / "vae" / "config.json", scaling_factor=value)
    with pytest.raises(UserError, match="scaling_factor in the model file"):
        read_model_spec(folder, CONFIG, None)


@pytest.mark.parametrize("values", [{"_class_name": "AutoencoderTiny"}, {"shift_factor": 0.1}, {"latents_mean": [0.1] * 4}])
def test_latents_that_mean_something_else_are_refused(folder, values):
    changed(folder / "vae" / "config.json", **values)
    with pytest.raises(UserError, match="AutoencoderKL whose latents are scaled"):
        read_model_spec(folder, CONFIG, None)


@pytest.mark.parametrize(("part", "values"), [("vae", {"latent_channels": 8}), ("unet", {"in_channels": 8}), ("unet", {"out_channels": 1})])
def test_parts_must_have_the_same_latents(folder, part, values):
    changed(folder / part / "config.json", **values)
    with pytest.raises(UserError, match="different latents"):
        read_model_spec(folder, CONFIG, None)


def test_cross_attention_decides_about_text(folder):
    (folder / "text_encoder").rmdir()
    with pytest.raises(UserError, match="no folder text_encoder"):
        read_model_spec(folder, CONFIG, None)
    changed(folder / "unet" / "config.json", down_block_types=["DownBlock2D"] * 4, up_block_types=["UpBlock2D"] * 4)
    with pytest.raises(UserError, match="no folder text_encoder"):  # the middle block still has it
        read_model_spec(folder, CONFIG, None)
    changed(folder / "unet" / "config.json", mid_block_type="UNetMidBlock2D")
    (folder / "text_encoder").mkdir()
    assert not read_model_spec(folder, CONFIG, None).has_text


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe\x00", b"[" * 100_000])
def test_damaged_configurations_get_one_plain_sentence(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(UserError, match="is damaged or unreadable"):
        read_config(tmp_path / "config.json")
