from dataclasses import replace

import pytest
import torch
from torch import nn

from utils.training.checkpoint import load_checkpoint
from utils.training.early_stopping import BestWeights
from utils.training.embedded_task import EmbeddedTask
from utils.training.run import export_run, train
from utils.training.task import Validation
from utils.training.trainer import Trainer


def network(value: float) -> nn.Module:
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, value)
    return layer


def test_the_best_weights_are_kept_whatever_the_least_improvement():
    best = BestWeights(patience=3, min_delta=0.1)
    for step, score in enumerate([1.0, 1.05, 1.02]):
        best.offer(score, step, network(score))
    assert (best.score, best.step) == (1.05, 1)
    assert best.weights["weight"].item() == pytest.approx(1.05)


def test_patience_counts_validations_that_were_not_better_enough():
    best = BestWeights(patience=2, min_delta=0.1)
    seen = []
    for score in [1.0, 1.05, 1.2, 1.25, 1.29]:
        best.offer(score, 0, network(score))
        seen.append((best.waited, best.exhausted))
    assert seen == [(0, False), (1, False), (0, False), (1, False), (2, True)]


def test_small_gains_add_up_to_an_improvement():
    best = BestWeights(patience=3, min_delta=0.1)
    for score in [1.0, 1.06, 1.12]:
        best.offer(score, 0, network(score))
    assert best.waited == 0


def test_without_patience_nothing_is_ever_exhausted():
    best = BestWeights(patience=None, min_delta=0.1)
    for _ in range(50):
        best.offer(1.0, 0, network(1.0))
    assert not best.exhausted


def test_the_weights_kept_do_not_change_with_the_network():
    best, layer = BestWeights(None, 0.0), network(1.0)
    best.offer(1.0, 0, layer)
    nn.init.constant_(layer.weight, 5.0)
    assert best.weights["weight"].item() == 1.0


@pytest.fixture
def scores(monkeypatch):
    """A list of what the validations will score, one after the other, the last one again and again."""
    scores: list[float] = []

    def validate(self, networks):
        return Validation({"gain": 0.0}, scores.pop(0) if len(scores) > 1 else scores[0], {})

    monkeypatch.setattr(EmbeddedTask, "validate", validate)
    return scores


@pytest.fixture
def patient(recipe):
    return replace(recipe, steps=100, validate_every=2, patience=2, cooldown_share=0.5, warmup_steps=0, few_step_share=0.0, batch=1, logger="none")


def rates_of(patient, photo_folder, run, monkeypatch, resume=False):
    rates = []
    plain = Trainer._set_rates

    def set_rates(self):
        plain(self)
        rates.append(self.optimiser.param_groups[0]["lr"] / patient.learning_rate)

    monkeypatch.setattr(Trainer, "_set_rates", set_rates)
    train(patient, photo_folder, run, resume=resume)
    monkeypatch.setattr(Trainer, "_set_rates", plain)
    return rates


def test_a_plateau_begins_the_cool_down(patient, photo_folder, tmp_path, monkeypatch, scores):
    scores[:] = [1.0, 2.0, 2.0, 2.0, 2.5, 3.0, 3.0]
    rates = rates_of(patient, photo_folder, tmp_path, monkeypatch)
    # Validations at 2, 4, 6, 8: patience is out at step 8, so the run is to end at 16, cooling from 8 on.
    assert rates[:9] == [1.0] * 9 and rates[12] == pytest.approx(0.5) and len(rates) == 16 and rates[15] < 0.05


def test_a_plateau_in_the_cool_down_ends_the_run(patient, photo_folder, tmp_path, monkeypatch, scores):
    scores[:] = [1.0]
    rates = rates_of(patient, photo_folder, tmp_path, monkeypatch)
    # Patience is out at step 6, so the run is to end at 12; it is out again at 10.
    assert len(rates) == 10
    assert rates_of(patient, photo_folder, tmp_path, monkeypatch, resume=True) == []


def test_without_a_cool_down_a_plateau_ends_the_run(patient, photo_folder, tmp_path, monkeypatch, scores):
    scores[:] = [1.0]
    assert len(rates_of(replace(patient, cooldown_share=0.0), photo_folder, tmp_path, monkeypatch)) == 6


def test_the_best_weights_are_exported_not_the_last_ones(recipe, photo_folder, tmp_path, scores):
    scores[:] = [1.0, 3.0, 2.0]
    recipe = replace(recipe, validate_every=2, logger="none")
    train(recipe, photo_folder, tmp_path / "run", export=tmp_path / "model")
    state = load_checkpoint(tmp_path / "run")
    assert (state["best"]["step"], state["best"]["score"], state["step"]) == (4, 3.0, 6)
    averaged = {name.removeprefix("module."): value for name, value in state["average"].items()}
    changed = [name for name, value in state["best"]["weights"].items() if not torch.equal(value, averaged[name])]
    assert "unet.conv_in.weight" in changed
    export_run(recipe, tmp_path / "run", tmp_path / "later")
    weights = "unet/diffusion_pytorch_model.safetensors"
    assert (tmp_path / "later" / weights).read_bytes() == (tmp_path / "model" / weights).read_bytes()


def test_resuming_keeps_the_patience_that_is_left_and_the_shortened_budget(recipe, photo, new_trainer, scores):
    scores[:] = [1.0]
    recipe = replace(recipe, steps=100, patience=2, cooldown_share=0.5)
    trainer = new_trainer(recipe, [photo])
    trainer.step = 20
    trainer.validate()
    trainer.validate()
    resumed = new_trainer(recipe, [photo], trainer.state())
    assert (resumed.best.score, resumed.best.waited, resumed.budget) == (1.0, 1, 1.0)
    resumed.validate()
    again = new_trainer(recipe, [photo], resumed.state())
    assert (again.best.waited, again.budget, again.progress()) == (0, 0.4, 0.5)
