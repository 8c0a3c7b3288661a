import itertools
import json
import math
import signal
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler, UNet2DConditionModel
from safetensors.torch import load_file

from sampler_invsr import InvSamplerSR
from tests.metrics.random_squeezenet import save_random_squeezenet
from utils.models.conditioning import ClassConditioner
from utils.models.noise_predictor import NoisePredictor
from utils.models.wavelet_latents import WaveletLatents
from utils.pictures.resampling import bicubic
from utils.planning.errors import UserError
from utils.training.checkpoint import load_checkpoint, save_checkpoint
from utils.training.dataset import Batch, EmbeddedBatches, to_tensor
from utils.training.embedded_model import build_denoiser, measure_channel_std
from utils.training.embedded_task import EmbeddedTask
from utils.training.export import UNET_WEIGHTS, export_model
from utils.training.mixed_precision import in_precision
from utils.training.objective import asymmetric, charbonnier, estimate
from utils.training.run import STOPPED, export_run, start_accelerator, train
from utils.training.trainer import Trainer
from utils.training.validation import gain
from utils.training.validation import upscale as upscale_with

CLASSES = ClassConditioner(torch.device("cpu"))


def upscale(denoiser, lq, timesteps, guidance=1.0):
    return upscale_with(denoiser, CLASSES, lq, timesteps, guidance)


@pytest.fixture
def denoiser(recipe, photo):
    return build_denoiser(recipe, measure_channel_std([photo], recipe.levels))


def wake(denoiser):
    """Last layers that do something, as after training."""
    torch.manual_seed(3)
    for layer in (denoiser.unet.conv_out, denoiser.noise_predictor.encoder.conv_out):
        torch.nn.init.normal_(layer.weight, std=0.05)
    return denoiser


@pytest.mark.parametrize("timesteps", [[200], [250, 200, 150, 100, 50]])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_the_untrained_sampler_is_exactly_bicubic(denoiser, photo, timesteps, guidance):
    lq = photo[:24, :20].astype(np.float32) / 255
    result = upscale(denoiser, lq, timesteps, guidance)
    torch.testing.assert_close(result, bicubic(to_tensor([lq]), (96, 80)), atol=2e-6, rtol=0)


def test_the_untrained_predictor_has_no_spread(denoiser):
    assert denoiser.noise_predictor(torch.rand(1, 3, 8, 8), 199).std.max() < 1e-6


def test_every_latent_channel_of_the_photos_has_unit_spread(recipe, photo):
    vae = WaveletLatents(recipe.levels, tuple(measure_channel_std([photo], recipe.levels)))
    z = vae.encode(2 * to_tensor([photo.astype(np.float32) / 255]) - 1).latent_dist.mean
    torch.testing.assert_close(z.std((0, 2, 3), correction=0), torch.ones(48), atol=1e-3, rtol=0)


def test_the_networks_can_be_trained_from_their_zero_layers(recipe, photo, new_trainer):
    trainer = new_trainer(replace(recipe, steps=40, few_step_share=0.0), [photo])
    before = {name: value.clone() for name, value in trainer.task.networks.state_dict().items()}
    losses = [terms["charbonnier"] for terms in trainer.losses()]
    assert np.isfinite(losses).all() and trainer.step == 40
    changed = {name for name, value in trainer.task.networks.state_dict().items() if not torch.equal(value, before[name])}
    assert {"unet.conv_in.weight", "unet.class_embedding.weight", "noise_predictor.encoder.conv_in.weight"} <= changed
    trainer.task.hold_out([photo])
    figures = trainer.validate().figures
    assert list(figures) == ["psnr_y_gain_clean_1_steps", "psnr_y_gain_clean_3_steps", "psnr_y_gain_degraded_1_steps"]
    assert figures["psnr_y_gain_clean_1_steps"] > 0.02


def test_only_the_last_step_of_several_carries_gradients(denoiser, recipe, photo):
    wake(denoiser)
    batch = EmbeddedBatches([photo], recipe)[0]
    several = replace(batch, timesteps=[200, 100, 50], steps=3)
    charbonnier(estimate(denoiser, several), several.target, 1e-3).mean().backward()
    assert denoiser.unet.conv_in.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in denoiser.noise_predictor.parameters())


