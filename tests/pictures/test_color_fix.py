import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import PARITY, SHARED
from utils.pictures.color_fix import COLOR_FIX_FUNCTIONS, fix_wavelet, fix_ycbcr, rgb_to_ycbcr, wavelet_low, ycbcr_to_rgb
from utils.pictures.stages import STAGES, StageContext, run_stages
from utils.planning.model_spec import ModelSpec
from utils.planning.plan import make_plan
from utils.planning.settings import COLOR_FIXES, make_settings

SPEC = ModelSpec(name="test", scale=4, latent_factor=8, latent_channels=4, lq_multiple=16, timesteps=(1, 1000), has_text=True)


def fixtures():
    names = ["gradient", "flat"]
    for name in names:
        yield pytest.param(PARITY / f"{name}.safetensors", id=name)
    photo = SHARED / "parity" / "seed_stages" / "photo.safetensors"
    yield pytest.param(photo, id="photo", marks=pytest.mark.skipif(not photo.exists(), reason="the photograph is not part of the repository"))


@pytest.mark.parametrize("path", fixtures())
def test_fixes_are_the_published_formulas(path):
    data = load_file(path)
    content, reference = data["content_u8"][None].float() / 255, data["image_u8"][None].float() / 255
    torch.testing.assert_close(wavelet_low(reference), data["wavelet.low"], atol=1e-6, rtol=0)
    torch.testing.assert_close(fix_wavelet(content, reference), data["wavelet"], atol=1e-6, rtol=0)
    torch.testing.assert_close(rgb_to_ycbcr(reference), data["rgb2ycbcr"], atol=1e-6, rtol=0)
    torch.testing.assert_close(fix_ycbcr(content, reference), data["ycbcr"], atol=1e-6, rtol=0)


def test_ycbcr_round_trip():
    rgb = torch.rand(2, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ycbcr_to_rgb(rgb_to_ycbcr(rgb)), rgb, atol=4e-6, rtol=0)


def test_every_fix_that_settings_offer_exists():
    assert set(COLOR_FIX_FUNCTIONS) == set(COLOR_FIXES)


@pytest.mark.parametrize("name", COLOR_FIXES)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (40, 24)])
def test_fixes_leave_a_picture_that_is_right_alone(name, size):
    rgb = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(COLOR_FIX_FUNCTIONS[name](rgb, rgb), rgb, atol=5e-6, rtol=0)


@pytest.mark.parametrize("name", ["wavelet", "ycbcr"])
def test_fixes_remove_a_colour_cast_without_favouring_borders(name):
    reference = torch.full((1, 3, 48, 48), 0.5)
    cast = reference + torch.tensor([0.05, -0.03, 0.0]).view(1, 3, 1, 1)
    fixed = COLOR_FIX_FUNCTIONS[name](cast, reference)
    assert (fixed - fixed[..., :1, :1]).abs().max() < 1e-5, "flat stays flat, up to the border"
    assert (fixed - reference).abs().max() < (cast - reference).abs().max() / 3


@pytest.mark.parametrize("name", COLOR_FIXES)
def test_colours_are_compared_with_the_unpadded_picture(name):
    """Defect of the reference programs: a padded, hence shifted, reference for every picture that is not a multiple of 16."""
    lq = torch.rand(1, 3, 21, 37, generator=torch.Generator().manual_seed(2)) * 0.5 + 0.25
    plan = make_plan((21, 37), make_settings({"color_fix": name}), SPEC)
    sr = torch.nn.functional.interpolate(lq, scale_factor=4, mode="bicubic", antialias=True)
    torch.testing.assert_close(run_stages(sr, StageContext(lq, plan)), sr.clamp(0, 1), atol=1e-5, rtol=0)


def test_stages_keep_the_range_and_their_input():
    sr = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 3 - 1
    before = sr.clone()
    context = StageContext(torch.rand(1, 3, 16, 16), make_plan((16, 16), make_settings({"color_fix": "wavelet"}), SPEC))
    result = run_stages(sr, context)
    assert result.min() >= 0 and result.max() <= 1 and torch.equal(sr, before)
    assert list(STAGES) == ["color_fix"]
