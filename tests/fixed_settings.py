"""Settings for tests that plan without a picture."""

from collections.abc import Mapping
from typing import Any

from utils.planning.checked_settings import make_settings
from utils.planning.settings import Settings


def fixed_settings(config: Mapping[str, Any] | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """As `make_settings`, but nothing is decided by what is in a picture, unless the config asks for it."""
    return make_settings({"consistency": 0.25, "restraint": 0.0, **(config or {})}, overrides)