def test_a_step_without_gradients_does_not_starve_the_step_with_them_under_autocast(denoiser, recipe, photo):
    wake(denoiser)
    batch = EmbeddedBatches([photo], recipe)[0]
    several = replace(batch, timesteps=[200, 100], steps=2)
    charbonnier(
        estimate(in_precision(denoiser, start_accelerator(replace(recipe, precision="bfloat16"))), several), several.target, 1e-3
    ).mean().backward()
    assert all(p.grad is not None for p in denoiser.unet.parameters())


def test_the_estimate_after_all_steps_is_the_samplers_picture(denoiser, recipe, photo):
    wake(denoiser)
    lq = photo[:16, :16].astype(np.float32) / 255
    batch = Batch(to_tensor([lq]), torch.zeros(1, 3, 64, 64), torch.tensor([0]), torch.tensor([False]), [200, 100, 50], 3)
    with torch.no_grad():
        torch.testing.assert_close(estimate(denoiser, batch), upscale(denoiser, lq, [200, 100, 50]), atol=1e-5, rtol=0)


def test_the_other_diffusion_network_trains_and_exports_alike(recipe, photo, photo_folder, new_trainer, tmp_path):
    shape = {"in_channels": 48, "out_channels": 48, "width": 8, "num_blocks": 2}
    recipe = replace(recipe, unet_class="LatentResNet", unet=shape, logger="none")
    untrained = new_trainer(recipe, [photo]).task.denoiser
    lq = photo[:24, :20].astype(np.float32) / 255
    torch.testing.assert_close(upscale(untrained, lq, [200, 100]), bicubic(to_tensor([lq]), (96, 80)), atol=2e-6, rtol=0)
    assert train(recipe, photo_folder, tmp_path / "run", export=tmp_path / "model") == 0
    assert json.loads((tmp_path / "model" / "model_index.json").read_text())["unet"] == ["utils.models.latent_resnet", "LatentResNet"]
    sampler = InvSamplerSR({"sd_pipe": {"params": {"pretrained_model_name_or_path": str(tmp_path / "model")}}, "device": "cpu", "dtype": "float32"})
    assert sampler.upscale(photo[:32, :32]).picture.shape == (128, 128, 3)


def test_class_labels_steer_the_picture(denoiser, photo):
    wake(denoiser)
    lq = photo[:16, :16].astype(np.float32) / 255
    assert (upscale(denoiser, lq, [200], 2.0) - upscale(denoiser, lq, [200], 1.0)).abs().max() > 1e-4


def test_resuming_after_a_kill_continues_exactly(recipe, photo_folder, tmp_path):
    assert train(recipe, photo_folder, tmp_path / "whole") == 0
    whole = load_checkpoint(tmp_path / "whole")

    class Killed(Exception):
        pass

    killed = tmp_path / "killed"
    trainer_steps = Trainer.losses

    def losses_until_killed(self):
        for terms in trainer_steps(self):
            if self.step == 3:
                killed.mkdir()
                save_checkpoint(killed, self.state())
            if self.step == 4:
                raise Killed
            yield terms

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Trainer, "losses", losses_until_killed)
        train(recipe, photo_folder, tmp_path / "unsaved")
    assert load_checkpoint(killed)["step"] == 3
    assert train(recipe, photo_folder, killed, resume=True) == 0
    resumed = load_checkpoint(killed)
    for part in ("networks", "average"):
        assert resumed[part].keys() == whole[part].keys()
        assert all(torch.equal(resumed[part][name], whole[part][name]) for name in whole[part])
    assert resumed["step"] == whole["step"] == recipe.steps


def test_a_request_to_stop_saves_the_run(recipe, photo_folder, tmp_path, monkeypatch):
    def losses(self):
        self.step = 2
        signal.raise_signal(signal.SIGTERM)
        yield {"charbonnier": torch.tensor(0.5)}
        raise AssertionError("went on after SIGTERM")

    monkeypatch.setattr(Trainer, "losses", losses)
    before = signal.getsignal(signal.SIGTERM)
    assert train(recipe, photo_folder, tmp_path / "run") == STOPPED
    assert load_checkpoint(tmp_path / "run")["step"] == 2
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_time_budget_ends_the_run_with_the_learning_rate_near_zero(recipe, photo, new_trainer, monkeypatch):
    ticks = itertools.count(step=0.05)
    monkeypatch.setattr("utils.training.trainer.time", SimpleNamespace(monotonic=lambda: next(ticks)))
    trainer = new_trainer(replace(recipe, steps=10_000, minutes=1 / 60), [photo])
    list(trainer.losses())
    assert trainer.step == 20 and trainer.seconds == pytest.approx(1.0)
    assert trainer.optimiser.param_groups[0]["lr"] < 0.2 * recipe.learning_rate


