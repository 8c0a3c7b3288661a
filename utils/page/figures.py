"""How figures stand in sentences."""

_NO_BREAK_SPACE = "\u00a0"


def unbroken(words: str) -> str:
    """The words, to stand in one line: a figure and its unit."""
    return words.replace(" ", _NO_BREAK_SPACE)
