"""The page's batches, in a real browser."""

import io
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from sampler_invsr import InvSamplerSR
from tests.conftest import PROJECT, answer_to, still_there
from tests.held_sampler import HeldSampler, let_tiles_pass  # noqa: F401
from tests.mixed_folder import make_mixed_folder
from utils.page.server_folders import ServerFolders

SLOWEST = 90_000  # milliseconds
expect.set_options(timeout=30_000)  # on a machine with other work, too


@pytest.fixture(scope="module")
def allowed(tmp_path_factory) -> Path:
    """A folder of the server that visitors may name."""
    return make_mixed_folder(tmp_path_factory.mktemp("server") / "allowed" / "pictures", "beach.png").parent


@pytest.fixture(scope="module")
def address(serve, tiny_config, allowed) -> str:
    """Of a page whose model is ready."""
    address, shared = serve(HeldSampler, tiny_config, folders=ServerFolders([allowed]))
    shared.start()
    shared.get()
    return address


@pytest.fixture
def page(page: Page) -> Page:
    page.set_default_timeout(SLOWEST)
    return page


@pytest.fixture
def batch_page(page: Page, address: str) -> Page:
    page.goto(address)
    expect(page.locator("#model")).to_contain_text("ready on cpu", timeout=SLOWEST)
    page.get_by_role("tab", name="Batch").click()
    return page


@pytest.fixture
def folder(tmp_path) -> Path:
    return make_mixed_folder(tmp_path / "holiday", "beach.png")


def row(page: Page, name: str) -> Locator:
    """The first row, for they are sorted, in whose name this is."""
    return page.locator("#batch-table tr").filter(has=page.locator("th", has_text=name)).first


def process(page: Page) -> None:
    page.locator("#batch-process").click()


def downloaded(page: Page) -> tuple[str, zipfile.ZipFile]:
    with page.expect_download() as event:
        page.locator("#batch-download").click()
    return event.value.suggested_filename, zipfile.ZipFile(io.BytesIO(Path(event.value.path()).read_bytes()))


def test_a_folder_is_done_as_the_command_line_does_it_and_comes_back_as_one_archive(batch_page, folder, tiny_config, tmp_path):
    batch_page.locator("#batch-folder").set_input_files(folder)
    expect(batch_page.locator("#batch-about")).to_contain_text("3 pictures")
    expect(batch_page.locator("#batch-about")).to_contain_text("1 file is not a picture and is left out")
    expect(row(batch_page, "sub/beach.png")).to_contain_text("Waiting")
    prospect = batch_page.locator("#batch-prospect")
    expect(prospect).to_contain_text("224 × 160, 0.1 megapixels together")
    expect(prospect).to_contain_text(re.compile(r"3 tiles of 64\s×\s64, about \d+\ss, up to \d+\sMB of memory"))
    expect(row(batch_page, "beach.png")).to_contain_text("56 × 40 → 224 × 160")
    batch_page.locator("#setting-sf").get_by_label("2", exact=True).check()
    expect(prospect).to_contain_text("112 × 80")
    batch_page.locator("#setting-sf").get_by_label("4", exact=True).check()
    expect(prospect).to_contain_text("224 × 160")
    process(batch_page)
    expect(batch_page.locator("#batch-status")).to_contain_text("2 of 3 pictures done, 1 failed", timeout=SLOWEST)
    for name in ("beach.png", "sub/beach.png"):
        expect(row(batch_page, name)).to_contain_text("Done")
        expect(row(batch_page, name)).to_contain_text("56 × 40 → 224 × 160")
        expect(row(batch_page, name).get_by_alt_text(f"Small copy of {name}")).to_be_visible()
    expect(row(batch_page, "broken.png")).to_contain_text("the file is damaged")
    expect(row(batch_page, "notes.txt")).to_contain_text("Left out")
    expect(batch_page.locator("#batch-gallery img")).to_have_count(2)

    called, archive = downloaded(batch_page)
    assert called == "holiday-upscaled.zip"
    assert sorted(archive.namelist()) == ["beach.png", "report.csv", "report.json", "sub/beach.png"]
    InvSamplerSR(tiny_config).inference(folder, tmp_path / "cli", recursive=True)
    for name in ("beach.png", "sub/beach.png"):
        assert archive.read(name) == (tmp_path / "cli" / name).read_bytes()
    expect(prospect).to_contain_text("2 of them, with these settings")
    assert b"broken.png,,failed" in archive.read("report.csv")
    with batch_page.expect_download() as event:
        row(batch_page, "sub/beach.png").get_by_role("link").click()
    assert Path(event.value.path()).read_bytes() == archive.read("sub/beach.png")