def test_a_run_that_diverges_ends_in_words_and_exports_what_was_good(recipe, photo_folder, tmp_path, monkeypatch):
    scores = iter((1.0, math.nan))
    validate = EmbeddedTask.validate
    monkeypatch.setattr(EmbeddedTask, "validate", lambda task, networks: replace(validate(task, networks), score=next(scores)))
    often = replace(recipe, steps=4, validate_every=1, checkpoint_steps=1)
    with pytest.raises(UserError, match="diverged: at step 2 its score is not a number"):
        train(often, photo_folder, tmp_path / "run", export=tmp_path / "model")
    state = load_checkpoint(tmp_path / "run")["best"]
    assert (state["step"], state["score"]) == (1, 1.0)
    assert all(value.isfinite().all() for value in load_file(tmp_path / "model" / UNET_WEIGHTS).values())


@pytest.mark.parametrize(
    "change",
    [
        {"noise_predictor": {"norm_num_groups": 7}},
        {"noise_predictor": {"down_block_types": ["Foo"]}},
        {"unet": {"block_out_channels": "abc"}},
        {"unet_class": "LatentResNet", "unet": {"num_blocks": "abc", "in_channels": 48, "out_channels": 48}},
        {"unet_class": "LatentResNet", "unet": {"width": 0, "in_channels": 48, "out_channels": 48}},
    ],
)
def test_arguments_that_make_no_network_are_said_in_one_sentence(recipe, photo, new_trainer, change):
    own = {} if "unet_class" in change else {name: getattr(recipe, name) for name in change}
    merged = {name: {**own.get(name, {}), **value} if isinstance(value, dict) else value for name, value in change.items()}
    merged = {
        name: {**(getattr(recipe, name) if "unet_class" not in change else {}), **value} if isinstance(value, dict) else value
        for name, value in change.items()
    }
    with pytest.raises(UserError, match=r"(unet|noise_predictor) in the recipe makes no \w+ \(.+\); correct it\."):
        new_trainer(replace(recipe, **merged), [photo])


def test_a_failed_write_leaves_the_previous_checkpoint(tmp_path):
    save_checkpoint(tmp_path, {"step": 1})
    with pytest.raises(Exception, match="pickle"):
        save_checkpoint(tmp_path, {"step": (k for k in range(2))})
    assert load_checkpoint(tmp_path) == {"step": 1}


def test_a_damaged_checkpoint_is_said_in_one_sentence(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"torn")
    with pytest.raises(UserError, match=r"is damaged; .*\.$"):
        load_checkpoint(tmp_path)


def test_a_run_of_another_task_is_not_resumed(recipe, predictor_recipe, photo, new_trainer):
    state = new_trainer(recipe, [photo]).state()
    with pytest.raises(UserError, match="another task"):
        new_trainer(predictor_recipe, [photo], state)


def test_resuming_without_a_checkpoint_is_refused(recipe, photo_folder, tmp_path):
    with pytest.raises(UserError, match="leave out --resume"):
        train(recipe, photo_folder, tmp_path / "none", resume=True)


def test_a_run_is_not_overwritten_by_another(recipe, photo_folder, tmp_path):
    save_checkpoint(tmp_path, {"step": 5})
    with pytest.raises(UserError, match="continue it with --resume"):
        train(recipe, photo_folder, tmp_path)
    assert load_checkpoint(tmp_path) == {"step": 5}


def test_resuming_with_other_networks_is_refused(recipe, photo, new_trainer):
    state = new_trainer(recipe, [photo]).state()
    wider = replace(recipe, unet={**recipe.unet, "block_out_channels": [16, 24]})
    with pytest.raises(UserError, match="another unet"):
        new_trainer(wider, [photo], state)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 9}, "seed was"),
        ({"validation_crop": 32}, "validation_crop was"),
        ({"validation_photos": 2}, "Other pictures than before"),
        ({"poor_overshoot_weight": 2.0}, "poor_overshoot_weight was 1.0"),
    ],
)
def test_a_run_is_not_resumed_as_one_with_other_batches_or_scores(recipe, photo_folder, tmp_path, change, words):
    train(recipe, photo_folder, tmp_path)
    with pytest.raises(UserError, match=words):
        train(replace(recipe, **change, steps=8), photo_folder, tmp_path, resume=True)
    assert train(replace(recipe, steps=8, learning_rate=1e-4), photo_folder, tmp_path, resume=True) == 0


