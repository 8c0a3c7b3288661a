"""What this process has needed of memory."""

from pathlib import Path


def peak_megabytes() -> float:
    """The most that was resident since the program started, on Linux. (What `getrusage` tells counts the process that started it, too.)"""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6
