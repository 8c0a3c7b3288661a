"""The page by keyboard, by touch and by hasty hands, in a real browser."""

import base64
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.conftest import answer_to
from tests.held_sampler import HeldSampler, let_tiles_pass  # noqa: F401

SLOWEST = 90_000  # milliseconds
expect.set_options(timeout=30_000)  # on a machine with other work, too


@pytest.fixture(scope="module")
def address(serve, tiny_config) -> str:
    address, shared = serve(HeldSampler, tiny_config)
    shared.start()
    shared.get()
    return address


@pytest.fixture
def open_page(page: Page, address: str) -> Page:
    page.goto(address)
    expect(page.locator("#model")).to_contain_text("ready on cpu", timeout=SLOWEST)
    return page


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> Path:
    """Two tiles."""
    path = tmp_path_factory.mktemp("pictures") / "noise.png"
    Image.fromarray(np.random.default_rng(7).integers(0, 256, (64, 96, 3), dtype=np.uint8)).save(path)
    return path


TABS = {
    "Single image": ("#upload input[type=file]", "#process", "#cancel", "#status", "Done in"),
    "Batch": ("#batch-files", "#batch-process", "#batch-cancel", "#batch-status", "1 picture done"),
    "Compare": ("#compare-upload input[type=file]", "#compare", "#cancel-compare", "#compare-status", "in 3 ways"),
}
START, STOP = 1, 2
"""Where a tab has its buttons."""


@pytest.fixture(params=TABS)
def runnable(request, open_page: Page, picture: Path) -> tuple[Locator, Locator, Locator, str]:
    """Of each tab, with a picture in it: the buttons that start and stop, the line that says how far it is, and what that says at the end."""
    upload, start, stop, status, ended = TABS[request.param]
    open_page.get_by_role("tab", name=request.param).click()
    open_page.locator(upload).set_input_files(picture)
    expect(open_page.locator(start)).to_be_enabled()
    return open_page.locator(start), open_page.locator(stop), open_page.locator(status), ended


def click_twice(button: Locator) -> None:
    """As a hand does it, that does not look what is there at the second time."""
    button.click(trial=True)  # it takes clicks by now
    box = button.bounding_box()
    assert box
    for _ in range(2):
        button.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        button.page.wait_for_timeout(150)


def let_settle_slowly(page: Page, which: int) -> None:
    """Of all tabs the buttons that start, or stop, take no pointer for a minute after they appear: on a busy machine a second click may come late."""
    page.add_style_tag(content=f"{', '.join(tab[which] for tab in TABS.values())} {{ animation-duration: 60s !important; }}")


def test_the_second_half_of_a_double_click_does_not_stop_what_the_first_began(runnable):
    start, stop, status, ended = runnable
    HeldSampler.gate.clear()
    let_settle_slowly(stop.page, STOP)
    click_twice(start)
    expect(stop).to_be_visible()
    stop.page.wait_for_timeout(500)  # time for what must not come
    HeldSampler.gate.set()
    expect(status).to_contain_text(ended, timeout=SLOWEST)


@pytest.mark.parametrize("runnable", ["Single image", "Compare"], indirect=True)  # a batch ends too late for that
def test_the_second_half_of_a_double_click_does_not_begin_again_what_the_first_stopped(runnable):
    start, stop, status, _ = runnable
    HeldSampler.gate.clear()
    start.click()
    expect(stop).to_be_visible()
    let_settle_slowly(start.page, START)
    with answer_to(stop):  # "Stopping" is said before the server knows of it
        click_twice(stop)
    HeldSampler.gate.set()
    expect(start).to_be_enabled()
    start.page.wait_for_timeout(500)
    expect(status).to_contain_text("Stopped")


ANSWERING = 1_500  # milliseconds


def answer_slowly(page: Page) -> None:
    """Answers to single requests come late; what a run says meanwhile does not."""
    page.evaluate(
        """milliseconds => {
            const ask = window.fetch;
            window.fetch = async (...request) => {
                const answer = await ask(...request);
                const single = String(request[0].url ?? request[0]).includes("/run/");
                if (single) await new Promise(resolve => setTimeout(resolve, milliseconds));
                return answer;
            };
        }""",
        ANSWERING,
    )


def test_stopping_is_not_the_last_word_where_the_answer_to_the_click_is_slow(runnable):
    start, stop, status, _ = runnable
    HeldSampler.gate.clear()
    start.click()
    expect(stop).to_be_visible()
    expect(status).not_to_contain_text("Waiting")
    answer_slowly(stop.page)
    stop.click()
    HeldSampler.gate.set()
    expect(start).to_be_enabled()
    start.page.wait_for_timeout(ANSWERING)
    expect(status).not_to_contain_text("Stopping")


@pytest.fixture
def compared(open_page: Page, picture: Path) -> Page:
    """With a result in it."""
    process(open_page, picture)
    return open_page


def process(page: Page, picture: Path) -> None:
    page.locator("#upload input[type=file]").set_input_files(picture)
    page.get_by_role("button", name="Process").click()
    expect(page.get_by_alt_text("After: the result")).to_be_visible(timeout=SLOWEST)
    expect(page.get_by_role("button", name="Process")).to_be_enabled()
    page.locator("#comparison").scroll_into_view_if_needed()


