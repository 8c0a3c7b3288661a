"""Batches behind the page: what is in them, what becomes of their files, and turns with others."""

import csv
import json
import threading
import time
from pathlib import Path, PurePosixPath

import pytest
from PIL import Image

from sampler_invsr import InvSamplerSR
from tests.mixed_folder import make_mixed_folder
from utils.jobs.options import JobOptions
from utils.page.batch import Batch
from utils.page.batch_prospect import look_ahead
from utils.page.batch_running import BatchFile, BatchRun
from utils.page.batch_table import MOST_ROWS, table
from utils.page.shared_sampler import SharedSampler
from utils.planning.errors import UserError

OPTIONS = JobOptions(recursive=True)


@pytest.fixture
def batch(tmp_path) -> Batch:
    """Of a folder with two pictures of one name, a damaged one and a text."""
    source = make_mixed_folder(tmp_path / "pictures", "a.png")
    (tmp_path / "session").mkdir()
    batch = Batch.within(tmp_path / "session")
    batch.source = source
    return batch


def go(shared: SharedSampler, batch: Batch, stop: threading.Event, **overrides) -> BatchRun:
    run = BatchRun(shared, batch.look(), batch.out_folder, batch.files, batch.thumbnails, stop)
    run.start(overrides, OPTIONS)
    return run


def became(batch: Batch) -> dict[str, str]:
    return {str(name): file.status for name, file in batch.files.items()}


def as_read(words: str) -> str:
    return words.replace("\u00a0", " ")


def test_every_file_has_a_row_one_bad_file_stops_nobody_and_results_are_the_command_lines(shared, batch, sampler, tmp_path):
    run = go(shared, batch, threading.Event(), seed=3)
    assert run.ended.wait(60) and run.message == ""
    assert became(batch) == {"a.png": "done", "broken.png": "failed", "sub/a.png": "done"}
    assert batch.source is not None
    sampler.with_settings(seed=3).inference(batch.source, tmp_path / "cli", recursive=True)
    for name in ("a.png", "sub/a.png"):
        file = batch.files[PurePosixPath(name)]
        assert (file.size, file.result_size) == ((40, 56), (160, 224))
        assert file.thumbnail and file.thumbnail.parent == batch.thumbnails
        assert file.output and file.output.read_bytes() == (tmp_path / "cli" / name).read_bytes()
    assert "damaged" in batch.files[PurePosixPath("broken.png")].message
    assert as_read(batch.became(3)).startswith("2 of 3 pictures done, 1 failed, in 3 s.")


def test_others_get_their_turn_between_two_files(shared, batch):
    run = go(shared, batch, threading.Event())
    assert run.ended.wait(60)
    assert shared.turns == 2  # one for each picture that could be read
    with shared.turn(threading.Event(), lambda before: pytest.fail("a turn was kept")):
        pass


def test_a_batch_knows_how_many_have_the_model_before_it(shared, batch):
    with shared.turn(threading.Event()):
        run = go(shared, batch, threading.Event())
        deadline = time.monotonic() + 10
        while run.before != 1 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert run.before == 1
    assert run.ended.wait(60)
    assert run.before == 0 and became(batch)["a.png"] == "done"


def test_a_stopped_batch_keeps_what_is_done_and_goes_on_with_the_rest(shared, batch, monkeypatch):
    stop, seen = threading.Event(), []

    def upscaled(self, picture, on_tile):
        seen.append(picture.size)
        if len(seen) == 2:
            stop.set()
        return original(self, picture, on_tile)

    original = InvSamplerSR.upscaled
    monkeypatch.setattr(InvSamplerSR, "upscaled", upscaled)
    run = go(shared, batch, stop)
    assert run.ended.wait(60)
    assert became(batch)["a.png"] == "done" and became(batch)["sub/a.png"] == "waiting"
    assert "Resume does the other 1." in batch.became(1)
    first = batch.files[PurePosixPath("a.png")]
    made = first.output.stat().st_mtime_ns  # type: ignore[union-attr]
    run = go(shared, batch, threading.Event())
    assert run.ended.wait(60)
    assert became(batch) == {"a.png": "skipped", "broken.png": "failed", "sub/a.png": "done"}
    assert first.result_size == (160, 224)
    assert len(seen) == 3 and first.output.stat().st_mtime_ns == made and first.seconds > 0  # type: ignore[union-attr]


def test_a_picture_is_being_worked_on_before_its_first_tiles_are_done(shared, batch, monkeypatch):
    seen = []

    def upscaled(self, picture, on_tile):
        seen.append(became(batch))
        return original(self, picture, on_tile)

    original = InvSamplerSR.upscaled
    monkeypatch.setattr(InvSamplerSR, "upscaled", upscaled)
    assert go(shared, batch, threading.Event()).ended.wait(60)
    assert [then[name] for then, name in zip(seen, ("a.png", "sub/a.png"), strict=True)] == ["working", "working"]


