"""Pictures and plans in words."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.fixed_settings import fixed_settings
from utils.page import describing
from utils.page.describing import detected, duration, plan_picture_uri, prospect, summary, why
from utils.pictures.picture import Picture
from utils.planning.model_spec import ModelSpec
from utils.planning.plan import make_plan
from utils.planning.statistics import ComplexityMap, ImageStats

SPEC = ModelSpec("model", 4, 8, 4, 16, (1, 1000), has_text=True)
SAMPLER: Any = SimpleNamespace(spec=SPEC, dtype=torch.float32, device=torch.device("cpu"))
MAP = ComplexityMap(np.zeros((13, 13)), 16)


@pytest.mark.parametrize(
    ("measures", "words"),
    [
        ((0.1, 0.5, 0.3), "Hardly any noise (sigma 0.5), sharp (0.3 px), little detail (0.10)"),
        ((0.5, 2.9, 1.3), "A little noise (sigma 2.9), soft (1.3 px), some detail (0.50)"),
        ((0.9, 3.0, 2.4), "Noisy (sigma 3.0), blurred (2.4 px), much detail (0.90)"),
        ((1.0, 60.0, 90.0), "Very noisy (sigma 60.0), blurred (90.0 px), much detail (1.00)"),
    ],
)
def test_what_was_measured_is_said_in_words_and_figures(measures, words):
    complexity, noise, blur = measures
    assert words in detected(ImageStats(complexity, noise, 0.0, blur, MAP))


def test_a_run_that_does_not_fit_is_warned_of_and_one_that_does_is_not(monkeypatch):
    plan = make_plan((200, 200), fixed_settings(), SPEC)
    monkeypatch.setattr(describing, "available_memory", lambda device: 10**12)
    said = prospect(plan, SAMPLER, 100.0, 6, 20_000).replace("\u00a0", " ")
    assert "800 × 800 (0.6 megapixels), at most 3.87 MB as PNG" in said and "9 tiles of 128 × 128, about 2 min, up to 5.2" in said
    assert "may not fit" not in said
    monkeypatch.setattr(describing, "available_memory", lambda device: 10**6)
    assert "This may not fit: only 1 MB" in prospect(plan, SAMPLER, None, 3, 0)
    assert "about" not in prospect(plan, SAMPLER, None, 3, 0)


@pytest.mark.parametrize(("seconds", "words"), [(0.01, "1 s"), (89.0, "89 s"), (150.0, "2 min"), (7200.0, "2.0 h")])
def test_seconds_are_said_as_people_do(seconds, words):
    assert duration(seconds) == words


def test_what_a_file_was_is_said():
    pixels = np.zeros((4, 6, 3), np.uint16)
    said = summary(Picture(pixels, alpha=pixels[..., 0], notes=("The <b>second</b> frame was left out.",)))
    assert "6 × 4, 16-bit colour" in said and "transparency" in said
    assert "&lt;b&gt;second" in said
    assert "transparency" not in summary(Picture(pixels, alpha=np.full((4, 6), 65535, np.uint16)))


def test_why_shows_reasons_timings_and_the_tiles():
    plan = make_plan((200, 200), fixed_settings(), SPEC)
    uri = plan_picture_uri(plan, ImageStats(0.5, 1.0, 0.0, 1.0, MAP), Picture(np.zeros((200, 200, 3), np.uint8)))
    said = why(plan, uri, {"Networks": 1.25})
    assert uri.startswith("data:image/jpeg") and uri in said
    assert "1.25 s" in said and all(reason.split(":")[0] in said for reason in plan.reasons)
