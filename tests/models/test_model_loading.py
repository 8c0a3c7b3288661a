import json
import logging
import shutil
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sampler_invsr import InvSamplerSR
from tests.conftest import PIPELINE_TINY, PROJECT
from utils.jobs.fingerprints import model_hash
from utils.models import model_files, model_loading
from utils.models.conditioning import KEPT_PROMPTS, TextConditioner
from utils.models.device import choose_device, choose_dtype, choose_vae_dtype
from utils.planning.checked_settings import make_settings
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


@pytest.fixture
def model(tmp_path):
    """A copy of the small model, to be damaged."""
    return shutil.copytree(PIPELINE_TINY, tmp_path / "model")


def made_from(tiny_config, folder):
    return InvSamplerSR({**tiny_config, "sd_pipe": {"params": {"pretrained_model_name_or_path": str(folder)}}})


def refused(tiny_config, folder):
    """The sentence with which a model is refused; that it is one line in our words is checked here."""
    with pytest.raises(UserError) as caught:
        made_from(tiny_config, folder)
    words = str(caught.value)
    assert "\n" not in words and "http" not in words and "low_cpu_mem_usage" not in words
    return words


def write_json(path, **values):
    """The JSON file with other values; ... takes a name out."""
    content = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not ...}))


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_every_tensor_of_a_part_must_be_there_and_fit(tiny_config, model, part, caplog):
    """Defect of the libraries: a missing tensor is drawn at random and a surplus one left out, with a report on stderr at most."""
    for library in ("diffusers", "transformers"):
        logging.getLogger(library).addHandler(caplog.handler)
    weights = next((model / part).glob("*.safetensors"))
    state = load_file(weights)
    name = next(name for name, value in state.items() if value.ndim == 1 and len(value) > 1)
    short = name.removeprefix("text_model.")
    for content, word in (
        ({key: value for key, value in state.items() if key != name}, f"lacks {short}"),
        ({**state, "surplus": torch.zeros(3)}, "has an unknown surplus"),
        ({**state, name: state[name][:1].contiguous()}, f"has {short} of shape [1] instead of"),
    ):
        save_file(content, weights, metadata={"format": "pt"})
        assert word in refused(tiny_config, model)
    assert not caplog.records


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_cut_and_missing_model_files_get_one_plain_sentence(tiny_config, model, part):
    weights = next((model / part).glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    assert f"{weights.name} is damaged" in refused(tiny_config, model)
    weights.unlink()
    assert "cannot be loaded (it has no safetensors file)" in refused(tiny_config, model)
    (model / part / "config.json").unlink()
    assert f"{part}/config.json is missing" in refused(tiny_config, model)


def test_a_damaged_file_that_is_not_used_does_no_harm(tiny_config, model):
    (model / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"cut")
    made_from(tiny_config, model)


@pytest.mark.parametrize(("part", "values"), [("vae", {"down_block_types": ["Nope"] * 4}), ("unet", {"layers_per_block": "x"})])
def test_configurations_that_make_no_network_get_one_plain_sentence(tiny_config, model, part, values):
    write_json(model / part / "config.json", **values)
    assert "do not make a network" in refused(tiny_config, model)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"prediction_type": "v_prediction"}, "prediction_type"),
        ({"num_train_timesteps": 100}, "num_train_timesteps"),
        ({"final_sigmas_type": "sigma_min"}, "final_sigmas_type"),
        ({"timestep_type": "continuous"}, "timestep_type"),
        ({"interpolation_type": "log_linear"}, "interpolation_type"),
        ({"use_karras_sigmas": True}, "use_karras_sigmas"),
        ({"use_exponential_sigmas": True}, "use_exponential_sigmas"),
        ({"use_beta_sigmas": True}, "use_beta_sigmas"),
        ({"beta_schedule": "x"}, "does not describe a noise schedule"),
        ({"beta_end": "x"}, "does not describe a noise schedule"),
        ({"beta_start": 2, "beta_end": 5}, "are not positive numbers"),
    ],
)
def test_schedules_that_the_formulas_do_not_hold_for_are_refused(tiny_config, model, values, words):
    write_json(model / "scheduler" / "scheduler_config.json", **values)
    assert words in refused(tiny_config, model)