def test_a_run_goes_on_from_a_checkpoint_that_does_not_know_of_later_keys(recipe, photo_folder, tmp_path):
    train(recipe, photo_folder, tmp_path)
    state = load_checkpoint(tmp_path)
    del state["held_out"], state["recipe"]["degradations"], state["recipe"]["tip"]
    save_checkpoint(tmp_path, state)
    with pytest.raises(UserError, match=r"tip was 0\.001"):
        train(replace(recipe, steps=8, tip=0.1), photo_folder, tmp_path, resume=True)
    assert train(replace(recipe, steps=8), photo_folder, tmp_path, resume=True) == 0


def test_a_run_of_several_processes_can_be_exported_by_one_but_not_resumed(recipe, photo_folder, tmp_path):
    train(recipe, photo_folder, tmp_path)
    save_checkpoint(tmp_path, load_checkpoint(tmp_path) | {"processes": 2})
    assert export_run(recipe, tmp_path, tmp_path / "model") == 0 and (tmp_path / "model" / "model_index.json").exists()
    with pytest.raises(UserError, match=r"2 process\(es\)"):
        train(recipe, photo_folder, tmp_path, resume=True)


def test_another_model_is_not_replaced_by_an_export(recipe, photo_folder, tmp_path):
    other = tmp_path / "sd-turbo"
    (other / "unet").mkdir(parents=True)
    (other / "unet" / "weights").write_text("of somebody")
    for index in (None, "StableDiffusionPipeline"):
        if index:
            (other / "model_index.json").write_text(json.dumps({"_class_name": index}))
        with pytest.raises(UserError, match="another model"):
            train(recipe, photo_folder, tmp_path / "run", export=other)
    assert (other / "unet" / "weights").read_text() == "of somebody" and not (tmp_path / "run").exists()


def test_nothing_is_exported_before_the_first_validation(recipe, photo_folder, tmp_path, monkeypatch):
    exported = []
    monkeypatch.setattr("utils.training.embedded_task.EmbeddedTask.export", lambda task, networks, folder: exported.append(folder))
    train(replace(recipe, checkpoint_steps=2), photo_folder, tmp_path / "run", export=tmp_path / "model")
    assert len(exported) == 3  # of checkpoints at 2, 4 and 6 and the last, those after the validation at 4


def test_a_flat_validation_picture_does_not_decide_what_is_best(recipe, photo):
    flat = np.full((64, 64, 3), 0.5, np.float32)
    lq = flat[::4, ::4]
    assert gain(to_tensor([flat]), lq, flat) == 0 and -60 < gain(to_tensor([flat + 0.01]), lq, flat) < 0


def test_resuming_takes_the_learning_rate_of_the_recipe(recipe, photo, new_trainer):
    state = new_trainer(recipe, [photo]).state()
    resumed = new_trainer(replace(recipe, learning_rate=1e-5), [photo], state)
    next(resumed.losses())
    assert resumed.optimiser.param_groups[0]["lr"] <= 1e-5


def test_a_finished_run_that_is_resumed_stays_as_it_is(recipe, photo_folder, tmp_path):
    train(recipe, photo_folder, tmp_path)
    before = load_checkpoint(tmp_path)
    train(recipe, photo_folder, tmp_path, resume=True)
    after = load_checkpoint(tmp_path)
    assert after["step"] == before["step"] == recipe.steps
    assert all(torch.equal(after["networks"][name], value) for name, value in before["networks"].items())


