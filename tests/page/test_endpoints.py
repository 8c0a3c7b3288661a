"""What programs are told of the endpoints."""

import gradio as gr
import pytest

from utils.page.endpoints import _meant, add_endpoints
from utils.page.sessions import Sessions
from utils.page.shared_sampler import SharedSampler
from utils.planning.checked_settings import make_settings
from utils.planning.settings import OFFERED, OPTIONS


@pytest.fixture(scope="module")
def described(tmp_path_factory) -> dict:
    shared = SharedSampler(lambda *_: None, make_settings({"seed": 77}))  # type: ignore[arg-type, return-value]
    with gr.Blocks() as page:
        add_endpoints(shared, Sessions(tmp_path_factory.mktemp("files")))
    page.config = page.get_config_file()
    return page.get_api_info()["named_endpoints"]  # type: ignore[return-value]


@pytest.mark.parametrize(("name", "given"), [("/upscale", "image"), ("/upscale_batch", "files"), ("/plan", "image")])
def test_everything_offered_is_a_parameter_by_its_name_and_optional(described, name, given):
    first, *settings = described[name]["parameters"]
    assert (first["parameter_name"], first["parameter_has_default"]) == (given, False)
    assert [parameter["parameter_name"] for parameter in settings] == list(OFFERED)
    assert all(parameter["parameter_has_default"] and parameter["parameter_default"] is None for parameter in settings)


def test_parameters_have_their_types_bounds_choices_and_meanings(described):
    parameters = {parameter["parameter_name"]: parameter for parameter in described["/upscale"]["parameters"]}
    types = {name: parameter["python_type"]["type"] for name, parameter in parameters.items()}
    assert (types["image"], types["seed"], types["fidelity"], types["smart_chopping"]) == ("filepath", "int", "float", "bool")
    assert (types["timesteps"], types["negative_prompt"], types["fusion_method"]) == ("list[int]", "str", "Literal['weighted', 'max']")
    assert types["consistency"] == "float | Literal['auto']"
    assert (parameters["overlap"]["type"]["minimum"], parameters["overlap"]["type"]["maximum"]) == (0.0, 0.9)
    for name in OFFERED:
        assert OPTIONS[name]["meaning"][1:] in parameters[name]["python_type"]["description"]
    assert parameters["seed"]["python_type"]["description"].endswith("Here: 77.")


def test_results_are_named_and_described(described):
    results = {name: [result["label"] for result in endpoint["returns"]] for name, endpoint in described.items()}
    assert results == {"/upscale": ["result", "plan", "warnings"], "/upscale_batch": ["archive", "rows"], "/plan": ["plan"]}
    assert all(result["python_type"]["description"] for endpoint in described.values() for result in endpoint["returns"])
    assert described["/upscale"]["description"].startswith("Upscale a picture")


def test_an_empty_text_is_how_a_program_says_none():
    assert (_meant("negative_prompt", ""), _meant("prompt", ""), _meant("seed", 0)) == (None, "", 0)
