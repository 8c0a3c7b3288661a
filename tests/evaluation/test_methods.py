import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from tests.conftest import PIPELINE_TINY, PROJECT
from utils.evaluation.methods import make_methods, preset_names
from utils.planning.errors import UserError


def never(settings):
    raise AssertionError("no model must be loaded")


def test_bicubic_is_the_baseline_of_the_literature(photo):
    (method,) = make_methods(["bicubic"], 4, never)
    lq = photo[:24, :31]
    expected = F.interpolate(torch.from_numpy(lq).permute(2, 0, 1)[None] / 255, scale_factor=4, mode="bicubic", align_corners=False)
    expected = (expected.clamp(0, 1) * 255).round()[0].permute(1, 2, 0).numpy().astype(np.uint8)
    result = method.upscale(lq)
    assert np.abs(result.rgb.astype(int) - expected).max() <= 1 and (result.rgb != expected).mean() < 1e-3
    assert result.rgb.dtype == np.uint8 and result.tiling is None


def test_lanczos_is_pillows(photo):
    (method,) = make_methods(["lanczos"], 2, never)
    lq = photo[:24, :31]
    pillow = np.asarray(Image.fromarray(lq).resize((62, 48), Image.Resampling.LANCZOS))
    assert np.abs(method.upscale(lq).rgb.astype(int) - pillow).max() <= 2  # Pillow rounds between its two passes


def test_grey_stays_grey(photo):
    for method in make_methods(["bicubic", "lanczos"], 4, never):
        rgb = method.upscale(photo[:16, :16, :1]).rgb
        assert rgb.shape == (64, 64, 3) and (rgb == rgb[..., :1]).all()


def test_a_model_is_the_sampler_with_the_colour_fix_off_unless_asked_for(photo, embedded_sampler):
    asked = []

    def make_sampler(settings):
        from sampler_invsr import InvSamplerSR

        asked.append(settings)
        return InvSamplerSR(settings.to_dict())

    words = ["tiny:dtype=float32:device=cpu", "tiny:dtype=float32:device=cpu:color_fix=wavelet:timesteps=[200,100]:seed=7"]
    plain, fixed = make_methods(words, 4, make_sampler)
    assert [settings.color_fix for settings in asked] == ["none", "wavelet"]
    lq = photo[:40, :50]
    result = plain.upscale(lq)
    expected = embedded_sampler.upscale(lq, color_fix="none")
    np.testing.assert_array_equal(result.rgb, expected.picture)
    assert result.tiling is not None and len(result.tiling.tiles) == len(expected.plan.tiles)
    np.testing.assert_array_equal(fixed.upscale(lq).rgb, embedded_sampler.upscale(lq, timesteps=[200, 100], seed=7).picture)
    assert plain.facts["color_fix"] == "none" and plain.facts["timesteps"] == [200] and plain.facts["dtype"] == "float32"
    assert fixed.facts["timesteps"] == [200, 100] and fixed.facts["weights"] == plain.facts["weights"]
    assert "prompt" not in plain.facts


@pytest.mark.parametrize("scale", [2, 3, 8])
def test_a_model_enlarges_as_often_as_is_compared(photo, sampler, tiny_config, tmp_path, scale):
    (tmp_path / "mine.yaml").write_text(json.dumps(tiny_config))
    (method,) = make_methods([f"{tmp_path}/mine.yaml"], scale, lambda settings: sampler.with_settings(sf=settings.basesr.sf))
    result = method.upscale(photo[:20, :70])
    assert result.rgb.shape == (20 * scale, 70 * scale, 3) and result.tiling is not None and result.tiling.scale == scale
    assert method.facts["sf"] == scale


def test_labels_and_facts_tell_no_paths_of_the_machine(tmp_path, sampler, tiny_config):
    (tmp_path / "mine.yaml").write_text(json.dumps(tiny_config))
    words = ["bicubic", f"{tmp_path}/mine.yaml", f"{tmp_path}/../{tmp_path.name}/mine.yaml", f"{tmp_path}/mine.yaml:seed=7"]
    methods = make_methods(words, 4, lambda settings: sampler)
    assert [method.label for method in methods] == ["bicubic", "mine", "mine (2)", "mine seed=7"]
    assert methods[1].facts["pretrained_model_name_or_path"] == "pipeline_tiny" and len(methods[1].facts["weights"]) == 12
    assert methods[1].facts["prompt"]
    assert not any(str(part) in json.dumps([method.facts for method in methods]) for part in (tmp_path, PROJECT))


def test_other_weights_have_another_digest(sampler, embedded_sampler, tmp_path):
    spec = SimpleNamespace(name="any", has_text=False)
    some = SimpleNamespace(spec=spec, device=torch.device("cpu"), dtype=torch.float32)
    pipeline = f"tiny:sd_pipe.params.pretrained_model_name_or_path={PIPELINE_TINY}"
    first, second = make_methods(["tiny", pipeline], 4, lambda settings: some)
    assert first.facts["weights"] != second.facts["weights"]


def test_presets_are_called_by_their_short_names():
    assert {"tiny", "sd-turbo"} <= set(preset_names())


@pytest.mark.parametrize(
    ("words", "scale", "message"),
    [
        (["bicubic", "nearest"], 4, "There is no method nearest; use bicubic, lanczos, .*tiny"),
        (["bicubic", "bicubic"], 4, "bicubic is named twice"),
        (["bicubic", "none.yaml"], 4, "none.yaml does not exist"),
        (["tiny:sed=7"], 4, "did you mean seed"),
        (["tiny:timesteps=[0]"], 4, "0 is not"),
        (["bicubic", "tiny:sf=4"], 2, "tiny asks for another size than 2 times"),
        (["tiny:longest_side=300"], 4, "tiny asks for another size than 4 times"),
    ],
)
def test_wrong_names_and_settings_are_told_before_any_model_is_loaded(words, scale, message):
    with pytest.raises(UserError, match=message):
        make_methods(words, scale, never)
