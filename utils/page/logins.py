"""Who may log in to the page."""

from pathlib import Path

from utils.planning.errors import UserError

_LARGEST = 2**20  # bytes


def read_logins(word: str) -> list[tuple[str, str]]:
    """Pairs of user and password from `user:password`, or from the lines of the file that `@file` names.

    Empty lines and those that begin with # are left out. UserError, which never repeats a password, if there are none or one cannot be used.
    """
    if not word.startswith("@"):
        return [_pair(word, "--auth")]
    path = Path(word[1:])
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise UserError(f"The file of logins {path} cannot be read ({error.strerror}); check its name and permissions.") from None
    except ValueError:  # also what is no UTF-8
        raise UserError(f"The file of logins {path} is no list of user:password, one to a line; write such a one.") from None
    logins = [_pair(line, f"Line {k} of {path}") for k, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    if not logins:
        raise UserError(f"The file of logins {path} holds none; write user:password into it, one to a line.")
    return logins


def _pair(words: str, where: str) -> tuple[str, str]:
    user, colon, password = words.partition(":")
    if not (user.strip() and colon and password):
        raise UserError(f"{where} must be user:password, neither of them empty.")
    return user.strip(), password
