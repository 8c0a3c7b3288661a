import json
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from sampler_invsr import InvSamplerSR
from tests.conftest import PROJECT
from utils.models.self_ensemble import VIEWS
from utils.pictures.provenance import read_texts
from utils.pictures.resampling import bicubic_antialiased
from utils.planning.errors import UserError


def noise(h, w, seed=0, dtype=np.uint8):
    values = np.random.default_rng(seed).random((h, w, 3), dtype=np.float32)
    return values if dtype == np.float32 else (values * np.iinfo(dtype).max).astype(dtype)


def write(path: Path, *size, seed=0):
    Image.fromarray(noise(*size, seed=seed)).save(path)
    return path


# ---- one picture ----


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (90, 1), (3, 5), (64, 64), (65, 130)])
def test_every_size_comes_out_four_times_as_large(sampler, size):
    """Defect of the reference programs: reflect padding never ends for a side of one pixel."""
    assert sampler.sample_image(torch.rand(1, 3, *size)).shape == (1, 3, size[0] * 4, size[1] * 4)


@pytest.mark.parametrize("size", [(1, 1), (9, 31)])
def test_another_size_is_the_native_result_resized(sampler, size):
    lq = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    faithful = sampler.with_settings(color_fix="wavelet", consistency=0.5)
    native = faithful.sample_image(lq)
    for asked in ({"sf": 2}, {"sf": 5.5}, {"longest_side": 7}):
        other = faithful.with_settings(**asked)
        target = other.plan(np.zeros((*size, 3), np.uint8)).output_size
        torch.testing.assert_close(other.sample_image(lq), bicubic_antialiased(native, target).clamp(0, 1), atol=2e-5, rtol=0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_another_size_keeps_depth_alpha_and_resolution(sampler, tmp_path, dtype):
    full = np.iinfo(dtype).max
    rgba = np.dstack([noise(20, 30, dtype=dtype), np.linspace(0, full, 600).astype(dtype).reshape(20, 30)])
    for asked, size in (({"sf": 2}, (40, 60)), ({"sf": 6}, (120, 180)), ({"longest_side": 15}, (10, 15))):
        result = sampler.upscale(rgba, **asked).picture
        assert result.dtype == dtype and result.shape == (*size, 4)
        assert abs(float(result[..., 3].mean()) - full / 2) < full * 0.01 and result[0, 0, 3] < full * 0.05 < full * 0.95 < result[-1, -1, 3]
    Image.fromarray(noise(20, 30)).save(tmp_path / "a.png", dpi=(300, 300))
    (row,) = sampler.with_settings(sf=2.5).inference(tmp_path / "a.png", tmp_path / "out")
    written = Image.open(row.output)
    assert written.size == (75, 50) and written.info["dpi"] == pytest.approx((750, 750), rel=1e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_results_have_the_depth_of_the_input(sampler, dtype):
    result = sampler.upscale(noise(20, 30, dtype=dtype))
    assert result.picture.dtype == dtype and result.picture.shape == (80, 120, 3)
    assert result.plan.output_size == (80, 120) and set(result.timings) == {"planning", "networks", "stages"}


def test_path_pil_image_and_array_give_the_same_picture(sampler, tmp_path):
    path = write(tmp_path / "a.png", 20, 30)
    from_path = sampler.upscale(path).picture
    assert np.array_equal(from_path, sampler.upscale(str(path)).picture)
    assert np.array_equal(from_path, sampler.upscale(Image.open(path)).picture)
    assert np.array_equal(from_path, sampler.upscale(noise(20, 30)).picture)


def test_alpha_and_grey_are_kept(sampler):
    rgba = np.dstack([noise(20, 30), np.full((20, 30), 77, np.uint8)])
    result = sampler.upscale(rgba).picture
    assert result.shape == (80, 120, 4) and (result[..., 3] == 77).all()
    grey = sampler.upscale(Image.fromarray(noise(20, 30)).convert("L")).picture
    assert np.array_equal(grey[..., 0], grey[..., 1]) and np.array_equal(grey[..., 0], grey[..., 2])


def test_colours_under_transparent_pixels_do_not_leak(embedded_sampler):
    y, x = np.mgrid[:40, :40]
    disc = (y - 20) ** 2 + (x - 20) ** 2 < 150
    picture = np.zeros((40, 40, 4), np.uint8)
    picture[disc] = (230, 60, 40, 255)  # a red disc on transparent black, as drawing programs write
    result = embedded_sampler.upscale(picture).picture.astype(int)
    visible = result[result[..., 3] > 20][:, :3]
    assert np.abs(visible - (230, 60, 40)).max() <= 3


def test_same_settings_same_pixels(sampler, tiny_config):
    """Defect of the reference programs: one global seed, so that results depend on the pictures before."""
    picture = noise(50, 90)
    first = sampler.upscale(picture).picture
    torch.manual_seed(99)
    sampler.upscale(noise(30, 30, seed=5))
    assert np.array_equal(first, sampler.upscale(picture).picture)
    assert np.array_equal(first, InvSamplerSR(tiny_config).upscale(picture).picture)
    assert not np.array_equal(first, sampler.upscale(picture, seed=1).picture)


def test_tile_batch_changes_nothing_visible(sampler):
    picture = noise(100, 150)
    results = [sampler.upscale(picture, extra_bs=size).picture.astype(int) for size in (1, 3, 8)]
    assert max(np.abs(result - results[0]).max() for result in results) <= 1


def test_pictures_of_a_batch_do_not_influence_each_other(sampler):
    a, b = (torch.rand(1, 3, 70, 40, generator=torch.Generator().manual_seed(k)) for k in (0, 1))
    together = sampler.sample_image(torch.cat([a, b]))
    torch.testing.assert_close(together, torch.cat([sampler.sample_image(a), sampler.sample_image(b)]), atol=1e-4, rtol=0)


def test_two_threads_share_a_sampler(sampler):
    """Defect of the reference programs: a scheduler that caches state, and random numbers shared by concurrent requests."""
    picture = noise(70, 70)
    schedules = [[200], [200, 100], [250, 200, 150, 100, 50], [150]]
    alone = [sampler.upscale(picture, timesteps=timesteps).picture for timesteps in schedules]
    together: dict[int, np.ndarray] = {}

    def run(k):
        together[k] = sampler.upscale(picture, timesteps=schedules[k]).picture

    threads = [threading.Thread(target=run, args=(k,)) for k in range(len(schedules))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(together[k], alone[k]) for k in range(len(schedules)))


def test_calls_leave_settings_alone(sampler):
    """Defect of the reference programs: a call changes the configuration for the next one."""
    before = sampler.settings
    sampler.upscale(noise(20, 20), timesteps=[100], cfg_scale=2.0, color_fix="wavelet")
    assert sampler.settings is before and sampler.plan(noise(20, 20)).timesteps == (200,)


def test_one_model_under_several_settings(sampler):
    other = sampler.with_settings(seed=7, color_fix="ycbcr")
    assert other._model is sampler._model and (sampler.settings.seed, other.settings.seed) == (12345, 7)
    picture = noise(20, 20)
    assert np.array_equal(other.upscale(picture).picture, sampler.upscale(picture, seed=7, color_fix="ycbcr").picture)
    for wrong in ({"pch_size": 72}, {"dtype": "bfloat16"}, {"sed": 1}):
        with pytest.raises(UserError):
            sampler.with_settings(**wrong)


@pytest.mark.parametrize("negative_prompt", ["", "blurred", None])
def test_guidance_works_on_chopped_pictures_and_uses_the_negative_prompt(tiny_config, sampler, negative_prompt):
    """Defect of the reference programs: guidance above 1 crashes on chopped pictures, or runs without its negative prompt."""
    lq = torch.rand(1, 3, 70, 90)
    guided = InvSamplerSR({**tiny_config, "cfg_scale": 2.0, "negative_prompt": negative_prompt}).sample_image(lq)
    assert (guided - sampler.sample_image(lq)).abs().max() > 1e-3
    other = InvSamplerSR({**tiny_config, "cfg_scale": 2.0, "negative_prompt": "something else"}).sample_image(lq)
    assert (guided - other).abs().max() > 1e-6


def test_a_self_ensemble_is_the_mean_over_views_of_every_tile(sampler):
    lq, both = torch.rand(1, 3, 80, 96), sampler.with_settings(self_ensemble=2)
    part = lq[..., :64, :64]
    turned = sampler.sample_patches(part.flip(-1, -2), eps="mean").flip(-1, -2)
    torch.testing.assert_close(both.sample_patches(part, eps="mean"), (sampler.sample_patches(part, eps="mean") + turned) / 2)
    assert (turned - sampler.sample_patches(part, eps="mean")).abs().max() > 1e-3
    again = sampler.sample_image(lq.flip(-1, -2), eps="mean").flip(-1, -2)  # turned, its tiles lie as before; their weights are a little lopsided
    torch.testing.assert_close(both.sample_image(lq, eps="mean"), (sampler.sample_image(lq, eps="mean") + again) / 2, atol=1e-2, rtol=0)
    eps = {name: torch.randn(1, *sampler.spec.latent_shape((32, 48))) for name in ("predictor", "vae")}
    guided, part = sampler.with_settings(cfg_scale=2.0), lq[..., :32, :48]
    by_hand = [view.undone(guided.sample_patches(view.of(part), eps={name: view.of(value) for name, value in eps.items()})) for view in VIEWS]
    torch.testing.assert_close(guided.with_settings(self_ensemble=8).sample_patches(part, eps=eps), torch.stack(by_hand).mean(0))
    torch.testing.assert_close(both.sample_image(lq), both.with_settings(extra_bs=1).sample_image(lq), atol=1e-5, rtol=0)


def test_draws_can_be_given(sampler):
    lq = torch.rand(2, 3, 64, 64)
    shape = 2, *sampler.spec.latent_shape((64, 64))
    zeros = {name: torch.zeros(shape) for name in ("predictor", "vae")}
    torch.testing.assert_close(sampler.sample_patches(lq, eps=zeros), sampler.sample_patches(lq, eps="mean"))
    torch.testing.assert_close(sampler.sample_image(lq, eps=zeros), sampler.sample_image(lq, eps="mean"))
    drawn = {name: torch.randn(shape) for name in ("predictor", "vae")}
    torch.testing.assert_close(sampler.sample_image(lq, eps=drawn), sampler.sample_patches(lq, eps=drawn), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("eps", "words"),
    [
        ("men", "eps must be"),
        ({"predictor": torch.zeros(1, 4, 32, 32)}, "eps must be"),
        ({"predictor": torch.zeros(1, 4, 32, 32), "vae": torch.zeros(1, 1, 32, 32)}, "must have the shape"),
        ({"predictor": torch.zeros(1, 4, 40, 40), "vae": torch.zeros(1, 4, 32, 32)}, "must have the shape"),
    ],
)
def test_draws_of_another_kind_are_refused_not_broadcast(sampler, eps, words):
    for call in (sampler.sample_patches, sampler.sample_image):
        with pytest.raises(ValueError, match=words):
            call(torch.rand(1, 3, 64, 64), eps=eps)


@pytest.mark.parametrize(
    "lq", [torch.rand(3, 64, 64), torch.rand(1, 1, 64, 64), torch.zeros(1, 3, 64, 64, dtype=torch.uint8), torch.rand(0, 3, 64, 64)]
)
def test_tensors_of_another_kind_are_refused(sampler, lq):
    for call in (sampler.sample_patches, sampler.sample_image):
        with pytest.raises(ValueError, match="float tensor"):
            call(lq)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")])
def test_out_of_memory_is_one_sentence(sampler, monkeypatch, error):
    def fail(*args):
        raise error

    monkeypatch.setattr("utils.models.denoising.decode", fail)
    with pytest.raises(UserError, match="not enough memory"):
        sampler.upscale(noise(20, 20))


def test_other_faults_are_not_taken_for_a_lack_of_memory(sampler, monkeypatch):
    monkeypatch.setattr("utils.models.denoising.decode", lambda denoiser, z: torch.zeros(2) + torch.zeros(3))
    with pytest.raises(RuntimeError, match="size of tensor"):
        sampler.upscale(noise(20, 20))


def test_progress_counts_tiles_grows_a_preview_and_can_cancel(sampler):
    seen = []
    result = sampler.upscale(noise(100, 150), on_progress=lambda *call: seen.append(call), extra_bs=2)
    tiles = len(result.plan.tiles)
    assert [(done, total) for done, total, _ in seen] == [(min(k + 2, tiles), tiles) for k in range(0, tiles, 2)]
    assert all(preview.dtype == np.uint8 and preview.shape == (200, 300, 3) for _, _, preview in seen)
    assert not np.array_equal(seen[0][2], seen[-1][2])

    class Cancelled(Exception):
        pass

    def cancel(done, total, preview):
        raise Cancelled

    with pytest.raises(Cancelled):
        sampler.upscale(noise(100, 150), on_progress=cancel, extra_bs=1)


def test_plan_is_what_is_done_and_runs_no_network(sampler, monkeypatch, tmp_path):
    picture = write(tmp_path / "a.png", 70, 90)
    done = sampler.upscale(picture).plan
    monkeypatch.setattr(InvSamplerSR, "_sample_tiles", None)
    assert sampler.plan(picture) == sampler.plan(Image.open(picture)) == sampler.plan(noise(70, 90)) == done
    assert done.tiles[0] == (0, 0, 64, 64) and done.to_dict()["lq_size"] == [80, 96]


def test_values_that_are_not_numbers_are_an_error_not_a_black_picture(sampler, monkeypatch):
    monkeypatch.setattr("utils.models.denoising.decode", lambda denoiser, z: torch.full((len(z), 3, 256, 256), float("nan")))
    with pytest.raises(UserError, match="not numbers, also in float32; check its files"):
        sampler.upscale(noise(20, 20))


# ---- decisions by what is in the picture ----

ADAPTIVE = {
    "adaptive_scheduler": True,
    "adaptive_guidance": True,
    "smart_chopping": True,
    "attention_blending": True,
    "color_fix": "hybrid",
    "attention_fusion": True,
    "consistency": "auto",
    "adaptive_enhancement": True,
}


@pytest.fixture(scope="module")
def adaptive_sampler(sampler):
    return sampler.with_settings(**ADAPTIVE)


def test_the_same_picture_four_times_gives_the_same_result_four_times(adaptive_sampler, photo, tmp_path):
    """Defect of the reference programs: adaptive timesteps and guidance change the settings, and the next picture starts from there."""
    for k in range(4):
        Image.fromarray(photo[:40, :50]).save(tmp_path / f"{k}.png")
    before = adaptive_sampler.settings
    rows = adaptive_sampler.inference(tmp_path, tmp_path / "out")
    first, *others = [row.output.read_bytes() for row in rows]  # with plan and settings in them
    assert len(others) == 3 and all(other == first for other in others) and adaptive_sampler.settings is before
    plan = json.loads(read_texts(rows[0].output)["plan"])
    assert plan["complexity"] == pytest.approx(adaptive_sampler.measure(photo[:40, :50]).complexity) and plan["cfg_scale"] > 1.2


def test_every_entrance_decides_alike(adaptive_sampler, photo, tmp_path):
    picture = photo[:70, :70]
    path = tmp_path / "a.png"
    Image.fromarray(picture).save(path)
    result = adaptive_sampler.upscale(picture)
    tensor = adaptive_sampler.sample_image(torch.from_numpy(picture).permute(2, 0, 1)[None] / 255)
    assert np.array_equal(np.rint(tensor[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8), result.picture)
    (row,) = adaptive_sampler.inference(path, tmp_path / "out")
    assert np.array_equal(Image.open(row.output), result.picture)
    assert adaptive_sampler.plan(path) == adaptive_sampler.plan(picture) == result.plan
    assert adaptive_sampler.plan(path, stats=adaptive_sampler.measure(path)) == result.plan


def test_every_picture_of_a_batch_decides_for_itself(sampler, photo):
    """Defect of the reference programs: only the first picture of a batch is looked at."""
    detailed = torch.from_numpy(photo[:40, :40]).permute(2, 0, 1)[None] / 255
    blurred = torch.linspace(-20, 20, 40).sigmoid().mul(0.6).add(0.2).expand_as(detailed)  # a step, as if blurred by a Gaussian of 1.8 pixels
    adaptive = sampler.with_settings(adaptive_scheduler=True, adaptive_guidance=True, consistency="auto")
    together = adaptive.sample_image(torch.cat([torch.full_like(detailed, 0.5), detailed, blurred]))
    for k, lq in enumerate((torch.full_like(detailed, 0.5), detailed, blurred)):
        torch.testing.assert_close(together[k : k + 1], adaptive.sample_image(lq), atol=1e-4, rtol=0)
    plans = [adaptive.plan(lq[0].permute(1, 2, 0).numpy()) for lq in (detailed, blurred)]
    assert plans[0].timesteps != plans[1].timesteps and plans[0].cfg_scale != plans[1].cfg_scale


def test_a_picture_is_measured_once(sampler, photo, monkeypatch):
    from utils.pictures import analysis

    measured, measure = [], analysis.measure
    monkeypatch.setattr(analysis, "measure", lambda rgb: measured.append(rgb) or measure(rgb))
    sampler.upscale(photo[:40, :40].astype(np.uint8), adaptive_guidance=True, consistency="auto")
    assert len(measured) == 1


def test_draws_can_be_given_for_each_picture_of_a_batch(sampler):
    adaptive = sampler.with_settings(adaptive_guidance=True)
    lq = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    drawn = {name: torch.randn(2, *sampler.spec.latent_shape((64, 64))) for name in ("predictor", "vae")}
    together = adaptive.sample_image(lq, eps=drawn)
    second = adaptive.sample_image(lq[1:], eps={name: values[1:] for name, values in drawn.items()})
    torch.testing.assert_close(together[1:], second, atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="must have the shape"):
        adaptive.sample_image(lq, eps={name: values[:1] for name, values in drawn.items()})


def test_a_plan_decodes_a_picture_only_where_a_decision_depends_on_it(sampler, photo, tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.fromarray(photo).save(path)
    stats = sampler.measure(path)

    def refuse(*args):
        raise AssertionError("decoded")

    monkeypatch.setattr(InvSamplerSR, "_read", refuse)
    assert sampler.plan(path, edge_enhancement=True).complexity is None
    assert sampler.plan(path, adaptive_guidance=True, stats=stats).complexity == stats.complexity
    with pytest.raises(AssertionError, match="decoded"):
        sampler.plan(path, adaptive_guidance=True)


def test_guidance_of_a_flat_picture_costs_nothing(sampler):
    flat = np.full((40, 40, 3), 200, np.uint8)
    result = sampler.upscale(flat, adaptive_guidance=True)
    assert result.plan.cfg_scale == 1.0 and np.array_equal(result.picture, sampler.upscale(flat).picture)


def test_what_is_hidden_by_transparency_decides_nothing(sampler):
    picture = np.dstack([noise(40, 40), np.zeros((40, 40), np.uint8)])
    picture[:, 10:] = 128, 128, 128, 255
    assert sampler.plan(picture, adaptive_guidance=True).complexity < 0.01


def test_the_picture_is_measured_without_its_padding(sampler, photo):
    plan = sampler.plan(photo[:20, :90], smart_chopping=True)
    assert plan.lq_size == (64, 96) and plan.complexity == sampler.measure(photo[:20, :90]).complexity


@pytest.mark.parametrize("size", [(61, 75), (60, 75), (75, 60)])
def test_smart_chopping_covers_pictures_of_odd_sizes(photo, size):
    """The embedded model takes them as they are: without padding to even sizes."""
    embedded = InvSamplerSR({"device": "cpu", "dtype": "float32"})
    picture = photo[: size[0], : size[1]]
    result = embedded.upscale(picture, pch_size=32, smart_chopping=True)
    assert result.plan.lq_size == size and result.picture.shape == (4 * size[0], 4 * size[1], 3)
    whole = embedded.upscale(picture, pch_size=80)
    for side in (np.s_[-8:], np.s_[:, -8:]):
        assert np.abs(result.picture[side].astype(int) - whole.picture[side]).mean() < 10


@pytest.mark.parametrize("candidates", ["steps", "seeds"])
def test_fusion_runs_the_networks_for_its_candidates(sampler, photo, candidates):
    seen = []
    picture = photo[:64, :100]
    result = sampler.upscale(
        picture, on_progress=lambda *call: seen.append(call), attention_fusion=True, fusion_candidates=candidates, color_fix="wavelet", extra_bs=2
    )
    tiles = len(result.plan.tiles)
    assert [done for done, _, _ in seen] == [*range(2, tiles, 2), tiles, *range(tiles + 2, 2 * tiles, 2), 2 * tiles]
    assert {total for _, total, _ in seen} == {2 * tiles} == {result.plan.tile_count}
    (other,) = result.plan.extra_runs
    alone = [sampler.upscale(picture, color_fix="wavelet", **changes).picture for changes in ({}, {"timesteps": other.timesteps, "seed": other.seed})]
    low, high = (reduce(alone) for reduce in (lambda x: np.minimum(*x), lambda x: np.maximum(*x)))
    assert (low < high).mean() > 0.5
    assert ((result.picture >= low - 1.0) & (result.picture <= high + 1.0)).all()


def test_attention_blending_is_for_pictures_of_several_tiles(sampler, photo):
    for picture, differs in ((photo[:64, :64], False), (photo[:64, :100], True)):
        results = [sampler.upscale(picture, attention_blending=on).picture for on in (False, True)]
        assert np.array_equal(*results) != differs


# ---- wrong input ----


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"pch_siz": 64}, "did you mean pch_size"),
        ({"pch_size": 72}, "multiple of 16"),
        ({"sf": 0.5}, "sf must be from 1"),
        ({"longest_side": 20_000}, "above the limit"),
        ({"timesteps": [0]}, "0 is not"),
        ({"dtype": "bfloat16"}, "when a sampler is made"),
        ({"model_start.ckpt_path": "x"}, "when a sampler is made"),
        ({"model_start": {"ckpt_path": "x"}}, "when a sampler is made"),
        ({"sd_pipe.params": {"revision": "x"}}, "when a sampler is made"),
        ({"max_output_megapixels": 0.001}, "above the limit"),
        ({"smart_chopping": True, "min_overlap": 0.6}, "min_overlap must not be above max_overlap"),
    ],
)
def test_wrong_overrides_get_one_plain_sentence(sampler, overrides, words):
    for call in (sampler.upscale, sampler.plan):
        with pytest.raises(UserError, match=words):
            call(noise(20, 20), **overrides)


