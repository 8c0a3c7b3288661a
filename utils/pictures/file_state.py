"""Whether a file is still the one that it was, without reading it."""

from dataclasses import dataclass
from pathlib import Path

from utils.planning.errors import UserError


@dataclass(frozen=True)
class FileState:
    """What changes when somebody writes a file: its identity, its size in bytes, its time in nanoseconds."""

    inode: int
    size: int
    modified: int


def file_state(path: Path) -> FileState:
    """UserError if the file is not there or cannot be looked at."""
    try:
        state = path.stat()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; check the name, or whether it was moved meanwhile.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be looked at ({error.strerror}); check its name and permissions.") from error
    return FileState(state.st_ino, state.st_size, state.st_mtime_ns)
