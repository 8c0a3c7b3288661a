"""What goes wrong with temporary files, in words that name their folder and not that of the results."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from utils.planning.errors import UserError


@contextmanager
def errors_explained(file: str) -> Iterator[None]:
    """UserError in place of the system's errors with `file`, which is how a sentence begins that says what cannot be written.

    The system's error is not kept as its cause: a full disk here says nothing of the one that takes the results.
    """
    try:
        yield
    except OSError as error:
        where = f" in {tempfile.tempdir}" if tempfile.tempdir else ""  # of which there is none where no disk has room
        raise UserError(
            f"{file} cannot be written{where} ({error.strerror or error}); make room there, or set the environment variable TMPDIR to a folder"
            " that has it."
        ) from None
