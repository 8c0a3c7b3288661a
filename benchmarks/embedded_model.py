"""Seconds and peak memory of the embedded model on a 256 x 256 picture: python benchmarks/embedded_model.py [key=value ...]

Prints one row per precision, medians over runs that take turns, each precision in a process of its own so that peak memory is its own.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
RUNS = 5
PRECISIONS = ("bfloat16", "float32")


def serve(dtype: str, settings: list[str]) -> None:
    """Load once, then upscale once per line on stdin, answering with seconds and the peak memory in MiB."""
    import numpy as np

    from sampler_invsr import InvSamplerSR
    from utils.jobs.self_check import peak_memory
    from utils.planning.checked_settings import parse_assignments

    start = time.perf_counter()
    sampler = InvSamplerSR({**parse_assignments(settings), "dtype": dtype})
    picture = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    print(f"{time.perf_counter() - start:.2f} {len(sampler.plan(picture).tiles)}", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        sampler.upscale(picture)
        print(f"{time.perf_counter() - start:.3f} {(peak_memory(sampler.device) or 0) / 2**20:.0f}", flush=True)


def main() -> None:
    servers = [
        subprocess.Popen(
            [sys.executable, __file__, "--serve", dtype, *sys.argv[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT
        )
        for dtype in PRECISIONS
    ]
    loading = [_answer(server) for server in servers]
    for server in servers:  # a first run, not counted, warms caches up
        _ask(server)
    rounds = [[_ask(server) for server in servers] for _ in range(RUNS)]
    print(f"256 x 256 -> 1024 x 1024, {loading[0][1]:.0f} tiles, median of {RUNS} runs (least - most)")
    for column, dtype in enumerate(PRECISIONS):
        seconds = sorted(row[column][0] for row in rounds)
        memory, load_seconds = rounds[-1][column][1], loading[column][0]
        median = statistics.median(seconds)
        print(f"{dtype:9} {median:6.2f} s ({seconds[0]:.2f} - {seconds[-1]:.2f}), peak {memory:5.0f} MiB, loading {load_seconds:.1f} s")
    ratios = sorted(row[1][0] / row[0][0] for row in rounds)
    print(f"{PRECISIONS[1]} takes {statistics.median(ratios):.2f} times as long as {PRECISIONS[0]} (median of pairs)")
    for server in servers:
        server.communicate()


def _ask(server: subprocess.Popen[str]) -> tuple[float, float]:
    assert server.stdin
    server.stdin.write("\n")
    server.stdin.flush()
    return _answer(server)


def _answer(server: subprocess.Popen[str]) -> tuple[float, float]:
    assert server.stdout
    first, second = server.stdout.readline().split()
    return float(first), float(second)


if __name__ == "__main__":
    sys.path.insert(0, str(PROJECT))
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2], sys.argv[3:])
    else:
        main()