def border(page: Page) -> Locator:
    return page.get_by_role("slider", name="Border between before and after")


def window_on(page: Page) -> tuple[float, float, float, float]:
    """Of the part of the picture that is seen, in [0,1]: left, top, width, height."""
    seen, image = (page.locator(part).bounding_box() for part in (".sr-pair", "#comparison img >> nth=1"))
    assert seen and image
    left, top = (seen["x"] - image["x"]) / image["width"], (seen["y"] - image["y"]) / image["height"]
    return left, top, seen["width"] / image["width"], seen["height"] / image["height"]


def at(page: Page, right: float, down: float) -> tuple[float, float]:
    box = page.locator(".sr-pair").bounding_box()
    assert box
    return box["x"] + box["width"] * right, box["y"] + box["height"] * down


def test_the_border_between_before_and_after_is_moved_by_keys_clicks_and_drags(compared):
    expect(compared.get_by_alt_text("Before: the picture, enlarged bicubically")).to_be_visible()
    expect(border(compared)).to_have_value("50")
    for key, value in (("End", "100"), ("ArrowLeft", "99"), ("Home", "0"), ("ArrowRight", "1")):
        border(compared).press(key)
        expect(border(compared)).to_have_value(value)
        expect(border(compared)).to_have_attribute("aria-valuetext", f"{value} percent before")
        assert f" {value}%)" in compared.locator(".sr-upper").evaluate("element => getComputedStyle(element).clipPath")
    compared.mouse.click(*at(compared, 0.25, 0.7))
    expect(border(compared)).to_have_value("25")
    compared.mouse.move(*at(compared, 0.25, 0.3))
    compared.mouse.down()
    compared.mouse.move(*at(compared, 0.8, 0.4))
    compared.mouse.up()
    expect(border(compared)).to_have_value("80")
    compared.mouse.move(*at(compared, 0.4, 0.4))
    expect(border(compared)).to_have_value("80")


def test_the_result_is_zoomed_and_moved_by_wheel_buttons_drags_and_keys(compared):
    compared.mouse.move(*at(compared, 0.25, 0.5))
    compared.mouse.wheel(0, -100)
    whole = compared.get_by_role("button", name="Whole picture")
    expect(whole).to_be_enabled()
    left, top, width, height = window_on(compared)
    assert width == pytest.approx(0.78, abs=0.05) and height == pytest.approx(width, abs=0.01)
    assert left + 0.25 * width == pytest.approx(0.25, abs=0.01) and top + 0.5 * height == pytest.approx(0.5, abs=0.01)
    whole.click()
    assert window_on(compared) == pytest.approx((0, 0, 1, 1), abs=0.001)
    expect(whole).to_be_disabled()

    compared.get_by_role("button", name="Zoom in").click()
    assert window_on(compared) == pytest.approx((0.1, 0.1, 0.8, 0.8), abs=0.001)
    compared.mouse.move(*at(compared, 0.2, 0.5))
    compared.mouse.down()
    compared.mouse.move(*at(compared, 0.25, 0.5))
    compared.mouse.up()
    assert window_on(compared) == pytest.approx((0.06, 0.1, 0.8, 0.8), abs=0.002)
    expect(border(compared)).to_have_value("50")
    compared.mouse.click(*at(compared, 0.3, 0.7))
    expect(border(compared)).to_have_value("30")

    pictures = compared.get_by_role("group", name="Before and after")
    for key in ("ArrowRight", "ArrowDown"):
        pictures.press(key)
    assert window_on(compared) == pytest.approx((0.14, 0.18, 0.8, 0.8), abs=0.002)
    pictures.press("-")
    assert window_on(compared) == pytest.approx((0, 0, 1, 1), abs=0.001)
    border(compared).press("+")
    assert window_on(compared)[2] == pytest.approx(0.8, abs=0.001)


def test_the_result_fills_the_screen_and_comes_back(compared):
    small = compared.locator(".sr-pair").bounding_box()
    compared.get_by_role("button", name="Full screen").click()
    leave = compared.get_by_role("button", name="Leave full screen")
    expect(leave).to_be_in_viewport(ratio=1)
    large = compared.locator(".sr-pair").bounding_box()
    assert small and large and large["width"] > 1.2 * small["width"]
    leave.click()
    expect(compared.get_by_role("button", name="Full screen", exact=True)).to_be_visible()
    assert compared.locator(".sr-pair").bounding_box() == small


def test_the_border_goes_where_a_finger_taps(browser, address, picture):
    with browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True) as phone:
        page = phone.new_page()
        page.goto(address)
        process(page, picture)
        page.touchscreen.tap(*at(page, 0.25, 0.7))
        expect(border(page)).to_have_value("25")
        assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_the_focus_goes_with_a_run_from_its_start_to_its_cancelling_and_back(runnable):
    start, stop, _, _ = runnable
    HeldSampler.gate.clear()
    start.press("Enter")
    expect(stop).to_be_focused()
    stop.press("Enter")
    HeldSampler.gate.set()
    expect(start).to_be_focused()


