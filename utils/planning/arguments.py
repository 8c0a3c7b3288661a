"""The command lines' common manners."""

import argparse
import sys
from io import TextIOWrapper
from typing import NoReturn


class OneLineParser(argparse.ArgumentParser):
    """Wrong usage is one line on stderr and exit code 2, without the usage text."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {' '.join(message.split())}; --help tells more.\n")


def show_any_name() -> None:
    """Let what is printed hold any name of a file, also one that the terminal's encoding cannot show."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
