"""The networks and the sampler against numbers that the published method computes (tests/data/README.md)."""

import json

import pytest
import torch
from safetensors.torch import load_file

from sampler_invsr import InvSamplerSR
from tests.conftest import PARITY, SHARED
from utils.models.denoising import noise_levels
from utils.models.noise_predictor import NoisePredictor
from utils.pictures.blending import gaussian_kernel, gaussian_window

TOLERANCE = 5e-5
SMALL = json.loads((PARITY / "noise_predictor_small.json").read_text())
needs_shared = pytest.mark.skipif(not (SHARED / "parity").is_dir(), reason="the fixtures with photographs are not part of the repository")


@pytest.fixture(scope="module")
def small():
    return load_file(PARITY / "noise_predictor_small.safetensors")


@pytest.mark.parametrize(
    ("case", "timestep", "center"),
    [
        ("t200", 200, True),
        ("t200", torch.tensor(200), True),
        ("t200", torch.tensor([200]), True),
        ("t200", torch.tensor([200, 200]), True),
        ("t200", torch.tensor(200.0), True),
        ("t50", 50, True),
        ("t199_float", torch.tensor([199.0]), True),
        ("t_batch", torch.tensor([200, 50]), True),
        ("t50_nocenter", 50, False),
    ],
)
def test_noise_predictor(small, case, timestep, center):
    network = NoisePredictor(**SMALL["config"]).eval()
    network.load_state_dict({name.removeprefix("weights."): value for name, value in small.items() if name.startswith("weights.")})
    with torch.no_grad():
        posterior = network(small["input.image"], timestep, center_input_sample=center)
    for name in ("mean", "logvar", "std"):
        torch.testing.assert_close(getattr(posterior, name), small[f"{case}.{name}"], atol=1e-5, rtol=0)
    sample = posterior.mean + posterior.std * small["input.eps"]
    torch.testing.assert_close(sample, small[f"{case}.sample"], atol=1e-5, rtol=0)


def test_published_noise_predictor_has_the_published_keys_and_shapes():
    manifest = json.loads((PARITY / "noise_predictor_manifest.json").read_text())
    with torch.device("meta"):
        network = NoisePredictor(**manifest["config"])
    assert {name: list(value.shape) for name, value in network.state_dict().items()} == manifest["state_dict"]
    assert sum(p.numel() for p in network.parameters()) == 33_837_576


@pytest.mark.parametrize("row", json.loads((PARITY / "timestep_table.json").read_text())["steps"].values(), ids=lambda row: len(row["sigmas"]) - 1)
def test_timesteps_and_sigmas(row, sampler):
    t, sigmas = noise_levels(sampler._model.denoiser.scheduler_config, row["timesteps_argument"])
    assert t.tolist() == row["unet_timesteps"]
    torch.testing.assert_close(sigmas, torch.tensor(row["sigmas"]), atol=1e-6, rtol=1e-6)


def test_text_embeddings(sampler):
    expected = load_file(PARITY / "text.safetensors")["prompt_embeds"]
    prompts = json.loads((PARITY / "text.json").read_text())["prompts"]
    for prompt, embedding in zip(prompts, expected, strict=True):
        conditioning = sampler._model.conditioner(prompt, None, 1.0)
        torch.testing.assert_close(conditioning.positive["encoder_hidden_states"][0], embedding, atol=3e-6, rtol=0)  # 1e-6 is for processors alike


def test_gaussian_weights():
    expected = load_file(PARITY / "gaussian_weights.safetensors")
    for name, value in expected.items():
        if name.startswith("kernel_1d"):
            torch.testing.assert_close(gaussian_kernel(len(value)), value, atol=1e-15, rtol=1e-12)
    torch.testing.assert_close(gaussian_window(48, 32), expected["weight_2d.48x32"], atol=1e-15, rtol=1e-12)
    torch.testing.assert_close(gaussian_window(256, 256)[128], expected["weight_2d.256x256.row128"], atol=1e-15, rtol=1e-12)


def _picture_case(folder, name, tiny_config):
    data = load_file(folder / f"{name}.safetensors")
    sampler = InvSamplerSR({**tiny_config, "color_fix": name.rsplit("_", 1)[1]})
    expected = data.get("output_aligned", data["output"]).float() / 65535
    torch.testing.assert_close(sampler.sample_image(data["lr"], eps="mean"), expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", ["small_40x52_none", "small_40x52_wavelet"])
def test_padded_pictures(name, tiny_config):
    """With the colour fix against the unpadded picture: `output_aligned`, not the published program's shifted one."""
    _picture_case(PARITY, name, tiny_config)


@needs_shared
@pytest.mark.parametrize("name", ["exact_64x64_none", "exact_64x64_wavelet"])
def test_unpadded_pictures(name, tiny_config):
    _picture_case(SHARED / "parity" / "sampler_tiny", name, tiny_config)


@needs_shared
@pytest.mark.parametrize(("name", "timesteps"), [("t200", [200]), ("t200_100", [200, 100])])
def test_pipeline(name, timesteps, sampler):
    data = load_file(SHARED / "parity" / "pipeline_tiny_runs" / f"{name}.safetensors")
    eps = {"predictor": data["eps.noise_predictor"], "vae": data["eps.vae"]}
    result = sampler.sample_patches(data["lr"], timesteps=timesteps, cfg_scale=1.0, eps=eps)
    torch.testing.assert_close(result, (data["decoder.raw"] / 2 + 0.5).clamp(0, 1), atol=TOLERANCE, rtol=0)
