"""Figures and pictures of a run, by step: to TensorBoard or Weights & Biases, through Accelerate's trackers."""

from collections.abc import Mapping
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.tracking import TensorBoardTracker, WandBTracker

from utils.planning.errors import UserError
from utils.training.recipe import Recipe

WANDB_PROJECT = "invsr-studio"


def check_logger(name: str) -> None:
    """A UserError if the logger's library is not installed."""
    if name == "wandb" and find_spec("wandb") is None:
        raise UserError("The logger wandb is not installed; install it with pip install wandb, or set logger to tensorboard.")


class Logbook:
    """Writes on the main process only. Use as a context, so that the last entries reach the disk or the server."""

    def __init__(self, accelerator: Accelerator, recipe: Recipe, run: Path, step: int) -> None:
        """run: the run's folder. step: where the run goes on; what TensorBoard has from later steps, before a kill, no longer shows."""
        self._accelerator = accelerator
        self._image_layout: dict[str, Any] = {}
        accelerator.trackers = []
        if recipe.logger == "tensorboard":
            accelerator.trackers.append(TensorBoardTracker("", str(run), purge_step=step + 1 if step else None))
            self._image_layout = {"dataformats": "NHWC"}
        if recipe.logger == "wandb":
            accelerator.trackers.append(WandBTracker(WANDB_PROJECT, dir=str(run), name=run.resolve().name, config=asdict(recipe), resume="auto"))
        for tracker in accelerator.trackers:
            tracker.start()

    def __enter__(self) -> "Logbook":
        return self

    def __exit__(self, *exception: object) -> None:
        for tracker in self._accelerator.trackers:
            tracker.finish()
        self._accelerator.trackers = []

    def figures(self, values: Mapping[str, float], step: int) -> None:
        self._accelerator.log(dict(values), step)

    def pictures(self, pictures: Mapping[str, np.ndarray], step: int) -> None:
        """pictures: [H,W,3] in [0,1], by name."""
        if self._accelerator.is_main_process:
            for tracker in self._accelerator.trackers:
                tracker.log_images({name: picture[None] for name, picture in pictures.items()}, step, **self._image_layout)