def test_a_schedule_may_leave_out_what_goes_without_saying(tiny_config, model, sampler):
    write_json(model / "scheduler" / "scheduler_config.json", prediction_type=..., final_sigmas_type=..., use_karras_sigmas=...)
    lq = torch.rand(1, 3, 16, 16)
    assert torch.equal(made_from(tiny_config, model).sample_patches(lq), sampler.sample_patches(lq))


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt", "tokenizer_config.json"])
def test_a_damaged_tokenizer_is_found_at_loading(tiny_config, model, name):
    path = model / "tokenizer" / name
    for content in (path.read_bytes()[:100], b""):
        path.write_bytes(content)
        assert "tokenizer is missing or damaged" in refused(tiny_config, model)
    shutil.rmtree(model / "tokenizer")
    assert "tokenizer is missing or damaged" in refused(tiny_config, model)


def test_buffers_that_older_files_hold_are_no_fault(tiny_config, model, sampler):
    path = model / "text_encoder" / "model.safetensors"
    save_file({**load_file(path), "text_model.embeddings.position_ids": torch.arange(77)[None]}, path, metadata={"format": "pt"})
    lq = torch.rand(1, 3, 16, 16)
    assert torch.equal(made_from(tiny_config, model).sample_patches(lq), sampler.sample_patches(lq))


def test_the_tokenizer_must_be_the_text_encoders(tiny_config, model):
    vocabulary = json.loads((model / "tokenizer" / "vocab.json").read_text())
    (model / "tokenizer" / "vocab.json").write_text(json.dumps({**vocabulary, "anotherword</w>": len(vocabulary)}))
    assert "different vocabularies" in refused(tiny_config, model)


def test_without_a_stated_length_prompts_are_as_long_as_the_encoder_takes(tiny_config, model, sampler):
    write_json(model / "tokenizer" / "tokenizer_config.json", model_max_length=...)
    lq = torch.rand(1, 3, 16, 16)
    assert torch.equal(made_from(tiny_config, model).sample_patches(lq), sampler.sample_patches(lq))


@pytest.mark.parametrize("channel_std", [[1.0] * 5, "x"])
def test_wavelets_that_cannot_be_built_get_one_plain_sentence(tiny_config, tmp_path, channel_std):
    folder = shutil.copytree(PROJECT / "weights" / "tiny", tmp_path / "tiny")
    write_json(folder / "vae" / "config.json", channel_std=channel_std)
    assert "does not describe wavelet latents" in refused(tiny_config, folder)


