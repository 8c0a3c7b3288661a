"""Scripts for `js_on_load`: two for all of the page, on something that is always there, and what views of pictures have in common."""

from pathlib import Path

RUNS, DROPS, ZOOM = (Path(__file__).with_name(f"{name}.js").read_text(encoding="utf-8") for name in ("runs", "drops", "zoom"))
