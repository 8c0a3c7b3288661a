"""Reads files as the program would, and says what each costs: python -m tests.pictures.bounded_reading PATH...

One JSON object a line: file, outcome ("height x width" or the sentence), seconds, megabytes by which the peak memory of the process grew.
"""

import json
import resource
import sys
import time
import warnings

from tests.pictures.picture_files import ENOUGH
from utils.pictures.reading import load
from utils.planning.errors import UserError


def main() -> None:
    warnings.simplefilter("ignore")
    for path in sys.argv[1:]:
        before, start = _peak_megabytes(), time.perf_counter()
        try:
            h, w = load(path, ENOUGH, 4).size
            outcome = f"{h} x {w}"
        except UserError as error:
            outcome = str(error)
        print(
            json.dumps({"file": path, "outcome": outcome, "seconds": time.perf_counter() - start, "megabytes": _peak_megabytes() - before}),
            flush=True,
        )


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
