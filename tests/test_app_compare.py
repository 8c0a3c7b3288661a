"""Choosing by looking, and the ways in which a picture comes to the page, in a real browser."""

import io
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from sampler_invsr import InvSamplerSR
from tests.held_sampler import HeldSampler, let_tiles_pass  # noqa: F401

SLOWEST = 240_000  # milliseconds
expect.set_options(timeout=60_000)  # on a machine with much other work, too

# A camera that shows green, for a browser that has none.
CAMERA = """
navigator.mediaDevices.enumerateDevices = async () => [{kind: "videoinput", deviceId: "a", label: "camera", groupId: ""}];
navigator.mediaDevices.getUserMedia = async () => {
    const canvas = Object.assign(document.createElement("canvas"), {width: 64, height: 48}), pen = canvas.getContext("2d");
    setInterval(() => { pen.fillStyle = "rgb(0, 128, 0)"; pen.fillRect(0, 0, 64, 48); }, 50);
    return canvas.captureStream(20);
};
"""
PASTE = """bytes => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], "copied.png", {type: "image/png"}));
    document.body.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true}));
}"""


@pytest.fixture(scope="module")
def config(tiny_config) -> dict[str, Any]:
    """Few tiles: one for a quick look."""
    return tiny_config | {"basesr": {"chopping": {"pch_size": 128, "overlap": 0.0, "extra_bs": 2}}}


@pytest.fixture(scope="module")
def address(serve, config) -> str:
    address, shared = serve(HeldSampler, config)
    shared.start()
    shared.get()
    return address


