"""What the events of the page have in common."""

from typing import Any

Updates = dict[Any, Any]
"""What an event changes: component -> its new value."""

LIGHT: dict[str, Any] = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}
"""For events that do not run the model: they never wait in the queue."""

FOLLOWING: dict[str, Any] = {**LIGHT, "trigger_mode": "always_last"}
"""For such events that show what follows from something else. If that changes before their answer is there, they answer once more: by itself Gradio
would forget the change, unless the event is a component's `change`."""
