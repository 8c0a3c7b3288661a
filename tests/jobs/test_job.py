"""A job from files to results: what is written, what is skipped, what fails alone."""

import csv
import json
import random
import shutil
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import utils.jobs.job as job_module
from tests.jobs.enlarging import Enlarger, job, picture, pictures, run, tree
from utils.jobs.fingerprints import file_hash
from utils.jobs.job import Watcher
from utils.pictures.provenance import read_texts
from utils.planning.errors import UserError


@pytest.fixture
def source(tmp_path):
    """Pictures in two folders, with names that collide."""
    for seed, name in enumerate(["a.jpg", "a.png", "b.png", "Größe 1/ä b.png", "Größe 1/A.png"]):
        picture(tmp_path / "in" / name, seed)
    return tmp_path / "in"


def statuses(rows):
    return {row.input.name: row.status for row in rows}


# ---- what is written ----


def test_the_tree_is_mirrored_with_a_result_of_its_own_for_every_picture(source, tmp_path):
    rows = run(source, tmp_path / "out", recursive=True)
    assert list(pictures(tmp_path / "out")) and set(pictures(tmp_path / "out")) == {
        "a.jpg.png",
        "a.png.png",
        "b.png",
        "Größe 1/ä b.png",
        "Größe 1/A.png",
    }
    for row in rows:
        expected = np.asarray(Image.open(row.input)).repeat(4, 0).repeat(4, 1)
        assert np.array_equal(np.asarray(Image.open(row.output)), expected), row.input
    assert run(source, tmp_path / "flat")[-1].input.name == "b.png"


@pytest.mark.parametrize("other", [{"at_once": 3}, {"shards": 3}, {"order": True}])
def test_results_do_not_depend_on_order_shards_or_pictures_at_once(source, tmp_path, other):
    run(source, tmp_path / "out", recursive=True)
    target, shards = tmp_path / "other", other.get("shards", 1)
    for i in reversed(range(shards)):
        if "order" in other:  # by single pictures, last first
            for name in ("b.png", "a.png"):
                run(source / name, target)
        run(source, target, at_once=other.get("at_once", 1), recursive=True, shard=(i + 1, shards))
    found = pictures(target)
    if "order" in other:  # a.png was there before it had to be told from a.jpg
        assert found.pop("a.png") == pictures(tmp_path / "out")["a.png.png"]
    assert found == pictures(tmp_path / "out")


@pytest.mark.parametrize("kind", ["webp", "tiff", "jpg", "png"])
def test_results_in_the_format_asked_for(source, tmp_path, kind):
    rows = run(source, tmp_path / "out", format=kind)
    with Image.open(rows[-1].output) as image:
        assert rows[-1].output.name == f"b.{kind}" and image.format == {"jpg": "JPEG"}.get(kind, kind.upper())


def test_without_metadata_and_still_resumable(source, tmp_path):
    (first, *_) = run(source, tmp_path / "out", keep_metadata=False)
    assert read_texts(first.output) is None and read_texts(run(source, tmp_path / "kept")[0].output)
    assert set(statuses(run(source, tmp_path / "out", keep_metadata=False)).values()) == {"skipped"}
    assert set(statuses(run(source, tmp_path / "out", Enlarger(seed=2), keep_metadata=False)).values()) == {"done"}


