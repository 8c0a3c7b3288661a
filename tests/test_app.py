"""The web page, in a real browser."""

import io
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Locator, Page, expect

import app
from sampler_invsr import InvSamplerSR
from tests.conftest import PROJECT, found_in, still_there
from utils.pictures.picture import Picture
from utils.pictures.provenance import read_settings
from utils.pictures.writing import save
from utils.planning.checked_settings import make_settings
from utils.planning.errors import UserError
from utils.planning.presets import preset_values

SLOWEST = 60_000  # milliseconds
expect.set_options(timeout=20_000)  # on a machine with other work, too


class WatchedSampler(InvSamplerSR):
    """The real sampler; it can be held after its first tile batch, or before it measures, and counts its runs and tiles."""

    gate, measuring = threading.Event(), threading.Event()
    running = most_running = tiles = 0

    def upscaled(self, picture, on_tile, stats=None):
        def watch(done, total, preview):
            WatchedSampler.tiles += 1
            on_tile(done, total, preview)
            assert WatchedSampler.gate.wait(SLOWEST / 1000)

        WatchedSampler.running += 1
        WatchedSampler.most_running = max(WatchedSampler.most_running, WatchedSampler.running)
        try:
            return super().upscaled(picture, watch, stats)
        finally:
            WatchedSampler.running -= 1

    def measure(self, image):
        assert WatchedSampler.measuring.wait(SLOWEST / 1000)
        return super().measure(image)


@pytest.fixture(autouse=True)
def let_tiles_pass():
    for gate in (WatchedSampler.gate, WatchedSampler.measuring):
        gate.set()
    WatchedSampler.most_running = WatchedSampler.tiles = 0
    yield
    for gate in (WatchedSampler.gate, WatchedSampler.measuring):
        gate.set()


@pytest.fixture(scope="module")
def address(serve, tiny_config) -> str:
    """Of a page whose model is ready."""
    address, shared = serve(WatchedSampler, tiny_config)
    shared.start()
    shared.get()
    return address


@pytest.fixture
def open_page(page: Page, address: str) -> Page:
    page.goto(address)
    expect(page.locator("#model")).to_contain_text("ready on cpu, float32", timeout=SLOWEST)
    return page


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> Path:
    """16 bits are for the unit tests; this one has what a careless page loses: transparency, a colour profile, EXIF."""
    pixels = np.random.default_rng(7).integers(0, 256, (64, 96, 4), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x010E] = "a description"
    path = tmp_path_factory.mktemp("pictures") / "my picture (1).png"
    Image.fromarray(pixels).save(path, icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), exif=exif)
    return path


def choose(page: Page, path: Any) -> None:
    page.locator("#upload input[type=file]").set_input_files(path)


def is_given(page: Page, address: str) -> bool:
    """Whether the server gives out all of a file; one that is deleted while it is sent breaks off."""
    try:
        return page.request.get(address).ok
    except PlaywrightError:
        return False


@pytest.fixture
def requests(page: Page) -> list[str]:
    """The addresses that the page asks for, from its first on."""
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    return requests


def test_a_picture_is_upscaled_compared_and_downloaded_as_the_command_line_writes_it(requests, open_page, address, picture, tiny_config, tmp_path):
    choose(open_page, picture)
    expect(open_page.locator("#about")).to_contain_text("384 × 256")
    expect(open_page.locator("#about")).to_contain_text("2 tiles of 64 × 64")
    expect(open_page.locator("#about")).to_contain_text("transparency, colour profile, EXIF")

    open_page.get_by_role("spinbutton", name="Number of steps").fill("2")
    open_page.get_by_label("Random seed").fill("7")
    open_page.get_by_role("button", name="Process").click()
    expect(open_page.locator("#status")).to_contain_text("Done in", timeout=SLOWEST)
    for side in (0, 1):
        image = open_page.locator("#comparison img").nth(side)
        expect(image).to_be_visible()
        open_page.wait_for_function(
            "image => image.complete && image.naturalWidth === 384 && image.naturalHeight === 256", arg=image.element_handle()
        )
    open_page.get_by_role("button", name="Why").click()
    expect(open_page.locator("#why")).to_contain_text("2 steps from timestep 200")
    expect(open_page.locator("#why")).to_contain_text("Networks")
    expect(open_page.get_by_alt_text("The tiles over the complexity")).to_be_visible()

    with open_page.expect_download() as event:
        open_page.locator("#download").click()
    assert event.value.suggested_filename == "my picture (1)_x4.png"
    settings = tiny_config | {"timesteps": [200, 100], "seed": 7}
    (row,) = InvSamplerSR(settings).inference(picture, tmp_path)
    assert Path(event.value.path()).read_bytes() == row.output.read_bytes()

    assert len(requests) > 5
    assert [url for url in requests if not url.startswith((address, "data:", "blob:"))] == []


