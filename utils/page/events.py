"""What the events of the page have in common."""

from typing import Any

Updates = dict[Any, Any]
"""What an event changes: component -> its new value."""

LIGHT: dict[str, Any] = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}
"""For events that do not run the model: they never wait in the queue."""

NOT_STARTED = "This could not be started; check the settings, or try again in a few minutes if many others are waiting."
"""For a run that the server's queue did not take, or did not understand."""
