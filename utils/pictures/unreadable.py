"""Turning whatever decoders raise into one plain sentence."""

import contextlib
from collections.abc import Iterator

from utils.planning.errors import UserError

DAMAGED = "the file is damaged, incomplete or of a kind that is not supported; export it again, for example as PNG"


class Unreadable(Exception):
    """Why a picture cannot be read and what to do, for the second half of a sentence."""


@contextlib.contextmanager
def plain_errors(name: str) -> Iterator[None]:
    """UserError in place of any exception of the body, for decoders raise every kind and speak of their own objects. `name` begins the sentence."""
    try:
        yield
    except UserError:
        raise
    except Unreadable as reason:
        raise UserError(f"{name} cannot be read: {reason}.") from reason
    except MemoryError as error:
        raise UserError(f"{name} cannot be read: there is not enough memory for it; use a smaller picture.") from error
    except OSError as error:
        reason = f"{error.strerror}; check the disk and the permissions of the file" if error.strerror else DAMAGED
        raise UserError(f"{name} cannot be read: {reason}.") from error
    except Exception as error:
        raise UserError(f"{name} cannot be read: {DAMAGED}.") from error
