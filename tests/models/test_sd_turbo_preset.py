"""The preset that downloads, as shipped, against a local stand-in for the hub that serves a small model under the published names."""

import io
import json

import pytest
import torch
from huggingface_hub import constants
from omegaconf import OmegaConf
from safetensors.torch import load_file

from sampler_invsr import InvSamplerSR
from tests.conftest import PIPELINE_TINY, PROJECT
from tests.models.hub_stand_in import HubStandIn
from utils.models import model_files
from utils.models.downloading import INVSR_NOISE_PREDICTOR, SD_TURBO
from utils.planning.errors import UserError

PREDICTOR = PIPELINE_TINY / "noise_predictor"
WEIGHTS = ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model")


def published_files():
    """The small model's files as {repository: {name: content}}, half-precision names and the predictor as a pickle, as on the hub."""
    paths = [path for path in PIPELINE_TINY.rglob("*") if path.is_file() and PREDICTOR not in path.parents]
    files = {path.relative_to(PIPELINE_TINY).as_posix(): path.read_bytes() for path in paths}
    for name in WEIGHTS:
        files[f"{name}.fp16.safetensors"] = files.pop(f"{name}.safetensors")
    pickle = io.BytesIO()
    torch.save({"state_dict": load_file(PREDICTOR / "noise_predictor.safetensors")}, pickle)
    return {SD_TURBO.repo_id: files, INVSR_NOISE_PREDICTOR.repo_id: {INVSR_NOISE_PREDICTOR.patterns[0]: pickle.getvalue()}}


@pytest.fixture
def preset(tmp_path, monkeypatch):
    """The shipped preset with what differs for a small model: the predictor's shape, tiles, precision, and the stand-in's branch."""
    monkeypatch.setattr(model_files, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr(model_files, "PROJECT", tmp_path)
    config = OmegaConf.load(PROJECT / "configs" / "sample-sd-turbo.yaml")
    config.sd_pipe.params.revision = "main"
    config.model_start.params = json.loads((PREDICTOR / "config.json").read_text())["config"]
    config.basesr.chopping.pch_size = 64
    config.device, config.dtype, config.color_fix = "cpu", "float32", "none"
    return config


def test_first_use_downloads_later_uses_do_not(preset, monkeypatch, sampler):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    said, bytes_done = [], []
    with HubStandIn(published_files()) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        fetched = InvSamplerSR(preset, announce=said.append, on_download=lambda done, total: bytes_done.append(done / total))
    words = " ".join(said)
    assert "stabilityai/sd-turbo" in words and "OAOA/InvSR" in words and "non-commercial" in words and "MB" in words
    assert bytes_done[-1] == 1
    lq = torch.rand(1, 3, 70, 40)
    assert torch.equal(fetched.sample_image(lq), sampler.sample_image(lq))
    del fetched
    again = InvSamplerSR(preset, announce=said.append)  # the hub is gone
    assert torch.equal(again.sample_image(lq), sampler.sample_image(lq)) and len(said) == 2


def test_offline_it_says_all_that_is_missing_and_where_to_put_it(preset, monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    (predictor,), weights = INVSR_NOISE_PREDICTOR.patterns, tmp_path / "weights"
    of_predictor = f"{predictor} into {weights} by hand, from {INVSR_NOISE_PREDICTOR.page} (revision main)"
    with pytest.raises(UserError) as caught:
        InvSamplerSR(preset)
    words = str(caught.value)
    assert words.startswith("stabilityai/sd-turbo could not be downloaded because HF_HUB_OFFLINE forbids") and "\n" not in words
    assert f"vae/diffusion_pytorch_model.fp16.safetensors into {weights / 'sd-turbo'} by hand, from {SD_TURBO.page} (" in words
    assert words.endswith(f", and {of_predictor}.")

    for name, content in published_files()[SD_TURBO.repo_id].items():
        (weights / "sd-turbo" / name).parent.mkdir(parents=True, exist_ok=True)
        (weights / "sd-turbo" / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        InvSamplerSR(preset)
    assert str(caught.value).startswith("OAOA/InvSR could not be downloaded") and str(caught.value).endswith(f", or put {of_predictor}.")


def test_folders_filled_by_hand_need_no_hub(preset, monkeypatch, tmp_path, sampler):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folders = {SD_TURBO.repo_id: tmp_path / "weights" / "sd-turbo", INVSR_NOISE_PREDICTOR.repo_id: tmp_path / "weights"}
    for repository, files in published_files().items():
        for name, content in files.items():
            path = folders[repository] / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    lq = torch.rand(1, 3, 40, 40)
    assert torch.equal(InvSamplerSR(preset).sample_image(lq), sampler.sample_image(lq))
