"""Everything behind the entrances. Importing it loads nothing."""

VERSION = "0.1.0"
"""Of this program, as in `pyproject.toml`."""
