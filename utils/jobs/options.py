"""How a job deals with files, beside the settings that decide the pixels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from utils.pictures.formats import OUTPUT_FORMATS, OutputFormat, output_format
from utils.planning.errors import UserError

FORMATS = {suffix.removeprefix("."): suffix for kind in OUTPUT_FORMATS for suffix in kind.suffixes}
"""Name of an output format -> suffix of its files."""


@dataclass(frozen=True)
class JobOptions:
    """recursive: look into subfolders. overwrite: also replace files that this program did not make, or that were changed after it made them.

    keep_metadata: without, results carry neither EXIF and XMP nor how they were made. tolerant: of damaged files, take what can be decoded.
    format: one of FORMATS. shard: (i, n) does the i-th of n equal parts of the files, counted from 1; several may run at the same time.
    """

    recursive: bool = False
    overwrite: bool = False
    keep_metadata: bool = True
    tolerant: bool = False
    format: str = "png"
    shard: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise UserError(f"There is no output format {self.format}; choose one of {', '.join(FORMATS)}.")
        i, n = self.shard
        if not 1 <= i <= n:
            raise UserError(f"There is no part {i} of {n}; shards are counted from 1/{max(n, 1)} to {max(n, 1)}/{max(n, 1)}.")

    @property
    def suffix(self) -> str:
        """Of the results' names."""
        return FORMATS[self.format]

    @property
    def kind(self) -> OutputFormat:
        """Of the results' files."""
        return output_format(f"result{self.suffix}")

    def part_of(self, names: Sequence[PurePosixPath]) -> Sequence[PurePosixPath]:
        """Those of all names that are this shard's."""
        i, n = self.shard
        return names[i - 1 :: n]

    def deciding(self) -> dict[str, Any]:
        """Those that change what is in a result."""
        return {"format": self.format, "keep_metadata": self.keep_metadata, "tolerant": self.tolerant}


def parse_shard(word: str) -> tuple[int, int]:
    """ "2/3" -> (2, 3)."""
    if not re.fullmatch(r"\d{1,9}/\d{1,9}", word, re.ASCII):
        raise UserError(f"'{word}' is no part of a job; write for example --shard 2/3.")
    i, n = word.split("/")
    return int(i), int(n)
