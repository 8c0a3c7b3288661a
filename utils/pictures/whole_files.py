"""Files that appear whole or not at all: written beside their place, put on the disk, then given their name."""

import contextlib
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeVar

from utils.planning.errors import UserError

T = TypeVar("T")

UNFINISHED = re.compile(r"\.[0-9a-f]{16}\.part")
"""How files are called until they are whole; a killed program leaves one behind."""


def write_whole(
    path: Path, write: Callable[[IO[bytes]], T], *, replace: bool = True, before_naming: Callable[[Path], None] = lambda whole: None
) -> T:
    """Writes the file at `path` with what `write` puts in, over one that is there only with `replace`: else FileExistsError, also for one that has
    come meanwhile.

    before_naming gets the whole file under its temporary name. UserError, caused by the system's own error, if it cannot be written.
    """
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as stream:
            result = write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        before_naming(part)
        if replace:
            os.replace(part, path)
        else:
            _name_new(part, path)
        return result
    except FileExistsError:
        raise
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}; check the folder's permissions and free space.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def begins_with(path: Path, beginning: bytes) -> bool:
    """Whether there is a file that can be read and begins like this, by which a program knows its own."""
    try:
        with path.open("rb") as stream:
            return stream.read(len(beginning)) == beginning
    except OSError:
        return False


def _name_new(part: Path, path: Path) -> None:
    """Give the file its name unless something has that name; FileExistsError if so. It may keep its old name, too."""
    try:
        os.link(part, path)  # renaming would replace what is there
    except FileExistsError:
        raise
    except OSError:  # a file system without links; if it is something else, renaming says the same
        if os.path.lexists(path):
            raise FileExistsError(f"{path} exists") from None
        os.replace(part, path)
