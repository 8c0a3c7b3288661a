"""Runs behind the page."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils.page.running import Advanced, Begun, Finished, _for_a_part, quick_look, upscale
from utils.page.turns import Cancelled
from utils.pictures.provenance import read_settings
from utils.planning.checked_settings import make_settings, with_overrides
from utils.planning.plan import make_plan


@pytest.fixture
def picture(tmp_path) -> Path:
    """Grey on the left, noise on the right, and hence neither adaptive as its left half nor as its right one."""
    pixels = np.full((150, 320, 3), 128, np.uint8)
    pixels[:, 160:] = np.random.default_rng(0).integers(0, 256, (150, 160, 3))
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def finished(news) -> Finished:
    *before, last = [item for item in news if item is not None]
    assert isinstance(before[0], Begun) and all(isinstance(item, Advanced) for item in before[1:])  # the last of these may give way to the result
    assert all(item.done <= item.total == before[0].total for item in before[1:])
    assert isinstance(last, Finished)
    return last


def test_a_run_gives_the_file_its_plan_and_where_the_time_went(shared, picture, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    stats = shared.get().measure(picture)
    result = finished(upscale(shared, picture, out, {"seed": 5, "overlap": 0.0}, lambda _: stats, threading.Event()))
    assert result.file == out / "picture.png" and result.after.size == (600, 1280)
    assert (read_settings(result.file) or {})["seed"] == 5
    assert list(result.timings) == ["Reading and planning", "Networks", "Colours and stages", "Writing"]
    assert min(result.timings.values()) > 0
    assert shared.seconds_for(result.plan) == pytest.approx(result.seconds)


@pytest.mark.parametrize(("spot", "corner"), [((0.0, 0.0), (0, 0)), ((1.0, 1.0), (22, 192)), ((0.5, 0.5), (11, 96))])
def test_a_quick_look_is_at_the_spot_and_decided_as_for_the_whole_picture(shared, picture, spot, corner):
    sampler, adaptive = shared.get(), {"adaptive_scheduler": True, "adaptive_guidance": True, "consistency": "auto", "overlap": 0.0}
    stats = sampler.measure(picture)
    result = finished(quick_look(shared, picture, spot, adaptive, lambda _: stats, threading.Event()))
    whole, (top, left) = np.asarray(Image.open(picture)), corner
    assert np.array_equal(result.before.rgb, whole[top : top + 128, left : left + 128])
    assert result.after.size == (512, 512) and result.file is None
    plan = sampler.plan(picture, stats=stats, **adaptive)
    assert result.plan == plan
    fixed = {"timesteps": list(plan.timesteps), "cfg_scale": plan.cfg_scale, "consistency": plan.consistency, "overlap": 0.0}
    assert np.array_equal(result.after.rgb, sampler.upscale(result.before.rgb, **fixed).picture)


def test_a_part_is_planned_as_the_whole_but_for_its_tiles(shared, picture):
    """With a model whose consistency has a tolerance."""
    exact = replace(shared.get().spec, latent_factor=4, latent_channels=48)
    asked = {"adaptive_scheduler": True, "adaptive_guidance": True, "adaptive_enhancement": True, "smart_chopping": True, "consistency": "auto"}
    settings, stats = make_settings(asked), shared.get().measure(picture)
    whole = make_plan((150, 320), settings, exact, stats)
    part = make_plan((128, 128), with_overrides(settings, _for_a_part(whole, exact)), exact, stats)
    for name in ("timesteps", "cfg_scale", "consistency", "consistency_tolerance", "restraint", "enhancement"):
        assert getattr(part, name) == getattr(whole, name), name
    assert whole.consistency_tolerance and whole.enhancement > 0


def test_a_run_that_ended_leaves_its_event_for_the_next_one(shared, picture, tmp_path):
    stop = threading.Event()
    for seed in (1, 2):
        finished(quick_look(shared, picture, (0.5, 0.5), {"seed": seed}, lambda sampler: sampler.measure(picture), stop))
    assert not stop.is_set()


def test_a_run_that_nobody_follows_any_more_is_stopped(shared, picture, tmp_path):
    stop, out = threading.Event(), tmp_path / "out"
    out.mkdir()
    news = upscale(shared, picture, out, {}, None, stop)
    next(news)
    news.close()
    assert stop.is_set()


@pytest.mark.parametrize(("asked", "size"), [({"sf": 2}, (256, 256)), ({"longest_side": 960}, (384, 384)), ({"longest_side": 160}, (64, 64))])
def test_a_quick_look_has_the_scale_of_the_whole_picture(shared, picture, asked, size):
    result = finished(quick_look(shared, picture, (0.5, 0.5), {**asked, "overlap": 0.0}, lambda sampler: sampler.measure(picture), threading.Event()))
    assert result.after.size == size and max(result.plan.output_size) == asked.get("longest_side", 640)


def test_a_run_that_was_stopped_ends_at_its_next_tile_batch(shared, picture, tmp_path):
    stop, out = threading.Event(), tmp_path / "out"
    out.mkdir()
    with pytest.raises(Cancelled):
        for item in upscale(shared, picture, out, {}, None, stop):
            if isinstance(item, Begun):
                stop.set()
    assert list(out.iterdir()) == []
