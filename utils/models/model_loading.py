"""From settings to networks in memory: found or fetched, checked, loaded once."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file

from utils.models.conditioning import ClassConditioner, Conditioner, TextConditioner
from utils.models.denoising import Denoiser
from utils.models.device import choose_device, choose_dtype, choose_vae_dtype
from utils.models.downloading import INVSR_NOISE_PREDICTOR, SD_TURBO, RemoteFiles, fetch
from utils.models.noise_predictor import NoisePredictor
from utils.models.wavelet_latents import WaveletLatents
from utils.planning.errors import UserError
from utils.planning.model_spec import ModelSpec, read_config, read_model_spec
from utils.planning.settings import Settings

PROJECT = Path(__file__).resolve().parents[2]
WEIGHTS = PROJECT / "weights"


@dataclass(frozen=True, eq=False)
class Model:
    """A model ready to run on `device` in `dtype`."""

    spec: ModelSpec
    denoiser: Denoiser
    conditioner: Conditioner
    device: torch.device
    dtype: torch.dtype


@dataclass(frozen=True)
class PredictorFiles:
    """A noise predictor on disk: its weights, the shape of the network, and the nominal timesteps it was trained for, if they are known."""

    weights: Path
    config: Mapping[str, Any]
    timesteps: tuple[int, int] | None


PREFIXES = re.compile(r"^(module\.|_orig_mod\.)+")
"""What DataParallel and torch.compile put before the names of a network's tensors."""

_loaded: WeakValueDictionary[tuple[Any, ...], Model] = WeakValueDictionary()
_loading = Lock()


Fetch = Callable[[RemoteFiles, Path], Path]


def load_model(settings: Settings, announce: Callable[[str], None], on_download: Callable[[int, int], None] | None = None) -> Model:
    """The model that the settings name; one that is in use already is shared, never loaded twice.

    announce gets what a download will do, in words, before it starts; on_download(done, total) its bytes.
    UserError if files are missing, damaged or do not belong together.
    """
    device = choose_device(settings.device)
    dtype = choose_dtype(settings.dtype, device)
    fetch_announced = partial(fetch, announce=announce, on_progress=on_download)
    with _loading:
        folder = find_pipeline(settings, fetch_announced)
        predictor = find_predictor(settings, folder, fetch_announced)
        key = folder, predictor.weights, device, dtype
        model = _loaded.get(key)
        if model is None:
            model = _loaded[key] = _load(folder, predictor, device, dtype)
        return model


def _load(folder: Path, predictor: PredictorFiles, device: torch.device, dtype: torch.dtype) -> Model:
    spec = read_model_spec(folder, predictor.config, predictor.timesteps)
    vae = _load_vae(folder, dtype, device)
    unet = _load_part(UNet2DConditionModel, folder / "unet", dtype)
    networks = [load_noise_predictor(predictor).to(dtype), vae, unet]
    layout = torch.channels_last if device.type == "cpu" and dtype == torch.bfloat16 else torch.preserve_format
    for network in networks:
        network.to(device=device, memory_format=layout).requires_grad_(False).eval()
    denoiser = Denoiser(*networks, scheduler_config=read_config(folder / "scheduler" / "scheduler_config.json"), scale=spec.scale)
    if spec.has_text:
        conditioner: Conditioner = TextConditioner(folder, device, dtype, _variant(folder / "text_encoder"))
    else:
        conditioner = ClassConditioner(device)
    return Model(spec, denoiser, conditioner, device, dtype)


def _load_vae(folder: Path, dtype: torch.dtype, device: torch.device) -> Any:
    config = read_config(folder / "vae" / "config.json")
    if config.get("_class_name") == "WaveletLatents":
        return WaveletLatents.from_config(config)
    return _load_part(AutoencoderKL, folder / "vae", choose_vae_dtype(dtype, device, config.get("force_upcast", True)))


