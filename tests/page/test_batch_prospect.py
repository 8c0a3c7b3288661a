"""What is said of a batch before it is run."""

import threading
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from utils.jobs.options import JobOptions
from utils.page import batch_prospect
from utils.page.batch import Batch
from utils.page.batch_prospect import described, look_ahead
from utils.page.batch_running import BatchRun
from utils.page.shared_sampler import LoadingState, SharedSampler

OPTIONS = JobOptions(recursive=True)


@pytest.fixture
def batch(tmp_path) -> Batch:
    """Of a folder with three pictures in two sizes and one that is cut off."""
    source = tmp_path / "pictures"
    source.mkdir()
    (tmp_path / "session").mkdir()
    for name, size in (("a.png", (48, 40)), ("b.jpg", (48, 40)), ("c.png", (160, 120))):
        Image.new("RGB", size).save(source / name)
    (source / "cut.png").write_bytes((source / "a.png").read_bytes()[:20])
    batch = Batch.within(tmp_path / "session")
    batch.source = source
    batch.look()
    return batch


def said(batch: Batch, sampler: Any, seconds: float | None = None, **overrides: Any) -> str:
    words = described(look_ahead(batch, sampler.with_settings(**overrides), OPTIONS), lambda plan: seconds and seconds * len(plan.tiles))
    return words.replace("\u00a0", " ")


def row(batch: Batch, name: str) -> tuple[Any, str]:
    file = batch.files[PurePosixPath(name)]
    return file.result_size, file.message


def test_sizes_tiles_time_and_memory_are_said_with_what_cannot_be_done(batch, sampler):
    words = said(batch, sampler, 10.0)
    assert "192 × 160 to 640 × 480, 0.4 megapixels together" in words
    assert "14 tiles of 64 × 64, about 2 min, up to " in words and "of memory" in words
    assert "cut.png cannot be done" in words and "may not fit" not in words
    assert row(batch, "b.jpg") == ((160, 192), "") and row(batch, "c.png") == ((480, 640), "")
    assert row(batch, "cut.png")[0] is None and "cut.png" in row(batch, "cut.png")[1] and str(batch.root) not in row(batch, "cut.png")[1]
    assert "about" not in said(batch, sampler)


def test_no_picture_is_decoded_for_it_also_where_settings_go_by_what_is_in_them(batch, sampler, monkeypatch):
    monkeypatch.setattr("utils.pictures.reading.load", lambda *_, **__: pytest.fail("decoded"))
    adaptive = {"adaptive_scheduler": True, "smart_chopping": True, "adaptive_guidance": True, "consistency": "auto", "adaptive_enhancement": True}
    words = said(batch, sampler, 10.0, **adaptive)
    assert "11 to 14 tiles" in words and "about 2 min" in words


def test_what_will_not_fit_is_warned_of_and_named(batch, sampler, monkeypatch):
    monkeypatch.setattr(batch_prospect, "available_memory", lambda device: 20_000_000)
    monkeypatch.setattr(batch_prospect.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    words = said(batch, sampler, max_output_megapixels=0.1, pch_size=64)
    assert "c.png and cut.png cannot be done" in words and "above the limit" in row(batch, "c.png")[1]
    assert "a.png and b.jpg may not fit: only 20 MB of memory are free." in words and "may not fit into memory" in row(batch, "a.png")[1]
    assert "may not fit on the disk: they take up to 184 kB" in words
    assert said(batch, sampler, max_output_megapixels=1) and "may not fit" in row(batch, "c.png")[1]  # told anew


def test_results_that_are_there_are_not_counted_again_until_the_settings_change(batch, sampler):
    shared = SharedSampler(lambda *_: sampler, sampler.settings)
    shared._sampler, shared.state = sampler, LoadingState("ready", "")
    run = BatchRun(shared, batch.look(), batch.out_folder, batch.files, batch.thumbnails, threading.Event())
    run.start({}, OPTIONS)
    assert run.ended.wait(60)
    words = said(batch, sampler)
    assert "3 of them, with these settings" in words and "tiles" not in words
    assert "14 tiles" in said(batch, sampler, seed=5)


def test_what_failed_is_no_work_foreseen_until_the_settings_change_and_it_is_said_that_it_is_tried_again(batch, sampler):
    half = (batch.root / "c.png").read_bytes()
    (batch.root / "half.png").write_bytes(half[: len(half) * 2 // 3])  # its header is whole
    batch.look()
    before, tried = said(batch, sampler), "half.png failed with these settings. The next run tries again, which is not counted here."
    assert "26 tiles" in before and tried not in before
    shared = SharedSampler(lambda *_: sampler, sampler.settings)
    shared._sampler, shared.state = sampler, LoadingState("ready", "")
    run = BatchRun(shared, batch.look(), batch.out_folder, batch.files, batch.thumbnails, threading.Event())
    run.start({}, OPTIONS)
    assert run.ended.wait(60)
    after = said(batch, sampler)
    assert tried in after and "tiles" not in after and "cut.png cannot be done" in after and "3 of them" in after
    changed = said(batch, sampler, seed=5)
    assert "26 tiles" in changed and tried not in changed


def test_a_file_is_refused_as_long_as_the_settings_refuse_it(batch, sampler):
    for limit, status in ((0.1, "refused"), (1, "waiting")):
        said(batch, sampler, max_output_megapixels=limit)
        assert batch.files[PurePosixPath("c.png")].status == status


def test_no_figure_is_parted_from_its_unit(batch, sampler):
    words = described(look_ahead(batch, sampler, OPTIONS), lambda plan: 10.0)
    for figure in ("640 × 480", "0.4 megapixels", "64 × 64", "30 s"):
        assert figure.replace(" ", "\u00a0") in words


def test_of_very_many_files_the_first_stand_for_all(batch, sampler, monkeypatch):
    monkeypatch.setattr(batch_prospect, "MOST_FILES", 2)
    words = said(batch, sampler, 10.0)
    assert "Judged by the first 2 files of 4." in words and "4 tiles" in words and "about 40 s" in words and "0.1 megapixels" in words


def test_files_are_named_until_there_are_many(tmp_path, sampler):
    (tmp_path / "in").mkdir()
    (tmp_path / "session").mkdir()
    for k in range(5):
        Path(tmp_path, "in", f"{k}.png").touch()
    batch = Batch.within(tmp_path / "session")
    batch.source = tmp_path / "in"
    batch.look()
    words = said(batch, sampler)
    assert "0.png, 1.png, 2.png and 2 more cannot be done" in words and "sr-facts" not in words
