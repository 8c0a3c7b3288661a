"""Seconds until `python app.py` answers its page, with warm disk caches: python benchmarks/page_start.py"""

import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
RUNS = 3


def seconds_to_answer() -> float:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = time.perf_counter()
    server = subprocess.Popen([sys.executable, "app.py", "--port", str(port)], cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while server.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1) as answer:
                    if answer.status == 200:
                        return time.perf_counter() - start
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                time.sleep(0.05)
        raise SystemExit("app.py ended before it answered")
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    seconds_to_answer()  # warms the disk cache up
    times = sorted(seconds_to_answer() for _ in range(RUNS))
    print(f"the page answers after {statistics.median(times):.1f} s (median of {RUNS}; {times[0]:.1f} - {times[-1]:.1f})")