def test_parts_of_different_models_are_found_at_loading(tiny_config, model):
    """A text encoder that is in order by itself, but with embeddings of another width than the UNet's."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig.from_pretrained(model / "text_encoder")
    config.hidden_size = 64
    CLIPTextModel(config).save_pretrained(model / "text_encoder")
    assert "do not work together" in refused(tiny_config, model)


@pytest.mark.parametrize("timesteps", [[250], "x", 5, [250, 1], [0, 250], [1, 1001], [1, 2, 3], ["a", "b"], [1.0, 250.0], [True, 250], []])
def test_timesteps_of_a_predictor_must_be_a_range(tiny_config, model, timesteps):
    write_json(model / "noise_predictor" / "config.json", timesteps=timesteps)
    assert "must be two whole numbers from 1 to 1000" in refused(tiny_config, model)


def test_timesteps_of_a_predictor_are_its_limits(tiny_config, model):
    write_json(model / "noise_predictor" / "config.json", timesteps=[200, 200])
    assert made_from(tiny_config, model).spec.timesteps == (200, 200)


@pytest.mark.parametrize("config", ["x", None, [1], 5])
def test_the_shape_of_a_predictor_must_be_a_group_of_values(tiny_config, model, config):
    write_json(model / "noise_predictor" / "config.json", config=config)
    assert "must be a group of values" in refused(tiny_config, model)


@pytest.mark.parametrize(
    "values",
    [
        {"attention_head_dim": 0},
        {"norm_num_groups": 0},
        {"norm_num_groups": 7},
        {"down_block_types": ["X", "Y"]},
        {"layers_per_block": 1},
        {"layers_per_block": [1]},
        {"block_out_channels": None},
        {"double_z": False},
        {"surplus": 1},
        {"self": 1},
    ],
)
def test_shapes_that_make_no_network_get_one_plain_sentence(tiny_config, tmp_path, values):
    with pytest.raises(UserError, match="cannot be built") as caught:
        loaded(tiny_config, shutil.copy(PREDICTOR, tmp_path), params={**SHAPE, **values})
    assert "__init__" not in str(caught.value)


def test_an_absurd_shape_takes_no_memory(tiny_config, tmp_path):
    with pytest.raises(UserError, match="does not fit"):
        loaded(tiny_config, shutil.copy(PREDICTOR, tmp_path), params={**SHAPE, "temb_channels": 10**9})


def test_what_a_shape_leaves_out_is_the_networks_default(tiny_config, tmp_path, sampler):
    shape = {name: value for name, value in SHAPE.items() if name not in ("down_block_types", "latent_channels")}
    lq = torch.rand(1, 3, 16, 16)
    assert torch.equal(loaded(tiny_config, shutil.copy(PREDICTOR, tmp_path), shape).sample_patches(lq), sampler.sample_patches(lq))


def test_another_models_configuration_beside_a_checkpoint_counts_as_none(tiny_config, tmp_path, sampler):
    bare = shutil.copy(PREDICTOR, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKL"}))
    lq = torch.rand(1, 3, 16, 16)
    assert torch.equal(loaded(tiny_config, bare).sample_patches(lq), sampler.sample_patches(lq))
    with pytest.raises(UserError, match=r"only another model's config\.json beside it; set model_start\.params"):
        loaded(tiny_config, bare, params=None)


def test_a_checkpoint_of_whole_numbers_is_refused(tiny_config, tmp_path):
    torch.save({name: value.int() for name, value in load_file(PREDICTOR).items()}, tmp_path / "predictor.pth")
    with pytest.raises(UserError, match="whole numbers in"):
        loaded(tiny_config, tmp_path / "predictor.pth")


@pytest.mark.parametrize("name", ["~nobody-of-this-name/x", "x" * 300, "x" * 5000, "a\0b", "a\nb", "loop"])
def test_names_that_no_file_can_have_get_one_plain_sentence(tiny_config, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UserError, match="There is no model folder") as of_model:
        made_from(tiny_config, name)
    with pytest.raises(UserError, match="There is no noise predictor at") as of_predictor:
        loaded(tiny_config, name)
    for caught in (of_model, of_predictor):
        assert str(caught.value).isprintable() and len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("name", "downloads"),
    [
        ("noise_predictor_sd_turbo_v5.pth", True),
        ("weights/noise_predictor_sd_turbo_v5.pth", True),
        ("{project}/weights/../weights/noise_predictor_sd_turbo_v5.pth", True),
        ("any/dir/noise_predictor_sd_turbo_v5.pth", False),
        ("{project}/noise_predictor_sd_turbo_v5.pth", False),
        ("~nobody-of-this-name/noise_predictor_sd_turbo_v5.pth", False),
    ],
)
def test_only_the_published_predictor_in_its_own_place_is_downloaded(tmp_path, monkeypatch, name, downloads):
    monkeypatch.setattr(model_files, "PROJECT", tmp_path)
    monkeypatch.setattr(model_files, "WEIGHTS", tmp_path / "weights")
    fetched = []
    settings = make_settings({"model_start": {"ckpt_path": name.format(project=tmp_path), "params": SHAPE}})

    def fetch(files, target):
        fetched.append(target)
        return target

    if downloads:
        found = model_loading.find_predictor(settings, tmp_path, fetch)
        assert fetched == [tmp_path / "weights"] and found.weights == tmp_path / "weights" / "noise_predictor_sd_turbo_v5.pth"
    else:
        with pytest.raises(UserError, match="There is no noise predictor at"):
            model_loading.find_predictor(settings, tmp_path, fetch)
        assert not fetched


def test_other_shapes_and_timesteps_of_one_checkpoint_are_other_models(tiny_config, tmp_path):
    bare = shutil.copy(PREDICTOR, tmp_path)
    first = loaded(tiny_config, bare)
    again = loaded(tiny_config, bare, params=dict(reversed(SHAPE.items())))
    other = loaded(tiny_config, bare, params={**SHAPE, "flip_sin_to_cos": False})
    lq = torch.rand(1, 3, 16, 16)
    assert again._model is first._model
    assert not torch.equal(other.sample_patches(lq), first.sample_patches(lq))
    (tmp_path / "config.json").write_text(json.dumps({"config": SHAPE, "timesteps": [1, 250]}))
    assert loaded(tiny_config, bare).spec.timesteps == (1, 250) and first.spec.timesteps == (1, 1000)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")])
@pytest.mark.parametrize("place", ["load_part", "sample"])
def test_a_model_that_does_not_fit_into_memory_is_one_plain_sentence(tiny_config, model, monkeypatch, error, place):
    def fail(*arguments, **names):
        raise error

    monkeypatch.setattr(model_loading, place, fail)
    assert "does not fit into the memory of cpu; free some" in refused(tiny_config, model)


def test_what_decides_pixels_beside_the_weights_is_part_of_a_models_hash(tiny_config, model):
    before = model_hash(made_from(tiny_config, model)._model)
    write_json(model / "vae" / "config.json", scaling_factor=0.5)
    assert model_hash(made_from(tiny_config, model)._model) != before


def test_a_model_whose_files_were_written_to_is_loaded_again(tiny_config, model):
    """As long as a sampler of before is in use, too: whoever exports a model again from a notebook has one."""
    before = made_from(tiny_config, model)
    assert made_from(tiny_config, model)._model is before._model
    (weights,) = (model / "unet").glob("*.safetensors")
    save_file({name: value * 0.5 for name, value in load_file(weights).items()}, weights, metadata={"format": "pt"})
    again = made_from(tiny_config, model)
    assert again._model is not before._model and model_hash(again._model) != model_hash(before._model)


def test_models_load_once_and_are_shared(tiny_config, sampler):
    """Defect of the reference programs: models are rebuilt for every click."""
    made = []
    threads = [threading.Thread(target=lambda: made.append(InvSamplerSR({**tiny_config, "seed": 7}))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4 and all(other._model is sampler._model for other in made)


def test_a_prompt_means_the_same_whichever_it_was_encoded_with(tiny_config):
    """On most processors the rows of a larger product are rounded otherwise."""
    folder = Path(tiny_config["sd_pipe"]["params"]["pretrained_model_name_or_path"])
    texts = [f"{k} houses by a lake" for k in range(5)]
    together = TextConditioner(folder, torch.device("cpu"), torch.float32)._encode(texts)
    for text, embedding in zip(texts, together, strict=True):
        assert torch.equal(TextConditioner(folder, torch.device("cpu"), torch.float32)._encode([text])[0], embedding)


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


def test_only_the_latest_prompts_are_kept(monkeypatch):
    encoded = []
    conditioner = TextConditioner(PIPELINE_TINY, torch.device("cpu"), torch.float32)
    monkeypatch.setattr(conditioner, "_encode", lambda texts: encoded.extend(texts) or [torch.zeros(1, 1, 1) for _ in texts])
    for number in range(KEPT_PROMPTS + 8):
        conditioner("always", f"prompt {number}", 2.0)
    assert len(conditioner._embeddings) == KEPT_PROMPTS
    assert encoded.count("always") == 1  # the oldest, and in use
    conditioner("prompt 0", None, 1.0)
    conditioner(f"prompt {KEPT_PROMPTS + 7}", None, 1.0)
    assert encoded.count("prompt 0") == 2 and encoded.count(f"prompt {KEPT_PROMPTS + 7}") == 1


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
