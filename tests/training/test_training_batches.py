from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.pictures.icc_profiles import DISPLAY_P3
from utils.models.conditioning import CLEAN, DEGRADED
from utils.pictures.resampling import bicubic_antialiased
from utils.planning.errors import UserError
from utils.training.dataset import DEGRADED_PAIRS, EmbeddedBatches, TrainingBatches, load_photos, split, validation_pairs
from utils.training.recipe import DEGRADATIONS


def test_a_batch_is_a_function_of_seed_and_step(recipe, photo):
    batches = EmbeddedBatches([photo], recipe)
    first, again, other_step = batches[3], EmbeddedBatches([photo], recipe)[3], batches[4]
    other_seed = EmbeddedBatches([photo], replace(recipe, seed=9))[3]
    assert torch.equal(first.lq, again.lq) and torch.equal(first.target, again.target) and first.timesteps == again.timesteps
    assert first.seed == again.seed != other_step.seed
    assert not torch.equal(first.target, other_step.target)
    assert not torch.equal(first.target, other_seed.target)


def test_clean_crops_match_their_targets_in_place(recipe, photo):
    batches = EmbeddedBatches([photo], replace(recipe, clean_share=1.0, negative_share=0.0, crop=32))
    for step in range(5):
        batch = batches[step]
        assert batch.lq.shape == (2, 3, 8, 8) and batch.target.shape == (2, 3, 32, 32)
        reduced = bicubic_antialiased(batch.target, (8, 8)).clamp(0, 1)
        # Two pixels of border see beyond the crop, which only the window knows.
        assert (reduced - batch.lq)[..., 2:-2, 2:-2].abs().max() < 1 / 255


def test_the_border_of_a_crop_knows_what_lies_beyond_it(recipe, photo):
    batch = EmbeddedBatches([photo], replace(recipe, clean_share=1.0, negative_share=0.0, crop=32, batch=16))[0]
    alone = bicubic_antialiased(batch.target, (8, 8)).clamp(0, 1)
    assert (alone - batch.lq)[..., 0, :].abs().max() > 4 / 255


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_a_batch_knows_which_of_its_inputs_are_poor(recipe, photo, kind):
    recipe = replace(recipe, batch=12, crop=32, negative_share=0.0, clean_share=0.5, degradations=kind)
    batch = EmbeddedBatches([photo], recipe)[0]
    lost = (bicubic_antialiased(batch.target, (8, 8)).clamp(0, 1) - batch.lq)[..., 2:-2, 2:-2].abs().amax((1, 2, 3)) > 1 / 255
    assert torch.equal(lost, batch.poor) and 0 < lost.sum() < 12


def test_which_inputs_are_poor_is_known_without_asking_the_device(recipe, photo):
    moved = EmbeddedBatches([photo], recipe)[0].to(torch.device("meta"))
    assert {moved.lq.device.type, moved.target.device.type, moved.labels.device.type} == {"meta"} and moved.poor.device.type == "cpu"


def test_the_negative_side_of_guidance_learns_blurred_targets(recipe, photo):
    recipe = replace(recipe, batch=8)
    sharp = EmbeddedBatches([photo], replace(recipe, negative_share=0.0))[0]
    blurred = EmbeddedBatches([photo], replace(recipe, negative_share=1.0))[0]
    assert sharp.labels.tolist() == [CLEAN] * 8 and blurred.labels.tolist() == [DEGRADED] * 8
    roughness = [batch.target.diff(dim=-1).square().mean() for batch in (sharp, blurred)]
    assert roughness[1] < 0.6 * roughness[0]


def test_crops_of_reduced_photos_show_up_to_twice_as_much(recipe):
    """Seen in how steep a slope is; only a photo as small as a crop with its margin stays as it is."""
    recipe = replace(recipe, crop=32, batch=16, clean_share=1.0, negative_share=0.0, smallest_size=0.5)
    slope = np.broadcast_to(np.arange(220, dtype=np.uint8)[:, None, None], (220, 220, 3))
    for photo, least, most in ((slope, 1, 2), (slope[:96, :96], 1, 1)):
        target = EmbeddedBatches([photo], recipe)[0].target
        steps = 255 * (target.diff(dim=-1).abs().mean((1, 2, 3)) + target.diff(dim=-2).abs().mean((1, 2, 3)))
        assert least - 0.01 < steps.min() and steps.max() < most + 0.01
        assert steps.max() - steps.min() > 0.6 * (most - least)
    untouched = EmbeddedBatches([slope], replace(recipe, smallest_size=1.0))[0].target
    assert ((255 * untouched).round() - 255 * untouched).abs().max() < 1e-4


def test_crops_out_of_focus_have_targets_as_soft_as_they_are(recipe, photo):
    recipe = replace(recipe, batch=16, crop=32, clean_share=1.0, negative_share=0.0, defocus_share=0.5)
    sharp, soft = (EmbeddedBatches([photo], replace(recipe, defocus_sigma=sigma))[0] for sigma in (1e-3, 2.4))
    roughness = [batch.target.diff(dim=-1).square().mean((1, 2, 3)) for batch in (sharp, soft)]
    smoothed = roughness[1] < 0.9 * roughness[0]
    assert 2 < smoothed.sum() < 14 and torch.equal(soft.target[~smoothed][:2], sharp.target[~smoothed][:2])
    reduced = bicubic_antialiased(soft.target, (8, 8)).clamp(0, 1)
    assert (reduced - soft.lq)[..., 2:-2, 2:-2].abs().max() < 1 / 255 and not soft.poor.any()


