"""The picture with a mark on it: which part of it is looked at."""

import secrets
from pathlib import Path
from typing import Any

import gradio as gr

from utils.page import markup
from utils.page.events import LIGHT
from utils.page.running import LOOK_SIDE

Spot = tuple[float, float]
"""Down and right, in [0,1]."""
MIDDLE: Spot = (0.5, 0.5)
_LIVING = Path(__file__).with_name("place.js").read_text(encoding="utf-8")


class PlacePicker:
    """`spot` holds the chosen place: down and right, in [0,1].

    button: the id of a button that a click on the picture stands for while it can be pressed.
    """

    def __init__(self, elem_id: str, description: str, button: str = "") -> None:
        self.spot = gr.State(MIDDLE)
        self._description, self._button = description, button
        self._picture = gr.HTML(elem_id=elem_id, elem_classes="sr-place-picker", js_on_load=_LIVING)

    @property
    def outputs(self) -> list[Any]:
        return [self._picture, self.spot]

    def connect(self) -> Any:
        """Wire the events; the one after which `spot` is to be looked at."""
        every: dict[str, Any] = {**LIGHT, "trigger_mode": "multiple"}  # the mark moves with every one of them
        self._picture.place(self._pick, None, self.spot, **every)
        return self._picture.look(self._pick, None, self.spot, **every)

    def showing(self, uri: str, size: tuple[int, int]) -> dict[Any, Any]:
        """Updates that show the picture of `size` (h, w) with the mark in its middle."""
        down, right = (min(LOOK_SIDE / length, 1.0) for length in size)
        shown = markup.place(uri, self._description, (down, right), self._button, secrets.token_hex(4))
        return {self._picture: shown, self.spot: MIDDLE}

    def empty(self) -> dict[Any, Any]:
        return {self._picture: "", self.spot: MIDDLE}

    def _pick(self, event: gr.EventData) -> Spot:
        down, right = (float(value) if isinstance(value, int | float) else 0.5 for value in (event.down, event.right))
        return min(max(down, 0.0), 1.0), min(max(right, 0.0), 1.0)