def test_the_focus_stays_where_it_was_put_during_a_run(open_page, picture):
    open_page.locator("#upload input[type=file]").set_input_files(picture)
    expect(open_page.locator("#process")).to_be_enabled()
    HeldSampler.gate.clear()
    open_page.locator("#process").press("Enter")
    expect(open_page.locator("#cancel")).to_be_focused()
    seed = open_page.get_by_label("Random seed")
    seed.focus()
    HeldSampler.gate.set()
    expect(open_page.locator("#process")).to_be_visible()
    expect(seed).to_be_focused()


def test_in_a_small_window_a_run_brings_into_view_how_far_it_is(runnable):
    start, _, status, _ = runnable
    HeldSampler.gate.clear()
    start.page.set_viewport_size({"width": 390, "height": 420})
    start.evaluate("button => button.scrollIntoView({block: 'end'})")
    expect(status).not_to_be_in_viewport()
    start.click()
    expect(status.get_by_role("progressbar")).to_be_in_viewport(ratio=1)


DROP = """(element, text) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([text], "mine.yaml"));
    const dropped = type => !element.dispatchEvent(new DragEvent(type, {dataTransfer, bubbles: true, cancelable: true}));
    return [dropped("dragover"), dropped("drop")];
}"""


DROP_PICTURE = """(element, [name, data]) => {
    const dataTransfer = new DataTransfer();
    const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
    dataTransfer.items.add(new File([bytes], name, {type: "image/png"}));
    const dropped = type => !element.dispatchEvent(new DragEvent(type, {dataTransfer, bubbles: true, cancelable: true}));
    return [dropped("dragover"), dropped("drop")];
}"""


def test_settings_dropped_anywhere_on_the_form_are_restored(open_page):
    said, seed = open_page.locator("#settings-message"), open_page.get_by_label("Random seed")
    for k, part in enumerate(("#settings .sr-section", "#setting-seed", "#load-settings button")):
        assert open_page.locator(part).first.evaluate(DROP, f"seed: {70 + k}") == [True, True]
        expect(said).to_contain_text("These are the settings of mine.yaml")
        expect(seed).to_have_value(str(70 + k))
    assert open_page.locator("#about").evaluate(DROP, "seed: 7") == [True, True]
    expect(seed).to_have_value("72")


def test_a_file_dropped_anywhere_leaves_the_page_as_it_is_or_is_the_picture(open_page, picture):
    door, about = open_page.locator("#upload"), open_page.locator("#about")
    data = base64.b64encode(picture.read_bytes()).decode()
    for name, part in (("first.png", "#upload button"), ("second.png", "#upload .file-preview"), ("third.png", "#single-input")):
        assert open_page.locator(part).first.evaluate(DROP_PICTURE, [name, data]) == [True, True]
        expect(door).to_contain_text(name.removesuffix(".png"))
    expect(about).to_contain_text("384 × 256")
    assert open_page.locator("footer").first.evaluate(DROP_PICTURE, ["fourth.png", data]) == [True, True]
    open_page.wait_for_timeout(500)
    expect(door).to_contain_text("third")


def luminance(colour: list[float]) -> float:
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in (part / 255 for part in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


RING = """() => {
    const focused = document.activeElement, name = focused.closest("[id]")?.id;
    const around = [];
    for (let element = focused; element; element = element.parentElement) around.push(element);
    const rings = around.filter(element => getComputedStyle(element).outlineStyle === "solid" && getComputedStyle(element).opacity > 0);
    const ring = rings.length === 1 && rings[0].offsetWidth < 700 ? rings[0] : null;
    const ofBody = focused === document.body, colours = text => text.match(/[0-9.]+/g).slice(0, 3).map(Number);
    if (!ring) return [name, ofBody, 0, [0, 0, 0], [0, 0, 0]];
    let behind = ring.parentElement;
    while (/, 0\\)|transparent/.test(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
    const style = getComputedStyle(ring);
    return [name, ofBody, parseFloat(style.outlineWidth), colours(style.outlineColor), colours(getComputedStyle(behind).backgroundColor)];
}"""


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_whatever_has_the_focus_is_seen_to_have_it(open_page, colours):
    open_page.emulate_media(color_scheme=colours)
    open_page.reload()
    expect(open_page.locator("#model")).to_contain_text("ready on cpu", timeout=SLOWEST)
    faint, names = [], set()
    for _ in range(30):
        open_page.keyboard.press("Tab")
        open_page.wait_for_timeout(200)  # colours fade in
        name, left, width, ring, behind = open_page.evaluate(RING)
        if left:
            break
        dark, light = sorted((luminance(ring), luminance(behind)))
        names.add(name)
        if width < 2 or (light + 0.05) / (dark + 0.05) < 3:
            faint.append((name, width, ring, behind))
    assert {"upload", "setting-pch_size", "setting-longest_side", "setting-adaptive_scheduler", "preset"} <= names
    assert faint == []