def test_what_is_left_of_a_damaged_file_when_asked(source, tmp_path):
    whole = picture(source / "b.png", size=(90, 90)).read_bytes()
    (source / "b.png").write_bytes(whole[: len(whole) // 2])
    assert statuses(run(source, tmp_path / "out"))["b.png"] == "failed"
    (*_, row) = run(source, tmp_path / "out", tolerant=True)
    assert row.status == "done" and row.message


# ---- the report ----


def test_the_report_has_a_row_for_every_file_and_agrees_with_what_is_there(source, tmp_path):
    (source / "bad.jpeg").write_text("no picture")
    (source / "notes.txt").write_text("left alone")
    (source / "link.png").symlink_to(source / "a.png")
    run(source, tmp_path / "out", recursive=True)
    rows = run(source, tmp_path / "out", recursive=True)
    (source / "b.png").touch()
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [row["input"] for row in report["files"]] == ["Größe 1/A.png", "Größe 1/ä b.png", "a.jpg", "a.png", "b.png", "bad.jpeg", "link.png"]
    assert [row["status"] for row in report["files"]] == ["skipped"] * 5 + ["failed"] * 2 == [row.status for row in rows]
    assert report["files"][0]["output"] == "Größe 1/A.png" and report["files"][-1]["output"] is None
    assert "bad.jpeg" in report["files"][-2]["message"] and "link" in report["files"][-1]["message"]
    summary = report["summary"]
    assert (summary["files"], summary["done"], summary["skipped"], summary["failed"], summary["stopped"]) == (7, 0, 5, 2, "")
    with (tmp_path / "out" / "report.csv").open(newline="", encoding="utf-8") as stream:
        table = list(csv.DictReader(stream))
    assert [(row["input"], row["output"] or None, row["status"], row["message"]) for row in table] == [
        (row["input"], row["output"], row["status"], row["message"]) for row in report["files"]
    ]


@pytest.mark.parametrize("beginning", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_cell_of_the_table_is_a_formula_for_a_spreadsheet(tmp_path, beginning):
    name = f"{beginning}1+1.png"
    picture(tmp_path / "in" / name)
    run(tmp_path / "in", tmp_path / "out")
    with (tmp_path / "out" / "report.csv").open(newline="", encoding="utf-8") as stream:
        row = next(csv.DictReader(stream))
    assert row["input"] == row["output"] == f"'{name}" and row["status"] == "done"
    assert json.loads((tmp_path / "out" / "report.json").read_text())["files"][0]["input"] == name


def test_the_summary_tells_files_that_failed_by_themselves_from_those_that_were_not_reached(source, tmp_path):
    (source / "Größe 1" / "0.png").write_bytes(b"")
    stop, ends = Event(), []
    upscaler = Enlarger(before=lambda size: upscaler.computed and stop.wait(10))  # no second one before the stop
    watcher = Watcher(on_row=lambda row: stop.set() if row.status == "done" else None, on_end=ends.append, stop=stop)
    run(source, tmp_path / "out", upscaler, watcher=watcher, recursive=True)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [row["status"] for row in report["files"]] == ["failed", "done", *["failed"] * 4]
    assert [row["message"].startswith("Not done, for") for row in report["files"]] == [False, False, *[True] * 4]
    assert {name: report["summary"][name] for name in ("done", "failed", "not_reached")} == {"done": 1, "failed": 5, "not_reached": 4}
    assert str(ends[0]).startswith("1 of 6 pictures written, 1 failed, 4 not reached, ")
    run(source, tmp_path / "out", recursive=True)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["summary"]["not_reached"] == 0


def test_the_report_of_shards_is_of_the_whole_when_all_are_done(source, tmp_path):
    for i in (1, 2, 3):
        rows = run(source, tmp_path / "out", recursive=True, shard=(i, 3))
        assert len(rows) < 5
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert len(report["files"]) == 5 and report["summary"]["done"] == 5


def test_one_picture_has_no_report_and_a_bad_one_leaves_nothing(source, tmp_path):
    (row,) = run(source / "b.png", tmp_path / "out")
    assert set(tree(tmp_path / "out")) == {"b.png", "manifest.jsonl"} and row.status == "done"
    (source / "bad.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"bad\.png"):
        run(source / "bad.png", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    Image.new("RGBA", (4, 4)).save(source / "clear.png")
    with pytest.raises(UserError, match="no transparency"):
        run(source / "clear.png", tmp_path / "new", format="jpg")
    assert tree(tmp_path / "new") == {}


# ---- doing it again ----


def test_what_is_done_and_unchanged_is_not_decoded_again(source, tmp_path):
    rows = run(source, tmp_path / "out", recursive=True)
    before, again = tree(tmp_path / "out"), Enlarger()
    second = run(source, tmp_path / "out", again, recursive=True)
    assert again.read_names == [] and [row.output for row in second] == [row.output for row in rows]
    assert pictures(tmp_path / "out") == {name: content for name, content in before.items() if name in pictures(tmp_path / "out")}
    assert tree(tmp_path / "out")["manifest.jsonl"] == before["manifest.jsonl"]


def test_what_failed_or_changed_or_vanished_is_done_again(source, tmp_path):
    (source / "c.png").write_bytes(b"")
    assert statuses(run(source, tmp_path / "out"))["c.png"] == "failed"
    picture(source / "c.png", 7)
    picture(source / "b.png", 8)
    (tmp_path / "out" / "a.jpg.png").unlink()
    again = Enlarger()
    rows = run(source, tmp_path / "out", again)
    assert statuses(rows) == {"a.jpg": "done", "a.png": "skipped", "b.png": "done", "c.png": "done"} and len(again.read_names) == 3
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "b.png"))[::4, ::4], np.asarray(Image.open(source / "b.png")))


def test_other_settings_or_another_format_are_done_again(source, tmp_path):
    run(source, tmp_path / "out")
    assert set(statuses(run(source, tmp_path / "out", Enlarger(seed=2))).values()) == {"done"}
    assert set(statuses(run(source, tmp_path / "out", Enlarger(seed=2), tolerant=True)).values()) == {"done"}
    assert set(statuses(run(source, tmp_path / "out", Enlarger(seed=2), format="webp")).values()) == {"done"}


def test_a_folder_that_was_moved_is_not_done_again(source, tmp_path):
    run(source, tmp_path / "out")
    source.rename(tmp_path / "moved")
    (tmp_path / "out").rename(tmp_path / "results")
    assert set(statuses(run(tmp_path / "moved", tmp_path / "results")).values()) == {"skipped"}


def test_a_cut_last_line_costs_one_picture_only(source, tmp_path):
    run(source, tmp_path / "out", keep_metadata=False)
    manifest = tmp_path / "out" / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-40])
    again = Enlarger()
    rows = run(source, tmp_path / "out", again, keep_metadata=False)
    assert len(again.read_names) == 1 and statuses(rows)["b.png"] == "done"