def test_a_new_run_can_start_from_an_exported_model(recipe, photo, photo_folder, new_trainer, tmp_path):
    train(recipe, photo_folder, tmp_path / "run", export=tmp_path / "model")
    trained = load_checkpoint(tmp_path / "run")["best"]["weights"]
    other_photos = [255 - photo // 2]
    trainer = new_trainer(replace(recipe, init=str(tmp_path / "model")), other_photos)
    assert trainer.step == 0
    for name, value in trainer.task.networks.state_dict().items():
        torch.testing.assert_close(value, trained[name], atol=1e-3, rtol=1e-3)
    assert trainer.task.channel_std == json.loads((tmp_path / "model" / "vae" / "config.json").read_text())["channel_std"]
    again = new_trainer(replace(recipe, init=str(tmp_path / "gone")), other_photos, trainer.state())
    assert torch.equal(again.task.networks["unet"].conv_in.weight, trainer.task.networks["unet"].conv_in.weight)


def test_a_deeper_network_starts_as_the_shallower_one_whose_weights_it_is_given(recipe, photo, photo_folder, new_trainer, tmp_path):
    shape = {"in_channels": 48, "out_channels": 48, "width": 8, "num_blocks": 2}
    recipe = replace(recipe, unet_class="LatentResNet", unet=shape, logger="none")
    train(recipe, photo_folder, tmp_path / "run", export=tmp_path / "model")
    given = {"init": str(tmp_path / "model")}
    shallow = new_trainer(replace(recipe, **given), [photo]).task.denoiser
    deep = new_trainer(replace(recipe, **given, unet={**shape, "num_blocks": 4}), [photo])
    lq = photo[:24, :20].astype(np.float32) / 255
    before = upscale(shallow, lq, [200, 100])
    assert torch.equal(upscale(deep.task.denoiser, lq, [200, 100]), before)
    assert len(list(deep.losses())) == recipe.steps
    assert not torch.equal(upscale(deep.task.denoiser, lq, [200, 100]), before)
    assert deep.task.denoiser.unet.blocks[3].conv2.weight.abs().sum() > 0
    with pytest.raises(UserError, match=r"do not fit the recipe's network.*\.$"):
        new_trainer(replace(recipe, **given, unet={**shape, "num_blocks": 1}), [photo])


def test_weights_of_other_networks_are_refused_to_start_from(recipe, photo, photo_folder, new_trainer, tmp_path):
    train(recipe, photo_folder, tmp_path / "run", export=tmp_path / "model")
    wider = replace(recipe, init=str(tmp_path / "model"), unet={**recipe.unet, "block_out_channels": [16, 24]})
    with pytest.raises(UserError, match=r"do not fit the recipe's network.*\.$"):
        new_trainer(wider, [photo])
    (tmp_path / "model" / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"torn")
    with pytest.raises(UserError, match="missing or damaged"):
        new_trainer(replace(recipe, init=str(tmp_path / "model")), [photo])
    with pytest.raises(UserError, match="missing"):
        new_trainer(replace(recipe, init=str(tmp_path / "nowhere")), [photo])


def test_an_exported_model_comes_back_through_from_pretrained(denoiser, recipe, photo, tmp_path):
    wake(denoiser)
    (tmp_path / "README.md").write_text("stays")
    for _ in range(2):
        export_model(denoiser, recipe, tmp_path)
    assert (tmp_path / "README.md").read_text() == "stays"
    assert {part.name for part in tmp_path.iterdir()} == {"README.md", "model_index.json", "noise_predictor", "scheduler", "unet", "vae"}

    about = json.loads((tmp_path / "noise_predictor" / "config.json").read_text())
    assert about["timesteps"] == [1, 250]
    predictor = NoisePredictor(**about["config"])
    predictor.load_state_dict(load_file(tmp_path / "noise_predictor" / "noise_predictor.safetensors"))
    loaded = replace(
        denoiser,
        noise_predictor=predictor.float().eval(),
        unet=UNet2DConditionModel.from_pretrained(tmp_path / "unet", torch_dtype=torch.float32).eval(),
        vae=WaveletLatents.from_config(WaveletLatents.load_config(tmp_path / "vae")),
        scheduler_config=EulerDiscreteScheduler.load_config(tmp_path / "scheduler"),
    )
    stored = load_file(tmp_path / "unet" / "diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    lq = photo[:16, :16].astype(np.float32) / 255
    torch.testing.assert_close(upscale(loaded, lq, [200, 100]), upscale(denoiser, lq, [200, 100]), atol=5e-3, rtol=0)


def test_a_run_can_be_exported_without_training(recipe, photo_folder, tmp_path):
    train(recipe, photo_folder, tmp_path / "run", export=tmp_path / "at_the_end")
    export_run(recipe, tmp_path / "run", tmp_path / "later")
    weights = "unet/diffusion_pytorch_model.safetensors"
    assert (tmp_path / "later" / weights).read_bytes() == (tmp_path / "at_the_end" / weights).read_bytes()


def test_the_feature_loss_is_added_where_it_is_asked_for(recipe, photo, new_trainer, tmp_path):
    save_random_squeezenet(tmp_path / "features.npz")
    with_features = replace(recipe, crop=32, feature_weight=0.1, feature_weights=str(tmp_path / "features.npz"))
    trainer = new_trainer(with_features, [photo])
    wake(trainer.task.denoiser)
    batch = EmbeddedBatches([photo], with_features)[0]
    terms = trainer.task(batch, 0)
    assert set(terms) == {"charbonnier", "features"} and terms["features"].item() > 0
    terms["features"].backward()
    assert trainer.task.networks["unet"].conv_in.weight.grad.abs().sum() > 0
    twice = new_trainer(replace(with_features, feature_weight=0.2), [photo])
    wake(twice.task.denoiser)
    torch.testing.assert_close(twice.task(batch, 0)["features"], 2 * terms["features"], atol=0, rtol=1e-5)


def test_a_recipe_with_a_poor_tip_asks_less_of_poor_inputs_and_the_same_of_the_others(recipe, photo, new_trainer, tmp_path):
    save_random_squeezenet(tmp_path / "features.npz")
    plain = replace(recipe, crop=32, feature_weight=0.1, feature_weights=str(tmp_path / "features.npz"))
    batch = EmbeddedBatches([photo], plain)[0]

    def terms(recipe, poor):
        trainer = new_trainer(recipe, [photo])
        wake(trainer.task.denoiser)
        return trainer.task(replace(batch, poor=torch.tensor(poor)), 0)

    torch.testing.assert_close(terms(plain, [True, True]), terms(plain, [False, False]))
    assert terms(replace(plain, tip=0.01), [False, True])["charbonnier"] < terms(plain, [False, True])["charbonnier"]
    careful = replace(plain, poor_tip=0.03)
    torch.testing.assert_close(terms(careful, [False, False]), terms(plain, [False, False]))
    of_first, of_second, of_none = terms(careful, [False, True]), terms(careful, [True, False]), terms(careful, [True, True])
    assert "features" not in of_none and of_none["charbonnier"] < of_first["charbonnier"] < terms(plain, [False, False])["charbonnier"]
    torch.testing.assert_close(of_first["features"] + of_second["features"], terms(plain, [False, False])["features"])
    weighty = replace(careful, poor_weight=3)
    of_clean = terms(careful, [False, False])["charbonnier"]
    torch.testing.assert_close(terms(weighty, [False, False])["charbonnier"], of_clean)
    of_mixed = [terms(weighty, poor)["charbonnier"] for poor in ([False, True], [True, False])]
    torch.testing.assert_close(sum(of_mixed), of_clean + 3 * of_none["charbonnier"])
    for name, poor, others in (("overshoot_weight", False, of_none["charbonnier"]), ("poor_overshoot_weight", True, of_clean)):
        wary = replace(careful, **{name: 2.0})
        assert terms(wary, [poor] * 2)["charbonnier"] > terms(careful, [poor] * 2)["charbonnier"]
        torch.testing.assert_close(terms(wary, [not poor] * 2)["charbonnier"], others)


def test_the_loss_is_quadratic_below_its_tip_and_linear_above():
    target = torch.rand(2, 3, 16, 16)
    tips = torch.tensor([1.0, 1e-3])[:, None, None, None]
    assert charbonnier(target, target, tips).max() == 0
    assert charbonnier(target + 0.01, target, tips).mean().item() == pytest.approx((0.01**2 / 2 + 0.01 - 1e-3) / 2, rel=0.02)
    assert charbonnier(torch.tensor(1e-4), torch.tensor(0.0), 1.0).item() == pytest.approx(5e-9)


def test_overshooting_is_what_weighs_more():
    """Seen from a baseline of 0.5: beyond the target, short of it, the wrong way, and no change."""
    target = torch.tensor([0.7, 0.7, 0.7, 0.7, 0.5, 0.3, 0.3, 0.3])
    rgb = torch.tensor([0.8, 0.6, 0.4, 0.5, 0.6, 0.2, 0.4, 0.6]).requires_grad_()
    slopes = [torch.autograd.grad(asymmetric(rgb, target, torch.tensor(0.5), 0.2, weight).sum(), rgb)[0] for weight in (1.0, 3.0)]
    torch.testing.assert_close(slopes[1] / slopes[0], torch.tensor([3.0, 1, 3, 1, 3, 3, 1, 3]))


def test_the_loss_with_overshooting_has_no_jumps():
    baseline, target = torch.tensor(0.5), torch.tensor(0.7)
    rgb = torch.arange(1001) / 1000
    loss = asymmetric(rgb, target, baseline, 1e-3, 4.0)
    assert loss.diff().abs().max() < 4.01 * 1e-3 and loss.argmin() == 700
    torch.testing.assert_close(loss[500], charbonnier(baseline, target, 1e-3))


def test_what_cannot_be_known_is_changed_the_less_the_more_overshooting_weighs():
    rng = torch.Generator().manual_seed(0)
    truths = 0.1 + 0.2 * torch.randn(4000, generator=rng)  # what a pixel may have been; the bicubic picture says 0
    guesses = torch.arange(-100, 301)[:, None] / 1000

    def best(weight, truths=truths):
        losses = asymmetric(guesses, truths[None], torch.tensor(0.0), 1.0, weight).mean(1)
        return guesses[losses.argmin()].item()

    assert best(1.0) == pytest.approx(truths.mean().item(), abs=2e-3)
    assert best(2.0) == pytest.approx(0.1 - 0.276 * 0.2, abs=0.01)  # the expectile of a normal distribution at 1/3
    assert best(8.0) == 0
    assert best(8.0, truths=torch.full((4,), 0.1)) == pytest.approx(0.1, abs=1e-6)


def test_with_a_feature_loss_the_score_is_the_gain_in_the_loss(recipe, photo, new_trainer, tmp_path):
    save_random_squeezenet(tmp_path / "features.npz")
    trainer = new_trainer(replace(recipe, crop=32, feature_weight=0.1, feature_weights=str(tmp_path / "features.npz")), [photo])
    trainer.task.hold_out([photo])
    untrained = trainer.validate()
    assert untrained.score == pytest.approx(0, abs=1e-3)
    gains = [value for name, value in untrained.figures.items() if name.startswith("loss_gain")]
    assert len(gains) == 3 and untrained.score == pytest.approx(np.mean(gains))
    pair = trainer.task._pairs["clean"][0]
    assert trainer.task._loss_gain([to_tensor([pair[1]])], [pair], poor=False) > 10


def test_a_flat_validation_picture_does_not_decide_what_is_best_with_a_feature_loss_either(recipe, photo, new_trainer, tmp_path):
    save_random_squeezenet(tmp_path / "features.npz")
    task = new_trainer(replace(recipe, crop=32, feature_weight=0.1, feature_weights=str(tmp_path / "features.npz")), [photo]).task
    task.hold_out([photo])
    pair = task._pairs["clean"][0]
    flat = np.full_like(pair[1], 0.5)
    result = 0.5 * (bicubic(to_tensor([pair[0]]), pair[1].shape[:2]) + to_tensor([pair[1]]))
    alone = task._loss_gain([result], [pair], poor=False)
    with_flat = task._loss_gain([result, to_tensor([flat + 1e-3])], [pair, (flat[::4, ::4], flat)], poor=False)
    assert alone > 1 and with_flat == pytest.approx(alone, abs=0.5)


def test_a_wrong_file_of_feature_weights_is_refused(recipe, photo, new_trainer, tmp_path):
    (tmp_path / "features.npz").write_bytes(b"no archive")
    with pytest.raises(UserError, match="SqueezeNet"):
        new_trainer(replace(recipe, feature_weight=0.1, feature_weights=str(tmp_path / "features.npz")), [photo])


@pytest.mark.parametrize("part", ["unet", "noise_predictor"])
def test_an_unknown_argument_of_a_network_is_refused(recipe, part):
    wrong = replace(recipe, **{part: {**getattr(recipe, part), "blok_out_channels": [8]}})
    with pytest.raises(UserError, match="blok_out_channels"):
        build_denoiser(wrong, [1.0] * 48)