def test_wrong_patches_get_one_plain_sentence(sampler):
    """Defect of the reference programs: patches of another size are silently resized, or crash."""
    with pytest.raises(UserError, match="multiples of 16"):
        sampler.sample_patches(torch.rand(1, 3, 32, 40))
    with pytest.raises(UserError, match="must fall"):
        sampler.sample_patches(torch.rand(1, 3, 32, 32), timesteps=[100, 200])


def test_a_file_too_large_is_refused_before_it_is_decoded(sampler, tmp_path, monkeypatch):
    Image.new("1", (9000, 9000)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image.Image, "load", None)
    with pytest.raises(UserError):
        sampler.upscale(tmp_path / "bomb.png")
    with pytest.raises(UserError), Image.open(tmp_path / "bomb.png") as image:
        sampler.upscale(image)


@pytest.mark.parametrize("size", [{"sf": 16}, {"longest_side": 30_000}])
def test_a_result_enlarged_too_far_is_refused_before_the_file_is_decoded(sampler, tmp_path, monkeypatch, size):
    Image.new("1", (900, 900)).save(tmp_path / "small.png")
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(UserError, match="above the limit of 64"):
        sampler.with_settings(**size, max_output_megapixels=64).read(tmp_path / "small.png", tolerant=False)


# ---- files and folders ----


