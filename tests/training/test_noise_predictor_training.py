import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from sampler_invsr import InvSamplerSR
from tests.conftest import PIPELINE_TINY
from utils.models.denoising import decode, sample
from utils.planning.errors import UserError
from utils.training.checkpoint import load_checkpoint
from utils.training.run import train

DISTANCES = ("latent", "features")


def frozen_parts(task):
    parts = {"vae": task.denoiser.vae, "unet": task.denoiser.unet}
    return {f"{part}.{name}": value.clone() for part, network in parts.items() for name, value in network.state_dict().items()}


def test_the_loss_falls_and_only_the_predictor_changes(predictor_recipe, large_photo, new_trainer):
    trainer = new_trainer(replace(predictor_recipe, steps=60, adversarial_start=40, start_timesteps=[200], start_shares=[1.0]), [large_photo])
    frozen = frozen_parts(trainer.task)
    predictor = {name: value.clone() for name, value in trainer.task.networks.state_dict().items()}
    losses = [sum(terms[name].item() for name in DISTANCES) for terms in trainer.losses()]
    assert np.isfinite(losses).all()
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10])
    after = frozen_parts(trainer.task)
    assert all(torch.equal(after[name], value) for name, value in frozen.items())
    assert all(p.grad is None for network in (trainer.task.denoiser.vae, trainer.task.denoiser.unet) for p in network.parameters())
    # Adding the same to all keys changes no attention: the softmax takes it out again.
    still = {name for name, value in trainer.task.networks.state_dict().items() if torch.equal(value, predictor[name])}
    assert all("to_k.bias" in name for name in still)


def test_validation_sees_the_progress(predictor_recipe, large_photo, new_trainer):
    trainer = new_trainer(replace(predictor_recipe, steps=40, start_timesteps=[200], start_shares=[1.0]), [large_photo])
    trainer.task.hold_out([large_photo])
    before = trainer.validate()
    list(trainer.losses())
    after = trainer.validate()
    assert after.score > before.score and trainer.best.score == after.score
    assert {"latent_clean", "features_degraded", "psnr_y_gain_clean"} <= set(after.figures)
    assert {picture.shape for picture in after.pictures.values()} == {(64, 64, 3)} and len(after.pictures) == 2


def test_the_discriminator_learns_from_the_start_and_counts_later(predictor_recipe, large_photo, new_trainer):
    trainer = new_trainer(replace(predictor_recipe, steps=4, adversarial_start=2), [large_photo])
    before = trainer.task.rivals["discriminator"].layers[0].weight.clone()
    terms = list(trainer.losses())
    assert ["adversarial" in t for t in terms] == [False, False, True, True] and all("discriminator" in t for t in terms)
    assert not torch.equal(trainer.task.rivals["discriminator"].layers[0].weight, before)


def test_terms_whose_weight_is_zero_are_left_out(predictor_recipe, large_photo, new_trainer):
    trainer = new_trainer(replace(predictor_recipe, feature_weight=0.0, adversarial_weight=0.0, steps=1), [large_photo])
    (terms,) = trainer.losses()
    assert set(terms) == {"latent", "divergence"} and not trainer.task.rivals


def test_what_is_trained_is_the_samplers_own_step(predictor_recipe, large_photo, new_trainer):
    """One step of the sampler under the same draws, and the squared difference of latents by hand."""
    task = new_trainer(predictor_recipe, [large_photo]).task
    batch = task.batches([large_photo])[0]
    with torch.no_grad():
        target, made, _, _ = task._estimate(task.denoiser, batch)
        eps = task._draws(batch, target)
        draws = {"vae": eps[0], "predictor": eps[1]}
        picture = sample(task.denoiser, batch.lq, batch.timesteps, 1.0, task.conditioner(predictor_recipe.prompt, None, 1.0), draws)
        torch.testing.assert_close(decode(task.denoiser, made), picture, atol=1e-5, rtol=1e-4)
        wanted = 0.18215 * task.denoiser.vae.encode(2 * batch.target - 1).latent_dist.mean
        assert task(batch, 0)["latent"].item() == pytest.approx((made - wanted).square().mean().item(), rel=1e-5)


def test_the_loss_is_a_function_of_the_batch(predictor_recipe, large_photo, new_trainer):
    task = new_trainer(predictor_recipe, [large_photo]).task
    first, again = task(task.batches([large_photo])[1], 0), task(task.batches([large_photo])[1], 0)
    assert first.keys() == again.keys() and all(torch.equal(first[name], again[name]) for name in first)


