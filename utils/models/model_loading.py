"""From settings to networks in memory: found or fetched, checked, loaded once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from utils.models.conditioning import ClassConditioner, Conditioner, TextConditioner
from utils.models.denoising import Conditioning, Denoiser, sample
from utils.models.device import choose_device, choose_dtype, choose_vae_dtype
from utils.models.downloading import INVSR_NOISE_PREDICTOR, SD_TURBO, DownloadFailed, RemoteFiles, fetch
from utils.models.latent_resnet import LatentResNet
from utils.models.model_files import find_local, published_parts, published_pipeline, published_predictor
from utils.models.part_loading import load_part, load_scheduler_config
from utils.models.predictor_loading import PredictorFiles, load_noise_predictor, read_predictor_files
from utils.models.stopping import make_stoppable
from utils.models.wavelet_latents import WaveletLatents
from utils.pictures.file_state import FileState, file_state
from utils.planning.errors import UserError, is_out_of_memory
from utils.planning.model_spec import RESNET, WAVELETS, ModelSpec, read_config, read_model_spec
from utils.planning.settings import Settings

BOTH_SIDES = 2.0
"""A guidance that needs the positive and the negative conditioning."""


@dataclass(frozen=True, eq=False)
class Model:
    """A model ready to run on `device` in `dtype`."""

    spec: ModelSpec
    denoiser: Denoiser
    conditioner: Conditioner
    device: torch.device
    dtype: torch.dtype


_PARTS_OF_MODELS = {".safetensors", ".bin", ".pth", ".json", ".txt"}

Fetch = Callable[[RemoteFiles, Path], Path]

_loaded: WeakValueDictionary[tuple[Any, ...], Model] = WeakValueDictionary()
_loading = Lock()


def load_model(settings: Settings, announce: Callable[[str], None], on_download: Callable[[int, int], None] | None = None) -> Model:
    """The model that the settings name; one that is in use already is shared, never loaded twice.

    announce gets what a download will do, in words, before it starts; on_download(done, total) its bytes.
    UserError if files are missing, damaged or do not belong together.
    """
    device = choose_device(settings.device)
    dtype = choose_dtype(settings.dtype, device)
    fetch_announced = partial(fetch, announce=announce, on_progress=on_download)
    with _loading:
        try:
            folder = find_pipeline(settings, fetch_announced)
            predictor = find_predictor(settings, folder, fetch_announced)
        except DownloadFailed as error:  # knows of the one part; who fetches files by hand wants to know of all
            lacking = [(part.remote, part.folder) for part in published_parts(settings) if part.missing()]
            raise DownloadFailed(error.failed, error.reason, lacking) from error
        shape = str(sorted(predictor.config.items(), key=str))
        key = folder, _states(folder), predictor.weights, file_state(predictor.weights), shape, predictor.timesteps, device, dtype
        model = _loaded.get(key)
        if model is None:
            model = _loaded[key] = _load_within_memory(settings, folder, predictor, device, dtype)
        return model


def _states(folder: Path) -> tuple[tuple[Path, FileState], ...]:
    """The states of a model's files: written to, it is another model."""
    files = sorted(path for path in (*folder.glob("*"), *folder.glob("*/*")) if path.suffix in _PARTS_OF_MODELS and path.is_file())
    return tuple((path, file_state(path)) for path in files)


def _load_within_memory(settings: Settings, folder: Path, predictor: PredictorFiles, device: torch.device, dtype: torch.dtype) -> Model:
    try:
        return _load(settings, folder, predictor, device, dtype)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        name = str(dtype).removeprefix("torch.")
        raise UserError(
            f"The model {folder.name} in {name} does not fit into the memory of {device}; free some, or choose another device, dtype or model."
        ) from error


