from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from utils.planning.errors import UserError
from utils.training.recipe import Recipe, load_recipe
from utils.training.trainer import rate_factor

SHIPPED = Path(__file__).parents[2] / "configs" / "train-tiny.yaml"


def test_the_shipped_recipe_loads_and_overrides_replace_its_values():
    recipe = load_recipe(SHIPPED, ["steps=7", "unet.block_out_channels=[8,8,8]", "minutes=1.5"])
    assert (recipe.steps, recipe.minutes, recipe.unet["block_out_channels"]) == (7, 1.5, [8, 8, 8])
    assert recipe.batch == load_recipe(SHIPPED).batch


def test_an_unknown_key_is_refused_with_the_nearest_known_one():
    with pytest.raises(UserError, match="'learning_rte'; the nearest is 'learning_rate'"):
        load_recipe(SHIPPED, ["learning_rte=1"])


@pytest.mark.parametrize(
    "override",
    [
        "steps=0",
        "steps=many",
        "clean_share=1.5",
        "learning_rate=0",
        "ema_decay=1",
        "precision=float16",
        "crop=30",
        "levels=3",
        "start_timesteps=[0]",
        "start_shares=[1]",
        "few_step_lists=[[100,200]]",
        "minutes=-1",
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
