import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from utils.training.checkpoint import load_checkpoint
from utils.training.recipe import load_recipe
from utils.training.run import train

PROJECT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_run_killed_at_any_moment_resumes_to_the_very_same_weights(recipe, photo_folder, tmp_path):
    config = tmp_path / "recipe.yaml"
    settings = {"steps": 24, "validate_every": 6, "checkpoint_steps": 4, "patience": 50, "logger": "none"}
    OmegaConf.save(OmegaConf.merge(OmegaConf.structured(recipe), settings), config)
    killed, model = tmp_path / "killed", tmp_path / "model"
    command = [sys.executable, "train.py", "--config", config, "--data", photo_folder, "--out", killed, "--export", model]
    process = subprocess.Popen(command, cwd=PROJECT, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (killed / "checkpoint.pt").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 4 <= load_checkpoint(killed)["step"] < 24

    # What a kill in the middle of writing leaves behind.
    (killed / "checkpoint.pt.unfinished").write_bytes(b"half a checkpoint")
    (model / ".unfinished").mkdir(parents=True, exist_ok=True)
    (model / ".unfinished" / "stray").write_bytes(b"half a model")
    whole_recipe = load_recipe(config)
    assert train(whole_recipe, photo_folder, killed, resume=True, export=model) == 0
    assert train(whole_recipe, photo_folder, tmp_path / "whole", export=tmp_path / "whole_model") == 0

    resumed, whole = load_checkpoint(killed), load_checkpoint(tmp_path / "whole")
    for part in ("networks", "average"):
        assert all(torch.equal(resumed[part][name], value) for name, value in whole[part].items())
    assert [resumed["best"][key] for key in ("score", "step", "waited")] == [whole["best"][key] for key in ("score", "step", "waited")]
    assert all(torch.equal(resumed["best"]["weights"][name], value) for name, value in whole["best"]["weights"].items())
    assert resumed["step"] == whole["step"] == 24
    assert not (killed / "checkpoint.pt.unfinished").exists()
    files = sorted(path.relative_to(model) for path in model.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(tmp_path / "whole_model") for path in (tmp_path / "whole_model").rglob("*") if path.is_file())
    assert all((model / file).read_bytes() == (tmp_path / "whole_model" / file).read_bytes() for file in files)