def _load(settings: Settings, folder: Path, predictor: PredictorFiles, device: torch.device, dtype: torch.dtype) -> Model:
    noise_predictor = load_noise_predictor(predictor)
    spec = read_model_spec(folder, noise_predictor.config, predictor.timesteps)
    scheduler_config = load_scheduler_config(folder)
    conditioner = TextConditioner(folder, device, dtype) if spec.has_text else ClassConditioner(device)
    # Before the large networks are in memory: a text encoder that fails is known now, one that works is released again.
    conditioning = conditioner(settings.prompt, settings.negative_prompt, BOTH_SIDES)
    vae = _load_vae(folder, dtype, device)
    unet_kind = LatentResNet if read_config(folder / "unet" / "config.json").get("_class_name") == RESNET else UNet2DConditionModel
    unet = load_part(unet_kind, folder / "unet", torch_dtype=dtype)
    networks = [noise_predictor.to(dtype), vae, unet]
    layout = torch.channels_last if device.type == "cpu" and dtype == torch.bfloat16 else torch.preserve_format
    for network in networks:
        network.to(device=device, memory_format=layout).requires_grad_(False).eval()
        make_stoppable(network)
    model = Model(spec, Denoiser(*networks, scheduler_config=scheduler_config, scale=spec.scale), conditioner, device, dtype)
    _try_out(model, conditioning)
    return model


def _load_vae(folder: Path, dtype: torch.dtype, device: torch.device) -> Any:
    config = read_config(folder / "vae" / "config.json")
    if config.get("_class_name") != WAVELETS:
        return load_part(AutoencoderKL, folder / "vae", torch_dtype=choose_vae_dtype(dtype, device, config.get("force_upcast", True)))
    try:
        return WaveletLatents.from_config(config)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"The model file {folder / 'vae' / 'config.json'} does not describe wavelet latents; fetch the model again.") from error


def _try_out(model: Model, conditioning: Conditioning) -> None:
    """UserError unless the parts work together on the smallest picture: files of different models may each be in order."""
    side, name = model.spec.lq_multiple, model.spec.name
    lq = torch.zeros(1, 3, side, side, device=model.device)
    try:
        with torch.no_grad():
            rgb = sample(model.denoiser, lq, [model.spec.timesteps[1]], BOTH_SIDES, conditioning, "mean")
    except Exception as error:  # each network fails in its own way on what the others give it
        if is_out_of_memory(error) and "could not create" not in str(error):  # which oneDNN says of what it cannot do, too
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:150].rstrip(".")
        raise UserError(f"The parts of the model {name} do not work together ({reason}); use files that belong together.") from error
    if rgb.shape[-2:] != (side * model.spec.scale, side * model.spec.scale):
        raise UserError(f"The model {name} does not magnify {model.spec.scale} times as its configuration says; use files that belong together.")


def find_pipeline(settings: Settings, fetch: Fetch) -> Path:
    """The folder of the diffusion model: a local one, or SD-Turbo's after its download."""
    if part := published_pipeline(settings):
        return fetch(part.remote, part.folder)
    name = settings.sd_pipe.params.pretrained_model_name_or_path
    folder = find_local(name)
    if folder is None or not folder.is_dir():
        raise UserError(f"There is no model folder {_shown(name)}; name one in diffusers layout, or {SD_TURBO.repo_id}, which is downloaded.")
    return folder


def find_predictor(settings: Settings, folder: Path, fetch: Fetch) -> PredictorFiles:
    """The noise predictor's checkpoint and the shape of its network: from the config.json beside it, else from `model_start.params`.

    Only the published checkpoint is downloaded, and only to its place among the project's weights: its bare name or that path asks for it.
    """
    name = settings.model_start.ckpt_path or str(folder / "noise_predictor")
    path = find_local(name)
    (published,) = INVSR_NOISE_PREDICTOR.patterns
    if path is None and (part := published_predictor(settings)):
        path = fetch(part.remote, part.folder) / published
    if path is not None and path.is_dir():
        path = next((file for kind in ("*.safetensors", "*.pth") for file in sorted(path.glob(kind))), None)
    if path is None:
        raise UserError(f"There is no noise predictor at {_shown(name)}; set ckpt_path to a checkpoint, or to {published}, which is downloaded.")
    return read_predictor_files(path, settings.model_start.params)


def _shown(name: str) -> str:
    """`name` as one line of a message."""
    printable = "".join(character if character.isprintable() else "?" for character in name)
    return printable if len(printable) <= 100 else f"{printable[:100]}..."
