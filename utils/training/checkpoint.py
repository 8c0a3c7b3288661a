"""The state of a run on disk: written beside its final name and renamed, so that a kill leaves the previous one."""

import os
from pathlib import Path
from typing import Any

import torch

from utils.planning.errors import UserError

NAME = "checkpoint.pt"


def save_checkpoint(run: Path, state: dict[str, Any]) -> None:
    """Replaces the run's checkpoint by `state`, a nest of dicts, lists, numbers, strings and tensors."""
    unfinished = run / f"{NAME}.unfinished"
    with unfinished.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(run / NAME)


def load_checkpoint(run: Path) -> dict[str, Any]:
    """The run's state; a UserError if there is none, or if it is damaged."""
    path = run / NAME
    if not path.is_file():
        raise UserError(f"There is no {NAME} in {run} to resume from; leave out --resume to start a run.")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for damaged files
        raise UserError(f"The checkpoint {path} is damaged; start a new run, from exported weights if there are any (init).") from error


def refuse_to_overwrite(run: Path) -> None:
    """A UserError if a new run in this folder would replace the checkpoint of another."""
    if (run / NAME).exists():
        raise UserError(f"There is a run in {run} already; continue it with --resume, or choose another folder with --out.")