@pytest.fixture
def open_page(page: Page, address: str) -> Page:
    page.add_init_script(CAMERA)
    page.goto(address)
    expect(page.locator("#model")).to_contain_text("ready on cpu", timeout=SLOWEST)
    return page


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> Path:
    """Four tiles; black on the left, red on the right."""
    pixels = np.zeros((150, 200, 3), np.uint8)
    pixels[:, 100:] = (200, 40, 40)
    path = tmp_path_factory.mktemp("pictures") / "halves.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """One tile."""
    path = tmp_path_factory.mktemp("pictures") / "small.png"
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(path)
    return path


def choose(page: Page, path: Path, upload: str = "#upload") -> None:
    page.locator(f"{upload} input[type=file]").set_input_files(path)


def fetched(page: Page, selector: str, number: int = 0) -> Image.Image:
    with urllib.request.urlopen(str(page.locator(selector).nth(number).get_attribute("src"))) as answer:
        return Image.open(io.BytesIO(answer.read())).convert("RGB")


def compare(page: Page) -> None:
    page.get_by_role("button", name="Compare", exact=True).click()


def test_presets_and_own_settings_are_seen_side_by_side_chosen_from_and_kept_as_one_picture(open_page, picture):
    open_page.get_by_role("tab", name="Compare").click()
    expect(open_page.locator("#compare-about")).to_contain_text("Choose a picture")
    choose(open_page, picture, "#compare-upload")
    expect(open_page.locator("#compare-about")).to_contain_text("3 settings on 128 × 128 pixels")
    open_page.get_by_role("spinbutton", name="Random seed").fill("77")
    open_page.get_by_role("button", name="Add the settings of the form").click()
    expect(open_page.get_by_role("checkbox", name="Own 1: Random seed 77")).to_be_checked()
    open_page.get_by_role("spinbutton", name="Random seed").fill("5")
    open_page.get_by_role("button", name="Add the settings of the form").click()
    expect(open_page.locator("#compare-about")).to_contain_text("Tick 2 to 4 settings to compare, not 5.")
    expect(open_page.get_by_role("button", name="Compare", exact=True)).to_be_disabled()
    for name in ("Balanced", "Creative", "Own 2: Random seed 5"):
        open_page.get_by_role("checkbox", name=name).uncheck()
    open_page.locator("#compare-place img").click(position={"x": 2, "y": 2})
    expect(open_page.locator("#compare-about")).to_contain_text("2 settings")
    compare(open_page)
    expect(open_page.locator("#compare-status")).to_contain_text("halves.png in 2 ways", timeout=SLOWEST)

    figures = open_page.locator("#sheet figure")
    expect(figures).to_have_count(3)
    for k, words in enumerate(("Before", "Fidelity 0.5, random seed 5", "Consistency 0, restraint 0, random seed 77")):
        expect(figures.nth(k)).to_contain_text(words)
        assert fetched(open_page, "#sheet figure img", k).size == (512, 512)
    before = np.asarray(fetched(open_page, "#sheet figure img"))
    assert before[:, 0].max() == 0 and before[:, -1, 0].min() > 150  # the left part, and it reaches into the red
    with open_page.expect_download() as event:
        open_page.locator("#download-sheet").click()
    assert event.value.suggested_filename == "halves compared.png"
    assert Image.open(event.value.path()).width > 3 * 512

    open_page.get_by_role("button", name="Use the settings of Own 1").click()
    expect(open_page.locator("#compare-status")).to_contain_text("The form has these settings now")
    expect(open_page.get_by_role("spinbutton", name="Random seed")).to_have_value("77")


def test_whole_pictures_are_zoomed_together_and_are_what_the_first_tab_makes(open_page, small, config, tmp_path):
    choose(open_page, small)
    open_page.get_by_role("tab", name="Compare").click()
    open_page.get_by_role("radio", name="Whole picture").check()
    open_page.get_by_role("checkbox", name="Creative").uncheck()
    expect(open_page.locator("#compare-about")).to_contain_text("2 settings on the whole picture, about")
    compare(open_page)
    expect(open_page.locator("#compare-status")).to_contain_text("in 2 ways", timeout=SLOWEST)
    images = open_page.locator("#sheet figure img")
    assert [fetched(open_page, "#sheet figure img", k).size for k in range(3)] == [(320, 240)] * 3
    open_page.get_by_role("slider", name="Zoom").fill("4")
    moves = [images.nth(k).evaluate("image => getComputedStyle(image).transform") for k in range(3)]
    assert len(set(moves)) == 1 and moves[0].startswith("matrix(4, 0, 0, 4")
    open_page.locator(".sr-view").first.press("ArrowRight")
    assert images.nth(2).evaluate("image => getComputedStyle(image).transform") != moves[0]
    open_page.get_by_role("button", name="All of it").click()
    assert images.nth(2).evaluate("image => getComputedStyle(image).transform").startswith("matrix(1, 0, 0, 1")

    with open_page.expect_download() as event:
        open_page.locator("#compared-files a").first.click()
    assert event.value.suggested_filename == "small Faithful.png"
    (row,) = InvSamplerSR(config | {"consistency": "auto", "restraint": "auto", "fidelity": 0.5}).inference(small, tmp_path)
    assert Path(event.value.path()).read_bytes() == row.output.read_bytes()


def test_a_prompt_is_shown_as_it_is_written_and_is_no_part_of_the_page(open_page, picture):
    prompt = "`a` C:\\users {b} $c <i>"
    choose(open_page, picture)
    open_page.get_by_role("tab", name="Compare").click()
    open_page.get_by_role("button", name="Guidance").click()
    open_page.locator("#setting-prompt textarea").fill(prompt)
    open_page.get_by_role("button", name="Add the settings of the form").click()
    expect(open_page.get_by_role("checkbox", name="Own 1")).to_be_checked()
    for name in ("Balanced", "Creative"):
        open_page.get_by_role("checkbox", name=name).uncheck()
    expect(open_page.locator("#compare-about")).to_contain_text("2 settings")
    open_page.locator("#setting-prompt textarea").fill("another")
    compare(open_page)
    expect(open_page.locator("#compare-status")).to_contain_text("in 2 ways", timeout=SLOWEST)
    own = open_page.locator("#sheet figure").nth(2)
    expect(own).to_contain_text(f"Prompt {prompt}")
    assert f"Prompt {prompt}" in str(own.locator("img").get_attribute("alt"))


@pytest.mark.slow
def test_a_comparison_is_cancelled_and_another_one_can_be_run(open_page, picture):
    choose(open_page, picture)
    open_page.get_by_role("tab", name="Compare").click()
    open_page.get_by_role("radio", name="Whole picture").check()
    expect(open_page.locator("#compare-about")).to_contain_text("3 settings on the whole picture")
    HeldSampler.gate.clear()
    compare(open_page)
    expect(open_page.locator("#compare-status")).to_contain_text("Faithful (1 of 3): Tile 2 of 4", timeout=SLOWEST)
    assert open_page.locator("#compare-status .html-container").evaluate("element => getComputedStyle(element).opacity") == "1"
    open_page.get_by_role("button", name="Cancel").click()
    expect(open_page.locator("#compare-status")).to_contain_text("Stopped")
    HeldSampler.gate.set()
    open_page.get_by_role("radio", name="Marked part").check()
    expect(open_page.get_by_role("button", name="Compare", exact=True)).to_be_enabled()
    compare(open_page)
    expect(open_page.locator("#compare-status")).to_contain_text("in 3 ways", timeout=SLOWEST)


def test_a_comparison_leaves_the_result_of_the_first_tab_alone(open_page, small):
    choose(open_page, small)
    expect(open_page.locator("#about")).to_contain_text("320 × 240")
    open_page.get_by_role("button", name="Process").click()
    expect(open_page.locator("#status")).to_contain_text("Done in", timeout=SLOWEST)
    open_page.get_by_role("tab", name="Compare").click()
    open_page.get_by_role("checkbox", name="Creative").uncheck()
    compare(open_page)
    expect(open_page.locator("#compare-status")).to_contain_text("in 2 ways", timeout=SLOWEST)
    open_page.get_by_role("tab", name="Single image").click()
    open_page.get_by_role("radio", name="WebP").check()
    expect(open_page.locator("#download")).to_contain_text("small_x4.webp")


def test_a_picture_is_pasted_as_the_file_that_it_is_also_over_another_one(open_page, small, picture):
    open_page.evaluate(PASTE, list(small.read_bytes()))
    expect(open_page.locator("#about")).to_contain_text("320 × 240")
    open_page.evaluate(PASTE, list(picture.read_bytes()))
    expect(open_page.locator("#about")).to_contain_text("800 × 600")
    with urllib.request.urlopen(str(open_page.locator("#upload a").get_attribute("href"))) as answer:
        assert answer.read() == picture.read_bytes()
    open_page.evaluate(PASTE, list(b"no picture"))
    expect(open_page.locator("#about [role=alert]")).to_contain_text("copied.png cannot be read")


def test_the_camera_takes_a_picture(open_page):
    open_page.get_by_role("button", name="Camera").click()
    open_page.get_by_text("Click to Access Webcam").click()
    open_page.wait_for_function("document.querySelector('video')?.videoWidth > 0")  # what a person sees before pressing
    open_page.get_by_role("button", name="capture photo").click()
    expect(open_page.locator("#about")).to_contain_text("64 × 48")
    expect(open_page.locator("#about")).not_to_contain_text("transparency")
    expect(open_page.get_by_role("button", name="Process")).to_be_enabled()


def test_the_mark_is_moved_by_the_keyboard_and_looked_at_with_enter(open_page, picture):
    choose(open_page, picture)
    expect(open_page.get_by_role("button", name="Quick look")).to_be_enabled()
    mark = open_page.get_by_role("button", name="The place to look at")
    for _ in range(8):
        mark.press("ArrowRight")
    assert mark.evaluate("mark => parseFloat(mark.style.left) + parseFloat(mark.style.width)") == pytest.approx(100, abs=0.01)
    mark.press("Enter")
    expect(open_page.locator("#status")).to_contain_text("A quick look at 128 × 128 pixels", timeout=SLOWEST)
    expect(open_page.locator("#comparison img").first).to_be_visible()
    seen = np.asarray(fetched(open_page, "#comparison img"))
    assert (seen[..., 0] > 100).mean() == pytest.approx(100 / 128, abs=0.02)


# Texts with less contrast to what is behind them than 4.5, the figure of WCAG AA; pictures behind texts are left to the eye.
TOO_FAINT = """() => {
    const numbers = colour => { const [r, g, b, a = 1] = colour.match(/[\\d.]+/g).map(Number); return [r, g, b, a]; };
    const linear = v => v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    const over = (top, below) => top.slice(0, 3).map((v, k) => v * top[3] + below[k] * (1 - top[3]));
    const behind = element => {
        const layers = [];
        for (let node = element; node; node = node.parentElement) layers.unshift(numbers(getComputedStyle(node).backgroundColor));
        return layers.reduce((below, top) => over(top, below), [255, 255, 255]);
    };
    const faint = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const element = texts.currentNode.parentElement, words = texts.currentNode.textContent.trim();
        if (!words || !element.checkVisibility({visibilityProperty: true, opacityProperty: true})) continue;
        if (element.closest("[disabled], script, style")) continue;
        const ground = behind(element), ink = over(numbers(getComputedStyle(element).color), ground);
        const [dark, bright] = [light(ground), light(ink)].sort((a, b) => a - b);
        const ratio = (bright + 0.05) / (dark + 0.05);
        if (ratio < 4.5) faint.push(`${words.slice(0, 40)}: ${ratio.toFixed(1)}`);
    }
    return faint;
}"""


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_all_texts_can_be_read(page, address, small, colours):
    page.emulate_media(color_scheme=colours)
    page.goto(address)
    expect(page.locator("#model")).to_contain_text("ready on cpu", timeout=SLOWEST)
    choose(page, small)
    expect(page.locator("#about")).to_contain_text("320 × 240")
    page.get_by_role("spinbutton", name="Random seed").fill("-1")
    expect(page.locator("#about [role=alert]")).to_be_visible()
    assert page.evaluate(TOO_FAINT) == []
    page.get_by_role("tab", name="Compare").click()
    expect(page.get_by_role("checkbox", name="Faithful")).to_be_visible()
    assert page.evaluate(TOO_FAINT) == []
