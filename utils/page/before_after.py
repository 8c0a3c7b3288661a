"""A picture before and after, over each other: which of them is seen where goes by a border that is moved by pointer and keys."""

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData

from utils.page.scripts import ZOOM

_TEMPLATE, _LIVING = (Path(__file__).with_name(f"before_after.{kind}").read_text(encoding="utf-8") for kind in ("html", "js"))


def before_after(elem_id: str) -> gr.HTML:
    """Shows what `pair` gives, and nothing for None."""
    return gr.HTML(None, html_template=_TEMPLATE, js_on_load=ZOOM + _LIVING, elem_id=elem_id)


def pair(before: str, after: str, size: tuple[int, int]) -> dict[str, Any]:
    """Two files with pictures of `size` (h, w), in a folder that Gradio serves."""
    files = {name: FileData(path=path).model_dump() for name, path in (("before", before), ("after", after))}
    return {**files, "height": size[0], "width": size[1]}
