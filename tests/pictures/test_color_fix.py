import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from tests.conftest import PARITY, SHARED
from utils.pictures.color_fix import DECISIONS, RIGHT, Regions, _quantiles, decided, fix_wavelet, fix_ycbcr, wavelet_low
from utils.pictures.resampling import bicubic_antialiased
from utils.pictures.rows import RowsInMemory
from utils.pictures.stages import StageContext, run_stages
from utils.planning.checked_settings import make_settings
from utils.planning.model_spec import ModelSpec
from utils.planning.plan import make_plan
from utils.planning.settings import COLOR_FIXES, HYBRID_MODES

SPEC = ModelSpec(name="test", scale=4, latent_factor=8, latent_channels=4, lq_multiple=16, timesteps=(1, 1000), has_text=True)
FIXES = [name for name in COLOR_FIXES if name != "none"]
GREY_LEVEL = 1 / 255


def regions(sr, lq):
    return Regions(RowsInMemory(sr), lq)


def low_frequency_difference(sr, lq):
    return regions(sr, lq).difference()


def fix_colors(sr, lq, name, *mode):
    return decided(regions(sr, lq), name, *mode)(sr, lq)


def unclamped(name, sr, lq, *mode):
    return DECISIONS[name](regions(sr, lq), *mode)(sr, lq)


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def scene(h=32, w=40, batch=1):
    """A smooth low-resolution picture in many colours, in [0.1, 0.9]."""
    return F.interpolate(noise(batch, 3, 5, 6, seed=4), size=(h, w), mode="bicubic", align_corners=True).clamp(0, 1) * 0.8 + 0.1


def detailed(lq, amount=0.05, seed=5):
    """Its enlargement with fine detail that the input does not have."""
    h, w = lq.shape[-2:]
    up = bicubic_antialiased(lq, (4 * h, 4 * w))
    return up + amount * (2 * (torch.arange(4 * h).view(-1, 1) + torch.arange(4 * w)) % 4 - 1)


def fixtures():
    for name in ("gradient", "flat"):
        yield pytest.param(PARITY / f"{name}.safetensors", id=name)
    photo = SHARED / "parity" / "seed_stages" / "photo.safetensors"
    yield pytest.param(photo, id="photo", marks=pytest.mark.skipif(not photo.exists(), reason="the photograph is not part of the repository"))


# ---- against the published formulas ----


@pytest.mark.parametrize("path", fixtures())
def test_published_formulas(path):
    data = load_file(path)
    content, reference = data["content_u8"][None].float() / 255, data["image_u8"][None].float() / 255
    torch.testing.assert_close(wavelet_low(reference), data["wavelet.low"], atol=1e-6, rtol=0)
    torch.testing.assert_close(fix_wavelet(content, reference), data["wavelet"], atol=1e-6, rtol=0)
    torch.testing.assert_close(fix_ycbcr(content, reference).clamp(0, 1), data["ycbcr"], atol=5e-6, rtol=0)


@pytest.mark.parametrize("path", fixtures())
def test_seed_weights_of_hybrid(path):
    """With the seed's histogram matching and wavelets in place of ours, its mixture is the seed's; save where the seed clamps a fix before mixing."""
    data = load_file(path)
    content, reference = data["content_u8"][None].float() / 255, data["image_u8"][None].float() / 255
    ours = unclamped("hybrid", content, reference, "seed") + 0.4 * (data["adaptive_histogram.0.7"] - unclamped("histogram", content, reference))
    ours += 0.3 * (data["wavelet"] - unclamped("wavelet", content, reference))
    chroma = fix_ycbcr(content, reference)
    same = (chroma == chroma.clamp(0, 1)).all(1, keepdim=True).expand_as(ours)
    assert same.float().mean() > 0.5
    torch.testing.assert_close(ours[same].clamp(0, 1), data["hybrid_adaptive"][same], atol=1e-5, rtol=0)


def test_every_fix_that_settings_offer_exists():
    assert {"none", *DECISIONS} == set(COLOR_FIXES)
    sr = noise(1, 3, 16, 16)
    assert fix_colors(sr, torch.zeros(1, 3, 4, 4), "none") is sr


