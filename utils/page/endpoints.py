"""The page's endpoints for programs. Their parameters and descriptions come from the settings' schema; all else of the page is private."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter, Signature
from types import NoneType
from typing import Any, get_args

import gradio as gr
from gradio.components.api_component import Api
from gradio.data_classes import ListFiles

from utils.page.calls import Calls
from utils.page.errors import explained
from utils.page.sessions import Sessions, session_of
from utils.page.shared_sampler import SharedSampler
from utils.page.turns import Cancelled
from utils.page.upload_tree import MOST_FILES
from utils.planning.settings import DOTTED_NAMES, OFFERED, OPTIONS, Settings, leaves, value_of

TOOL = "upscale"
"""The endpoint that is also a tool for language models."""
_BATCHES_AT_ONCE = 4
_STOPPED = "It was stopped, and nothing was kept of it."
_KINDS = {name: dict(leaves())[DOTTED_NAMES[name]].type for name in OFFERED}
_PICTURE = "The picture, as an untouched file: PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF or HEIC."
_EXAMPLE = {"path": "picture.png", "url": "picture.png", "orig_name": "picture.png", "meta": {"_type": "gradio.FileData"}}


@dataclass(frozen=True)
class _Value:
    """A parameter or a result: its name, its JSON schema, its description and an example."""

    name: str
    schema: Mapping[str, Any]
    meaning: str
    example: Any

    def component(self) -> Api:
        # No class of its own: Gradio writes a stub file beside the module of every component class.
        api = Api(None, {**self.schema, "description": self.meaning, "additional_description": self.meaning}, self.name)
        api.example_payload = api.example_value = lambda: self.example
        return api


def add_endpoints(shared: SharedSampler, sessions: Sessions) -> None:
    """Add /upscale, /upscale_batch and /plan to the Blocks in whose context this is called."""
    calls = Calls(shared, sessions)
    image = _Value("image", gr.FileData.model_json_schema(), _PICTURE, _EXAMPLE)
    files = _Value("files", ListFiles.model_json_schema(), f"Up to {MOST_FILES} pictures, as untouched files.", [_EXAMPLE])
    result = _Value("result", gr.FileData.model_json_schema(), "The upscaled picture, lossless, as PNG.", _EXAMPLE)
    plan = _Value("plan", {"type": "object"}, "What was decided, and why: `reasons` has it in words.", {"scale": 4})
    warnings = _Value("warnings", {"type": "array", "items": {"type": "string"}}, "Sentences on what is to be known of the result.", [])
    archive = _Value("archive", gr.FileData.model_json_schema(), "A zip of the results, with report.csv and report.json.", _EXAMPLE)
    row = {"input": "picture.png", "output": "picture.png", "status": "done", "seconds": 1.5, "message": ""}
    rows = _Value("rows", {"type": "array", "items": {"type": "object"}}, "What became of every file, in their order.", [row])

    _add(shared.settings, calls.upscale, image, [result, plan, warnings], "Upscale a picture by diffusion super-resolution.", None)
    _add(shared.settings, calls.upscale_batch, files, [archive, rows], "Upscale pictures. One that fails does not stop the rest.", _BATCHES_AT_ONCE)
    _add(shared.settings, calls.plan, image, [plan], "Tell what an upscale would do, without doing it.", _BATCHES_AT_ONCE)


def _add(
    settings: Settings,
    work: Callable[[str, Any, dict[str, Any]], Awaitable[Any]],
    given: _Value,
    results: list[_Value],
    description: str,
    at_once: int | None,
) -> None:
    """Add the endpoint that is called as `work` is. at_once: how many may be under way; others wait in the server's queue."""
    parameters = [given, *(_setting(name, settings) for name in OFFERED)]

    async def call(request: gr.Request, value: Any, *values: Any) -> Any:
        overrides = {name: _meant(name, held) for name, held in zip(OFFERED, values, strict=True) if held is not None}
        try:
            return await work(session_of(request), value, overrides)
        except Cancelled:
            raise gr.Error(_STOPPED, print_exception=False) from None
        except Exception as error:
            raise gr.Error(explained(error, by_label=False), print_exception=False) from None

    call.__name__ = work.__name__
    call.__doc__ = _documented(description, parameters, results)
    call.__annotations__ = {"request": gr.Request, **{parameter.name: Any for parameter in parameters}}
    required, optional = Parameter(given.name, Parameter.POSITIONAL_OR_KEYWORD), parameters[1:]
    call.__signature__ = Signature(
        [
            Parameter("request", Parameter.POSITIONAL_OR_KEYWORD),
            required,
            *(Parameter(parameter.name, Parameter.POSITIONAL_OR_KEYWORD, default=None) for parameter in optional),
        ]
    )
    with gr.Group(visible=False):
        gr.Button().click(
            call,
            [parameter.component() for parameter in parameters],
            [result.component() for result in results],
            api_name=work.__name__,
            api_visibility="public",
            show_progress="hidden",
            concurrency_limit=at_once,
        )


def _documented(description: str, parameters: list[_Value], results: list[_Value]) -> str:
    """A docstring as Gradio reads it, for the page "Use via API" and for tools."""
    lines = [f"{description} Settings left out are as they are set on this server.", "", "Args:"]
    lines += [f"    {parameter.name}: {parameter.meaning}" for parameter in parameters]
    lines += ["", "Returns:", *(f"    {result.name}: {result.meaning}" for result in results)]
    return "\n".join(lines)


def _setting(name: str, settings: Settings) -> _Value:
    meaning, here = OPTIONS[name]["meaning"], value_of(settings, DOTTED_NAMES[name])
    here = list(here) if isinstance(here, tuple) else here
    return _Value(name, _schema(name), f"{meaning[0].upper()}{meaning[1:]}. Here: {_written(here)}.", here)


def _schema(name: str) -> dict[str, Any]:
    """The JSON schema of a setting."""
    rules, kind = OPTIONS[name], _KINDS[name]
    bounds = {word: rules[limit] for word, limit in (("minimum", "low"), ("maximum", "high")) if rules[limit] is not None}
    kinds = [part for part in get_args(kind) if part is not NoneType] if kind != list[int] else [kind]
    kinds = kinds or [kind]
    schemas: list[dict[str, Any]] = []
    for part in kinds:
        if part is bool:
            schemas.append({"type": "boolean"})
        elif part is int:
            schemas.append({"type": "integer", **bounds})
        elif part is float:
            schemas.append({"type": "number", **bounds})
        elif part == list[int]:
            schemas.append({"type": "array", "items": {"type": "integer", **bounds}})
        else:
            schemas.append({"enum": list(rules["choices"])} if rules["choices"] else {"type": "string"})
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _meant(name: str, value: Any) -> Any:
    """An empty text stands for none where there may be none: null is "left out"."""
    return None if value == "" and _KINDS[name] == str | None else value


def _written(value: Any) -> str:
    return {True: "true", False: "false", None: "none"}.get(value, str(value)) if isinstance(value, bool | None) else str(value)