def test_inference_writes_a_file_with_its_plan(sampler, tmp_path):
    (row,) = sampler.inference(write(tmp_path / "a.png", 20, 30), tmp_path / "new" / "out")
    with Image.open(row.output) as image:
        assert row.output == tmp_path / "new" / "out" / "a.png" and image.size == (120, 80)
        assert '"tiles"' in image.info["invsr:plan"] and '"dtype": "float32"' in image.info["invsr:settings"]
        assert str(tmp_path) not in str(image.info)
    assert np.array_equal(np.asarray(Image.open(row.output)), sampler.upscale(tmp_path / "a.png").picture)


def test_a_folder_has_a_row_for_every_picture_and_survives_a_bad_one(sampler, tmp_path):
    """Defect of the reference programs: one bad file aborts the folder; names that differ in their suffix overwrite each other."""
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "a.png", 20, 30)
    write(folder / "a.JPG", 20, 20)
    write(folder / "b.bmp", 10, 10)
    (folder / "bad.jpeg").write_bytes(b"not a picture")
    (folder / "notes.txt").write_text("left alone")
    rows = sampler.inference(folder, tmp_path / "out")
    assert {row.input.name: row.output and row.output.name for row in rows} == {
        "a.JPG": "a.JPG.png",
        "a.png": "a.png.png",
        "b.bmp": "b.png",
        "bad.jpeg": None,
    }
    assert "bad.jpeg" in next(row.message for row in rows if row.output is None)
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["a.JPG.png", "a.png.png", "b.png"]


