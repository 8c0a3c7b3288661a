"""The presets that the page offers as models, and what visitors may do with them."""

import numpy as np
import pytest

from tests.conftest import PROJECT
from utils.models import model_files
from utils.page.models import ModelPreset, Models, read_presets
from utils.page.shared_sampler import SharedSampler
from utils.pictures.picture import Picture
from utils.pictures.provenance import SETTINGS
from utils.pictures.writing import save
from utils.planning.checked_settings import make_settings
from utils.planning.errors import UserError

CONFIGS = PROJECT / "configs"
HERE = ModelPreset("here", "", make_settings())
ELSEWHERE = ModelPreset("elsewhere", "", make_settings({"pretrained_model_name_or_path": "weights/of-nobody"}))


def models(*presets: ModelPreset, may_change: bool = True) -> Models:
    shared = SharedSampler(lambda *_: None, HERE.settings)  # type: ignore[arg-type, return-value]
    return Models(shared, presets, may_change)


def test_the_shipped_presets_say_what_they_are_what_they_take_and_what_is_missing(tmp_path, monkeypatch):
    weights = tmp_path / "weights"
    monkeypatch.setattr(model_files, "PROJECT", tmp_path)
    monkeypatch.setattr(model_files, "WEIGHTS", weights)
    tiny, sd_turbo = read_presets(CONFIGS)
    assert (tiny.name, sd_turbo.name) == ("tiny", "sd-turbo")
    assert sd_turbo.meaning.startswith("SD-Turbo with InvSR") and tiny.meaning == "The embedded model: small, on any machine, without a download."
    assert [part.folder for part in sd_turbo.parts] == [weights / "sd-turbo", weights]
    assert sd_turbo.size == pytest.approx(2.72e9, rel=0.01) and sd_turbo.bytes_here() == 0
    assert {"model_index.json", "noise_predictor_sd_turbo_v5.pth"} <= set(sd_turbo.missing())
    assert tiny.parts == tiny.missing() == []
    (weights / "sd-turbo").mkdir(parents=True)
    (weights / "sd-turbo" / "model_index.json.0123456789ab.incomplete").write_bytes(bytes(7))
    assert sd_turbo.bytes_here() == 7 and "model_index.json" in sd_turbo.missing()


def test_the_settings_file_of_the_operator_is_a_preset_too(tmp_path):
    own = tmp_path / "mine.yaml"
    own.write_text("seed: 3\n")
    first, *_ = presets = read_presets(CONFIGS, own)
    assert (first.name, first.meaning, first.settings.seed, len(presets)) == ("mine", "", 3, 3)
    assert read_presets(CONFIGS, CONFIGS / "sample-tiny.yaml") == read_presets(CONFIGS)
    result = tmp_path / "result.png"
    save(Picture(np.zeros((2, 2, 3), np.uint8)), result, {SETTINGS: '{"seed": 5}'})
    first, *_ = read_presets(CONFIGS, result)
    assert (first.name, first.meaning, first.settings.seed) == ("result", "", 5)


def test_a_model_that_is_not_here_cannot_be_used():
    chosen = models(HERE, ELSEWHERE)
    assert ELSEWHERE.missing() == ["weights/of-nobody"]
    with pytest.raises(UserError, match="elsewhere cannot be used before it is here; it lacks weights/of-nobody"):
        chosen.use(ELSEWHERE)
    assert chosen.used == HERE and chosen.wanted is None


@pytest.mark.parametrize("action", [Models.use, Models.fetch, Models.cancel])
def test_visitors_change_nothing_where_they_may_not(action):
    with pytest.raises(UserError, match="whoever runs this server"):
        action(models(HERE, may_change=False), HERE)


def test_nothing_can_be_begun_while_the_first_model_is_loading():
    chosen = models(HERE, ELSEWHERE)
    assert (chosen.is_busy(), chosen.can_switch(), chosen.can_fetch()) == (True, False, False)
    with pytest.raises(UserError, match="being loaded"):
        chosen.use(HERE)
