"""Upscale docs/sample.png in the real page and photograph the result: python docs/make_screenshot.py [--config FILE] [--out docs/screenshot.png]

Needs playwright and Chromium (the variable CHROMIUM names another one than that on the path).
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

DOCS = Path(__file__).resolve().parent
PROJECT = DOCS.parent
LONGEST = 600_000  # milliseconds for loading and for the picture, on a slow machine


def main() -> int:
    parser = argparse.ArgumentParser(description="Photograph the page with a finished result.")
    parser.add_argument("--config", default=str(PROJECT / "configs" / "sample-tiny.yaml"), help="settings file of the page")
    parser.add_argument("--picture", default=str(DOCS / "sample.png"), help="the picture to upscale")
    parser.add_argument("--out", default=str(DOCS / "screenshot.png"), help="where the screenshot goes")
    parser.add_argument("--width", type=int, default=1360)
    parser.add_argument("--height", type=int, default=900)
    parser.add_argument("--dark", action="store_true", help="in the dark colours")
    options = parser.parse_args()
    with served_page(options.config) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(
            viewport={"width": options.width, "height": options.height}, color_scheme="dark" if options.dark else "light", device_scale_factor=1
        )
        page.goto(address)
        upscale(page, options.picture)
        page.screenshot(path=options.out, full_page=True)
        browser.close()
    print(options.out)
    return 0


def upscale(page: Page, picture: str) -> None:
    """Choose the picture, wait for its result and put the pointer out of the way."""
    expect(page.locator("#model")).to_contain_text("ready on", timeout=LONGEST)
    page.locator("#upload input[type=file]").set_input_files(picture)
    expect(page.locator("#about")).to_contain_text("Output", timeout=LONGEST)
    page.get_by_role("button", name="Process").click()
    expect(page.locator("#status")).to_contain_text("Done in", timeout=LONGEST)
    for side in (0, 1):
        page.wait_for_function(
            "side => { const image = document.querySelectorAll('#comparison img')[side]; return image && image.complete && image.naturalWidth > 0; }",
            arg=side,
        )
    page.get_by_role("button", name="Why").click()
    page.mouse.move(0, 0)
    page.wait_for_timeout(1000)  # animations


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