def test_results_do_not_depend_on_order_or_on_pictures_at_once(sampler, tmp_path):
    for order, (names, bs) in enumerate([("abc", 1), ("cab", 3)]):
        folder = tmp_path / str(order)
        folder.mkdir()
        for k, name in enumerate(names):
            write(folder / f"{k}{name}.png", 70, 66, seed=ord(name))
        sampler.inference(folder, tmp_path / f"out{order}", bs=bs)
    results = [{path.stem[1]: path.read_bytes() for path in (tmp_path / f"out{order}").glob("*.png")} for order in (0, 1)]
    assert len(results[0]) == 3 and results[0] == results[1]


def test_a_forecast_takes_what_is_left_of_a_damaged_file_where_the_job_will(sampler, tmp_path):
    path = tmp_path / "in" / "a.png"
    path.parent.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:9000])
    measuring = sampler.with_settings(adaptive_guidance=True)
    assert not measuring.forecast(path.parent, tmp_path / "out").plans
    assert len(measuring.forecast(path.parent, tmp_path / "out", tolerant=True).plans) == 1


def test_a_forecast_promises_no_result_that_cannot_be(sampler, tmp_path):
    source, rng = tmp_path / "in", np.random.default_rng(0)
    source.mkdir()
    for name, channels in (("a", 3), ("b", 4), ("c", 3)):
        Image.fromarray(rng.integers(0, 256, (90, 90, channels), dtype=np.uint8)).save(source / f"{name}.png")
    (source / "c.png").write_bytes((source / "c.png").read_bytes()[:9000])
    ahead = sampler.forecast(source, tmp_path / "out", format="jpg").files
    assert [file.output is None for file in ahead] == [False, True, True]
    assert "holds no transparency" in ahead[1].message and "damaged" in ahead[2].message


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_a_picture_without_pixels_is_refused_in_words(sampler, size):
    with pytest.raises(UserError, match="no pixels"):
        sampler.upscale(Image.new("RGB", size))


