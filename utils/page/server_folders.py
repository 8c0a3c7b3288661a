"""Folders of this computer that visitors may name, because whoever started the page allowed them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from utils.planning.errors import UserError

_NOT_ALLOWED = "There is no such folder that this page may use; ask whoever runs it which ones are."


class ServerFolders:
    """What lies below the allowed folders. Without any, nothing can be named."""

    def __init__(self, roots: Iterable[str | Path] = ()) -> None:
        """UserError for a root that is not an existing folder."""
        self._roots = []
        for root in roots:
            if not Path(root).is_dir():
                raise UserError(f"--allow-folder {root} is not a folder; name one that exists.")
            self._roots.append(Path(root).resolve())

    def __bool__(self) -> bool:
        return bool(self._roots)

    def existing(self, words: str) -> Path:
        """The folder that a visitor named, absolutely or below a root.

        UserError if there is none, in the same words if there is and it may not be used: the answer tells nothing of the rest of the machine.
        """
        for folder in self._options(words):
            if os.path.isdir(folder):  # unlike Path.is_dir, for any name at all
                return folder
        raise UserError(_NOT_ALLOWED)

    def for_results(self, words: str) -> Path:
        """As `existing`, of a folder that may still have to be made."""
        options = sorted(self._options(words), key=lambda folder: not os.path.isdir(folder))
        if not options:
            raise UserError(_NOT_ALLOWED)
        return options[0]

    def _options(self, words: str) -> Iterator[Path]:
        """What the words may mean, links followed, as far as it lies in a root."""
        for root in self._roots if words.strip() else ():
            try:
                folder = (root / words.strip()).resolve()
            except (OSError, ValueError, RuntimeError):  # a name that no folder has, or links that go round in circles
                continue
            if any(folder.is_relative_to(allowed) for allowed in self._roots):
                yield folder