# ---- whose files they are ----


def test_results_of_other_inputs_are_never_replaced_also_not_by_later_runs(source, tmp_path):
    """Defect of the reference programs: a.jpg and a.png write the same file."""
    other = picture(tmp_path / "other" / "a.png", 9)
    outputs = [run(path, tmp_path / "out")[0].output.name for path in (source / "a.jpg", source / "a.png", other, source / "a.jpg", other)]
    assert outputs == ["a.png", "a.png.png", "a.png.2.png", "a.png", "a.png.2.png"]
    assert len(set(pictures(tmp_path / "out").values())) == 3


def test_single_pictures_at_the_same_time_get_results_of_their_own(source, tmp_path):
    """The other one starts and ends while this one is computed, after its name was chosen."""
    others = []
    run(source / "a.jpg", tmp_path / "out", Enlarger(before=lambda size: others.extend(run(source / "a.png", tmp_path / "out"))))
    assert set(pictures(tmp_path / "out")) == {"a.png", "a.jpg.png"} and others[0].output.name == "a.png"
    (again,) = run(source / "a.jpg", tmp_path / "out")
    assert (again.status, again.output.name) == ("skipped", "a.jpg.png")


def test_files_of_others_are_spared_unless_allowed(source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.png").write_bytes(b"somebody's")
    rows = run(source, tmp_path / "out")
    assert rows[-1].status == "failed" and "was not made by this program" in rows[-1].message
    assert (tmp_path / "out" / "b.png").read_bytes() == b"somebody's" and statuses(rows)["a.png"] == "done"
    assert statuses(run(source, tmp_path / "out", overwrite=True))["b.png"] == "done"


@pytest.mark.parametrize("name", ["report.json", "report.csv", "manifest.jsonl"])
def test_no_other_file_is_taken_for_one_about_the_job(source, tmp_path, name):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text('{"images": ["a data set of somebody"]}\n')
    with pytest.raises(UserError, match=f"{name} was not made by this program"):
        run(source, out)
    assert list(tree(out)) == [name] and "somebody" in (out / name).read_text()


def test_reports_and_cut_manifests_of_this_program_are_its_own(source, tmp_path):
    out = tmp_path / "out"
    run(source, out)
    (out / "manifest.jsonl").write_bytes((out / "manifest.jsonl").read_bytes()[:5])
    assert set(statuses(run(source, out)).values()) == {"done"}
    assert set(statuses(run(source, out)).values()) == {"skipped"}


def test_a_result_that_somebody_changed_is_spared_unless_allowed(source, tmp_path):
    result = run(source, tmp_path / "out", keep_metadata=False)[-1].output
    Image.new("RGB", (5, 5)).save(result)
    row = run(source, tmp_path / "out", keep_metadata=False)[-1]
    assert row.status == "failed" and "was changed after it was made" in row.message and Image.open(result).size == (5, 5)
    assert run(source, tmp_path / "out", keep_metadata=False, overwrite=True)[-1].status == "done"
    assert Image.open(result).size == (20, 24)


def kill_while_writing(source, out, monkeypatch, moment, **options):
    """A job that ends where `moment` is called, as if the machine had lost its power."""

    def fail(*arguments, **names):
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(moment, fail)
        run(source, out, **options)


def test_after_a_kill_only_what_this_program_made_is_replaced(source, tmp_path, monkeypatch):
    out, picture_path = tmp_path / "out", source / "b.png"
    kill_while_writing(picture_path, out, monkeypatch, "utils.pictures.writing.encode")
    (out / "b.png").write_bytes(b"somebody's")
    with pytest.raises(UserError, match="was not made by this program"):
        run(picture_path, out)
    (out / "b.png").unlink()
    (row,) = run(picture_path, out)
    kill_while_writing(picture_path, out, monkeypatch, "utils.pictures.writing.encode", upscaler=Enlarger(seed=2))
    Image.open(row.output).crop((0, 0, 3, 3)).save(row.output)
    with pytest.raises(UserError, match="was changed after it was made"):
        run(picture_path, out, Enlarger(seed=2))
    assert Image.open(row.output).size == (3, 3)


def test_a_part_of_a_job_spares_what_a_single_picture_has_become_meanwhile(source, tmp_path):
    other, out = tmp_path / "other" / "a.jpg", tmp_path / "out"
    picture(other, 9)

    def meanwhile(size):
        if not out.joinpath("a.png").exists():
            run(other, out)

    rows = run(source, out, Enlarger(before=meanwhile), shard=(1, 1000))
    assert [row.status for row in rows] == ["done"] and rows[0].output != out / "a.png" and (out / "a.png").read_bytes()
    assert statuses(run(other, out)) == {"a.jpg": "skipped"}


def test_a_result_that_nobody_could_note_is_known_for_ours(source, tmp_path, monkeypatch):
    out, picture_path = tmp_path / "out", source / "b.png"
    kill_while_writing(picture_path, out, monkeypatch, "utils.jobs.job.Job._settled", keep_metadata=False)
    assert (out / "b.png").exists() and '"done"' not in (out / "manifest.jsonl").read_text()
    (row,) = run(picture_path, out, keep_metadata=False)
    assert row.status == "done"


def test_a_failure_to_write_does_not_make_a_strangers_file_ours(source, tmp_path):
    transparent = source / "c.png"
    Image.new("RGBA", (4, 4)).save(transparent)
    row = run(source, tmp_path / "out", format="jpg")[-1]
    assert row.status == "failed" and "no transparency" in row.message
    (tmp_path / "out" / "c.jpg").write_bytes(b"somebody's")
    Image.new("RGB", (4, 4)).save(transparent)
    assert "was not made by this program" in run(source, tmp_path / "out", format="jpg")[-1].message


def test_a_folder_of_results_inside_the_folder_of_pictures_is_not_done_again(source):
    first = run(source, source / "out", recursive=True)
    rows = run(source, source / "out", recursive=True)
    assert len(first) == len(rows) == 5 and {row.status for row in rows} == {"skipped"}


def test_results_do_not_leave_their_folder_by_a_link(source, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "Größe 1").symlink_to(tmp_path / "elsewhere")
    rows = run(source, tmp_path / "out", recursive=True)
    assert [row.status for row in rows] == ["failed"] * 2 + ["done"] * 3 and "leads out" in rows[0].message
    assert not list((tmp_path / "elsewhere").iterdir())


# ---- being followed, and ended ----


def test_every_tile_and_file_is_told_and_the_end(source, tmp_path):
    tiles, rows, ends = [], [], []
    watcher = Watcher(lambda path, done, total, preview: tiles.append((path.name, done, total)), rows.append, ends.append)
    returned = run(source, tmp_path / "out", watcher=watcher)
    assert tiles == [(name, done, 2) for name in ("a.jpg", "a.png", "b.png") for done in (1, 2)]
    assert rows == returned and (ends[0].done, ends[0].files, str(ends[0])[:24]) == (3, 3, "3 of 3 pictures written,")


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize("where", ["on_tile", "on_row"])
def test_what_a_watcher_raises_ends_the_job_and_what_is_finished_is_kept(source, tmp_path, where, at_once):
    def interrupt(*arguments):
        if where == "on_row" or arguments[0].name == "a.png":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / "out", at_once=at_once, watcher=Watcher(**{where: interrupt}))
    files = json.loads((tmp_path / "out" / "report.json").read_text())["files"]
    assert {row["output"] for row in files if row["status"] == "done"} == set(pictures(tmp_path / "out"))
    assert where == "on_row" or any("goes on from there" in row["message"] for row in files)
    again = run(source, tmp_path / "out")
    assert [row.status for row in again].count("skipped") == sum(row["status"] == "done" for row in files) and "failed" not in statuses(
        again
    ).values()


