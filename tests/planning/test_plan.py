import json
import sys
from dataclasses import FrozenInstanceError, replace
from subprocess import run

import pytest

from tests.conftest import PARITY, PROJECT
from utils.planning.errors import UserError
from utils.planning.model_spec import ModelSpec
from utils.planning.plan import make_plan
from utils.planning.schedule import timesteps_for
from utils.planning.settings import Settings, make_settings

SPEC = ModelSpec(name="test", scale=4, latent_factor=8, latent_channels=4, lq_multiple=16, timesteps=(1, 1000), has_text=True)


def test_plan_is_plain_frozen_and_repeatable():
    plan = make_plan((100, 300), Settings(), SPEC)
    assert plan == make_plan((100, 300), Settings(), SPEC)
    assert json.loads(json.dumps(plan.to_dict())) == plan.to_dict()
    with pytest.raises(FrozenInstanceError):
        plan.seed = 1  # type: ignore[misc]


def test_plan_says_what_will_be_done():
    plan = make_plan((100, 300), make_settings({"cfg_scale": 2, "timesteps": [200, 100]}), SPEC)
    assert plan.output_size == (400, 1200) and plan.lq_size == (128, 304) and plan.origin == (14, 0)
    assert [box.left for box in plan.tiles] == [0, 64, 128, 176]
    words = " ".join(plan.reasons)
    for fact in ("300 x 100", "1200 x 400", "4 tiles", "2 steps", "Guidance 2", "Padded"):
        assert fact in words, fact


@pytest.mark.parametrize(
    ("size", "given", "words"),
    [
        ((10, 10), {"sf": 2}, "set sf to 4"),
        ((10, 10), {"pch_size": 100}, "multiple of 16"),
        ((3000, 3000), {}, r"144.0 megapixels\), above the limit of 64"),
        ((0, 5), {}, "no pixels"),
        ((1, 2_000_000), {}, "Padded to tiles of 128"),
        ((2800, 2800), {"pch_size": 16, "overlap": 0.9, "max_output_megapixels": 1000}, "more than 100000 tiles"),
    ],
)
def test_what_the_model_cannot_do_is_refused(size, given, words):
    with pytest.raises(UserError, match=words):
        make_plan(size, make_settings({}, given), SPEC)


def test_timesteps_the_model_was_not_trained_for_are_refused():
    with pytest.raises(UserError, match="from 1 to 250"):
        make_plan((10, 10), make_settings({"timesteps": [500]}), replace(SPEC, timesteps=(1, 250)))


@pytest.mark.parametrize(("steps", "row"), json.loads((PARITY / "timestep_table.json").read_text())["steps"].items())
def test_timesteps_by_number_of_steps_are_the_published_ones(steps, row):
    assert list(timesteps_for(int(steps))) == row["timesteps_argument"]


@pytest.mark.parametrize("steps", [0, -1, 251])
def test_impossible_numbers_of_steps_are_refused(steps):
    with pytest.raises(UserError):
        timesteps_for(steps)


def test_planning_needs_neither_torch_nor_pictures():
    code = "import sys, utils.planning.plan, sampler_invsr; assert not {'torch', 'PIL', 'diffusers', 'cv2'} & set(sys.modules)"
    assert run([sys.executable, "-c", code], cwd=PROJECT).returncode == 0
