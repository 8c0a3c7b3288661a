import importlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from utils.training.run import train

WANDB = """
calls = []
class Image:
    def __init__(self, picture):
        self.shape = picture.shape
class Run:
    def log(self, values, step=None):
        calls.append(("log", step, values))
    def finish(self):
        calls.append(("finish",))
def init(**options):
    calls.append(("init", options))
    return Run()
"""

FIGURES = {f"validation/psnr_y_gain_{kind}_steps" for kind in ("clean_1", "clean_3", "degraded_1")} | {"validation/score"}


@pytest.fixture
def wandb(tmp_path, monkeypatch):
    """A stand-in for the package, which notes what it is called with."""
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "wandb.py").write_text(WANDB)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    yield importlib.import_module("wandb")
    sys.modules.pop("wandb", None)


def read_events(run: Path) -> EventAccumulator:
    events = EventAccumulator(str(run))
    events.Reload()
    return events


def test_tensorboard_gets_figures_and_pictures(recipe, photo_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("utils.training.run.LOG_EVERY", 2)
    assert train(recipe, photo_folder, tmp_path) == 0
    events = read_events(tmp_path)
    assert set(events.Tags()["scalars"]) == {"train/loss", "train/charbonnier", "train/learning_rate"} | FIGURES
    assert [event.step for event in events.Scalars("train/charbonnier")] == [2, 4, 6]
    assert [event.step for event in events.Scalars("validation/score")] == [4, 6]
    assert set(events.Tags()["images"]) == {f"validation/{kind}_steps/0" for kind in ("clean_1", "clean_3", "degraded_1")}
    assert (events.Images("validation/clean_1_steps/0")[0].width, events.Images("validation/clean_1_steps/0")[0].height) == (48, 48)


def test_resuming_replaces_what_tensorboard_has_from_after_the_checkpoint(recipe, photo_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("utils.training.run.LOG_EVERY", 1)
    assert train(replace(recipe, steps=4, cooldown_share=0.0), photo_folder, tmp_path) == 0
    assert train(replace(recipe, cooldown_share=0.0), photo_folder, tmp_path, resume=True) == 0
    assert [event.step for event in read_events(tmp_path).Scalars("train/charbonnier")] == [1, 2, 3, 4, 5, 6]


def test_wandb_gets_the_same(recipe, photo_folder, tmp_path, wandb, monkeypatch):
    monkeypatch.setattr("utils.training.run.LOG_EVERY", 2)
    run = tmp_path / "a run"
    assert train(replace(recipe, logger="wandb"), photo_folder, run) == 0
    assert wandb.calls[0][0] == "init" and wandb.calls[-1] == ("finish",)
    options = wandb.calls[0][1]
    assert (options["dir"], options["name"], options["config"]["steps"]) == (str(run), "a run", 6)
    logged = [call[1:] for call in wandb.calls[1:-1]]
    assert [step for step, values in logged if "train/charbonnier" in values] == [2, 4, 6]
    assert {step for step, values in logged if set(values) == FIGURES} == {4, 6}
    pictures = {name: value for _, values in logged for name, value in values.items() if isinstance(value, list)}
    shapes = {name: value[0].shape for name, value in pictures.items()}
    assert shapes == {f"validation/{kind}_steps/0": (48, 48, 3) for kind in ("clean_1", "clean_3", "degraded_1")}
    assert not list(run.glob("events*"))


def test_without_a_logger_only_the_checkpoint_is_written(recipe, photo_folder, tmp_path):
    assert train(replace(recipe, logger="none"), photo_folder, tmp_path) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_figures_are_plain_numbers(recipe, photo, new_trainer):
    trainer = new_trainer(recipe, [photo])
    trainer.task.hold_out([photo])
    measured = trainer.validate()
    assert all(type(value) is float for value in (*measured.figures.values(), measured.score))
    assert all(picture.dtype == np.float32 and 0 <= picture.min() <= picture.max() <= 1 for picture in measured.pictures.values())
