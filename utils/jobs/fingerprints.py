"""What decides a result, in short: hashes of files, settings and models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from utils.pictures.file_state import FileState
from utils.pictures.reading import check_file_size
from utils.planning.errors import UserError

if TYPE_CHECKING:
    from utils.models.model_loading import Model

_of_models: WeakKeyDictionary[Model, str] = WeakKeyDictionary()


def input_hash(path: Path, state: FileState) -> str:
    """`file_hash` of a picture that is to be read; UserError, too, for one that will not be, before hours are spent on it."""
    check_file_size(path.name, state.size)
    return file_hash(path)


def file_hash(path: Path) -> str:
    """SHA-256 of the content, in hexadecimal. UserError if it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the disk and the permissions of the file.") from error


def data_hash(data: Mapping[str, Any]) -> str:
    """SHA-256 of plain data, whatever the order of its names."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def model_hash(model: Model) -> str:
    """SHA-256 of the shapes and weights of all networks as they are in memory; computed once for a model. (A text encoder has left by then.)"""
    import torch

    if model not in _of_models:
        digest = hashlib.sha256(json.dumps(dict(model.denoiser.scheduler_config), sort_keys=True, default=str).encode())
        for network in (model.denoiser.noise_predictor, model.denoiser.vae, model.denoiser.unet):
            shape = {name: value for name, value in network.config.items() if not name.startswith("_")}  # the others say where it was read from
            digest.update(json.dumps(shape, sort_keys=True, default=str).encode())
            for name, weights in sorted(network.state_dict().items()):
                digest.update(f"{name} {weights.dtype} {list(weights.shape)}".encode())
                digest.update(weights.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        _of_models[model] = digest.hexdigest()
    return _of_models[model]
