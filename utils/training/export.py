"""A trained model as a folder in diffusers' layout, the one that the sampler loads."""

import json
import shutil
from pathlib import Path

import torch
from diffusers import EulerDiscreteScheduler
from safetensors.torch import save

from utils.models.denoising import Denoiser
from utils.training.recipe import Recipe


def export_model(denoiser: Denoiser, recipe: Recipe, folder: Path) -> None:
    """Writes vae, unet, noise_predictor, scheduler and model_index.json into `folder`, weights as float16; other files in it stay.

    Each part is written beside its final place and then moved there. The networks of `denoiser` are left as they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / ".unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    denoiser.vae.save_config(unfinished / "vae")
    _save_unet(denoiser, unfinished / "unet")
    _save_predictor(denoiser, recipe, unfinished / "noise_predictor")
    EulerDiscreteScheduler.from_config(dict(denoiser.scheduler_config)).save_pretrained(unfinished / "scheduler")
    for part in sorted(unfinished.iterdir()):
        shutil.rmtree(folder / part.name, ignore_errors=True)
        part.replace(folder / part.name)
    unfinished.rmdir()
    _write_json(
        folder / "model_index.json",
        {
            "_class_name": "InvSamplerSR",
            "noise_predictor": ["utils.models.noise_predictor", "NoisePredictor"],
            "scheduler": ["diffusers", "EulerDiscreteScheduler"],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["utils.models.wavelet_latents", "WaveletLatents"],
        },
    )


def _save_unet(denoiser: Denoiser, folder: Path) -> None:
    unet = denoiser.unet
    unet.save_config(folder)
    (folder / "diffusion_pytorch_model.safetensors").write_bytes(_packed(unet))


def _save_predictor(denoiser: Denoiser, recipe: Recipe, folder: Path) -> None:
    predictor = denoiser.noise_predictor
    folder.mkdir()
    config = {key: value for key, value in predictor.config.items() if not key.startswith("_")}
    # The first timestep of a list is where the predictor is asked; the UNet also sees the ones after it.
    latest = max(t for timesteps in [recipe.start_timesteps, *recipe.few_step_lists] for t in timesteps)
    _write_json(folder / "config.json", {"config": config, "timesteps": [1, latest]})
    (folder / "noise_predictor.safetensors").write_bytes(_packed(predictor))


def _packed(network: torch.nn.Module) -> bytes:
    """The network's tensors as a float16 safetensors file; diffusers asks for the metadata."""
    tensors = {name: tensor.detach().to("cpu", torch.float16).contiguous() for name, tensor in network.state_dict().items()}
    return save(tensors, metadata={"format": "pt"})


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