def test_a_run_is_cancelled_within_a_tile_batch_and_another_one_waits_for_that(open_page, tmp_path):
    path = tmp_path / "large.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (128, 192, 3), dtype=np.uint8)).save(path)
    choose(open_page, path)
    expect(open_page.locator("#about")).to_contain_text("15 tiles")

    WatchedSampler.gate.clear()
    process, cancel = (open_page.get_by_role("button", name=name) for name in ("Process", "Cancel"))
    process.click()
    expect(open_page.locator("#preview img")).to_be_visible(timeout=SLOWEST)
    expect(open_page.locator("#status")).to_contain_text("Tile 4 of 15")
    expect(open_page.get_by_role("progressbar")).to_be_visible()
    cancel.click()
    expect(open_page.locator("#status")).to_contain_text("Stopped")
    expect(cancel).to_be_hidden()

    process.click()
    expect(open_page.locator("#status")).to_contain_text("Waiting for the model")
    assert (WatchedSampler.running, WatchedSampler.tiles) == (1, 1)
    WatchedSampler.gate.set()
    expect(open_page.locator("#status")).to_contain_text("Done in", timeout=SLOWEST)
    assert (WatchedSampler.most_running, WatchedSampler.tiles) == (1, 1 + 4)  # the cancelled run did not finish its second batch


def test_the_page_is_up_while_the_model_is_loading(page, serve, tiny_config, picture):
    loading = threading.Event()

    def make(*arguments):
        assert loading.wait(SLOWEST / 1000)
        return InvSamplerSR(*arguments)

    address, shared = serve(make, tiny_config)
    shared.start()
    page.goto(address)
    expect(page.locator("#model")).to_contain_text("Loading the model")
    choose(page, picture)
    expect(page.locator("#about")).to_contain_text("96 × 64")
    page.get_by_role("button", name="Process").click()
    expect(page.locator("#status")).to_contain_text("Waiting for the model")
    loading.set()
    expect(page.locator("#model")).to_contain_text("Model pipeline_tiny ready on cpu, float32", timeout=SLOWEST)
    expect(page.locator("#about")).to_contain_text("384 × 256")
    expect(page.locator("#status")).to_contain_text("Done in", timeout=SLOWEST)


def test_a_model_that_cannot_be_loaded_is_explained(page, serve, tiny_config, picture):
    def make(*arguments):
        raise UserError("There is no model folder weights/elsewhere; name one in diffusers layout.")

    address, shared = serve(make, tiny_config)
    shared.start()
    page.goto(address)
    expect(page.locator("#model")).to_contain_text("The model could not be loaded")
    expect(page.locator("#model-error [role=alert]")).to_contain_text("There is no model folder weights/elsewhere")
    choose(page, picture)
    page.get_by_role("button", name="Process").click()
    expect(page.locator("#status [role=alert]")).to_contain_text("There is no model folder weights/elsewhere")
    expect(page.get_by_role("button", name="Process")).to_be_enabled()


