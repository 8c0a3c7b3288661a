"""The folder of results: making it, writing small files into it whole, and clearing away what a killed run left half-written."""

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

from utils.planning.errors import UserError

_PART = re.compile(r"\.[0-9a-f]{16}\.part")  # how files are called until they are whole, here and where pictures are saved
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


def make_folder(folder: Path) -> None:
    """Make `folder` and the ones it lies in; UserError if that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be made ({error.strerror}); name another one for the results.") from error


def write_whole(path: Path, text: str) -> None:
    """Write a text file that appears whole or not at all; UserError if that cannot be."""
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("x", encoding="utf-8", errors="backslashreplace", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); check the folder's permissions and free space.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def remove_parts(folders: Iterable[Path]) -> None:
    """Remove half-written files from the folders. Only while nobody else writes there."""
    for folder in folders:
        with contextlib.suppress(OSError):
            for path in folder.iterdir():
                if _PART.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                    path.unlink()


def is_disk_full(error: BaseException) -> bool:
    """Whether the error, or what caused it, is that there is no room left."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _NO_SPACE:
            return True
        cause = cause.__cause__
    return False