def test_a_stop_set_from_elsewhere_ends_the_job_with_rows_that_say_so(source, tmp_path):
    stop, ends = Event(), []
    rows = run(source, tmp_path / "out", watcher=Watcher(on_row=lambda row: stop.set(), on_end=ends.append, stop=stop), recursive=True)
    assert rows[0].status == "done" and rows[-1].status == "failed" and "goes on from there" in rows[-1].message
    assert ends[0].stopped and len(rows) == 5


def test_a_failure_that_was_not_foreseen_stays_alone(source, tmp_path):
    def fail(size):
        if size == (8, 8):
            raise ZeroDivisionError("of a bug")

    picture(source / "aa.png", size=(8, 8))
    rows = run(source, tmp_path / "out", Enlarger(before=fail))
    assert statuses(rows) == {"a.jpg": "done", "a.png": "done", "aa.png": "failed", "b.png": "done"}
    assert "not foreseen" in rows[2].message and "of a bug" in rows[2].message


def test_memory_does_not_grow_with_the_number_of_files(tmp_path):
    for k in range(40):
        picture(tmp_path / "in" / f"{k:02}.png", k)
    upscaler, behind = Enlarger(), []
    watcher = Watcher(on_tile=lambda path, done, total, preview: behind.append(len(upscaler.read_names) - upscaler.computed))
    run(tmp_path / "in", tmp_path / "out", upscaler, watcher=watcher)
    assert max(behind) <= 3  # one computed, one waiting, one being read