def test_gradient_checkpointing_changes_no_gradient(predictor_recipe, large_photo, new_trainer):
    gradients = []
    for checkpointing in (False, True):
        task = new_trainer(replace(predictor_recipe, gradient_checkpointing=checkpointing), [large_photo]).task
        task(task.batches([large_photo])[0], 0)["latent"].backward()
        gradients.append(task.networks["noise_predictor"].encoder.conv_in.weight.grad)
    torch.testing.assert_close(*gradients)


def test_the_checkpoint_round_trips(predictor_recipe, large_photo_folder, tmp_path):
    recipe = replace(predictor_recipe, crop=64, logger="none")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(recipe, large_photo_folder, whole) == 0
    # The same run in two halves; without a cool-down the learning rate does not depend on the length.
    assert train(replace(recipe, steps=4), large_photo_folder, parts) == 0
    assert train(recipe, large_photo_folder, parts, resume=True) == 0
    first, second = load_checkpoint(whole), load_checkpoint(parts)
    assert first["step"] == second["step"] == 6 and first["rivals"]
    for part in ("networks", "rivals", "average"):
        assert all(torch.equal(second[part][name], value) for name, value in first[part].items())


def test_the_export_is_a_predictor_for_the_sampler_that_changes_the_picture(predictor_recipe, large_photo, large_photo_folder, tiny_config, tmp_path):
    assert train(replace(predictor_recipe, logger="none"), large_photo_folder, tmp_path / "run", export=tmp_path / "predictor") == 0
    assert {path.name for path in (tmp_path / "predictor").iterdir()} == {"config.json", "noise_predictor.safetensors"}
    assert json.loads((tmp_path / "predictor" / "config.json").read_text())["timesteps"] == [1, 250]
    ours = InvSamplerSR({**tiny_config, "model_start": {"ckpt_path": str(tmp_path / "predictor")}})
    theirs = InvSamplerSR(tiny_config)
    picture = large_photo[:64, :64]
    assert np.abs(ours.upscale(picture).picture.astype(int) - theirs.upscale(picture).picture).max() > 4


def test_a_run_can_go_on_from_a_published_predictor(predictor_recipe, large_photo, sampler, new_trainer):
    trainer = new_trainer(replace(predictor_recipe, init=str(PIPELINE_TINY / "noise_predictor"), noise_predictor={}), [large_photo])
    published = sampler._model.denoiser.noise_predictor.state_dict()
    ours = trainer.task.networks["noise_predictor"].state_dict()
    assert all(torch.equal(ours[name], value) for name, value in published.items())
    again = new_trainer(replace(predictor_recipe, init="nowhere", noise_predictor={}), [large_photo], trainer.state())
    assert all(torch.equal(again.task.networks["noise_predictor"].state_dict()[name], value) for name, value in published.items())


def test_resuming_with_another_predictor_is_refused(predictor_recipe, large_photo, new_trainer):
    state = new_trainer(predictor_recipe, [large_photo]).state()
    with pytest.raises(UserError, match="another discriminator_width"):
        new_trainer(replace(predictor_recipe, discriminator_width=16), [large_photo], state)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"crop": 72}, "crop in the recipe must be a multiple of 64"),
        ({"validation_crop": 48}, "validation_crop in the recipe must be at least 64"),
        ({"scale": 2}, "magnifies 4 times"),
        ({"pipeline": "nowhere"}, "no model folder nowhere"),
        ({"init": "nowhere"}, "no noise predictor at nowhere"),
    ],
)
def test_what_does_not_fit_the_pipeline_is_refused_in_one_sentence(predictor_recipe, large_photo, new_trainer, changes, sentence):
    with pytest.raises(UserError, match=sentence) as refusal:
        new_trainer(replace(predictor_recipe, **changes), [large_photo])
    assert "\n" not in str(refusal.value)


def test_a_pipeline_that_lacks_its_unet_is_refused(predictor_recipe, large_photo, new_trainer, tmp_path):
    shutil.copytree(PIPELINE_TINY, tmp_path / "pipeline")
    (tmp_path / "pipeline" / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(UserError, match="unet"):
        new_trainer(replace(predictor_recipe, pipeline=str(tmp_path / "pipeline")), [large_photo])


def test_bfloat16_trains_the_predictor_in_float32_weights(predictor_recipe, large_photo, new_trainer):
    trainer = new_trainer(replace(predictor_recipe, precision="bfloat16", steps=3), [large_photo])
    losses = [terms["latent"].item() for terms in trainer.losses()]
    assert np.isfinite(losses).all()
    assert {p.dtype for p in trainer.task.networks.parameters()} == {torch.float32}
    assert trainer.task.denoiser.unet.dtype == torch.bfloat16
