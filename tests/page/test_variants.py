"""What sets settings apart, in words."""

import pytest

from utils.page.variants import differences
from utils.planning.checked_settings import make_settings, with_overrides
from utils.planning.presets import preset_values


def test_only_what_differs_and_is_not_as_by_default_is_said():
    one = make_settings({"seed": 7, "fidelity": 0.5})
    two = make_settings({"seed": 7, "timesteps": [200, 100]})
    assert differences([one, two, make_settings({"seed": 7})]) == ["Fidelity 0.5", "2 steps (200, 100)", "As by default"]


def test_presets_are_told_apart():
    words = differences([with_overrides(make_settings(), preset_values(name)) for name in ("Faithful", "Balanced", "Creative")])
    assert words[:2] == ["Fidelity 0.5", "As by default"]
    assert words[2] == "Adaptive scheduler, adaptive guidance, consistency 0, restraint 0, edge enhancement, adaptive enhancement"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"color_fix": "hybrid", "hybrid_mode": "best"}, "Colour fix hybrid, hybrid mode best"),
        ({"hybrid_mode": "best"}, "As by default"),  # without the colour fix hybrid it does not matter
        ({"prompt": "x" * 100}, f"Prompt {'x' * 40}…"),
        ({"negative_prompt": None}, "No negative prompt"),
        ({"seed": 2}, "Random seed 2"),
    ],
)
def test_a_difference_is_said_in_the_words_of_the_form(values, words):
    assert differences([make_settings(values), make_settings()]) == [words, "As by default"]