def test_of_huge_results_there_is_one_in_memory_and_they_are_those_of_any_job(tmp_path, monkeypatch):
    for k in range(8):
        picture(tmp_path / "in" / f"{k}.png", k, (6, 5 + k % 2))
    run(tmp_path / "in", tmp_path / "expected")
    alive, most = [], []

    class Counted(Enlarger):
        def upscaled(self, picture, on_tile):
            if self.is_huge(picture):
                alive.append(picture)
                most.append(len(alive))
            return super().upscaled(picture, on_tile)

    def save(picture, *arguments, **options):
        notes = saved(picture, *arguments, **options)
        if picture.size == (24, 24):
            alive.pop()
        return notes

    saved = job_module.save
    monkeypatch.setattr(job_module, "save", save)
    run(tmp_path / "in", tmp_path / "out", Counted(most_pixels=6 * 5), at_once=2)
    assert most == [1, 1, 1, 1] and pictures(tmp_path / "out") == pictures(tmp_path / "expected")


# ---- before it is run ----

PLAN: Any = SimpleNamespace(output_size=(24, 20), tile_count=3)


def test_a_forecast_tells_what_would_be_done_and_writes_nothing(source, tmp_path):
    from utils.jobs.forecast import forecast

    ahead = forecast(job(source, tmp_path / "out"), lambda path: PLAN)
    assert not (tmp_path / "out").exists() and ahead.seconds is None
    assert str(ahead).splitlines()[-1].startswith("3 of 3 files to upscale: 9 tiles, 0.1 megapixels of results. How long that takes is known when")
    run(source, tmp_path / "out")
    picture(source / "c.png")
    (source / "d.png").symlink_to(source / "c.png")
    before = tree(tmp_path / "out")
    ahead = forecast(job(source, tmp_path / "out"), lambda path: PLAN)
    assert tree(tmp_path / "out") == before and ahead.seconds > 0
    lines = str(ahead).splitlines()
    assert "unchanged" in lines[0] and "c.png -> c.png: 20 x 24 pixels, 3 tiles" in lines[3] and "would fail" in lines[4]
    (source / "c.png").unlink()
    assert str(forecast(job(source, tmp_path / "out"), lambda path: PLAN)).endswith("\n0 of 4 files to upscale.")