def test_a_folder_run_stops_at_once(sampler, tmp_path):
    for k in range(4):
        (tmp_path / "in").mkdir(exist_ok=True)
        write(tmp_path / "in" / f"{k}.png", 70, 70)

    def interrupt(done, total, preview):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sampler.inference(tmp_path / "in", tmp_path / "out", on_progress=interrupt)
    assert not list((tmp_path / "out").glob("*.png"))


def test_outputs_never_replace_what_they_did_not_make(sampler, tmp_path):
    picture = write(tmp_path / "a.png", 20, 30)
    before = picture.read_bytes()
    with pytest.raises(UserError, match="would take its place"):
        sampler.inference(picture, tmp_path)
    assert picture.read_bytes() == before
    (tmp_path / "busy").mkdir()
    (tmp_path / "busy" / "a.png").write_bytes(b"somebody's")
    with pytest.raises(UserError, match="was not made by this program"):
        sampler.inference(picture, tmp_path / "busy")
    assert (tmp_path / "busy" / "a.png").read_bytes() == b"somebody's"
    first = sampler.inference(picture, tmp_path / "out")[0].output.read_bytes()
    assert sampler.inference(picture, tmp_path / "out")[0].output.read_bytes() == first


def test_a_result_does_not_take_the_place_of_its_own_input(sampler, tmp_path):
    result = sampler.inference(write(tmp_path / "a.png", 8, 8), tmp_path / "out")[0].output
    before = result.read_bytes()
    with pytest.raises(UserError, match="would take its place"):
        sampler.inference(result, tmp_path / "out")
    assert result.read_bytes() == before


