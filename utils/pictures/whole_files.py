"""Files that appear whole or not at all: written beside their place, put on the disk, then renamed."""

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


def write_whole(path: Path, write: Callable[[IO[bytes]], T]) -> T:
    """Make or replace the file at `path`, with what `write` puts in; UserError, caused by the system's own, if that cannot be."""
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as stream:
            result = write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
        return result
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}; check the folder's permissions and free space.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