def test_what_cannot_be_done_keeps_its_reason_through_every_run_and_is_no_work_left(shared, batch, sampler, monkeypatch):
    (batch.root / "sub" / "z.png").touch()
    empty, seen = PurePosixPath("sub/z.png"), []

    def upscaled(self, picture, on_tile):
        seen.append((batch.files[empty].status, batch.files[empty].message, "Cannot be done" in table(batch.pictures, batch.folder)))
        return original(self, picture, on_tile)

    original = InvSamplerSR.upscaled
    monkeypatch.setattr(InvSamplerSR, "upscaled", upscaled)
    for seed in (1, 2):
        run = BatchRun(shared, batch.look(), batch.out_folder, batch.files, batch.thumbnails, threading.Event())
        foreseen = sampler.with_settings(seed=seed)
        run.start({"seed": seed}, OPTIONS, lambda foreseen=foreseen: look_ahead(batch, foreseen, OPTIONS))
        assert run.ended.wait(60) and run.message == ""
        assert became(batch)["sub/z.png"] == "failed"
    assert seen == [("refused", "z.png cannot be read: the file is empty; copy or download it again.", True)] * 4


def test_a_batch_that_waits_for_the_model_still_says_what_cannot_be_done(shared, batch, sampler):
    (batch.root / "empty.png").touch()
    batch.look()
    look_ahead(batch, sampler, OPTIONS)
    BatchRun(shared, batch.look(), batch.out_folder, batch.files, batch.thumbnails, threading.Event())
    assert became(batch)["empty.png"] == "refused" and "empty" in batch.files[PurePosixPath("empty.png")].message


def test_the_time_left_is_that_of_the_pictures_that_can_be_done(shared, batch, sampler):
    Image.new("1", (5000, 5000)).save(batch.root / "too large.png")
    batch.look()
    look_ahead(batch, sampler, OPTIONS)
    run = BatchRun(shared, batch.look(), batch.out_folder, batch.files, batch.thumbnails, threading.Event())
    done = batch.files[PurePosixPath("a.png")]
    done.status, done.part = "done", 1.0
    batch.files[PurePosixPath("broken.png")].status = "failed"
    run.begun = time.monotonic() - 10
    assert run.seconds_left() == pytest.approx(10, abs=1)  # for the one that waits, as large as the one that is done


def test_a_batch_stopped_with_nothing_left_but_what_cannot_be_done_has_nothing_to_resume(batch):
    batch.look()
    for file, status in zip(batch.pictures, ("done", "failed", "refused"), strict=True):
        file.status, file.message = status, "It is too large." if status == "refused" else ""
    assert as_read(batch.became(3)) == "1 of 3 pictures done, 1 failed, 1 cannot be done, in 3 s."
    assert batch.files_left == 0
    batch.out_folder.mkdir()
    batch.report()
    row = json.loads((batch.out_folder / "report.json").read_text())["files"][2]
    assert (row["status"], row["message"]) == ("failed", "It is too large.")


def test_no_figure_is_parted_from_its_unit(batch):
    batch.look()
    assert "3\u00a0pictures, 0.1\u00a0megapixels" in batch.found()
    assert "of 3\u00a0pictures" in batch.became(30) and "in 30\u00a0s" in batch.became(30)


def test_a_batch_ends_while_it_waits_for_its_turn_when_all_is_closed(shared, batch):
    with shared.turn(threading.Event()):
        run = go(shared, batch, threading.Event())
        time.sleep(0.3)
        assert not run.ended.is_set()
        threading.Thread(target=shared.close, daemon=True).start()
        assert run.ended.wait(10)
    assert set(became(batch).values()) <= {"waiting", "failed"}


def test_a_batch_does_not_mix_models_and_holds_on_to_none(shared, batch, sampler, monkeypatch):
    other = sampler.with_settings()

    def upscaled(self, picture, on_tile):
        shared._sampler = other
        return original(self, picture, on_tile)

    original = InvSamplerSR.upscaled
    monkeypatch.setattr(InvSamplerSR, "upscaled", upscaled)
    run = go(shared, batch, threading.Event())
    assert run.ended.wait(60)
    assert "The model was changed" in run.message
    assert became(batch)["sub/a.png"] == "waiting"


def test_wrong_settings_are_said_and_nothing_is_done(shared, batch):
    run = go(shared, batch, threading.Event(), seed=-1)
    assert run.ended.wait(60)
    assert "“Random seed” must be" in run.message
    assert set(became(batch).values()) == {"waiting"}