def test_crops_with_more_than_faint_noise_are_never_out_of_focus(recipe, photo):
    recipe = replace(recipe, batch=16, crop=32, clean_share=0.0, negative_share=0.0, degradations="soft", defocus_share=1.0)
    sharp, soft = (EmbeddedBatches([photo], replace(recipe, defocus_sigma=sigma))[0] for sigma in (1e-3, 2.4))
    roughness = [batch.target.diff(dim=-1).square().mean((1, 2, 3)) for batch in (sharp, soft)]
    assert 4 < (roughness[1] > 0.99 * roughness[0]).sum() < 14  # more than faint is the noise of 56 % of these


def test_schedules_follow_the_recipe(recipe, photo):
    batches = EmbeddedBatches([photo], recipe)
    drawn = [(tuple(b.timesteps), b.steps) for b in (batches[k] for k in range(60))]
    single = [timesteps for timesteps, _ in drawn if len(timesteps) == 1]
    assert 15 < len(single) < 45 and {t for (t,) in single} <= set(recipe.start_timesteps)
    assert single.count((200,)) > len(single) / 2
    for timesteps, steps in drawn:
        assert 1 <= steps <= len(timesteps)
        assert len(timesteps) == 1 or (list(timesteps) in recipe.few_step_lists and steps >= 2)


def test_batches_of_a_noise_predictor_are_single_steps_to_sharp_targets(predictor_recipe, photo):
    batches = [TrainingBatches([photo], replace(predictor_recipe, crop=32))[k] for k in range(20)]
    assert {tuple(b.timesteps) for b in batches} == {(200,), (250,), (150,), (100,)}
    assert all(b.steps == 1 and b.labels.tolist() == [CLEAN, CLEAN] for b in batches)


def test_photos_too_small_for_a_crop_are_left_out(photo_folder):
    assert list(load_photos(photo_folder, 80)) == ["0.png", "1.png", "2.png"]
    with pytest.raises(UserError, match="no picture of at least 500 pixels"):
        load_photos(photo_folder, 500)


def test_a_damaged_photo_is_named(photo_folder, tmp_path):
    (tmp_path / "torn.png").write_bytes((photo_folder / "0.png").read_bytes()[:200])
    with pytest.raises(UserError, match=r"torn\.png cannot be read"):
        load_photos(tmp_path, 16)


def test_photos_are_read_as_the_sampler_reads_pictures(photo, tmp_path):
    """16 bits are not clipped, profiles are heeded; hidden files and folders called like pictures are none."""
    levels = np.linspace(0, 65535, 32 * 32).astype(np.uint16).reshape(32, 32)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    Image.fromarray(photo[:32, :32]).save(tmp_path / "wide.png", icc_profile=DISPLAY_P3)
    (tmp_path / "._deep.png").write_bytes(b"what a Mac leaves")
    (tmp_path / "folder.jpg").mkdir()
    photos = load_photos(tmp_path, 16)
    assert list(photos) == ["deep.png", "wide.png"] and all(pixels.dtype == np.uint8 for pixels in photos.values())
    np.testing.assert_array_equal(photos["deep.png"][..., 0], np.rint(levels / 257))
    assert np.abs(photos["wide.png"].astype(int) - photo[:32, :32]).max() > 3


def test_the_split_is_fixed_by_name_and_has_no_overlap():
    names = [f"{k}.jpg" for k in range(50)]
    training, held_out = split(names, 12)
    assert len(held_out) == 12 and not set(training) & set(held_out) and set(training) | set(held_out) == set(names)
    assert split(names[::-1], 12) == (training, held_out)
    remaining = [name for name in names if name != training[0]]
    assert split(remaining, 12)[1] == held_out
    with pytest.raises(UserError):
        split(names, 50)


def test_validation_pairs_are_aligned_and_limited(recipe, photo):
    ((lq, hq),) = validation_pairs([photo], recipe)
    assert hq.shape == (48, 48, 3) and lq.shape == (12, 12, 3)
    np.testing.assert_array_equal(np.round(hq * 255), photo[36:84, 42:90])


def test_degraded_validation_pairs_have_the_same_sharp_side(recipe, photo):
    ((clean, hq),) = validation_pairs([photo], recipe)
    ((degraded, same),) = validation_pairs([photo], recipe, DEGRADED_PAIRS)
    np.testing.assert_array_equal(hq, same)
    assert 0.01 < np.abs(degraded - clean).mean() < 0.2
    np.testing.assert_array_equal(degraded, validation_pairs([photo], recipe, DEGRADED_PAIRS)[0][0])


def test_validation_pairs_keep_to_the_multiple_that_a_model_needs(recipe, photo):
    ((lq, hq),) = validation_pairs([photo], replace(recipe, validation_crop=100), multiple=8)
    assert hq.shape == (96, 96, 3) and lq.shape == (24, 24, 3)
