"""What a plan takes."""

from dataclasses import replace

import pytest
import torch

from tests.fixed_settings import fixed_settings
from utils.page import cost
from utils.page.cost import available_memory, memory, tile_work, work
from utils.planning.memory import STRETCH
from utils.planning.model_spec import ModelSpec
from utils.planning.plan import Plan, make_plan

AUTOENCODER = ModelSpec("model", 4, 8, 4, 16, (1, 1000), has_text=True)
TRANSFORM = replace(AUTOENCODER, latent_factor=4, latent_channels=48)


def plan_of(side: int = 256, **settings) -> Plan:
    return make_plan((side, side), fixed_settings(settings), AUTOENCODER)


@pytest.mark.parametrize(
    "more",
    [{"timesteps": [200, 100]}, {"cfg_scale": 2.0}, {"overlap": 0.8}, {"self_ensemble": 2}, {"attention_fusion": True, "fusion_candidates": "seeds"}],
)
def test_more_steps_guidance_tiles_views_and_runs_take_longer(more):
    assert work(plan_of(**more)) > work(plan_of())


def test_work_is_that_of_all_tiles():
    plan = plan_of()
    assert work(plan) == len(plan.tiles) * tile_work(128, 1, 1.0, 1)


@pytest.mark.parametrize("more", [{"pch_size": 192}, {"cfg_scale": 2.0}, {"extra_bs": 8}])
def test_larger_tiles_guidance_and_more_at_a_time_take_more_memory(more):
    assert memory(plan_of(**more), AUTOENCODER, torch.float32) > memory(plan_of(), AUTOENCODER, torch.float32)


def test_memory_is_that_of_the_networks_or_of_the_picture_whichever_is_more():
    small, large = plan_of(128), plan_of(1900)
    assert memory(small, AUTOENCODER, torch.float32) == pytest.approx(512**2 * 5000, rel=0.02)  # as measured of Stable Diffusion's VAE
    assert memory(small, AUTOENCODER, torch.float16) < 0.51 * memory(small, AUTOENCODER, torch.float32)
    assert memory(small, TRANSFORM, torch.float32) < 0.1 * memory(small, AUTOENCODER, torch.float32)
    assert memory(large, TRANSFORM, torch.float32) == (1900 * 4) ** 2 * (12 + 8) + STRETCH * 150
    assert memory(plan_of(500), TRANSFORM, torch.float32) == (500 * 4) ** 2 * 170
    huge = plan_of(4096, max_output_megapixels=300)
    assert huge.is_on_disk and memory(huge, TRANSFORM, torch.float32) < 4e9


def test_a_larger_result_takes_more_memory_and_a_smaller_one_hardly_less():
    native, small, large = (memory(plan_of(1000, sf=sf), TRANSFORM, torch.float32) for sf in (4, 2, 8))
    assert small < native < large


def test_this_machine_has_memory():
    assert available_memory(torch.device("cpu")) > 0


def test_a_container_has_no_more_memory_than_its_limit_leaves(monkeypatch, tmp_path):
    monkeypatch.setattr(cost, "_CONTROL_GROUP", tmp_path)
    free = available_memory(torch.device("cpu"))
    for name, words in (("memory.current", "900000"), ("memory.stat", "anon 700000\ninactive_file 200000\n"), ("memory.max", "max")):
        (tmp_path / name).write_text(words)
    assert available_memory(torch.device("cpu")) > free / 2
    (tmp_path / "memory.max").write_text("1000000")
    assert available_memory(torch.device("cpu")) == 300_000
