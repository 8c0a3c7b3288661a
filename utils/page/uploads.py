"""The files that a visitor may name: those uploaded to this server, or made by it, and no other file or address."""

from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gradio as gr
from gradio_client.utils import is_file_obj, traverse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from utils.page.errors import explained
from utils.planning.errors import UserError

_SERVED = "/gradio_api/file="
"""What stands before a file's path in its address on this server."""


def uploaded(file: Any) -> Path:
    """The path of a file as a program names one: an object with `path`, its path here or its address on this server. UserError for all else."""
    path = file.get("path") if isinstance(file, dict) else None
    refusal = UserError("A picture must be a file that was uploaded to this server; its path or address elsewhere is not opened.")
    if not isinstance(path, str):
        raise refusal
    if path.startswith(("http://", "https://")):  # never fetched: what it says of a file here is all that counts
        path = unquote(path.partition(_SERVED)[2])
    folder = Path(gr.utils.get_upload_folder()).resolve()
    try:
        found = Path(path).resolve(strict=True)
    except (OSError, ValueError):
        if Path(path).is_absolute() and Path(path).is_relative_to(folder) and ".." not in Path(path).parts:
            raise UserError("The uploaded file is not kept any more; upload it again.") from None
        raise refusal from None
    if not (found.is_relative_to(folder) and found.is_file()):
        raise refusal
    return found


class GuardedBlocks(gr.Blocks):
    """Blocks that look at requests before Gradio does, which would fetch addresses of files, and fail at what a slider's box has for a while."""

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False) -> list[Any]:
        # Whatever else it has: Gradio looks at those with `meta` only, and hands the others to components that open them, as that for pictures does.
        checked = traverse(inputs, _checked, is_file_obj)
        known = [state[block._id] if state and block._id in state and not block.stateful else block for block in block_fn.inputs]
        taken = [_taken(block, value) for block, value in zip(known, checked, strict=False)] + checked[len(known) :]
        return await super().preprocess_data(block_fn, taken, state, explicit_call)


class RefusedUploadsLogged:
    """Middleware for that an upload which Gradio refuses, for its size say, is a line in the log like every other failure."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400 and scope["path"].rstrip("/").endswith("/upload"):
                explained(UserError(f"An upload was refused with status {message['status']}; 413 is one that is too large."))
            await send(message)

        await self._app(scope, receive, watched)


def _taken(block: Any, value: Any) -> Any:
    """The value as the component may have it: a picture as an uploaded file only, for Gradio would also decode one that is sent as text."""
    if isinstance(block, gr.Image) and value is not None:
        return _checked(value)
    return _within(block, value)


def _within(block: Any, value: Any) -> Any:
    """A slider's value as it is once its box is left, which may be empty before."""
    if not isinstance(block, gr.Slider) or not isinstance(value, int | float | None):
        return value
    return block.minimum if value is None else min(max(value, block.minimum), block.maximum)


def _checked(file: Any) -> dict[str, Any]:
    try:
        path = uploaded(file)
        return {**file, "path": str(path), "url": None}
    except UserError as error:
        raise gr.Error(explained(error, by_label=False), print_exception=False) from None
