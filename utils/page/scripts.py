"""Scripts for the page as a whole, each for the `js_on_load` of something that is there from the beginning to the end."""

from pathlib import Path

RUNS, RESTORE = (Path(__file__).with_name(f"{name}.js").read_text(encoding="utf-8") for name in ("runs", "restore"))
