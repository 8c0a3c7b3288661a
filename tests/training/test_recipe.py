from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from utils.models.noise_predictor import NoisePredictor
from utils.pictures.degradations import DRAWS
from utils.planning.errors import UserError
from utils.training.recipe import DEGRADATIONS, EmbeddedRecipe, NoisePredictorRecipe, Recipe, load_recipe
from utils.training.schedules import rate_factor

CONFIGS = Path(__file__).parents[2] / "configs"
SHIPPED = CONFIGS / "train-tiny.yaml"
SHIPPED_PREDICTOR = CONFIGS / "train-noise-predictor.yaml"


def test_the_shipped_recipe_loads_and_overrides_replace_its_values():
    recipe = load_recipe(SHIPPED, ["steps=7", "unet.block_out_channels=[8,8,8]", "minutes=1.5"])
    assert isinstance(recipe, EmbeddedRecipe)
    assert (recipe.steps, recipe.minutes, recipe.unet["block_out_channels"]) == (7, 1.5, [8, 8, 8])
    assert recipe.batch == load_recipe(SHIPPED).batch


def test_the_recipe_of_the_noise_predictor_has_the_published_shape():
    recipe = load_recipe(SHIPPED_PREDICTOR)
    assert isinstance(recipe, NoisePredictorRecipe)
    with torch.device("meta"):
        predictor = NoisePredictor(**recipe.noise_predictor)
    assert sum(p.numel() for p in predictor.parameters()) == 33_837_576


def test_ready_values_are_taken_as_they_are():
    recipe = load_recipe(SHIPPED, ["feature_weight=0.1"], {"feature_weights": "1e5", "logger": "none"})
    assert isinstance(recipe, EmbeddedRecipe)
    assert (recipe.feature_weights, recipe.logger) == ("1e5", "none")


def test_a_key_of_another_task_is_refused():
    with pytest.raises(UserError, match="no key 'pipeline' for the task embedded"):
        load_recipe(SHIPPED, ["pipeline=weights/sd-turbo"])
    with pytest.raises(UserError, match="no key 'levels' for the task noise_predictor"):
        load_recipe(SHIPPED_PREDICTOR, ["levels=2"])


@pytest.mark.parametrize("override", ["adversarial_weight=-1", "discriminator_rate=0", "discriminator_width=12", "kl_weight=-1", "crop=510"])
def test_a_value_that_cannot_work_for_the_noise_predictor_is_refused(override):
    with pytest.raises(UserError, match=override.split("=")[0]):
        load_recipe(SHIPPED_PREDICTOR, [override])


def test_the_degradations_that_a_recipe_may_name_are_those_there_are():
    assert set(DEGRADATIONS) == set(DRAWS)


def test_an_unknown_key_is_refused_with_the_nearest_known_one():
    with pytest.raises(UserError, match="'learning_rte' for the task embedded; the nearest is 'learning_rate'"):
        load_recipe(SHIPPED, ["learning_rte=1"])


@pytest.mark.parametrize(
    "override",
    [
        "steps=0",
        "steps=many",
        "clean_share=1.5",
        "learning_rate=0",
        "ema_decay=1",
        "smallest_size=0",
        "defocus_share=1.1",
        "defocus_sigma=0",
        "defocus_sigma=.inf",
        "tip=0",
        "tip=255",
        "tip=1e-30",
        "poor_tip=0",
        "poor_weight=0",
        "overshoot_weight=0.5",
        "poor_overshoot_weight=0",
        "precision=float16",
        "crop=30",
        "levels=3",
        "start_timesteps=[0]",
        "start_shares=[1]",
        "few_step_lists=[[100,200]]",
        "minutes=-1",
        "few_step_lists=[]",
        "feature_weights=net.npz",
        "validation_crop=12",
        "patience=0",
        "checkpoint_steps=0",
        "logger=stdout",
        "degradations=hard",
        "task=vae",
        "unet_class=UNet3D",
        "feature_weight=0.1",
        "steps",
        "steps=[",
    ],
)
def test_a_value_that_cannot_work_is_refused_in_one_sentence(override):
    with pytest.raises(UserError) as refusal:
        load_recipe(SHIPPED, [override])
    assert "\n" not in str(refusal.value) and str(refusal.value).endswith(".")


def test_a_file_that_is_no_recipe_is_refused(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        load_recipe(tmp_path / "none.yaml")
    for content in ("just words", "- a\n- b", "a: [", "{"):
        (tmp_path / "wrong.yaml").write_text(content)
        with pytest.raises(UserError):
            load_recipe(tmp_path / "wrong.yaml")


def test_the_learning_rate_warms_up_stays_and_falls_to_zero():
    recipe = replace(Recipe(), steps=1000, warmup_steps=100, cooldown_share=0.4)
    factors = [rate_factor(recipe, step, step / 1000) for step in range(1001)]
    assert factors[0] == pytest.approx(0.01) and factors[99:600] == [1.0] * 501
    assert all(a >= b for a, b in pairwise(factors[600:]))
    assert factors[800] == pytest.approx(0.5) and factors[1000] == 0
