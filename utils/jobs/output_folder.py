"""The folder of results: making it, and clearing away what a killed run left half-written."""

import contextlib
import errno
import os
from collections.abc import Iterable
from pathlib import Path

from utils.pictures.whole_files import UNFINISHED
from utils.planning.errors import UserError

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


def check_folder(folder: Path, purpose: str) -> None:
    """UserError if `folder` is something else, or could not be made, as far as that is seen without writing. purpose: as in "for the results"."""
    try:
        is_there = os.path.lexists(folder)
        nearest = folder if is_there else next(place for place in folder.absolute().parents if os.path.lexists(place))
        is_folder = nearest.is_dir()
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be looked at ({error.strerror}); name another one {purpose}.") from error
    if not is_folder:
        raise UserError(f"{folder} is a file; name a folder {purpose}." if is_there else f"{nearest} is a file; name another folder {purpose}.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"Nothing may be written into {nearest}; name another folder {purpose}, or check its permissions.")


def make_folder(folder: Path) -> None:
    """Make `folder` and the ones it lies in; UserError if that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be made ({error.strerror}); name another one for the results.") from error


def remove_parts(folders: Iterable[Path]) -> None:
    """Remove half-written files from the folders. Only while nobody else writes there."""
    for folder in folders:
        with contextlib.suppress(OSError):
            for path in folder.iterdir():
                if UNFINISHED.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                    path.unlink()


def is_disk_full(error: BaseException) -> bool:
    """Whether the error, or what caused it, is that there is no room left."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _NO_SPACE:
            return True
        cause = cause.__cause__
    return False
