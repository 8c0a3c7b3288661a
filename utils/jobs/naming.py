"""What results are called: the tree of the inputs mirrored, no two names alike on any file system."""

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import PurePosixPath

LONGEST_NAME = 255
"""Bytes, of what common file systems hold."""


def printable(words: str) -> str:
    """Words that any encoding can carry: names of files may hold what is no Unicode."""
    return words.encode("utf-8", errors="backslashreplace").decode()


def spreadsheet_text(words: str) -> str:
    """Words for a cell of a table: with an apostrophe before what a spreadsheet would take for a formula, and run, when it opens the file."""
    return "'" + words if words.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else words


def name_outputs(names: Iterable[PurePosixPath], suffix: str = ".png") -> dict[PurePosixPath, PurePosixPath]:
    """Input -> output, both relative: `<stem>.png`, or `<name>.png` where stems in a folder are the same, or `<name>.2.png` where those meet too.

    Names that differ in case or in Unicode composition only are the same, for they are on some file systems. The names follow from the set of
    inputs alone.
    """
    names = sorted(names)
    stems = Counter(_stem(name) for name in names)
    taken = {folded(parent) for name in names for parent in name.parents}
    outputs: dict[PurePosixPath, PurePosixPath] = {}
    for name in sorted(names, key=lambda name: (stems[_stem(name)] > 1, name)):  # plain names first, so that the others keep clear of them
        options = possible_names(name, suffix)
        if stems[_stem(name)] > 1:
            next(options)
        outputs[name] = next(option for option in options if folded(option) not in taken)
        taken.add(folded(outputs[name]))
    return {name: outputs[name] for name in names}


def possible_names(name: PurePosixPath, suffix: str) -> Iterator[PurePosixPath]:
    """`<stem>.png`, `<name>.png`, `<name>.2.png` and so on, without end; each fits into a file system."""
    yield name.with_name(_fitting(name.stem, suffix))
    yield name.with_name(_fitting(name.name, suffix))
    for k in count(2):
        yield name.with_name(_fitting(name.name, f".{k}{suffix}"))


def folded(name: PurePosixPath) -> str:
    """Equal for names that some file system takes for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(name)).casefold())


def _stem(name: PurePosixPath) -> str:
    return folded(name.parent / name.stem)


def _fitting(stem: str, ending: str) -> str:
    """stem + ending, the stem shortened and marked by its hash where that is too long."""
    if len(os.fsencode(stem + ending)) <= LONGEST_NAME:
        return stem + ending
    mark = f"~{hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]}{ending}"
    return os.fsencode(stem)[: LONGEST_NAME - len(os.fsencode(mark))].decode("utf-8", "ignore") + mark