def test_a_quick_forecast_goes_by_what_was_noted_and_reads_no_file(source, tmp_path, monkeypatch):
    from utils.jobs.forecast import quick_forecast

    run(source, tmp_path / "out")
    (tmp_path / "out" / "a.png.png").unlink()
    picture(source / "c.png")
    (tmp_path / "out" / "c.png").write_bytes(b"a file of somebody else")
    monkeypatch.setattr("utils.jobs.fingerprints.file_hash", lambda path: pytest.fail("read"))
    monkeypatch.setattr("utils.jobs.job.file_hash", lambda path: pytest.fail("read"))
    ahead = quick_forecast(job(source, tmp_path / "out"), lambda path: PLAN, 10)
    said = {file.input.name: (file.plan, file.message) for file in ahead}
    assert said["a.jpg"] == said["b.png"] == (None, "done before and unchanged.") and said["a.png"] == (PLAN, "")
    assert "was not made by this program" in said["c.png"][1]
    assert len(quick_forecast(job(source, tmp_path / "out"), lambda path: PLAN, 2)) == 2
    changed = quick_forecast(job(source, tmp_path / "out", Enlarger(seed=2)), lambda path: PLAN, 1)
    assert changed[0].plan == PLAN


def test_what_a_format_cannot_hold_is_said_before_anything_is_computed(source, tmp_path):
    from utils.jobs.forecast import forecast

    Image.new("RGB", (4100, 1)).save(source / "c.png")
    Image.new("RGBA", (4, 4)).save(source / "d.png")
    upscaler = Enlarger()
    rows = run(source, tmp_path / "out", upscaler, format="webp")
    assert statuses(rows) == {"a.jpg": "done", "a.png": "done", "b.png": "done", "c.png": "failed", "d.png": "done"} and upscaler.computed == 4
    assert "at most 16383 pixels a side" in rows[3].message
    long = SimpleNamespace(output_size=(4, 16400), tile_count=3)
    ahead = forecast(job(source, tmp_path / "again", format="webp"), lambda path: long if path.name == "c.png" else PLAN)  # type: ignore[arg-type, return-value]
    assert "c.png: would fail. A WebP file holds at most 16383" in str(ahead)
    rows = run(source, tmp_path / "other", upscaler, format="jpg")
    assert statuses(rows)["d.png"] == "failed" and "no transparency" in rows[4].message and upscaler.computed == 8


