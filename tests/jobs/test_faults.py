"""What a machine does to a job: disks that are full or read-only, files that may not be read, memory that runs out. With the real causes."""

import errno
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from sampler_invsr import InvSamplerSR
from tests.conftest import PROJECT
from tests.jobs.enlarging import Enlarger, picture, pictures, run
from utils.pictures.rows import new_rows
from utils.planning.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a megabyte, which `mount -o remount,...` changes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def remount(folder, options):
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


@pytest.mark.parametrize("keep_metadata", [True, False])
def test_a_full_disk_stops_the_job_which_goes_on_when_there_is_room(tmp_path, small_disk, keep_metadata):
    for k in range(12):
        picture(tmp_path / "in" / f"{k:02}.png", k, (200, 200))
    run(tmp_path / "in", tmp_path / "expected", keep_metadata=keep_metadata)
    out = small_disk / "out"
    rows = run(tmp_path / "in", out, keep_metadata=keep_metadata)
    done = [row for row in rows if row.status == "done"]
    assert 0 < len(done) < 12 and {row.output.name for row in done} == set(pictures(out)), "something half-written was left"
    assert all("No space left" in row.message and "goes on from there" in row.message for row in rows if row.status == "failed")
    remount(small_disk, "size=50m")
    again = run(tmp_path / "in", out, keep_metadata=keep_metadata)
    assert [row.status for row in again].count("skipped") == len(done) and "failed" not in {row.status for row in again}
    assert pictures(out) == pictures(tmp_path / "expected")


def test_a_disk_that_is_full_from_the_start_is_one_sentence(tmp_path, small_disk):
    picture(tmp_path / "in" / "a.png", size=(200, 200))
    with pytest.raises(OSError), (small_disk / "filler").open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(4096))
    (row,) = run(tmp_path / "in", small_disk)
    assert row.status == "failed" and "No space left" in row.message
    with pytest.raises(UserError, match="No space left"):
        run(tmp_path / "in" / "a.png", small_disk)
    assert pictures(small_disk).keys() == {"filler"}


def test_a_full_disk_for_temporary_files_costs_the_picture_that_needs_it_and_no_other(tmp_path, small_disk, monkeypatch):
    for k in range(3):
        picture(tmp_path / "in" / f"{k}.png", k, (10 + k, 8))

    def take_room(size):
        if size == (11, 8):
            new_rows((1, 3, 1000, 1000), CPU, on_disk=True)

    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    rows = run(tmp_path / "in", tmp_path / "out", Enlarger(before=take_room))
    assert [row.status for row in rows] == ["done", "failed", "done"] and "TMPDIR" in rows[1].message


def test_no_room_for_a_temporary_file_is_no_end_of_the_job(tmp_path, monkeypatch):
    """As above, on machines that may not mount a file system."""

    def no_room(file, size):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("utils.pictures.rows._reserve", no_room)
    for k in range(2):
        picture(tmp_path / "in" / f"{k}.png", k, (10 + k, 8))
    rows = run(tmp_path / "in", tmp_path / "out", Enlarger(before=lambda size: size == (11, 8) or new_rows((1, 3, 9, 9), CPU, on_disk=True)))
    assert [row.status for row in rows] == ["failed", "done"] and "TMPDIR" in rows[0].message


def test_a_disk_that_cannot_be_written_is_one_sentence(tmp_path, small_disk):
    picture(tmp_path / "in" / "a.png")
    remount(small_disk, "ro")
    for target in (small_disk / "out", small_disk):
        with pytest.raises(UserError, match="Nothing may be written into"):
            run(tmp_path / "in", target)


