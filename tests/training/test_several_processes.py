import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from utils.training.checkpoint import load_checkpoint

PROJECT = Path(__file__).parents[2]


def launch(config, photo_folder, run, *more):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["train.py", "--config", config, "--data", photo_folder, "--out", run, *more]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    answer = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=300)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.mark.slow
def test_two_processes_share_the_batches_and_agree_on_the_weights(recipe, photo, photo_folder, new_trainer, tmp_path):
    """Two steps; some batches have several sampling steps, which leave the predictor without gradients on one process."""
    recipe = replace(recipe, steps=2, warmup_steps=0, cooldown_share=0.0, weight_decay=0.0, clip_norm=1e9, logger="none")
    config = tmp_path / "recipe.yaml"
    OmegaConf.save(OmegaConf.structured(recipe), config)
    said = launch(config, photo_folder, tmp_path / "run")
    assert said.count("training and 1 validation pictures") == 1 and said.count("validation:") == 1
    together = load_checkpoint(tmp_path / "run")
    assert (together["step"], together["processes"]) == (2, 2)

    # By hand: in each step the mean of the gradients of two batches.
    from utils.training.dataset import load_photos, split

    photos = load_photos(photo_folder, 80)
    training, _ = split(list(photos), 1)
    trainer = new_trainer(recipe, [photos[name] for name in training])
    batches = trainer.task.batches(trainer.photos)
    assert {batches[k].steps > 1 for k in range(4)} == {False, True}
    trainer._set_rates()
    for step in range(2):
        for process in range(2):
            (trainer.task(batches[2 * step + process], step)["charbonnier"] / 2).backward()
        trainer.optimiser.step()
        trainer.optimiser.zero_grad()
    alone = trainer.task.networks.state_dict()
    start = new_trainer(recipe, trainer.photos).task.networks.state_dict()
    moved = [name for name in alone if not torch.equal(alone[name], start[name])]
    assert len(moved) > 10
    for name in alone:
        torch.testing.assert_close(together["networks"][name], alone[name], atol=2e-5, rtol=0)
