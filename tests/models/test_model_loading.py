import json
import shutil
import threading

import pytest
import torch
from safetensors.torch import load_file, save_file

from sampler_invsr import InvSamplerSR
from tests.conftest import PIPELINE_TINY
from utils.models.device import choose_device, choose_dtype, choose_vae_dtype
from utils.planning.errors import UserError

PREDICTOR = PIPELINE_TINY / "noise_predictor" / "noise_predictor.safetensors"
SHAPE = json.loads((PREDICTOR.parent / "config.json").read_text())["config"]


class Hostile:
    """A pickle that would run code."""

    def __reduce__(self):
        return (print, ("code from a checkpoint ran",))


def loaded(tiny_config, checkpoint, params=SHAPE):
    return InvSamplerSR({**tiny_config, "model_start": {"ckpt_path": str(checkpoint), "params": params}})


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("wrapped", [True, False])
def test_published_kinds_of_checkpoints_load(tiny_config, sampler, tmp_path, prefix, wrapped):
    state = {prefix + name: value for name, value in load_file(PREDICTOR).items()}
    torch.save({"state_dict": state, "iters": 3} if wrapped else state, tmp_path / "predictor.pth")
    other = loaded(tiny_config, tmp_path / "predictor.pth")
    lq = torch.rand(1, 3, 16, 16)
    assert torch.equal(other.sample_patches(lq), sampler.sample_patches(lq))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("encoder.conv_in.bias"), "lacks encoder.conv_in.bias"),
        (lambda state: state.update({"encoder.surplus": torch.zeros(1)}), "unknown encoder.surplus"),
        (lambda state: state.update({"encoder.conv_in.bias": torch.zeros(1)}), r"encoder.conv_in.bias of shape \[1\]"),
    ],
)
def test_a_checkpoint_must_fit_exactly(tiny_config, tmp_path, change, words):
    """Defect of the reference programs: extra keys are ignored, and a wrong but broadcastable shape is copied silently."""
    state = load_file(PREDICTOR)
    change(state)
    save_file(state, tmp_path / "predictor.safetensors")
    with pytest.raises(UserError, match=words):
        loaded(tiny_config, tmp_path / "predictor.safetensors")


def test_pickled_code_does_not_run(tiny_config, tmp_path, capsys):
    torch.save({"state_dict": Hostile()}, tmp_path / "predictor.pth")
    with pytest.raises(UserError, match="cannot be read"):
        loaded(tiny_config, tmp_path / "predictor.pth")
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x80\x02}q\x00."])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damaged_checkpoints_get_one_plain_sentence(tiny_config, tmp_path, content, suffix):
    path = tmp_path / f"predictor{suffix}"
    path.write_bytes(content)
    with pytest.raises(UserError):
        loaded(tiny_config, path)


def test_the_shape_beside_a_checkpoint_counts_before_that_of_the_settings(tiny_config, tmp_path):
    loaded(tiny_config, PREDICTOR, params={"block_out_channels": [999, 999]})
    bare = shutil.copy(PREDICTOR, tmp_path)
    with pytest.raises(UserError, match="cannot be built"):
        loaded(tiny_config, bare, params={**SHAPE, "surplus": 1})
    with pytest.raises(UserError, match=r"set model_start\.params"):
        loaded(tiny_config, bare, params=None)


def test_missing_and_unfitting_models_get_one_plain_sentence(tiny_config, tmp_path):
    def using(**params):
        return InvSamplerSR({**tiny_config, "sd_pipe": {"params": params}})

    with pytest.raises(UserError, match="There is no model folder nowhere/at-all"):
        using(pretrained_model_name_or_path="nowhere/at-all")
    with pytest.raises(UserError, match="is missing"):
        (tmp_path / "noise_predictor").mkdir()
        shutil.copytree(PREDICTOR.parent, tmp_path / "noise_predictor", dirs_exist_ok=True)
        using(pretrained_model_name_or_path=str(tmp_path))
    with pytest.raises(UserError, match="There is no noise predictor at"):
        loaded(tiny_config, tmp_path / "none.pth")
    shape = {**SHAPE, "down_block_types": ["AttnDownBlock2D"]}
    with pytest.raises(UserError, match=r"different latents|does not fit|magnifies"):
        loaded(tiny_config, shutil.copy(PREDICTOR, tmp_path / "other.safetensors"), params={**shape, "latent_channels": 8})


@pytest.mark.parametrize("part", ["unet", "vae"])
def test_a_cut_model_file_gets_one_plain_sentence(tiny_config, tmp_path, part):
    shutil.copytree(PIPELINE_TINY, tmp_path / "model")
    weights = next((tmp_path / "model" / part).glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match="cannot be loaded"):
        InvSamplerSR({**tiny_config, "sd_pipe": {"params": {"pretrained_model_name_or_path": str(tmp_path / "model")}}})


def test_models_load_once_and_are_shared(tiny_config, sampler):
    """Defect of the reference programs: models are rebuilt for every click."""
    made = []
    threads = [threading.Thread(target=lambda: made.append(InvSamplerSR({**tiny_config, "seed": 7}))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4 and all(other._model is sampler._model for other in made)


def test_prompts_are_encoded_once_and_the_encoder_is_released(tiny_config, monkeypatch):
    """Defect of the reference programs: the same two prompts are encoded for every patch."""
    from transformers import CLIPTextModel

    calls = []
    original = CLIPTextModel.from_pretrained
    monkeypatch.setattr(CLIPTextModel, "from_pretrained", lambda *args, **kwargs: calls.append(1) or original(*args, **kwargs))
    sampler = InvSamplerSR({**tiny_config, "prompt": "a prompt of this test", "negative_prompt": "its opposite", "cfg_scale": 2.0})
    for _ in range(3):
        sampler.sample_image(torch.rand(1, 3, 70, 70))
    assert len(calls) == 1
    assert not [name for name, value in vars(sampler._model.conditioner).items() if isinstance(value, torch.nn.Module)]


@pytest.mark.parametrize(("name", "there"), [("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())])
def test_devices_that_are_not_there_are_refused(name, there):
    if there:
        assert choose_device(name).type == name
    else:
        with pytest.raises(UserError, match=f"no {name} device"):
            choose_device(name)


def test_precision_follows_the_device(monkeypatch):
    """Defect of the reference programs: CUDA and float16 are hard-coded."""
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    for native, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr("utils.models.device.cpu_has_bfloat16", lambda native=native: native)
        assert choose_dtype("auto", cpu) == dtype
    assert choose_dtype("auto", cuda) == torch.float16
    assert choose_dtype("float32", cuda) == torch.float32
    with pytest.raises(UserError, match="float16 is unusably slow"):
        choose_dtype("float16", cpu)


def test_the_vae_is_never_in_a_precision_that_overflows(monkeypatch):
    cuda = torch.device("cuda")
    for supported, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda supported=supported: supported)
        assert choose_vae_dtype(torch.float16, cuda, force_upcast=True) == dtype
    assert choose_vae_dtype(torch.float16, cuda, force_upcast=False) == torch.float16
    assert choose_vae_dtype(torch.bfloat16, cuda, force_upcast=True) == torch.bfloat16
