"""Settings as a file that a visitor keeps and brings back: YAML, or a result in which they are embedded."""

from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from utils.pictures.provenance import read_settings
from utils.planning.checked_settings import make_settings, with_overrides
from utils.planning.errors import UserError
from utils.planning.settings import DOTTED_NAMES, OFFERED, OPTIONS, Settings, value_of

FILE_NAME = "settings.yaml"
LARGEST_EXACT = 2**53 - 1
"""Of the whole numbers that browsers have."""
_HEADER = "# How to upscale; the model is chosen apart from it.\n"
_LARGEST = 2**16  # bytes
_DEEPEST = 8  # groups within groups
_KEPT = ("extra_bs", "pretrained_model_name_or_path", "ckpt_path")
"""Settings that a file may hold and a visitor does not decide."""


def written(settings: Settings) -> str:
    """YAML that names neither the model nor anything of the machine; `make_settings` takes it, and so does `--config`."""
    return _HEADER + OmegaConf.to_yaml(OmegaConf.create(settings.reproducible()))


def restored(path: Path, settings: Settings) -> tuple[Settings, list[str]]:
    """`settings` with what a visitor may decide taken from the file, and sentences on what else is in there.

    What the file leaves out is at its default. UserError if it holds no settings or some that cannot be used.
    """
    given = make_settings(_read(path))
    if given.seed > LARGEST_EXACT:
        raise UserError(f"seed is too large for this page, which takes up to {LARGEST_EXACT}; use the command line for this file.")
    taken = with_overrides(settings, {name: value_of(given, DOTTED_NAMES[name]) for name in OFFERED})
    return taken, [
        f"{OPTIONS[name]['label'] or 'The model'} stays as it is on this page; the file has another."
        for name in _KEPT
        if value_of(given, DOTTED_NAMES[name]) not in (value_of(settings, DOTTED_NAMES[name]), value_of(Settings(), DOTTED_NAMES[name]))
    ]


def _read(path: Path) -> dict[str, Any]:
    """Plain values as somebody wrote them. Texts that look like references are kept: `make_settings` refuses them."""
    embedded = read_settings(path)
    if embedded is not None:
        return embedded
    neither = UserError(f"{path.name} holds no settings; give a settings file of this page, or a result that was not edited since.")
    if path.stat().st_size > _LARGEST:
        raise neither
    try:
        text = path.read_bytes().decode("utf-8-sig")
        _refuse_what_never_ends(text)
        values = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except Exception:  # the YAML library raises many kinds, and all of them mean the same to the visitor
        raise neither from None
    if not isinstance(values, dict) or not any(value is not None or name in DOTTED_NAMES for name, value in values.items()):
        raise neither  # to the YAML library, words alone are names without a value
    return {str(name): value for name, value in values.items()}


def _refuse_what_never_ends(text: str) -> None:
    """ValueError for references to each other, a few lines of which would fill the memory, and for nesting that would take minutes to read."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST or isinstance(event, yaml.AliasEvent):
            raise ValueError("no settings file has this")
