"""The stock parts of a model's folder, taken only when they are complete and mean what the sampler computes."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import EulerDiscreteScheduler
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError, safe_open

from utils.planning.errors import UserError, is_out_of_memory
from utils.planning.model_spec import read_config
from utils.planning.schedule import HIGHEST_TIMESTEP

Misshapen = tuple[str, Iterable[int], Iterable[int]]
"""A tensor's name, its shape in the file and the shape that the network has for it."""

HALF = "fp16"
"""The infix of weight files in half precision: model.fp16.safetensors."""

ASSUMED_OF_SCHEDULER: Mapping[str, Any] = {
    "prediction_type": "epsilon",
    "num_train_timesteps": HIGHEST_TIMESTEP,
    "final_sigmas_type": "zero",
    "timestep_type": "discrete",
    "interpolation_type": "linear",
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
}
"""What the sampler's formulas take for granted: a network that predicts noise, asked at the timesteps themselves, ending without noise."""


def load_part(kind: Any, folder: Path, **precision: torch.dtype) -> Any:
    """A network of a diffusers or transformers class from its folder, every tensor of it read; precision as that class calls its dtype.

    Safetensors only, because pickles can run code. UserError if a file or a tensor is missing, damaged, unknown or misshapen.
    """
    read_config(folder / "config.json")
    variant = _variant(folder)
    _check_weight_files(folder, variant)
    try:
        with _quiet():
            network, found = kind.from_pretrained(
                folder,
                variant=variant,
                use_safetensors=True,
                local_files_only=True,
                ignore_mismatched_sizes=True,  # they are named below, in our words
                output_loading_info=True,
                **precision,
            )
    except Exception as error:  # the libraries raise many kinds for configurations that make no network
        if is_out_of_memory(error):
            raise
        raise _unusable(folder, "its config.json and its weights do not make a network") from error
    fault = first_fault(found["missing_keys"], found["unexpected_keys"], found["mismatched_keys"])
    if fault:
        raise _unusable(folder, f"it {fault}")
    return network


def load_scheduler_config(folder: Path) -> dict[str, Any]:
    """The noise schedule's configuration; UserError if the sampler's formulas do not hold for it."""
    path = folder / "scheduler" / "scheduler_config.json"
    config = read_config(path)
    try:
        with _quiet():
            scheduler = EulerDiscreteScheduler.from_config(config)
        usable = bool(torch.isfinite(scheduler.sigmas).all()) and bool((scheduler.sigmas[:-1] > 0).all())
    except Exception as error:  # whatever a nonsensical value brings up
        raise UserError(f"The model file {path} does not describe a noise schedule; fetch the model again.") from error
    for name, assumed in ASSUMED_OF_SCHEDULER.items():
        if (scheduler.config[name] or False) != assumed:  # null stands for false
            raise UserError(f"{name} in the model file {path} is {scheduler.config[name]}, and only {assumed} works here; use another model.")
    if not usable:
        raise UserError(f"The noise levels that the model file {path} describes are not positive numbers; fetch the model again.")
    return config


def first_fault(missing: Iterable[str], unknown: Iterable[str], misshapen: Iterable[Misshapen]) -> str:
    """What is wrong with a file's tensors, as the end of a sentence about the file; empty if nothing is."""
    faults = [f"lacks {name}" for name in sorted(missing)]
    faults += [f"has an unknown {name}" for name in sorted(unknown)]
    faults += [f"has {name} of shape {list(found)} instead of {list(wanted)}" for name, found, wanted in misshapen]
    more = f" (and {len(faults) - 1} more faults)" if len(faults) > 1 else ""
    return f"{faults[0]}{more}" if faults else ""


def _check_weight_files(folder: Path, variant: str | None) -> None:
    files = [path for path in sorted(folder.glob("*.safetensors")) if (f".{HALF}." in path.name) == (variant == HALF)]
    if not files:
        raise _unusable(folder, "it has no safetensors file")
    for path in files:
        try:
            with safe_open(path, framework="pt"):
                pass
        except (OSError, SafetensorError):
            raise _unusable(folder, f"{path.name} is damaged or not readable") from None


def _unusable(folder: Path, reason: str) -> UserError:
    return UserError(f"The model part {folder} cannot be loaded ({reason}); it must be complete, in diffusers layout, as safetensors.")


def _variant(folder: Path) -> str | None:
    """The infix of the weight files' names where only such files are there."""
    names = [path.name for path in folder.glob("*.safetensors")]
    return HALF if names and all(f".{HALF}." in name for name in names) else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the libraries' own reports on tensors and bars over weights: they would break into our one sentence and our bar."""
    from transformers.utils import logging as transformers_logging

    before = [(library, library.get_verbosity()) for library in (diffusers_logging, transformers_logging)]
    transformers_logging.disable_progress_bar()
    try:
        for library, _ in before:
            library.set_verbosity_error()
        yield
    finally:
        for library, verbosity in before:
            library.set_verbosity(verbosity)