# ---- a picture that is right ----


@pytest.mark.parametrize("name", FIXES)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (40, 24)])
def test_fixes_are_the_identity_for_equal_inputs(name, size):
    """Defect of the seed: histogram matching was not."""
    rgb = noise(2, 3, *size, seed=1)
    torch.testing.assert_close(unclamped(name, rgb, rgb), rgb, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", FIXES)
def test_a_picture_that_is_right_is_left_alone(name):
    lq = scene()
    sr = detailed(lq) + 0.6 * GREY_LEVEL
    assert fix_colors(sr, lq, name) is sr


@pytest.mark.parametrize("name", FIXES)
def test_a_spot_of_wrong_colour_is_enough(name):
    lq = scene()
    sr = detailed(lq)
    sr[..., 30:60, 40:70] += 0.06
    assert low_frequency_difference(sr, lq).abs().mean() < 2 * GREY_LEVEL
    assert not torch.equal(fix_colors(sr, lq, name), sr)


@pytest.mark.parametrize("name", FIXES)
def test_nothing_jumps_at_the_limit(name):
    """On either side of the limit a constant error leads to results that differ by no more than that error."""
    lq = scene()
    below, above = (fix_colors(bicubic_antialiased(lq, (128, 160)).clamp(0, 1) + k * GREY_LEVEL, lq, name) for k in (0.98, 1.02))
    assert (above - below).abs().max() < 1.1 * GREY_LEVEL


def test_each_picture_of_a_batch_decides_for_itself():
    lq = scene(batch=2)
    sr = detailed(lq)
    sr[1] += 0.1
    fixed = fix_colors(sr, lq, "wavelet")
    assert torch.equal(fixed[0], sr[0]) and (fixed[1] - sr[1]).abs().mean() > 0.08


def test_an_original_is_right_for_its_own_reduction():
    """So the limit looks at colours, not at sharpness."""
    hr = noise(1, 3, 128, 160)
    assert low_frequency_difference(hr, bicubic_antialiased(hr, (32, 40))).abs().max() < RIGHT


@pytest.mark.parametrize("size", [(3, 3), (5, 5), (9, 9), (13, 7), (16, 16), (1, 60)])
def test_the_colours_of_a_tiny_picture_are_those_of_all_of_it_and_not_of_its_border(size):
    h, w = 4 * size[0], 4 * size[1]
    sr = torch.full((1, 3, h, w), 0.6)
    sr[..., h // 6 : h - h // 6, w // 6 : w - w // 6] -= 0.15
    fixed = fix_colors(sr, torch.full((1, 3, *size), 0.6), "wavelet")
    assert (sr.mean() - 0.6).abs() > 12 / 255
    assert (fixed.mean() - 0.6).abs() < 8 / 255


@pytest.mark.parametrize("name", FIXES)
def test_an_original_with_a_line_along_its_border_is_left_alone_too(name):
    """Enlarging its reduction takes contrast from the line, and low frequencies show that at the border: it is not the original that is wrong."""
    original = scene(128, 160)
    original[..., :4, :] = 0.05
    lq = (bicubic_antialiased(original, (32, 40)).clamp(0, 1) * 255).round() / 255
    assert low_frequency_difference(original, lq).abs().max() > 1.2 * RIGHT
    assert fix_colors(original, lq, name) is original
    assert not torch.equal(fix_colors(original + 0.02, lq, name), original + 0.02)


# ---- what each repairs ----


@pytest.mark.parametrize("name", FIXES)
def test_fixes_remove_a_colour_cast_without_favouring_borders(name):
    reference = torch.full((1, 3, 48, 48), 0.5)
    cast = reference + torch.tensor([0.05, -0.03, 0.0]).view(3, 1, 1)
    fixed = unclamped(name, cast, reference)
    assert (fixed - fixed[..., :1, :1]).abs().max() < 1e-5, "flat stays flat, up to the border"
    assert (fixed - reference).abs().max() < (cast - reference).abs().max() / 3


@pytest.mark.parametrize("name", ["wavelet", "histogram", "adain", "hybrid"])
def test_exposure_is_repaired(name):
    lq = scene()
    good = detailed(lq, 0.03)
    fixed = fix_colors(good * 0.8, lq, name)
    assert (fixed - good).square().mean() < (good * 0.8 - good).square().mean() / 20


def fine(rgb):
    """Mean amplitude of the finest detail, borders left out."""
    return float((rgb - F.avg_pool2d(rgb, 5, 1, 2))[..., 8:-8, 8:-8].abs().mean())


def test_a_curve_for_the_whole_picture_repairs_the_contrast_of_detail_too():
    """What the wavelet fix, which leaves high frequencies as they are, cannot."""
    lq = scene()
    good = detailed(lq)
    contrast = {name: fine(unclamped(name, good * 0.8, lq)) / fine(good) for name in ("histogram", "adain", "wavelet")}
    assert contrast["histogram"] > 0.95 and contrast["adain"] > 0.95 and contrast["wavelet"] < 0.85


def test_histogram_repairs_gamma():
    lq = scene()
    good = detailed(lq, 0.02)
    fixed = unclamped("histogram", good**1.5, lq)
    assert (fixed - good).abs().mean() < (good**1.5 - good).abs().mean() / 8


def test_histogram_keeps_the_order_of_brightness():
    """Also where few pixels tell how: here a short slope between two plains that are to come nearer to each other."""
    slope = torch.cat([torch.full((1970,), 0.3), torch.linspace(0.3, 0.7, 60), torch.full((1970,), 0.7)]).expand(1, 3, 4, -1)
    lq = F.avg_pool2d(slope, 4) * 0.25 + 0.375
    fixed = unclamped("histogram", slope, lq)
    assert fixed.diff().min() >= -1e-6
    torch.testing.assert_close(fixed[..., [0, -1]], torch.tensor([0.45, 0.55]).expand(1, 3, 4, 2), atol=0.01, rtol=0)


@pytest.mark.parametrize("name", FIXES)
@pytest.mark.parametrize("sd", [0.02, 0.1])
def test_the_noise_of_the_input_is_not_copied(name, sd):
    """Defect of the seed's histogram matching, which spread a clean result until its histogram was as wide as that of the noise."""
    clean = torch.full((1, 3, 64, 64), 0.5)
    noisy = clean + sd * torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    detail = detailed(clean)
    fixed = unclamped(name, detail - 0.05, noisy)
    added = (fixed - fixed.mean((2, 3), keepdim=True)) - (detail - 0.5)
    # ycbcr takes the chroma of the reference as it is, noise included: that is its formula.
    assert added.std() < (1.0 if name == "ycbcr" else 0.6 if name == "hybrid" else 0.2) * sd


def test_adain_does_not_take_contrast_from_what_is_sharper():
    """The published statistics, over all frequencies, would."""
    lq = torch.full((1, 3, 32, 32), 0.5) + 0.02 * scene(32, 32)
    sr = detailed(lq, 0.2)
    published = (sr - sr.mean()) * bicubic_antialiased(lq, (128, 128)).std() / sr.std()
    assert unclamped("adain", sr, lq).std() > 0.95 * sr.std() > 5 * published.std()


def test_adain_does_not_blow_up_what_is_flat():
    fixed = unclamped("adain", torch.full((1, 3, 64, 64), 0.5) + 0.001 * noise(1, 3, 64, 64), scene(16, 16))
    assert fixed.std((2, 3)).max() < 0.001


# ---- hybrid ----


def test_best_prefers_right_colours_to_blur():
    """Defect of the seed: luma against the blurry reference was part of the error, so the fix with the least detail won."""
    lq = scene()
    sr = detailed(lq, 0.15) * 0.9
    best = unclamped("hybrid", sr, lq, "best")
    errors = {name: low_frequency_difference(unclamped(name, sr, lq), lq).square().mean() for name in ("ycbcr", "wavelet", "histogram")}
    assert torch.equal(best, unclamped(min(errors, key=lambda name: float(errors[name])), sr, lq))
    assert fine(best) > 0.95 * fine(sr)


def test_best_keeps_the_detail_of_colours():
    """ycbcr, whose chroma is the blurry reference's, has the least error of low frequencies by construction."""
    lq = scene(batch=2)
    colours = torch.tensor([0.05, -0.0347, 0.05]).view(3, 1, 1)  # without luma
    sr = detailed(lq, 0)
    sr += 2 * colours * (2 * (torch.arange(sr.shape[-1]) % 2) - 1) + colours  # stripes of colour, and a cast
    errors = {name: low_frequency_difference(unclamped(name, sr, lq), lq).square().mean() for name in ("ycbcr", "wavelet", "histogram")}
    assert min(errors.values()) == errors["ycbcr"]
    best, blurred = unclamped("hybrid", sr, lq, "best"), unclamped("ycbcr", sr, lq)
    assert low_frequency_difference(best, lq).abs().mean() < GREY_LEVEL / 2
    assert fine(best) > 0.95 * fine(sr) > 4 * fine(blurred)


def test_best_takes_blurry_colours_where_nothing_else_repairs(monkeypatch):
    lq = scene()
    sr = detailed(lq) + torch.tensor([0.05, -0.0347, 0.05]).view(3, 1, 1)
    for name in ("wavelet", "histogram"):
        monkeypatch.setitem(DECISIONS, name, lambda regions: lambda sr, lq: sr)
    assert torch.equal(unclamped("hybrid", sr, lq, "best"), unclamped("ycbcr", sr, lq))


def test_adaptive_weighs_by_what_each_repairs():
    lq = scene()
    darker = detailed(lq) * 0.8  # ycbcr keeps the wrong brightness
    errors = {mode: low_frequency_difference(unclamped("hybrid", darker, lq, mode), lq).square().mean().sqrt() for mode in HYBRID_MODES}
    assert errors["adaptive"] < errors["seed"] / 3 and errors["best"] <= errors["adaptive"] * 1.01
    right = detailed(lq)
    thirds = sum(unclamped(name, right, lq) for name in ("ycbcr", "wavelet", "histogram")) / 3
    torch.testing.assert_close(unclamped("hybrid", right, lq, "adaptive"), thirds, atol=2e-4, rtol=0)


@pytest.mark.parametrize("mode", HYBRID_MODES)
def test_the_mode_is_heeded(mode):
    lq = scene()
    sr = detailed(lq) * 0.8
    assert torch.equal(fix_colors(sr, lq, "hybrid", mode), unclamped("hybrid", sr, lq, mode).clamp(0, 1))


# ---- in the program ----


@pytest.mark.parametrize("name", COLOR_FIXES)
def test_colours_are_compared_with_the_unpadded_picture(name):
    """Defect of the reference programs: a padded, hence shifted, reference for every picture that is not a multiple of 16."""
    lq = noise(1, 3, 21, 37, seed=2) * 0.5 + 0.25
    plan = make_plan((21, 37), make_settings({"color_fix": name, "consistency": 0, "restraint": 0}), SPEC)
    sr = F.interpolate(lq, scale_factor=4, mode="bicubic", antialias=True)
    torch.testing.assert_close(run_stages(sr, StageContext(lq, plan)), sr.clamp(0, 1), atol=1e-5, rtol=0)
    worse = sr + torch.tensor([0.1, 0.0, 0.0]).view(3, 1, 1)
    fixed = run_stages(worse, StageContext(lq, plan))
    assert name == "none" or (fixed - sr).abs().amax() < 0.4 * (worse - sr).abs().amax()


@pytest.mark.parametrize("n", [1, 2, 256, 1000, 2**24 + 4])
def test_the_quantiles_of_any_number_of_pixels_reach_from_the_least_to_the_greatest(n):
    """Above 2^24 pixels float32 has no place for each of them."""
    quantiles = _quantiles(torch.arange(n, dtype=torch.int32))
    assert quantiles[0] == 0 and quantiles[-1] == n - 1
    assert (quantiles - torch.linspace(0, n - 1, 256, dtype=torch.float64)).abs().max() <= 0.5
