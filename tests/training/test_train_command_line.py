import subprocess
import sys
from pathlib import Path

import pytest

import train

PROJECT = Path(__file__).parents[2]
RECIPE = str(PROJECT / "configs" / "train-tiny.yaml")
PREDICTOR_RECIPE = str(PROJECT / "configs" / "train-noise-predictor.yaml")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--config", RECIPE, "--data", "nowhere", "--out", "run"], "nowhere does not exist"),
        (["--config", RECIPE, "--data", ".", "--out", "run", "bach=3"], "nearest is 'batch'"),
        (["--config", "nowhere.yaml", "--data", ".", "--out", "run"], "nowhere.yaml does not exist"),
        (["--config", RECIPE, "--out", "run"], "give --data"),
        (["--config", RECIPE, "--out", "run", "--export", "model"], "no checkpoint.pt"),
        (["--config", RECIPE, "--data", ".", "--out", "run", "feature_weight=0.1"], "--feature-weights"),
        (["--config", RECIPE, "--data", ".", "--out", "run", "seed=-1"], "seed in the recipe must not be negative"),
        (["--config", RECIPE, "--data", ".", "--out", f"{__file__}"], "is a file; name a folder with --out"),
        (["--config", RECIPE, "--data", ".", "--out", "run", "--export", f"{__file__}/model"], "is a file; name another folder with --export"),
        (["--config", PREDICTOR_RECIPE, "--data", ".", "--out", "run", "--export", f"{__file__}"], "is a file; name a folder with --export"),
        (["--config", PREDICTOR_RECIPE, "--data", ".", "--out", "run", "unet.norm_num_groups=8"], "no key 'unet'"),
    ],
)
def test_a_wrong_call_gets_one_sentence_and_writes_nothing(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert train.main(arguments) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_wandb_that_is_not_installed_is_said_in_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("utils.training.logbook.find_spec", lambda name: None)
    assert train.main(["--config", RECIPE, "--data", ".", "--out", "run", "--logger", "wandb"]) == 2
    said = capsys.readouterr().err
    assert "pip install wandb" in said and said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_help_does_not_load_the_heavy_libraries():
    code = """
import sys
import train
try:
    train.main(["--help"])
except SystemExit as end:
    assert end.code == 0
assert not {"torch", "diffusers", "omegaconf", "accelerate"} & set(sys.modules)
"""
    answer = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert "--resume" in answer.stdout
