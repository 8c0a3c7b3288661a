"""What the page says when something fails; the log has the rest."""

import logging
import re
import secrets
import traceback
from pathlib import Path

from utils.planning.errors import UserError, is_out_of_memory
from utils.planning.settings import OPTIONS

LOG = logging.getLogger("invsr.page")
REQUEST = re.compile(r" \((request [0-9a-f]{8})\)$")
"""The request id at the end of a sentence."""
_OUT_OF_MEMORY = "There was not enough memory; use a smaller picture or a smaller chopping size."

_LABELS = {name: rules["label"] for name, rules in OPTIONS.items() if rules["label"]}
# Names that are words of the language as well are taken for settings only where a sentence is about them.
_COMPOUND, _WORDS = ("|".join(name for name in _LABELS if ("_" in name) is compound) for compound in (True, False))
_NAMES = re.compile(rf"(?<![\w./-])(?:({_COMPOUND})(?!\w|\.\w)|^({_WORDS})(?= (?:must|is)\b))")
_LIMIT = "raise max_output_megapixels"
_OF_THE_OPERATOR = "ask who runs this page to allow larger results (python app.py --max-output-megapixels)"
_FOLDERS = re.compile(r"(?<![\w:/.])(?:[A-Z]:)?(?:[/\\][^\s/\\'\"]+)*[/\\](?=[^\s/\\])")


def explained(error: BaseException, by_label: bool = True) -> str:
    """One sentence for the visitor with a request id at its end, and one line in the log under the same id.

    by_label: call settings as the form does, and not as programs do.
    """
    if isinstance(error, UserError) and REQUEST.search(str(error)):  # explained before: what could not be loaded is told to everybody
        return str(error)
    request = secrets.token_hex(4)
    if isinstance(error, UserError):
        sentence = told(error, by_label)
        LOG.info("request %s failed: %s", request, _one_line(str(error)))
    elif is_out_of_memory(error):
        sentence = _OUT_OF_MEMORY
        LOG.error("request %s failed: out of memory: %s", request, _one_line(str(error)))
    else:
        sentence = "Something went wrong in the program; try again, or look for this request in its log."
        LOG.error("request %s failed: %s: %s (%s)", request, type(error).__name__, _one_line(str(error)), _way(error))
    return f"{sentence} (request {request})"


def not_started() -> str:
    """What is said of a run that the server's queue did not take, or did not understand."""
    return explained(UserError("This could not be started; check the settings, or try again in a few minutes if many others are waiting."))


def told(error: UserError, by_label: bool = True) -> str:
    """The sentence alone, for what has not failed yet."""
    sentence = _ended(_FOLDERS.sub("", str(error))).replace(_LIMIT, _OF_THE_OPERATOR)
    return in_labels(sentence) if by_label else sentence


def foreseen(error: Exception) -> str:
    """What is said of what would fail if it were run: only what is a fault of the program goes into the log."""
    return told(error) if isinstance(error, UserError) and not REQUEST.search(str(error)) else explained(error)


def in_labels(sentence: str) -> str:
    """The sentence with settings called as the form calls them."""
    return _NAMES.sub(lambda match: f"“{_LABELS[match[1] or match[2]]}”", sentence)


def _way(error: BaseException) -> str:
    """Through which lines of the program the error came, the last one first: a traceback in one line of the log."""
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(traceback.extract_tb(error.__traceback__)))


def _one_line(words: str) -> str:
    return " ".join(words.split())


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."