def _load_part(kind: Any, folder: Path, dtype: torch.dtype) -> Any:
    """A diffusers network from its folder; safetensors only, because pickles can run code."""
    try:
        return kind.from_pretrained(folder, torch_dtype=dtype, variant=_variant(folder), use_safetensors=True, local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise UserError(f"The model part {folder} cannot be loaded ({reason}); it must be complete, in diffusers layout, as safetensors.") from None


def _variant(folder: Path) -> str | None:
    """The infix of the weight files' names where only such files are there: model.fp16.safetensors -> fp16."""
    names = [path.name for path in folder.glob("*.safetensors")]
    return "fp16" if names and all(".fp16." in name for name in names) else None


def find_pipeline(settings: Settings, fetch: Fetch) -> Path:
    """The folder of the diffusion model: a local one, or SD-Turbo's after its download."""
    name = settings.sd_pipe.params.pretrained_model_name_or_path
    folder = _find_local(name)
    if folder is None and name == SD_TURBO.repo_id:
        revision = settings.sd_pipe.params.revision or SD_TURBO.revision
        return fetch(replace(SD_TURBO, revision=revision), WEIGHTS / "sd-turbo")
    if folder is None or not folder.is_dir():
        raise UserError(f"There is no model folder {name}; name one in diffusers layout, or {SD_TURBO.repo_id}, which is downloaded.")
    return folder


def find_predictor(settings: Settings, folder: Path, fetch: Fetch) -> PredictorFiles:
    """The noise predictor's checkpoint and the shape of its network: from the config.json beside it, else from `model_start.params`."""
    name = settings.model_start.ckpt_path or str(folder / "noise_predictor")
    path = _find_local(name)
    (published,) = INVSR_NOISE_PREDICTOR.patterns
    if path is None and Path(name).name == published:
        path = fetch(INVSR_NOISE_PREDICTOR, WEIGHTS) / published
    if path is not None and path.is_dir():
        path = next((file for kind in ("*.safetensors", "*.pth") for file in sorted(path.glob(kind))), None)
    if path is None:
        raise UserError(f"There is no noise predictor at {name}; set ckpt_path to a checkpoint, or to {published}, which is downloaded.")
    beside = path.with_name("config.json")
    if beside.exists():
        facts = read_config(beside)
        timesteps = facts.get("timesteps")
        return PredictorFiles(path, facts.get("config", {}), tuple(timesteps) if timesteps else None)
    if not settings.model_start.params:
        raise UserError(f"The checkpoint {path.name} has no config.json beside it; set model_start.params to the shape of its network.")
    return PredictorFiles(path, settings.model_start.params, None)


def _find_local(name: str) -> Path | None:
    """`name` as a path that exists: as it is, else within the project's folder."""
    for path in (Path(name).expanduser(), PROJECT / name):
        if path.exists():
            return path.resolve()
    return None


def load_noise_predictor(files: PredictorFiles) -> NoisePredictor:
    """The noise predictor in float32, every key and shape checked against the checkpoint."""
    try:
        network = NoisePredictor(**files.config)
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise UserError(
            f"The configured shape of the noise predictor cannot be built ({error}); take the one published with the checkpoint."
        ) from None
    state = _unwrapped(_read_checkpoint(files.weights))
    wanted = network.state_dict()
    faults = [f"lacks {name}" for name in wanted if name not in state]
    faults += [f"has an unknown {name}" for name in state if name not in wanted]
    faults += [
        f"has {name} of shape {list(state[name].shape)} instead of {list(wanted[name].shape)}"
        for name in wanted
        if name in state and state[name].shape != wanted[name].shape
    ]
    if faults:
        more = f" (and {len(faults) - 1} more faults)" if len(faults) > 1 else ""
        raise UserError(
            f"The checkpoint {files.weights.name} does not fit the noise predictor: it {faults[0]}{more}; use one of the configured shape."
        )
    network.load_state_dict(state)
    return network


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