def test_what_is_written_after_the_visitor_left_is_deleted(shared, batch, monkeypatch):
    import shutil

    def upscaled(self, picture, on_tile):
        shutil.rmtree(batch.folder)
        return original(self, picture, on_tile)

    original = InvSamplerSR.upscaled
    monkeypatch.setattr(InvSamplerSR, "upscaled", upscaled)
    run = go(shared, batch, threading.Event())
    assert run.ended.wait(60)
    assert not batch.folder.exists()


def test_the_report_tells_nothing_of_the_machine(shared, batch, tmp_path):
    run = go(shared, batch, threading.Event())
    assert run.ended.wait(60)
    batch.report()
    assert str(tmp_path) not in (batch.out_folder / "report.json").read_text()
    with (batch.out_folder / "report.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["input"], row["output"], row["status"]) for row in rows] == [
        ("a.png", "a.png", "done"),
        ("broken.png", "", "failed"),
        ("sub/a.png", "sub/a.png", "done"),
    ]
    assert json.loads((batch.out_folder / "report.json").read_text())["summary"]["failed"] == 1


def test_the_report_counts_files_that_were_not_reached(batch):
    batch.look()
    batch.out_folder.mkdir(parents=True, exist_ok=True)
    batch.files[PurePosixPath("broken.png")].status = "failed"
    batch.report()
    summary = json.loads((batch.out_folder / "report.json").read_text())["summary"]
    assert (summary["failed"], summary["not_reached"]) == (3, 2)


def test_what_is_known_of_files_survives_a_change_of_the_folder_that_names_are_relative_to(tmp_path):
    batch = Batch.within(tmp_path)
    for name in ("holiday/a.png", "a.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / "in" / name)
        batch.uploads.names.append(PurePosixPath(name))
        batch.look()
        if name == "holiday/a.png":
            assert (list(became(batch)), batch.title) == (["a.png"], "holiday")
            batch.files[PurePosixPath("a.png")].status, first = "done", batch.out_folder
    assert became(batch) == {"a.png": "waiting", "holiday/a.png": "done"}
    assert batch.title == "batch" and batch.out_folder != first


def test_a_batch_without_pictures_says_so_and_lists_what_there_is(tmp_path):
    batch = Batch.within(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("hello")
    batch.uploads.names.append(PurePosixPath("notes.txt"))
    with pytest.raises(UserError, match="There is no picture among these files; this page takes PNG"):
        batch.look()
    assert became(batch) == {"notes.txt": "left out"}


def test_what_there_is_to_do_is_said_in_plain_words_also_of_the_smallest_pictures(batch):
    batch.look()
    assert as_read(batch.found()) == "3 pictures, 0.1 megapixels."
    for number, said in ((1, "1 file is not a picture and is left out."), (2, "2 files are not pictures and are left out.")):
        name = PurePosixPath(f"notes {number}.txt")
        batch.files[name] = BatchFile(name, Path(name), "left out")
        assert batch.found().endswith(said)


def test_the_table_shows_names_as_they_are_and_links_only_to_what_the_server_gives_out(shared, batch, tmp_path):
    assert batch.source is not None
    evil = "<img src=x onerror=alert(1)> {{1}} ${2}.png"
    (batch.source / "a.png").rename(batch.source / evil)
    run = go(shared, batch, threading.Event())
    assert run.ended.wait(60)
    html = table(list(batch.files.values()), batch.folder)
    assert "<img src=x" not in html and "{{" not in html and "${" not in html
    assert html.count("<tr") == 4 and html.count("<a ") == 2 and ">Download a.png</a>" in html
    assert table(list(batch.files.values()), tmp_path / "elsewhere").count("<a ") == 0


def test_a_row_shows_a_name_that_is_no_unicode_without_a_link_that_would_not_work(tmp_path):
    name = "caf\udce9.png"
    file = BatchFile(PurePosixPath(name), tmp_path / name, status="done", output=tmp_path / name, thumbnail=tmp_path / "copy.jpg")
    html = table([file], tmp_path)
    assert html.encode() and "caf&#92;udce9.png" in html and "copy.jpg" in html and "<a " not in html
    file.output = tmp_path / "café.png"
    assert "caf%C3%A9.png" in table([file], tmp_path)
    file.thumbnail = tmp_path / name
    assert "<img" not in table([file], tmp_path)


def test_of_a_long_list_what_matters_is_shown(tmp_path):
    batch = Batch.within(tmp_path)
    batch.source = tmp_path
    for k in range(MOST_ROWS + 50):
        Path(tmp_path, f"{k:03}.png").touch()
    batch.look()
    files = list(batch.files.values())
    for file in files[:100]:
        file.status = "done"
    files[3].status = "failed"
    html = table(files, tmp_path)
    assert html.count("<tr") == MOST_ROWS + 1
    assert "003.png" in html and "240.png" in html
    assert "50 more are not shown here" in html
