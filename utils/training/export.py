"""Trained networks as the sampler loads them: a whole model in diffusers' layout, or a noise predictor with its facts."""

import json
import shutil
from pathlib import Path

import torch
from diffusers import EulerDiscreteScheduler
from safetensors.torch import save

from utils.models.denoising import Denoiser
from utils.models.noise_predictor import NoisePredictor
from utils.planning.errors import UserError
from utils.training.recipe import EmbeddedRecipe

UNET_WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
PREDICTOR_WEIGHTS = "noise_predictor/noise_predictor.safetensors"


PARTS = ("noise_predictor", "scheduler", "unet", "vae")
MODEL_CLASS = "InvSamplerSR"


def refuse_foreign_model(folder: Path) -> None:
    """A UserError if an export into `folder` would replace parts of a model that is not one of ours."""
    index = folder / "model_index.json"
    try:
        is_ours = json.loads(index.read_text()).get("_class_name") == MODEL_CLASS
    except (OSError, ValueError, AttributeError):
        is_ours = False
    if not is_ours and any((folder / name).exists() for name in (index.name, *PARTS)):
        raise UserError(f"There is another model in {folder}, which is not replaced; name another folder with --export.")


def export_model(denoiser: Denoiser, recipe: EmbeddedRecipe, folder: Path) -> None:
    """Writes vae, unet, noise_predictor, scheduler and model_index.json into `folder`, weights as float16; other files in it stay.

    Each part is written beside its final place and then moved there. The networks of `denoiser` are left as they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / ".unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    denoiser.vae.save_config(unfinished / "vae")
    denoiser.unet.save_config(unfinished / "unet")
    (unfinished / UNET_WEIGHTS).write_bytes(_packed(denoiser.unet))
    # The first timestep of a list is where the predictor is asked; the UNet also sees the ones after it.
    latest = max(t for timesteps in [recipe.start_timesteps, *recipe.few_step_lists] for t in timesteps)
    _save_predictor(denoiser.noise_predictor, latest, unfinished / "noise_predictor")
    EulerDiscreteScheduler.from_config(dict(denoiser.scheduler_config)).save_pretrained(unfinished / "scheduler")
    _write_json(  # first, so that the folder is known as ours however far this gets
        folder / "model_index.json",
        {
            "_class_name": MODEL_CLASS,
            "noise_predictor": ["utils.models.noise_predictor", "NoisePredictor"],
            "scheduler": ["diffusers", "EulerDiscreteScheduler"],
            "unet": [_library(denoiser.unet), type(denoiser.unet).__name__],
            "vae": ["utils.models.wavelet_latents", "WaveletLatents"],
        },
    )
    for part in sorted(unfinished.iterdir()):
        shutil.rmtree(folder / part.name, ignore_errors=True)
        part.replace(folder / part.name)
    unfinished.rmdir()


def export_predictor(predictor: NoisePredictor, latest: int, folder: Path) -> None:
    """Writes a noise predictor trained at timesteps up to `latest` into `folder`, which the sampler takes as `ckpt_path`; other files stay."""
    unfinished = folder / ".unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    _save_predictor(predictor, latest, unfinished)
    for file in sorted(unfinished.iterdir()):
        file.replace(folder / file.name)
    unfinished.rmdir()


def _save_predictor(predictor: NoisePredictor, latest: int, folder: Path) -> None:
    folder.mkdir()
    config = {key: value for key, value in predictor.config.items() if not key.startswith("_")}
    _write_json(folder / "config.json", {"config": config, "timesteps": [1, latest]})
    (folder / Path(PREDICTOR_WEIGHTS).name).write_bytes(_packed(predictor))


def _library(network: torch.nn.Module) -> str:
    """Where the network's class is from, as diffusers writes it: the name of the library, or of our own module."""
    module = type(network).__module__
    return "diffusers" if module.startswith("diffusers.") else module


def _packed(network: torch.nn.Module) -> bytes:
    """The network's tensors as a float16 safetensors file; diffusers asks for the metadata."""
    tensors = {name: tensor.detach().to("cpu", torch.float16).contiguous() for name, tensor in network.state_dict().items()}
    return save(tensors, metadata={"format": "pt"})


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