def test_a_file_that_cannot_be_used_is_refused_in_a_sentence(open_page, picture, tmp_path):
    whole = picture.read_bytes()
    Image.new("1", (9000, 5000)).save(tmp_path / "huge.png")
    refused = {
        "cut.png": (whole[: len(whole) // 2], "the file is damaged"),
        "empty.png": (b"", "the file is empty"),
        "page.png": (b"<html><script>document.title='stolen'</script></html>", "it is not a picture"),
        "drawing.svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "it is not a picture"),
        "notes {{1+1}} ${1}.txt": (b"hello", "it is not a picture"),
        "huge.png": ((tmp_path / "huge.png").read_bytes(), "too large"),
    }
    for name, (content, reason) in refused.items():
        choose(open_page, {"name": name, "mimeType": "image/png", "buffer": content})
        expect(open_page.locator("#about [role=alert]")).to_contain_text(name.partition(" ")[0])
        expect(open_page.locator("#about [role=alert]")).to_contain_text(reason)
        expect(open_page.get_by_role("button", name="Process")).to_be_disabled()
        open_page.locator("#upload").get_by_label("Clear").click()
        expect(open_page.locator("#about")).to_be_hidden()
    choose(open_page, picture)
    expect(open_page.get_by_role("button", name="Process")).to_be_enabled()
    expect(open_page).to_have_title("InvSR Studio")


def test_what_is_said_late_of_one_picture_is_not_taken_for_the_next_one_or_for_none(open_page, picture, tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "next.png")
    about, process = open_page.locator("#about"), open_page.get_by_role("button", name="Process")
    for following in (tmp_path / "next.png", None):
        WatchedSampler.measuring.clear()
        choose(open_page, picture)
        expect(about).to_contain_text("96 × 64")
        open_page.locator("#upload").get_by_label("Clear").click()
        expect(about).to_be_hidden()
        if following:
            choose(open_page, following)
            expect(about).to_contain_text("40 × 30")
        WatchedSampler.measuring.set()
        if following:
            expect(about).to_contain_text("160 × 120")
            expect(process).to_be_enabled()
            open_page.locator("#upload").get_by_label("Clear").click()
            expect(about).to_be_hidden()
        else:
            open_page.wait_for_timeout(1000)  # time for what must not come
            expect(about).to_be_hidden()
            expect(process).to_be_disabled()


def test_bad_settings_are_explained_by_their_labels_and_nothing_can_be_started_with_them(open_page, picture):
    choose(open_page, picture)
    expect(open_page.locator("#about")).to_contain_text("2 tiles of 64 × 64")
    open_page.get_by_label("Random seed").fill("-1")
    expect(open_page.locator("#about [role=alert]")).to_contain_text("“Random seed” must be from 0 to")
    expect(open_page.get_by_role("button", name="Process")).to_be_disabled()
    open_page.get_by_role("button", name="Roll").click()
    expect(open_page.locator("#about [role=alert]")).to_be_hidden()
    expect(open_page.get_by_role("button", name="Process")).to_be_enabled()


def test_what_is_in_a_picture_and_what_it_takes_is_said_before_it_is_run(open_page, picture):
    choose(open_page, picture)
    about = open_page.locator("#about")
    expect(about).to_contain_text("Very noisy (sigma ")
    expect(about).to_contain_text("(0.1 megapixels)")
    expect(about).to_contain_text(re.compile(r"2 tiles of 64\s×\s64, about \d+\ss, up to \d+\sMB of memory"))


def test_the_size_of_the_result_is_chosen_by_scale_or_by_its_longest_side(open_page, picture):
    choose(open_page, picture)
    about, scale, longest = open_page.locator("#about"), open_page.locator("#setting-sf"), open_page.get_by_label("Longest side")
    expect(about).to_contain_text("384 × 256")
    scale.get_by_label("8", exact=True).check()
    expect(about).to_contain_text("768 × 512")
    longest.fill("1000")
    expect(about).to_contain_text("1000 × 667")
    expect(scale).to_contain_text("Not in use")
    expect(scale.get_by_label("8", exact=True)).to_be_disabled()
    longest.fill("70000")
    expect(about).to_contain_text("“Longest side” must be from 0 to 65536, not 70000.")
    longest.fill("")
    expect(about).to_contain_text("768 × 512")
    scale.get_by_label("2", exact=True).check()
    expect(about).to_contain_text("192 × 128")
    open_page.get_by_role("button", name="Process").click()
    expect(open_page.locator("#status")).to_contain_text("192 × 128 pixels", timeout=SLOWEST)


def test_a_preset_and_the_form_follow_each_other(open_page):
    open_page.get_by_role("radio", name="Creative").check()
    expect(open_page.locator("#setting-timesteps")).to_be_hidden()  # the picture decides
    open_page.get_by_role("radio", name="Faithful").check()
    expect(open_page.locator("#setting-timesteps")).to_be_visible()
    open_page.get_by_role("spinbutton", name="Number of steps").fill("2")
    expect(open_page.get_by_role("radio", name="Faithful")).not_to_be_checked()


def test_of_two_presets_chosen_quickly_the_last_one_counts(open_page, monkeypatch):
    answering, go_on = threading.Event(), threading.Event()

    def slow(preset):
        answering.set()
        assert go_on.wait(SLOWEST / 1000)
        return preset_values(preset)

    monkeypatch.setattr("utils.page.settings_form.preset_values", slow)
    faithful, creative = (open_page.get_by_role("radio", name=name) for name in ("Faithful", "Creative"))
    faithful.check()
    assert answering.wait(SLOWEST / 1000)
    creative.check()
    open_page.locator("#setting-sf").get_by_label("8", exact=True).check()
    go_on.set()
    expect(open_page.locator("#setting-timesteps")).to_be_hidden()
    expect(creative).to_be_checked()
    expect(open_page.locator("#setting-sf").get_by_label("8", exact=True)).to_be_checked()


def test_the_form_is_reset_to_what_it_showed_at_first(open_page):
    open_page.get_by_role("radio", name="Creative").check()
    open_page.get_by_label("Random seed").fill("3")
    expect(open_page.locator("#setting-timesteps")).to_be_hidden()
    open_page.get_by_role("button", name="Reset").click()
    expect(open_page.locator("#setting-timesteps")).to_be_visible()
    expect(open_page.get_by_label("Random seed")).to_have_value("12345")
    expect(open_page.get_by_role("radio", name="Creative")).not_to_be_checked()


def test_a_number_typed_quickly_is_answered_and_then_the_page_is_quiet(requests, open_page, picture):
    choose(open_page, picture)
    about, seed = open_page.locator("#about"), open_page.get_by_label("Random seed")
    expect(about).to_contain_text("2 tiles")
    seed.focus()
    for _ in range(3):
        for key in (*["Backspace"] * 10, *"123456789", *["Backspace"] * 9):
            seed.press(key)
    expect(about.locator("[role=alert]")).to_contain_text("“Random seed” must be a whole number")
    open_page.wait_for_timeout(1500)  # time for the last answers
    requests.clear()
    open_page.wait_for_timeout(1000)
    assert len(requests) <= 2  # the page's own clock ticks


def test_numbers_that_cannot_be_used_are_neither_rounded_nor_a_failure(open_page, picture, caplog):
    choose(open_page, picture)
    about, steps, seed = (
        open_page.locator("#about"),
        open_page.get_by_role("spinbutton", name="Number of steps"),
        open_page.get_by_label("Random seed"),
    )
    expect(about).to_contain_text("2 tiles")
    seed.fill("1.5")
    expect(about.locator("[role=alert]")).to_contain_text("“Random seed” must be a whole number")
    expect(open_page.get_by_role("button", name="Process")).to_be_disabled()
    seed.fill("7")
    expect(open_page.get_by_role("button", name="Process")).to_be_enabled()
    steps.fill("9")
    steps.blur()
    expect(steps).to_have_value("5")
    expect(open_page.get_by_role("button", name="Process")).to_be_enabled()
    assert "greater than maximum" not in caplog.text and "Traceback" not in caplog.text


def test_settings_are_kept_in_a_file_and_in_a_result_and_brought_back(open_page, tmp_path):
    open_page.get_by_label("Random seed").fill("77")
    open_page.get_by_role("spinbutton", name="Number of steps").fill("3")
    with open_page.expect_download() as event:
        open_page.get_by_role("button", name="Save settings").click()
    assert event.value.suggested_filename == "settings.yaml"
    saved = make_settings(event.value.path())
    assert (saved.seed, saved.timesteps) == (77, (200, 100, 50))

    seed, steps = open_page.get_by_label("Random seed"), open_page.get_by_role("spinbutton", name="Number of steps")
    load = open_page.locator("#load-settings input[type=file]")
    open_page.reload()
    expect(seed).to_have_value("12345")
    load.set_input_files({"name": "mine.yaml", "mimeType": "application/yaml", "buffer": Path(event.value.path()).read_bytes()})
    expect(open_page.locator("#settings-message")).to_contain_text("These are the settings of mine.yaml")
    expect(seed).to_have_value("77")
    expect(steps).to_have_value("3")

    result = tmp_path / "result.webp"
    texts = {"settings": json.dumps(make_settings({"seed": 5, "color_fix": "hybrid", "hybrid_mode": "best"}).reproducible())}
    save(Picture(np.zeros((8, 8, 3), np.uint8)), result, texts)
    load.set_input_files(result)
    expect(open_page.get_by_label("Hybrid mode")).to_have_value("best")
    expect(seed).to_have_value("5")
    load.set_input_files({"name": "evil.yaml", "mimeType": "application/yaml", "buffer": b"prompt: ${oc.env:HOME}"})
    expect(open_page.locator("#settings-message [role=alert]")).to_contain_text("must not be")
    expect(seed).to_have_value("5")


def test_a_quick_look_answers_for_the_place_that_was_clicked(open_page, tmp_path):
    pixels = np.zeros((300, 400, 3), np.uint8)
    pixels[:, 200:] = (200, 40, 40)
    Image.fromarray(pixels).save(tmp_path / "halves.png")
    choose(open_page, tmp_path / "halves.png")
    expect(open_page.locator("#about")).to_contain_text("tiles")
    image = open_page.locator("#place img")
    box = image.bounding_box()
    assert box
    expect(open_page.get_by_role("button", name="Quick look")).to_be_enabled()
    image.click(position={"x": box["width"] * 0.9, "y": box["height"] * 0.5})
    expect(open_page.locator("#status")).to_contain_text("A quick look at 128 × 128 pixels", timeout=SLOWEST)
    expect(open_page.locator("#download")).to_be_hidden()
    before = open_page.locator("#comparison img").nth(0)
    expect(before).to_be_visible()
    with urllib.request.urlopen(str(before.get_attribute("src"))) as answer, Image.open(io.BytesIO(answer.read())) as shown:
        assert shown.size == (512, 512)
        assert np.asarray(shown)[..., 0].min() > 150  # nothing of the black half
    open_page.get_by_role("button", name="Quick look").click()
    expect(open_page.locator("#status")).to_contain_text("A quick look", timeout=SLOWEST)
    expect(open_page.get_by_role("button", name="Process")).to_be_enabled(timeout=SLOWEST)


def test_a_quick_look_leaves_the_result_where_one_click_brings_it_back(open_page, tmp_path):
    path = tmp_path / "wide.png"
    Image.fromarray(np.random.default_rng(2).integers(0, 256, (64, 130, 3), dtype=np.uint8)).save(path)
    choose(open_page, path)
    expect(open_page.locator("#about")).to_contain_text("520 × 256")
    status, download, why = (open_page.locator(part) for part in ("#status", "#download", "#why"))
    open_page.get_by_role("button", name="Process").click()
    expect(status).to_contain_text("Done in", timeout=SLOWEST)
    expect(open_page.locator("#view")).to_be_hidden()
    open_page.get_by_role("radio", name="WebP").check()
    expect(download).to_contain_text("wide_x4.webp")
    why.get_by_role("button", name="Why").click()
    expect(why).to_contain_text("Writing")
    result = str(open_page.locator("#comparison img").nth(1).get_attribute("src"))

    open_page.get_by_role("button", name="Quick look").click()
    expect(status).to_contain_text("A quick look at 128 × 64 pixels", timeout=SLOWEST)
    expect(download).to_be_hidden()
    expect(why).not_to_contain_text("Writing")
    open_page.get_by_role("radio", name="Result").check()
    expect(status).to_contain_text("Done in")
    expect(why).to_contain_text("Writing")
    expect(open_page.locator("#comparison img").nth(1)).to_have_attribute("src", result)
    expect(download).to_contain_text("wide_x4.webp")
    with open_page.expect_download() as event:
        download.click()
    assert (read_settings(Path(event.value.path())) or {})["seed"] == 12345
    open_page.get_by_role("radio", name="Quick look").check()
    expect(status).to_contain_text("A quick look at 128 × 64 pixels")


@pytest.mark.slow
def test_a_run_that_is_cancelled_leaves_what_was_made_before(open_page, picture):
    choose(open_page, picture)
    expect(open_page.locator("#about")).to_contain_text("384 × 256")
    status, download, shown = (open_page.locator(part) for part in ("#status", "#download", "#comparison img"))
    process, look, cancel = (open_page.get_by_role("button", name=name) for name in ("Process", "Quick look", "Cancel"))

    def cancelled(start: Locator) -> None:
        WatchedSampler.gate.clear()
        start.click()
        expect(open_page.locator("#preview img")).to_be_visible(timeout=SLOWEST)
        expect(shown).to_have_count(0)
        cancel.click()
        expect(status).to_contain_text("Stopped")
        expect(cancel).to_be_hidden()
        WatchedSampler.gate.set()

    cancelled(process)
    expect(status).to_contain_text("The result appears here")
    look.click()
    expect(status).to_contain_text("A quick look", timeout=SLOWEST)
    cancelled(process)
    expect(shown).to_have_count(2)
    process.click()
    expect(status).to_contain_text("Done in", timeout=SLOWEST)
    expect(open_page.locator("#view")).to_be_hidden()  # the look was of before it
    cancelled(process)
    expect(shown).to_have_count(2)
    look.click()
    expect(status).to_contain_text("A quick look", timeout=SLOWEST)
    cancelled(look)
    expect(shown).to_have_count(2)
    with open_page.expect_download() as event:
        download.click()
    assert read_settings(Path(event.value.path()))
    open_page.get_by_role("radio", name="Quick look").check()
    expect(status).to_contain_text("A quick look")


def test_two_runs_begun_at_once_are_one_and_a_result_of_other_settings_is_called_so(open_page, picture):
    choose(open_page, picture)
    expect(open_page.locator("#about")).to_contain_text("384 × 256")
    open_page.evaluate("for (const button of ['process', 'look', 'process']) document.getElementById(button).click()")
    expect(open_page.locator("#status")).to_contain_text(re.compile("Done in|A quick look at"), timeout=SLOWEST)
    WatchedSampler.gate.clear()
    open_page.get_by_role("button", name="Process").click()
    expect(open_page.locator("#status")).to_contain_text(re.compile("of 2|Finishing"), timeout=SLOWEST)  # its tiles are one batch
    WatchedSampler.gate.set()
    expect(open_page.locator("#status")).to_contain_text("Done in", timeout=SLOWEST)
    expect(open_page.locator("#about")).not_to_contain_text("other settings")
    open_page.get_by_label("Random seed").fill("8")
    expect(open_page.locator("#about")).to_contain_text("The result shown was made with other settings")
    open_page.get_by_label("Random seed").fill("12345")
    expect(open_page.locator("#about")).not_to_contain_text("other settings")


def test_a_run_that_the_queue_does_not_take_is_explained_and_can_be_tried_again(open_page, picture, monkeypatch):
    async def full(*arguments, **options):
        return False, "Queue is full.", "error"

    choose(open_page, picture)
    expect(open_page.locator("#about")).to_contain_text("384 × 256")
    with monkeypatch.context() as patch:
        patch.setattr("gradio.queueing.Queue.push", full)
        open_page.get_by_role("button", name="Process").click()
        expect(open_page.locator("#status [role=alert]")).to_contain_text("could not be started")
    open_page.get_by_role("button", name="Process").click()
    expect(open_page.locator("#status")).to_contain_text("Done in", timeout=SLOWEST)


def process_next(open_page: Page, picture: Path, folder: Path) -> None:
    """A part of the picture, which is `next.png` in the folder, in the place of what was chosen: 280 x 256."""
    with Image.open(picture) as image:
        image.crop((0, 0, 70, 64)).save(folder / "next.png")
    open_page.locator("#upload").get_by_label("Clear").click()
    choose(open_page, folder / "next.png")
    expect(open_page.locator("#about")).to_contain_text("280 × 256")
    open_page.get_by_role("button", name="Process").click()


def test_the_result_can_be_had_in_other_formats_and_the_next_one_in_the_same(open_page, picture, tmp_path):
    choose(open_page, picture)
    expect(open_page.locator("#about")).to_contain_text("384 × 256")
    open_page.get_by_role("button", name="Process").click()
    expect(open_page.locator("#status")).to_contain_text("Done in", timeout=SLOWEST)

    def download(kind: str) -> Path:
        open_page.get_by_role("radio", name=kind).check()
        expect(open_page.locator("#download")).to_contain_text(f".{kind.lower()}")
        with open_page.expect_download() as event:
            open_page.locator("#download").click()
        return Path(event.value.path())

    webp, png = (np.asarray(Image.open(download(kind)).convert("RGBA")) for kind in ("WebP", "PNG"))
    visible = png[..., 3] > 0
    assert np.array_equal(webp[visible], png[visible])
    open_page.get_by_role("radio", name="JPEG").check()
    expect(open_page.locator("#file-notes [role=alert]")).to_contain_text("A JPEG file holds no transparency")
    expect(open_page.locator("#download")).to_be_disabled()
    assert (read_settings(download("WebP")) or {})["seed"] == 12345

    process_next(open_page, picture, tmp_path)
    expect(open_page.locator("#download")).to_contain_text("next_x4.webp", timeout=SLOWEST)
    assert Image.open(download("WebP")).size == (280, 256)


def test_of_two_formats_asked_for_at_once_the_last_one_is_offered(open_page, picture, monkeypatch):
    choose(open_page, picture)
    expect(open_page.locator("#about")).to_contain_text("384 × 256")
    open_page.get_by_role("button", name="Process").click()
    expect(open_page.locator("#status")).to_contain_text("Done in", timeout=SLOWEST)
    asked, go_on = threading.Event(), threading.Event()

    def slow(*arguments, **options):
        asked.set()
        assert go_on.wait(SLOWEST / 1000)
        return save(*arguments, **options)

    monkeypatch.setattr("utils.page.single_tab.save", slow)
    open_page.get_by_role("radio", name="WebP").check()
    assert asked.wait(SLOWEST / 1000)
    open_page.get_by_role("radio", name="TIFF").check()
    go_on.set()
    expect(open_page.locator("#download")).to_contain_text(".tif")


def test_a_conversion_that_outlives_its_result_changes_nothing_of_the_next_one(open_page, picture, tmp_path, monkeypatch):
    choose(open_page, picture)
    expect(open_page.locator("#about")).to_contain_text("384 × 256")
    open_page.get_by_role("button", name="Process").click()
    expect(open_page.locator("#status")).to_contain_text("Done in", timeout=SLOWEST)
    asked, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def slow(*arguments, **options):
        asked.set()
        assert go_on.wait(SLOWEST / 1000)
        try:
            return save(*arguments, **options)
        finally:
            ended.set()

    monkeypatch.setattr("utils.page.single_tab.save", slow)
    open_page.get_by_role("radio", name="WebP").check()
    assert asked.wait(SLOWEST / 1000)
    process_next(open_page, picture, tmp_path)
    expect(open_page.locator("#status")).to_contain_text("280 × 256", timeout=SLOWEST)
    go_on.set()
    assert ended.wait(SLOWEST / 1000)
    open_page.wait_for_timeout(1000)  # time for what must not come
    expect(open_page.locator("#download")).to_contain_text("next_x4.webp")
    expect(open_page.locator("#download")).to_be_enabled()
    expect(open_page.locator("#file-notes")).to_be_empty()


def test_what_a_session_uploaded_and_made_is_deleted_when_it_ends(open_page, page_files, picture, tmp_path):
    leaving = tmp_path / "leaving.png"
    with Image.open(picture) as image:
        image.crop((0, 0, 70, 64)).save(leaving)
    choose(open_page, leaving)
    expect(open_page.locator("#about")).to_contain_text("280 × 256")
    open_page.get_by_role("button", name="Process").click()
    expect(open_page.locator("#status")).to_contain_text("Done in", timeout=SLOWEST)
    assert sorted(Path(name).name for name in found_in(page_files, "**/leaving*")) == ["leaving.png", "leaving_x4.png"]
    open_page.close()
    assert still_there(page_files, "leaving*") == []


def test_a_visitor_sees_nothing_of_another_one_whose_files_go_with_him(browser, open_page, address, picture):
    choose(open_page, picture)
    expect(open_page.locator("#about")).to_contain_text("384 × 256")
    open_page.get_by_role("button", name="Process").click()
    expect(open_page.locator("#status")).to_contain_text("Done in", timeout=SLOWEST)
    result = str(open_page.locator("#comparison img").nth(1).get_attribute("src"))
    other = browser.new_context().new_page()
    other.goto(address)
    expect(other.locator("#model")).to_contain_text("ready on cpu", timeout=SLOWEST)
    expect(other.locator("#status")).to_contain_text("The result appears here")
    assert "my picture" not in other.content()
    session = next(part for part in Path(result).parts if part.startswith("session-"))
    folder = result[: result.index(session)]
    for guess in (folder, f"{folder}{session}", f"{folder}{session}/..", f"{folder}session-{'0' * 32}/my picture (1)_x4.png"):
        assert not is_given(other, guess)
    assert is_given(other, result)
    open_page.close()
    deadline = time.monotonic() + 10
    while is_given(other, result) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_given(other, result)
    other.context.close()


def test_a_file_that_is_too_large_to_be_uploaded_is_refused_in_a_sentence(page, serve, tiny_config, picture, monkeypatch):
    largest = app.LARGEST_UPLOAD.removesuffix("mb")
    monkeypatch.setattr(app, "LARGEST_UPLOAD", "1kb")
    address, _ = serve(InvSamplerSR, tiny_config)
    page.goto(address)
    choose(page, picture)
    said = page.locator("#upload [data-testid=status-tracker] .error")
    expect(said).to_be_visible()
    assert f"at most {largest} MB" in said.evaluate("element => getComputedStyle(element, '::after').content")
    expect(page.get_by_role("button", name="Process")).to_be_disabled()


def test_an_unexpected_failure_is_a_plain_sentence_with_a_request_id_and_its_words_are_in_the_log(open_page, picture, monkeypatch, caplog):
    def fail(*arguments, **options):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(WatchedSampler, "upscaled", fail)
    choose(open_page, picture)
    open_page.get_by_role("button", name="Process").click()
    expect(open_page.locator("#status [role=alert]")).to_contain_text("Something went wrong in the program")
    expect(open_page.locator("body")).not_to_contain_text("secret detail")
    request = open_page.locator("#status small").inner_text().removeprefix("request ")
    assert f"request {request} failed" in caplog.text
    assert "secret detail" in caplog.text


def test_importing_the_page_imports_nothing_heavy():
    check = "import app, sys; print([name for name in ('torch', 'diffusers', 'transformers', 'gradio') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", check], cwd=PROJECT, capture_output=True, text=True).stdout.strip() == "[]"


