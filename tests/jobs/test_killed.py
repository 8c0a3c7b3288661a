"""A job that is killed and started again ends as if nothing had happened."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import PROJECT
from tests.jobs.enlarging import picture, pictures, run

STARTING = 300  # seconds at most, on a machine that does much else


def started(command, target):
    """The process, as soon as it has noted something that was not noted before."""
    manifest = target / "manifest.jsonl"
    size = manifest.stat().st_size if manifest.exists() else 0
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + STARTING
    while process.poll() is None and not (manifest.exists() and manifest.stat().st_size > size):
        if time.monotonic() > deadline:
            process.kill()
            pytest.fail("it does nothing")
        time.sleep(0.005)
    return process


def kill_and_resume(command, target, kills, longest, seed):
    """Kill it at random moments after it has begun to write, then let it end; how often it was killed before it had ended."""
    generator, killed = random.Random(seed), 0
    for _ in range(kills):
        process = started(command, target)
        time.sleep(generator.uniform(0, longest))
        process.kill()
        killed += process.wait() == -signal.SIGKILL
    assert subprocess.run(command, cwd=PROJECT, capture_output=True).returncode == 0
    return killed


def sources(folder, count, size):
    for k in range(count):
        picture(folder / ("sub" if k % 3 else "") / f"{k:02}.{'png' if k % 2 else 'bmp'}", k, size)
    return folder


@pytest.mark.parametrize(
    ("count", "kills", "size", "seconds"),
    [(6, 2, (40, 50), 0.05), pytest.param(30, 20, (150, 170), 0.15, marks=pytest.mark.slow)],  # so slow that all the kills come before its end
    ids=["two kills", "twenty kills"],
)
def test_a_killed_job_ends_with_exactly_the_files_of_one_that_was_not(tmp_path, count, kills, size, seconds):
    source, target = sources(tmp_path / "in", count, size), tmp_path / "out"
    command = [sys.executable, "-m", "tests.jobs.slow_job", str(source), str(target), str(seconds)]
    assert kill_and_resume(command, target, kills, 0.15, seed=1) == kills
    run(source, tmp_path / "expected", keep_metadata=False, recursive=True)
    assert pictures(target) == pictures(tmp_path / "expected"), "a file differs, is missing, or was left half-written"
    rows = json.loads((target / "report.json").read_text())["files"]
    assert len(rows) == count and {row["status"] for row in rows} <= {"done", "skipped"}


@pytest.mark.slow
def test_a_killed_command_line_ends_with_exactly_the_files_of_one_that_was_not(tmp_path):
    source, target = sources(tmp_path / "in", 30, (110, 120)), tmp_path / "out"

    def command(out):
        words = [sys.executable, "sampler_invsr.py", "-i", str(source), "-o", str(out), "--recursive"]
        return [*words, "pch_size=32", "dtype=float32", "device=cpu"]

    assert kill_and_resume(command(target), target, 20, 0.2, seed=2) == 20
    assert subprocess.run(command(tmp_path / "expected"), cwd=PROJECT).returncode == 0
    assert pictures(target) == pictures(tmp_path / "expected") and len(pictures(target)) == 30


KILLED_WHILE_NAMING = """
import os, sys
from pathlib import Path
from tests.jobs.enlarging import run
link = os.link
def link_and_die(part, path):
    link(part, path)
    os._exit(9)
os.link = link_and_die
run(Path(sys.argv[1]), Path(sys.argv[2]), keep_metadata=False)
"""


def test_a_job_killed_while_a_result_has_two_names_ends_with_one_for_each(tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    for k in range(3):
        picture(source / f"{k}.png", k)
    assert subprocess.run([sys.executable, "-c", KILLED_WHILE_NAMING, source, target], cwd=PROJECT).returncode == 9
    assert len(pictures(target)) == 2, "the result and what it was called until it was whole"
    run(source, target, keep_metadata=False)
    run(source, tmp_path / "expected", keep_metadata=False)
    assert pictures(target) == pictures(tmp_path / "expected")


def test_an_interrupt_leaves_whole_files_and_a_report_that_says_how_to_go_on(tmp_path):
    source, target = sources(tmp_path / "in", 30, (40, 50)), tmp_path / "out"
    process = started([sys.executable, "-m", "tests.jobs.slow_job", str(source), str(target), "0.3"], target)
    os.kill(process.pid, signal.SIGINT)
    process.wait(STARTING)
    rows = json.loads((target / "report.json").read_text())["files"]
    done = {row["output"] for row in rows if row["status"] == "done"}
    assert len(rows) == 30 and 0 < len(done) < 30 and set(pictures(target)) == done
    assert all("goes on from there" in row["message"] for row in rows if row["status"] == "failed")


INTERRUPTED_TWICE = """
import os, signal, sys, time
from pathlib import Path
import utils.jobs.job as job
from tests.jobs.enlarging import run
source, target, place = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
signal.signal(signal.SIGINT, signal.default_int_handler)
original = getattr(job, place)
def interrupted(*arguments):
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)
    return original(*arguments)
setattr(job, place, interrupted)
run(source, target, keep_metadata=False)
"""


@pytest.mark.parametrize("place", ["file_hash", "write_report"])
def test_however_often_it_is_interrupted_what_has_its_name_is_noted_and_reported(tmp_path, place):
    """Interrupted when a result has just been given its name, and when all are there."""
    source, target = tmp_path / "in", tmp_path / "out"
    for k in range(20):
        picture(source / f"{k:02}.png", k)
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED_TWICE, source, target, place], cwd=PROJECT, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGINT and ended.stderr.strip().endswith("KeyboardInterrupt"), ended.stderr
    rows = json.loads((target / "report.json").read_text())["files"]
    noted = [json.loads(line) for line in (target / "manifest.jsonl").read_text().splitlines()]
    made = set(pictures(target))
    assert made and made == {row["output"] for row in rows if row["status"] == "done"}
    assert made == {entry["output"] for entry in noted if entry["status"] == "done"}
    assert {row.status for row in run(source, target, keep_metadata=False)} <= {"skipped", "done"}
    assert (len(made) == 20) == (place == "write_report")