def test_a_result_larger_than_files_may_be_fails_alone(tmp_path):
    for k, side in enumerate((20, 120, 20)):
        picture(tmp_path / "in" / f"{k}.png", k, (side, side))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (15_000, before[1]))
    try:
        rows = run(tmp_path / "in", tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [row.status for row in rows] == ["done", "failed", "done"] and "File too large" in rows[1].message
    assert set(pictures(tmp_path / "out")) == {"0.png", "2.png"}


def test_a_picture_that_may_not_be_read_fails_alone():
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in", Path(folder) / "out"
        for k in range(3):
            picture(source / f"{k}.png", k)
        (source / "1.png").chmod(0)
        for path in (Path(folder), source):
            path.chmod(0o777)
        user = os.geteuid()
        os.seteuid(65534 if user == 0 else user)  # what may not be read, root can
        try:
            rows = run(source, target)
        finally:
            os.seteuid(user)
        assert [row.status for row in rows] == ["done", "failed", "done"] and "Permission denied" in rows[1].message


LIMITED = """
import resource, sys
import numpy as np, torch
from pathlib import Path
torch.set_num_threads(1)
from sampler_invsr import InvSamplerSR
sampler = InvSamplerSR({"device": "cpu", "dtype": "float32", "color_fix": "none", "pch_size": 64, "extra_bs": 16})
picture = np.random.default_rng(0).integers(0, 256, (100, 110, 3), dtype=np.uint8)
expected = sampler.upscale(picture).picture
def limit(megabytes):
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 2**20, resource.RLIM_INFINITY))
limit(65)
fewer = sampler.upscale(picture)
assert np.abs(fewer.picture.astype(int) - expected).max() <= 1
print(fewer.plan.tile_batch, fewer.plan.patch, *fewer.warnings)
print(fewer.plan.reasons[-1])
limit(150)
smaller = sampler.upscale(np.tile(picture, (2, 2, 1)), pch_size=256, extra_bs=1)
print(smaller.plan.tile_batch, smaller.plan.patch, *smaller.warnings)
try:
    sampler.upscale(np.tile(picture, (9, 9, 1)))
except ValueError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the address space")
def test_where_memory_runs_out_fewer_tiles_then_smaller_ones_then_a_sentence():
    given_back = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"}  # else what was freed keeps its addresses, which are what is limited here
    done = subprocess.run([sys.executable, "-c", LIMITED], cwd=PROJECT, capture_output=True, text=True, env=given_back)
    assert done.returncode == 0, done.stderr
    fewer, reason, smaller, failed = done.stdout.splitlines()
    assert fewer.startswith(("8 64 For", "4 64 For", "2 64 For", "1 64 For")) and "at a time instead of 16." in fewer and reason in fewer
    assert smaller.startswith("1 256 For") and "1 of 1 tiles of 256 pixels were computed in overlapping parts, the smallest of " in smaller
    assert failed.startswith("UserError There is not enough memory")


@pytest.fixture
def limited(embedded_sampler):
    """limited(too_much) -> a sampler whose network runs out of memory where too_much(batch, side, calls before) says so, and its (batch, side)s."""
    hooks = []

    def limit(too_much, error=MemoryError):
        batches = []

        def run_out(network, arguments):
            batches.append((len(arguments[0]), arguments[0].shape[-1]))
            if too_much(*batches[-1], len(batches) - 1):
                raise error

        sampler = embedded_sampler.with_settings(pch_size=64, color_fix="none", extra_bs=4)
        hooks.append(sampler._model.denoiser.unet.register_forward_pre_hook(run_out))
        return sampler, batches

    yield limit
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("error", [MemoryError, torch.OutOfMemoryError("no"), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_finished_tiles_are_kept_where_memory_runs_out_midway(embedded_sampler, limited, photo, error):
    expected = embedded_sampler.upscale(photo[:96, :128], pch_size=64, color_fix="none").picture
    sampler, batches = limited(lambda batch, side, before: before > 0 and batch > 1, error)
    result = sampler.upscale(photo[:96, :128])
    assert len(result.plan.tiles) == 6 and [batch for batch, _ in batches] == [4, 2, 1, 1]
    assert np.abs(result.picture.astype(int) - expected).max() <= 1
    assert result.warnings == ("For want of memory, tiles were computed 1 at a time instead of 4.",)
    assert result.plan.tile_batch == 1 and result.plan.reasons[-1] == result.warnings[0]


def test_a_tile_that_does_not_fit_is_computed_in_parts_and_it_is_said(embedded_sampler, limited, photo):
    expected = embedded_sampler.upscale(photo[:64, :128], pch_size=64, color_fix="none", extra_bs=1, consistency=0).picture
    sampler, sides = limited(lambda batch, side, before: before > 0 and side > 40)
    result = sampler.upscale(photo[:64, :128], extra_bs=1, consistency=0)  # which would carry a little of the right part into the left
    assert len(result.plan.tiles) == 3 and sides == [(1, 64), (1, 64), *[(1, 40)] * 4, *[(1, 40)] * 4], "the first tile was computed once"
    left, right = (np.abs(result.picture.astype(int) - expected)[:, columns] for columns in (slice(0, 128), slice(128, 512)))
    assert left.max() == 0 and right.max() > 0 and right.mean() < 1.5
    said = "For want of memory, 2 of 3 tiles of 64 pixels were computed in overlapping parts, the smallest of 40 pixels."
    assert result.warnings == (said,) and result.plan.reasons[-1] == said and result.plan.patch == 64


def test_a_clear_failure_where_nothing_helps(limited, photo):
    sampler, sides = limited(lambda batch, side, before: True)
    with pytest.raises(UserError, match="not enough memory"):
        sampler.upscale(photo[:96, :128])
    assert sides == [(4, 64), (2, 64), (1, 64), (1, 40), (1, 32)]


def test_other_errors_are_not_taken_for_a_want_of_memory(limited, photo):
    sampler, _ = limited(lambda batch, side, before: True, RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        sampler.upscale(photo[:32, :32], pch_size=32)


@pytest.fixture(params=["infinite", "black"])
def overflowing(request):
    """A sampler in bfloat16 that gives infinite values, or black, in that precision, for every second tile."""
    sampler = InvSamplerSR({"device": "cpu", "dtype": "bfloat16", "pch_size": 64, "color_fix": "none"})

    def spoil(network, arguments, output):
        if output.sample.dtype != torch.float32:
            output.sample[::2, ::16] = float("inf") if request.param == "infinite" else 1e4  # of the lowest frequency, that all is far below black
        return output

    hook = sampler._model.denoiser.unet.register_forward_hook(spoil)
    yield sampler
    hook.remove()


@pytest.mark.parametrize("views", [1, 2])
def test_tiles_that_are_black_or_not_numbers_are_computed_again_in_float32(overflowing, embedded_sampler, photo, views):
    result = overflowing.upscale(photo[:64, :96], self_ensemble=views)
    assert len(result.plan.tiles) == 2 and result.plan.tile_batch == 4
    assert result.warnings == ("Tiles that came out black or with values that are not numbers were computed again in float32 (1).",)
    assert result.warnings[0] == result.plan.reasons[-1] and next(overflowing._model.denoiser.unet.parameters()).dtype == torch.bfloat16
    precise = embedded_sampler.upscale(photo[:64, :96], pch_size=64, color_fix="none", self_ensemble=views).picture
    assert np.abs(result.picture.astype(int) - precise).mean() < 1.5


def test_a_picture_that_is_not_numbers_even_in_float32_fails_alone(embedded_sampler, tmp_path):
    for k in range(2):
        picture(tmp_path / "in" / f"{k}.png", k, (20 + 20 * k, 20))
    sampler = embedded_sampler.with_settings(pch_size=32)

    def spoil(network, arguments, output):
        output.sample[:] = float("nan") if spoil.on else 0
        return output

    spoil.on = False
    hook = sampler._model.denoiser.unet.register_forward_hook(spoil)
    try:
        watch = {"on_progress": lambda done, total, preview: setattr(spoil, "on", True)}
        rows = sampler.inference(tmp_path / "in", tmp_path / "out", **watch)
    finally:
        hook.remove()
    assert [row.status for row in rows] == ["done", "failed"] and "not numbers, also in float32" in rows[1].message
    assert json.loads((tmp_path / "out" / "report.json").read_text())["summary"]["failed"] == 1


@pytest.mark.parametrize(("level", "is_refused"), [(30, True), (6, False)])
def test_a_black_result_of_a_picture_that_is_not_is_never_kept_and_a_dark_picture_may_be_black(embedded_sampler, tmp_path, level, is_refused):
    def spoil(network, arguments, output):
        output.sample[:, ::16] = 1e4
        return output

    hook = embedded_sampler._model.denoiser.unet.register_forward_hook(spoil)
    try:
        sampler = embedded_sampler.with_settings(pch_size=32, color_fix="none", consistency=0)
        if is_refused:
            with pytest.raises(UserError, match="gave black for what is not"):
                sampler.upscale(np.full((20, 20, 3), level, np.uint8))
        else:
            assert sampler.upscale(np.full((20, 20, 3), level, np.uint8)).picture.max() == 0
    finally:
        hook.remove()


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [(lambda sr: sr[..., 1:, :], "80 x 79 pixels instead of 80 x 80"), (lambda sr: sr * 0, "black though"), (lambda sr: sr / 0, "not numbers")],
)
def test_a_result_that_a_stage_has_spoilt_is_never_kept(embedded_sampler, monkeypatch, spoilt, words):
    sampler = embedded_sampler.with_settings(pch_size=32)
    finished = sampler._finished
    monkeypatch.setattr(sampler, "_finished", lambda *arguments: ((top, spoilt(sr)) for top, sr in finished(*arguments)))
    with pytest.raises(UserError, match=words):
        sampler.upscale(np.full((20, 20, 3), 90, np.uint8))


def test_a_job_goes_on_after_a_picture_for_which_there_is_not_enough_memory(tmp_path):
    for k in range(3):
        picture(tmp_path / "in" / f"{k}.png", k, (5 + k, 5))

    def use_up(size):
        if size[0] == 6:
            np.empty(2**60, dtype=np.uint8)  # more than there is anywhere

    rows = run(tmp_path / "in", tmp_path / "out", Enlarger(before=use_up))
    assert [row.status for row in rows] == ["done", "failed", "done"] and rows[1].message