def test_a_wrong_settings_file_ends_the_program_with_a_sentence(tmp_path, capsys):
    from app import main

    assert main(["--config", str(tmp_path / "none.yaml")]) == 2
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "70000"], "from 1 to 65535"),
        (["--port", "-1"], "from 1 to 65535"),
        (["--port", "0"], "from 1 to 65535"),
        (["--port", "many"], "--port"),
        (["--host", "nonsense.invalid"], "no address and no known name"),
        (["--host", "192.0.2.1"], "cannot be served at 192.0.2.1"),
        (["--nonsense"], "unrecognized arguments"),
    ],
)
def test_wrong_usage_ends_the_program_at_once_with_one_line(arguments, words):
    ended = subprocess.run([sys.executable, "app.py", *arguments], cwd=PROJECT, capture_output=True, text=True, timeout=20)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: ") and words in ended.stderr and ended.stderr.count("\n") == 1


def test_a_machine_that_is_too_busy_to_answer_at_once_serves_the_page(monkeypatch, serve, tiny_config):
    monkeypatch.setattr("gradio.networking.url_ok", lambda url: False)
    address, _ = serve(InvSamplerSR, tiny_config)
    with urllib.request.urlopen(address) as answer:
        assert answer.status == 200


def test_a_proxy_does_not_come_between_the_page_and_its_own_look_at_it(monkeypatch, serve, tiny_config):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "elsewhere.example")
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    address, _ = serve(InvSamplerSR, tiny_config)
    assert address.startswith("http://127.0.0.1:")
    assert os.environ["no_proxy"].startswith("elsewhere.example,")
