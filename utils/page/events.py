"""What the events of the page have in common."""

import json
from collections.abc import Callable, Sequence
from threading import Event
from typing import Any

import gradio as gr

from utils.page import markup

Updates = dict[Any, Any]
"""What an event changes: component -> its new value."""

LIGHT: dict[str, Any] = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}
"""For events that do not run the model: they never wait in the queue."""

FOLLOWING: dict[str, Any] = {**LIGHT, "trigger_mode": "always_last"}
"""For such events that show what follows from something else. If that changes before their answer is there, they answer once more: by itself Gradio
would forget the change, unless the event is a component's `change`."""

_TOO_LATE = "It had ended already."
_SAY_STOPPING = f"() => [{json.dumps(markup.progress('Stopping', None))}, {{__type__: 'update', interactive: false}}]"


def stop_on(button: gr.Button, stop: Callable[..., Updates], status: gr.HTML, runs: Sequence[Any] = ()) -> None:
    """Wire a button that stops. stop: tells the run, and has nothing to say but that none was left. runs: events that need not come to their end.

    The browser itself says that it is stopping, before it asks the server: an answer from there might come after the last word of the run.
    """
    button.click(None, None, [status, button], js=_SAY_STOPPING, **LIGHT)
    button.click(stop, None, status, cancels=list(runs), **LIGHT)


def stopped(stop: Event, status: gr.HTML) -> Updates:
    """Set the event; what there is to say of it, which the run does itself if it has not ended."""
    ended = stop.is_set()
    stop.set()
    return {status: markup.notice(_TOO_LATE) if ended else gr.skip()}
