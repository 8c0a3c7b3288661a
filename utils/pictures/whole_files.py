"""Files that appear whole or not at all: written beside their place, put on the disk, then renamed."""

import contextlib
import os
import re
import secrets
from pathlib import Path

from utils.planning.errors import UserError

UNFINISHED = re.compile(r"\.[0-9a-f]{16}\.part")
"""How files are called until they are whole; a killed program leaves one behind."""


def write_whole(path: Path, data: bytes) -> None:
    """Writes or replaces the file at `path`; UserError, caused by the system's own, if that cannot be."""
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}; check the folder's permissions and free space.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
