"""What the page says when something fails; the log has the rest."""

import logging
import re
import secrets

from utils.planning.errors import UserError
from utils.planning.settings import OPTIONS

LOG = logging.getLogger("invsr.page")
_OUT_OF_MEMORY = "There was not enough memory; use a smaller picture or a smaller chopping size."

_LABELS = {name: rules["label"] for name, rules in OPTIONS.items() if rules["label"]}
# Names that are words of the language as well are taken for settings only where a sentence is about them.
_COMPOUND, _WORDS = ("|".join(name for name in _LABELS if ("_" in name) is compound) for compound in (True, False))
_NAMES = re.compile(rf"(?<![\w./-])(?:({_COMPOUND})(?!\w|\.\w)|^({_WORDS})(?= (?:must|is)\b))")
_FOLDERS = re.compile(r"(?<![\w:/.])(?:[A-Z]:)?(?:[/\\][^\s/\\'\"]+)*[/\\](?=[^\s/\\])")


def explained(error: BaseException, by_label: bool = True) -> str:
    """One sentence for the visitor, and one line in the log under the same request id (with the traceback where the fault is ours).

    by_label: call settings as the form does, and not as programs do.
    """
    request = secrets.token_hex(4)
    if isinstance(error, UserError):
        LOG.info("request %s refused: %s", request, error)
        sentence = _ended(_FOLDERS.sub("", str(error)))
        return in_labels(sentence) if by_label else sentence
    if _is_out_of_memory(error):
        LOG.error("request %s ran out of memory: %s", request, error)
        return _OUT_OF_MEMORY
    LOG.error("request %s failed", request, exc_info=error)
    return f"Something went wrong in the program; try again, or look for request {request} in its log."


def in_labels(sentence: str) -> str:
    """The sentence with settings called as the form calls them."""
    return _NAMES.sub(lambda match: f"“{_LABELS[match[1] or match[2]]}”", sentence)


def _is_out_of_memory(error: BaseException) -> bool:
    # torch.OutOfMemoryError by its name, so that nothing heavy is imported for it; on the CPU torch raises a plain RuntimeError
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."
