"""A job of many small pictures as a process, to be killed: python -m tests.jobs.slow_job IN OUT SECONDS, for each picture."""

import signal
import sys
import time
from pathlib import Path

from tests.jobs.enlarging import Enlarger, run

if __name__ == "__main__":
    source, target, seconds = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # programs in the background of a shell begin deaf to it
    # Without metadata, so that nothing but the manifest can tell what is ours.
    run(Path(source), Path(target), Enlarger(before=lambda size: time.sleep(float(seconds))), keep_metadata=False, recursive=True)