def test_a_single_picture_has_no_parts(source, tmp_path):
    with pytest.raises(UserError, match="has no parts"):
        job(source / "b.png", tmp_path / "out", shard=(2, 2))


def test_shards_are_parts_of_the_whole(source, tmp_path):
    parts = [job(source, tmp_path / "out", recursive=True, shard=(i, 3)).names for i in (1, 2, 3)]
    assert sorted(name for part in parts for name in part) == sorted(job(source, tmp_path / "out", recursive=True).names)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


# ---- what happens while it runs ----


def test_a_file_too_large_to_be_a_picture_is_not_even_hashed(source, tmp_path, monkeypatch):
    with (source / "c.png").open("wb") as stream:
        stream.truncate(2**28 + 1)
    monkeypatch.setattr("utils.jobs.fingerprints.file_hash", lambda path: pytest.fail("read") if path.name == "c.png" else file_hash(path))
    rows = run(source, tmp_path / "out")
    assert [row.status for row in rows] == ["done"] * 3 + ["failed"] and "up to 256 MiB" in rows[3].message


def test_a_picture_that_vanishes_fails_alone(source, tmp_path):
    watcher = Watcher(on_row=lambda row: (source / "c.png").unlink(missing_ok=True))
    for name in ("a1.png", "a2.png", "a3.png", "a4.png", "c.png"):
        picture(source / name)
    rows = run(source, tmp_path / "out", watcher=watcher)
    assert rows[-1].status == "failed" and "does not exist" in rows[-1].message and len({row.status for row in rows[:-1]}) == 1


def test_a_picture_that_is_written_to_while_it_is_read_fails_alone(source, tmp_path):
    class Meddled(Enlarger):
        def read(self, path, tolerant):
            found = super().read(path, tolerant)
            if path.name == "a.png":
                with path.open("ab") as stream:
                    stream.write(b"more")
            return found

    rows = run(source, tmp_path / "out", Meddled())
    assert statuses(rows) == {"a.jpg": "done", "a.png": "failed", "b.png": "done"} and "changed while it was read" in rows[1].message


def test_a_result_that_cannot_be_written_fails_alone(source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "Größe 1").write_text("a file where a folder must be")
    rows = run(source, tmp_path / "out", recursive=True)
    assert [row.status for row in rows] == ["failed"] * 2 + ["done"] * 3 and "cannot be made" in rows[0].message


def test_random_names_survive(tmp_path):
    letters = "aé🙂 \n\t'\"%$;,|*?ß\u202e\\"
    generator = random.Random(0)
    for k in range(30):
        name = "".join(generator.choice(letters) for _ in range(generator.randint(1, 30))) + f"{k}.png"
        picture(tmp_path / "in" / name, k)
    Path(tmp_path, "in", b"not unicode \xff\xfe.png".decode("utf-8", "surrogateescape")).write_bytes(picture(tmp_path / "x.png").read_bytes())
    rows = run(tmp_path / "in", tmp_path / "out")
    assert {row.status for row in rows} == {"done"} and len(pictures(tmp_path / "out")) == 31
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert {row["input"] for row in report["files"]} == {row.input.name for row in rows}
    with (tmp_path / "out" / "report.csv").open(newline="", encoding="utf-8") as stream:
        assert len(list(csv.DictReader(stream))) == 31
    shutil.rmtree(tmp_path / "in")