@pytest.mark.parametrize("bad", ["missing.png", "empty-folder", "text.png", "file-as-out"])
def test_wrong_paths_get_one_plain_sentence_and_write_nothing(sampler, tmp_path, bad):
    (tmp_path / "empty-folder").mkdir()
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "file-as-out").write_text("in the way")
    write(tmp_path / "good.png", 8, 8)
    before = sorted(tmp_path.rglob("*"))
    source, out = ("good.png", bad) if bad == "file-as-out" else (bad, "out")
    with pytest.raises(UserError) as caught:
        sampler.inference(tmp_path / source, tmp_path / out)
    assert "\n" not in str(caught.value) and sorted(tmp_path.rglob("*")) == before


def test_the_settings_that_users_of_the_seed_write_are_taken():
    configs = OmegaConf.load(PROJECT / "configs" / "sample-tiny.yaml")
    configs.smart_chopping = True
    configs.min_overlap = 0.25
    configs.max_overlap = 0.50
    configs.attention_blending = True
    plan = InvSamplerSR(configs).plan(np.zeros((200, 300, 3), np.uint8))
    fixed = InvSamplerSR(OmegaConf.load(PROJECT / "configs" / "sample-tiny.yaml")).plan(np.zeros((200, 300, 3), np.uint8))
    assert plan.attention_blending and len(plan.tiles) < len(fixed.tiles)
