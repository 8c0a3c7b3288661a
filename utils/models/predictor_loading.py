"""The noise predictor from its checkpoint, every tensor checked."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from utils.models.noise_predictor import NoisePredictor
from utils.models.part_loading import first_fault
from utils.planning.errors import UserError
from utils.planning.model_spec import is_whole, read_config
from utils.planning.schedule import HIGHEST_TIMESTEP

PREFIXES = re.compile(r"^(module\.|_orig_mod\.)+")
"""What DataParallel and torch.compile put before the names of a network's tensors."""


@dataclass(frozen=True)
class PredictorFiles:
    """A noise predictor on disk: its weights, the shape of the network, and the nominal timesteps it was trained for, if they are known."""

    weights: Path
    config: Mapping[str, Any]
    timesteps: tuple[int, int] | None


def read_predictor_files(weights: Path, params: Mapping[str, Any] | None) -> PredictorFiles:
    """What belongs to the checkpoint `weights`: the config.json beside it says, else `params`.

    A config.json that is not a noise predictor's (without the key "config") counts as none: checkpoints lie in folders of other models.
    """
    beside = weights.with_name("config.json")
    facts = read_config(beside) if beside.exists() else {}
    if "config" in facts:
        if not isinstance(facts["config"], dict):
            raise UserError(f"config in the file {beside} must be a group of values, the shape of the noise predictor; fetch it again.")
        return PredictorFiles(weights, facts["config"], _timesteps(facts.get("timesteps"), beside))
    if params:
        return PredictorFiles(weights, params, None)
    found = "only another model's config.json" if facts else "no config.json"
    raise UserError(f"The checkpoint {weights.name} has {found} beside it; set model_start.params to the shape of its network.")


def _timesteps(value: Any, path: Path) -> tuple[int, int] | None:
    if value is None:
        return None
    if isinstance(value, list) and len(value) == 2 and all(is_whole(t, 1, HIGHEST_TIMESTEP) for t in value) and value[0] <= value[1]:
        return value[0], value[1]
    raise UserError(f"timesteps in the file {path} must be two whole numbers from 1 to {HIGHEST_TIMESTEP}, the lower first; correct them.")


def load_noise_predictor(files: PredictorFiles) -> NoisePredictor:
    """The noise predictor in float32, every key and shape checked against the checkpoint."""
    network = _build(files.config)
    state = _unwrapped(_read_checkpoint(files.weights))
    wanted = network.state_dict()
    misshapen = [(name, state[name].shape, wanted[name].shape) for name in wanted if name in state and state[name].shape != wanted[name].shape]
    fault = first_fault(wanted.keys() - state.keys(), state.keys() - wanted.keys(), misshapen)
    fault = fault or next((f"has whole numbers in {name}" for name in wanted if not state[name].is_floating_point()), "")
    if fault:
        raise UserError(f"The checkpoint {files.weights.name} does not fit the noise predictor: it {fault}; use one of the configured shape.")
    network.load_state_dict({name: value.float() for name, value in state.items()}, assign=True)
    return network


def _build(config: Mapping[str, Any]) -> NoisePredictor:
    """The network without weights: on the meta device, so that even an absurd shape costs no memory."""
    surplus = next((str(name) for name in config if name not in inspect.signature(NoisePredictor).parameters), None)
    reason = f"there is no {surplus}" if surplus else ""
    try:
        if not reason:
            with torch.device("meta"):
                return NoisePredictor(**config)
    except ValueError as error:
        reason = str(error).splitlines()[0].rstrip(".")
    except Exception:  # torch and diffusers raise many kinds for values that make no network
        reason = "its values make no network"
    raise UserError(f"The configured shape of the noise predictor cannot be built ({reason}); take the one published with the checkpoint.")


def _read_checkpoint(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many kinds for damaged or hostile files
        raise UserError(f"The checkpoint {path.name} cannot be read ({type(error).__name__}); fetch it again or use a safetensors file.") from None


def _unwrapped(state: Any) -> dict[str, torch.Tensor]:
    """Key names as the network has them: out of "state_dict", without the prefixes that wrappers left."""
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError("The checkpoint of the noise predictor does not hold a state dict; use the published file or a safetensors file.")
    unwrapped = {PREFIXES.sub("", str(name)): value for name, value in state.items()}
    if len(unwrapped) < len(state):
        raise UserError("The checkpoint of the noise predictor holds the same tensor twice, with and without a prefix; use the published file.")
    return unwrapped
