"""What all tests share: no network, one thread, small real models."""

import os

# Before torch or gradio is imported. One thread: two that spin on shared cores are slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from pathlib import Path
from typing import Any

import pytest
import torch

torch.set_num_threads(1)

PROJECT = Path(__file__).resolve().parents[1]
DATA = PROJECT / "tests" / "data"
PARITY = DATA / "parity"
PIPELINE_TINY = DATA / "pipeline_tiny"
SHARED = PROJECT.parent / "shared"


@pytest.fixture(scope="session")
def tiny_config() -> dict[str, Any]:
    """Settings for a Stable-Diffusion-shaped model with random weights, in float32, tiles of 64."""
    return {
        "sd_pipe": {"params": {"pretrained_model_name_or_path": str(PIPELINE_TINY)}},
        "basesr": {"chopping": {"pch_size": 64}},
        "color_fix": "none",
        "device": "cpu",
        "dtype": "float32",
    }


@pytest.fixture(scope="session")
def sampler(tiny_config: dict[str, Any]):
    """A sampler over that model."""
    from sampler_invsr import InvSamplerSR

    return InvSamplerSR(tiny_config)


@pytest.fixture(scope="session")
def embedded_sampler():
    """A sampler over the shipped model, in float32."""
    from sampler_invsr import InvSamplerSR

    return InvSamplerSR({"device": "cpu", "dtype": "float32"})