def test_few_results_are_small_copies_that_are_seen_whole(batch_page, folder):
    batch_page.locator("#batch-files").set_input_files(folder / "beach.png")
    expect(row(batch_page, "beach.png")).to_contain_text("Waiting")
    process(batch_page)
    expect(batch_page.locator("#batch-status")).to_contain_text("1 of 1 picture done", timeout=SLOWEST)
    shown, image = (batch_page.locator(f"#batch-gallery {part}").bounding_box() for part in (".grid-wrap", "img"))
    assert shown and image
    assert image["width"] < shown["width"] / 3
    assert shown["y"] <= image["y"] and image["y"] + image["height"] <= shown["y"] + shown["height"]


def test_a_long_list_is_shown_whole_and_on_a_phone_in_a_box_that_scrolls(batch_page, folder):
    files = [folder / f"{k:02}.png" for k in range(15)]
    for file in files:
        file.write_bytes((folder / "beach.png").read_bytes())
    batch_page.locator("#batch-files").set_input_files(files)
    expect(row(batch_page, "14.png")).to_contain_text("Waiting")
    box = batch_page.locator("#batch-table")
    cut = "box => box.scrollHeight > box.clientHeight + 1"
    assert not box.evaluate(cut)
    batch_page.set_viewport_size({"width": 390, "height": 844})
    assert box.evaluate(cut)
    assert "gradient" in box.evaluate("box => getComputedStyle(box).backgroundImage")
    assert box.evaluate("box => getComputedStyle(box).overflowY") == "auto"


def test_what_cannot_be_done_says_why_also_while_the_others_are_done(batch_page, folder):
    (folder / "empty.png").touch()
    batch_page.locator("#batch-files").set_input_files([folder / "beach.png", folder / "empty.png"])
    refused = row(batch_page, "empty.png")
    expect(refused).to_contain_text("Cannot be done")
    HeldSampler.gate.clear()
    process(batch_page)
    expect(row(batch_page, "beach.png")).to_contain_text("Working", timeout=SLOWEST)
    expect(batch_page.locator("#batch-status")).to_contain_text("Picture 1 of 2 · about")
    assert re.search(r"Picture\xa01\xa0of\xa02 · about \d+\xa0s left", batch_page.locator("#batch-status").text_content() or "")
    expect(refused).to_contain_text("Cannot be done")
    expect(refused).to_contain_text("the file is empty")
    HeldSampler.gate.set()
    expect(batch_page.locator("#batch-status")).to_contain_text("1 of 2 pictures done, 1 failed", timeout=SLOWEST)


DROP = """(element, bytes) => {
    const good = {isFile: true, name: "good.png", file: done => done(new File([new Uint8Array(bytes)], "good.png"))};
    const gone = {isFile: true, name: "gone.png", file: (done, fail) => fail(new DOMException("not found"))};
    const lists = [[gone, good], []];
    const folder = {isFile: false, name: "holiday", createReader: () => ({readEntries: done => done(lists.shift())})};
    const event = new Event("drop", {bubbles: true, cancelable: true});
    event.dataTransfer = {items: [{webkitGetAsEntry: () => folder}]};
    element.dispatchEvent(event);
}"""


def test_of_a_dropped_folder_all_arrives_that_can_be_read_and_the_rest_is_named(batch_page, folder):
    batch_page.locator("#batch-drop .sr-drop").evaluate(DROP, list((folder / "beach.png").read_bytes()))
    expect(row(batch_page, "good.png")).to_contain_text("Waiting")
    expect(batch_page.locator("#batch-about [role=alert]")).to_contain_text("Not uploaded: gone.png. A file may be unreadable")


def test_what_is_chosen_while_other_files_are_on_their_way_comes_after_them(batch_page, folder):
    held: list[Route] = []
    batch_page.route("**/gradio_api/upload*", lambda route: held.append(route), times=1)
    batch_page.locator("#batch-files").set_input_files(folder / "beach.png")
    while not held:
        batch_page.wait_for_timeout(50)
    batch_page.locator("#batch-files").set_input_files(folder / "sub" / "beach.png")
    batch_page.locator("#batch-files").set_input_files(folder / "broken.png")
    held[0].continue_()
    for name in ("beach.png", "beach (2).png", "broken.png"):
        expect(row(batch_page, name)).to_be_visible()
    batch_page.locator("#batch-files").evaluate("input => input.dispatchEvent(new Event('change', {bubbles: true}))")
    expect(batch_page.locator(".sr-drop-state")).to_contain_text("There is no file in what was chosen")


