"""The networks in bfloat16 on the CPU, everything between them in float32."""

import numpy as np
import torch

from sampler_invsr import InvSamplerSR
from tests.conftest import PROJECT
from utils.models.wavelet_latents import WaveletLatents
from utils.pictures.blending import Canvas

PICTURE = PROJECT / "docs" / "sample.png"


def recording(function, seen):
    """The function; its tensor arguments are added to the list."""

    def record(*arguments, **options):
        seen.extend(value for value in arguments if isinstance(value, torch.Tensor))
        return function(*arguments, **options)

    return record


def test_only_the_networks_are_in_bfloat16(embedded_sampler, monkeypatch):
    sampler = InvSamplerSR({"device": "cpu", "dtype": "bfloat16"})
    encoded, decoded, blended = [], [], []
    for owner, name, seen in ((WaveletLatents, "encode", encoded), (WaveletLatents, "decode", decoded), (Canvas, "add", blended)):
        monkeypatch.setattr(owner, name, recording(getattr(owner, name), seen))
    timesteps = {"timesteps": [200, 100]}
    picture = sampler.upscale(PICTURE, **timesteps).picture
    monkeypatch.undo()

    denoiser = sampler._model.denoiser
    assert {p.dtype for network in (denoiser.noise_predictor, denoiser.unet) for p in network.parameters()} == {torch.bfloat16}
    assert {value.dtype for value in denoiser.vae.buffers()} == {torch.float32}
    for seen in (encoded, decoded, blended):
        assert seen and {value.dtype for value in seen} == {torch.float32}
        assert not any(torch.equal(value, value.bfloat16().float()) for value in seen), "they were rounded to bfloat16 before"

    assert np.array_equal(picture, sampler.upscale(PICTURE, **timesteps).picture)
    exact = embedded_sampler.upscale(PICTURE, **timesteps).picture
    error = np.mean((picture.astype(float) - exact) ** 2)
    assert 10 * np.log10(255**2 / error) > 45
