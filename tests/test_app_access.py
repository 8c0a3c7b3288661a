"""The page by keyboard, by touch and by hasty hands, in a real browser."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

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


def test_the_second_half_of_a_double_click_does_not_stop_what_the_first_began(runnable):
    start, stop, status, ended = runnable
    HeldSampler.gate.clear()
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
    click_twice(stop)
    HeldSampler.gate.set()
    expect(start).to_be_enabled()
    start.page.wait_for_timeout(500)
    expect(status).to_contain_text("Stopped")