def test_what_has_arrived_goes_when_the_page_is_closed_while_more_is_on_its_way(batch_page, folder, page_files):
    arrived, all_files = 20, [folder / f"early-{k:02}.png" for k in range(23)]
    for k, file in enumerate(all_files):
        file.write_bytes((folder / "beach.png").read_bytes() + bytes([k]))  # equal files would be one
    let_through = iter(range(arrived))
    batch_page.route("**/gradio_api/upload*", lambda route: route.continue_() if next(let_through, None) is not None else None)
    with batch_page.expect_response("**/gradio_api/run/predict*"):
        batch_page.locator("#batch-files").set_input_files(all_files)
        expect(batch_page.locator(".sr-drop-state")).to_contain_text(f"Uploading: {arrived} of 23")
    there = list(page_files.glob("*/early-*.png"))
    assert len(there) == arrived
    batch_page.close()
    deadline = time.monotonic() + 60
    while any(path.exists() for path in there):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_cancelled_batch_keeps_what_is_done_and_is_resumed(batch_page, folder, page_files):
    batch_page.locator("#batch-files").set_input_files([folder / "beach.png", folder / "sub" / "beach.png"])
    first, second = (row(batch_page, name) for name in ("beach (2).png", "beach.png"))  # in the order of names
    expect(first).to_contain_text("Waiting")
    HeldSampler.passing = 1
    HeldSampler.gate.clear()
    process(batch_page)
    expect(second).to_contain_text("Working 100%", timeout=SLOWEST)
    expect(batch_page.locator("#batch-status")).to_contain_text("Picture 2 of 2")
    with answer_to(batch_page.locator("#batch-cancel")):  # "Stopping" is said before the server knows of it
        batch_page.get_by_role("button", name="Cancel").click()
        expect(batch_page.locator("#batch-status")).to_contain_text("Stopping")
    HeldSampler.gate.set()
    expect(batch_page.locator("#batch-status")).to_contain_text("Stopped: 1 of 2 pictures done", timeout=SLOWEST)
    _, archive = downloaded(batch_page)
    assert "beach (2).png" in archive.namelist() and len(archive.namelist()) == 3

    batch_page.get_by_role("button", name="Resume").click()
    expect(batch_page.locator("#batch-status")).to_contain_text("2 of 2 pictures done", timeout=SLOWEST)
    expect(first).to_contain_text("Done before")
    _, archive = downloaded(batch_page)
    assert len(archive.namelist()) == 4
    expect(batch_page.locator("#batch-process")).to_have_text("Process")

    batch_page.close()
    assert still_there(page_files, "beach*") == []


def test_a_folder_of_the_server_is_done_in_its_place_and_nothing_else_can_be_named(batch_page, allowed):
    batch_page.get_by_role("radio", name="A folder of the server").check()
    source, results = batch_page.get_by_label("Folder of pictures"), batch_page.get_by_label("Folder for the results")
    source.fill("/etc")
    source.press("Enter")
    expect(batch_page.locator("#batch-about [role=alert]")).to_contain_text("no such folder that this page may use")
    source.fill("pictures")
    results.fill(str(allowed / "results"))
    results.press("Enter")
    expect(batch_page.locator("#batch-about")).to_contain_text("3 pictures")
    process(batch_page)
    expect(batch_page.locator("#batch-status")).to_contain_text("2 of 3 pictures done, 1 failed", timeout=SLOWEST)
    expect(batch_page.locator("#batch-download")).to_be_hidden()
    assert {path.name for path in (allowed / "results").iterdir()} == {"beach.png", "sub", "manifest.jsonl", "report.csv", "report.json"}

    batch_page.reload()  # as after a restart
    batch_page.get_by_role("tab", name="Batch").click()
    batch_page.get_by_role("radio", name="A folder of the server").check()
    source.fill("pictures")
    results.fill("results")
    results.press("Enter")
    expect(batch_page.locator("#batch-about")).to_contain_text("3 pictures")
    process(batch_page)
    expect(row(batch_page, "sub/beach.png")).to_contain_text("Done before", timeout=SLOWEST)


def test_a_page_without_allowed_folders_has_no_field_for_them(page, serve, tiny_config):
    address, _ = serve(InvSamplerSR, tiny_config)
    page.goto(address)
    page.get_by_role("tab", name="Batch").click()
    expect(page.get_by_role("button", name="Choose a folder")).to_be_visible()
    expect(page.get_by_label("Folder of pictures")).to_be_hidden()
    expect(page.get_by_role("radio", name="A folder of the server")).to_be_hidden()


def test_an_allowed_folder_that_is_none_ends_the_program_with_one_line(tmp_path):
    command = [sys.executable, "app.py", "--allow-folder", str(tmp_path), "--allow-folder", str(tmp_path / "none")]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "none is not a folder" in ended.stderr and ended.stderr.count("\n") == 1
