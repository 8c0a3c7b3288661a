"""What is noted of a job, and how it survives."""

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from utils.jobs.manifest import MANIFEST, Entry, Manifest
from utils.planning.errors import UserError

DONE = Entry("root", "a.png", "done", "settings", "model", 1, "hash", "a.webp", "output hash", 3, 0.5, "Zeile\nzwei \udcff")
A_WEBP = PurePosixPath("a.webp")


def appended(folder, *entries, shared=False):
    manifest = Manifest(folder)
    manifest.open(shared)
    for entry in entries:
        manifest.append(entry)
    manifest.close()
    return (folder / MANIFEST).read_bytes()


def test_entries_come_back_as_they_were_and_are_only_appended(tmp_path):
    first = appended(tmp_path / "new" / "out", DONE)
    second = appended(tmp_path / "new" / "out", replace(DONE, input="b.png"))
    assert second.startswith(first) and second.count(b"\n") == 2
    manifest = Manifest(tmp_path / "new" / "out")
    assert list(manifest.entries()) == [DONE, replace(DONE, input="b.png")] and manifest.claimed(A_WEBP) == DONE


def test_every_cut_of_the_last_line_leaves_the_others_whole_and_is_mended(tmp_path):
    whole = appended(tmp_path, DONE, replace(DONE, input="b.png", output="b.webp"))
    start = whole.index(b"\n") + 1
    for length in range(start, len(whole)):
        (tmp_path / MANIFEST).write_bytes(whole[:length])
        appended(tmp_path, replace(DONE, input="c.png", output="c.webp"))
        found = [entry.input for entry in Manifest(tmp_path).entries()]
        assert found == (["a.png", "c.png"] if length < len(whole) - 1 else ["a.png", "b.png", "c.png"]), length


@pytest.mark.parametrize(
    "line", [b"", b"[]", b"3", b"null", b'"input"', b"[" * 50_000, b'{"input": "x"}', b"\xff\xfe", b"\0" * 100, b'{"a": ' * 2000]
)
def test_strange_lines_are_passed_over(tmp_path, line):
    good = appended(tmp_path, DONE)
    (tmp_path / MANIFEST).write_bytes(line + b"\n" + good + good.replace(b'"done"', b'"gone"') + good.replace(b'"seed": 1', b'"seed": "1"'))
    assert list(Manifest(tmp_path).entries()) == [DONE]


def test_a_name_is_whose_it_was_first_though_others_write_at_the_same_time(tmp_path):
    late = replace(DONE, input="b.png", input_sha256="another")
    appended(tmp_path, replace(DONE, status="started"), late, DONE, replace(late, status="failed"))
    assert Manifest(tmp_path).claimed(A_WEBP) == DONE


def test_a_failure_gives_the_name_back_to_whose_it_was(tmp_path):
    mine, others = replace(DONE, status="started", output_sha256=""), replace(DONE, input="b.png")
    for before, expected in (([], None), ([others], others), ([mine], mine), ([DONE], DONE)):
        (tmp_path / MANIFEST).unlink(missing_ok=True)
        appended(tmp_path, *before, mine, replace(mine, status="failed"))
        assert Manifest(tmp_path).claimed(A_WEBP) == expected


def test_a_failure_that_never_started_leaves_the_earlier_result_known(tmp_path):
    """A file that cannot be read is not claimed in the file before it fails."""
    appended(tmp_path, DONE, replace(DONE, status="failed", output_sha256=""))
    assert Manifest(tmp_path).claimed(A_WEBP) == DONE


def test_who_has_a_name_is_seen_again_without_the_rest(tmp_path):
    strange = replace(DONE, output='sub/Ü "quoted" \\ b.png')
    mine = Manifest(tmp_path)
    appended(tmp_path, replace(DONE, output="other.png"), DONE, strange)
    assert mine.claimed(A_WEBP) is None
    for entry in (DONE, strange):
        mine.reload_name(PurePosixPath(entry.output))
        assert mine.claimed(PurePosixPath(entry.output)) == entry
    assert mine.claimed(PurePosixPath("other.png")) is None


def test_a_job_that_shares_waits_for_one_that_clears_away(tmp_path, monkeypatch):
    """Who comes first has the folder alone for a moment."""
    first, second = Manifest(tmp_path), Manifest(tmp_path)
    clearing, cleared = threading.Event(), threading.Event()

    def clear(folders):
        clearing.set()
        assert cleared.wait(20)

    monkeypatch.setattr("utils.jobs.manifest.remove_parts", clear)
    with ThreadPoolExecutor() as threads:
        opening = threads.submit(first.open, True)
        assert clearing.wait(20)
        waiting = threads.submit(second.open, True)
        cleared.set()
        opening.result(), waiting.result()
    first.close()
    second.close()


def test_a_failure_after_two_starts_leaves_the_earlier_result_known(tmp_path):
    mine = replace(DONE, status="started", output_sha256="")
    appended(tmp_path, DONE, mine, mine, replace(mine, output_sha256="new"), replace(mine, status="failed"))
    manifest = Manifest(tmp_path)
    assert manifest.claimed(A_WEBP) == DONE and manifest.results(A_WEBP) == {DONE.output_sha256, "new"}


def test_names_that_some_file_system_takes_for_the_same_have_one_owner(tmp_path):
    appended(tmp_path, DONE)
    assert Manifest(tmp_path).claimed(PurePosixPath("A.WebP")) == DONE and Manifest(tmp_path).claimed(PurePosixPath("b.webp")) is None


@pytest.mark.parametrize(("first", "second", "allowed"), [(False, False, False), (False, True, False), (True, False, False), (True, True, True)])
def test_two_jobs_at_once_are_refused_unless_both_share(tmp_path, first, second, allowed):
    one, two = Manifest(tmp_path), Manifest(tmp_path)
    one.open(first)
    if allowed:
        two.open(second)
        two.close()
    else:
        with pytest.raises(UserError, match="Another job is writing"):
            two.open(second)
    one.close()
    two.open(second)
    two.close()


def test_a_lock_ends_with_its_process(tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=_hold, args=(tmp_path,))
    process.start()
    process.join(60)
    appended(tmp_path, DONE)
    assert process.exitcode == 0


def _hold(folder):
    Manifest(folder).open(shared=False)  # and end without closing it


def test_half_written_files_are_cleared_away_by_whoever_is_alone(tmp_path):
    part, others = tmp_path / ".0123456789abcdef.part", [tmp_path / name for name in (".part", "a.part", ".0123456789abcdeX.part")]
    for path in (part, *others):
        path.touch()
    busy = Manifest(tmp_path)
    busy.open(shared=True)
    second = Manifest(tmp_path)
    second.open(shared=True, folders=[tmp_path])
    assert part.exists(), "it may be that of the other job"
    second.close()
    busy.close()
    second.open(shared=True, folders=[tmp_path])
    second.close()
    assert not part.exists() and all(path.exists() for path in others)
