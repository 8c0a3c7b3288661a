"""The command lines' common manners."""

import argparse
from typing import NoReturn


class OneLineParser(argparse.ArgumentParser):
    """Wrong usage is one line on stderr and exit code 2, without the usage text."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {' '.join(message.split())}; --help tells more.\n")
