"""Work with docs/sample.png in the real page and photograph it: python docs/make_screenshot.py [NAME ...] [--config FILE] [--out docs]

Without names, all pictures of the page that README and docs show. Needs playwright and Chromium (the variable CHROMIUM names another one than that
on the path).
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

DOCS = Path(__file__).resolve().parent
PROJECT = DOCS.parent
SAMPLE = DOCS / "sample.png"
LONGEST = 600_000  # milliseconds for loading and for a picture, on a slow machine
DESKTOP, PHONE = (1360, 900), (390, 844)


@dataclass(frozen=True)
class Shot:
    """What is done on the page before it is photographed, in which window and colours."""

    act: Callable[[Page], None]
    window: tuple[int, int] = DESKTOP
    colours: Literal["light", "dark"] = "light"


def main() -> int:
    parser = argparse.ArgumentParser(description="Photograph the page.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which pictures, of {', '.join(SHOTS)} (default: all)")
    parser.add_argument("--config", default=str(PROJECT / "configs" / "sample-tiny.yaml"), help="settings file of the page")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder that the pictures go to")
    options = parser.parse_args()
    if unknown := set(options.names) - set(SHOTS):
        parser.error(f"there is no picture {unknown.pop()}; give some of {', '.join(SHOTS)}")
    with served_page(options.config) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"])
        for name in options.names or SHOTS:
            take(browser, address, SHOTS[name], options.out / name)
            print(options.out / name, flush=True)
        browser.close()
    return 0


def take(browser: Browser, address: str, shot: Shot, out: Path) -> None:
    width, height = shot.window
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=shot.colours, device_scale_factor=1)
    page.goto(address)
    expect(page.locator("#model")).to_contain_text("ready on", timeout=LONGEST)
    shot.act(page)
    page.mouse.move(0, 0)
    page.wait_for_timeout(1000)  # animations
    out.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=out, full_page=True, **({"quality": 88} if out.suffix == ".jpg" else {}))
    page.close()  # which stops what is running


# ---- what is done ----


def choose(page: Page, picture: Path = SAMPLE) -> None:
    page.locator("#upload input[type=file]").set_input_files(picture)
    expect(page.locator("#about")).to_contain_text("Output", timeout=LONGEST)


def single_running(page: Page) -> None:
    """A picture of many tiles, some of which are finished."""
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "parrots.png"
        with Image.open(SAMPLE) as sample:
            sample.resize((sample.width * 4, sample.height * 4), Image.Resampling.BICUBIC).save(large)
        choose(page, large)
    page.get_by_role("button", name="Process").click()
    expect(page.locator("#status")).to_contain_text(" left", timeout=LONGEST)


def single_done(page: Page) -> None:
    choose(page)
    page.get_by_role("button", name="Process").click()
    expect(page.locator("#status")).to_contain_text("Done in", timeout=LONGEST)
    wait_for_pictures(page, "#comparison img", 2)
    page.locator("#why button").first.click()


def batch_running(page: Page) -> None:
    begin_batch(page)
    both = "() => ['Working', 'Done'].every(word => document.querySelector('#batch-table').innerText.includes(word))"
    page.wait_for_function(both, polling=20, timeout=LONGEST)  # a picture takes half a second


def batch_done(page: Page) -> None:
    begin_batch(page)
    expect(page.locator("#batch-status")).to_contain_text("5 of 6 pictures done, 1 failed", timeout=LONGEST)
    wait_for_pictures(page, "#batch-gallery img, #batch-table img", 10)


def begin_batch(page: Page) -> None:
    """Parts of the sample in a folder with a subfolder, a picture that was cut off and a text."""
    with tempfile.TemporaryDirectory() as place, Image.open(SAMPLE) as sample:
        folder = Path(place) / "holiday"
        (folder / "close").mkdir(parents=True)
        w, h = sample.size
        parts = {"parrots.png": (0, 0, w, h), "left.png": (0, 0, w // 2, h), "right.png": (w // 2, 0, w, h)}
        parts |= {"close/left.png": (w // 8, h // 4, w // 2, 3 * h // 4), "close/right.png": (w // 2, h // 8, 7 * w // 8, 5 * h // 8)}
        for name, box in parts.items():
            sample.crop(box).save(folder / name)
        (folder / "broken.png").write_bytes(SAMPLE.read_bytes()[:5000])
        (folder / "notes.txt").write_text("No picture.")
        page.get_by_role("tab", name="Batch").click()
        page.locator("#batch-folder").set_input_files(folder)
        expect(page.locator("#batch-about")).to_contain_text("6 pictures", timeout=LONGEST)
    page.get_by_role("button", name="Process").click()


def compare_done(page: Page) -> None:
    choose(page)
    page.get_by_role("tab", name="Compare").click()
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.locator("#compare-status")).to_contain_text("in 3 ways", timeout=LONGEST)
    wait_for_pictures(page, "#sheet figure img", 4)


SHOTS = {
    "screenshot.png": Shot(single_done),
    "page/single-running.jpg": Shot(single_running),
    "page/single-dark.jpg": Shot(single_done, colours="dark"),
    "page/single-phone.jpg": Shot(single_done, PHONE),
    "page/batch-running.jpg": Shot(batch_running),
    "page/batch.jpg": Shot(batch_done),
    "page/compare.jpg": Shot(compare_done),
    "page/compare-phone-dark.jpg": Shot(compare_done, PHONE, "dark"),
}
"""By the names of their files."""


def wait_for_pictures(page: Page, selector: str, count: int) -> None:
    page.wait_for_function(
        "([selector, count]) => [...document.querySelectorAll(selector)].filter(image => image.complete && image.naturalWidth).length >= count",
        arg=[selector, count],
    )


# ---- the page and the browser ----


@contextmanager
def served_page(config: str) -> Iterator[str]:
    """The address of app.py, running as its users run it."""
    server = subprocess.Popen([sys.executable, PROJECT / "app.py", "--config", config], stdout=subprocess.PIPE, text=True, cwd=PROJECT)
    try:
        assert server.stdout is not None
        found = re.search(r"http://\S+", server.stdout.readline())
        if not found:
            raise SystemExit("app.py did not start; see its message above")
        yield found[0]
    finally:
        server.terminate()
        server.wait()


def find_chromium() -> str | None:
    """The system's Chromium; None lets playwright take its own."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


if __name__ == "__main__":
    sys.exit(main())
