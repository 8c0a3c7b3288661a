"""Which files a visitor may name."""

import asyncio
import base64
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from utils.page.uploads import GuardedBlocks, RefusedUploadsLogged, uploaded
from utils.planning.errors import UserError


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "files"))
    (tmp_path / "files" / "0a1b").mkdir(parents=True)
    (tmp_path / "files" / "0a1b" / "a b.png").write_bytes(b"picture")
    (tmp_path / "secret.png").write_bytes(b"secret")
    return tmp_path / "files"


def test_an_uploaded_file_goes_by_its_path_and_by_its_address_here(folder):
    path = folder / "0a1b" / "a b.png"
    assert uploaded({"path": str(path)}) == path
    assert uploaded({"path": f"http://127.0.0.1:7860/gradio_api/file={path}".replace(" ", "%20")}) == path


@pytest.mark.parametrize(
    "file",
    [
        None,
        "picture.png",
        [],
        {},
        {"url": "http://127.0.0.1/"},
        {"path": None},
        {"path": ""},
        {"path": "/etc/passwd"},
        {"path": "{folder}/../secret.png"},
        {"path": "{folder}/0a1b/../../secret.png"},
        {"path": "{folder}/../gone.png"},
        {"path": "{folder}"},
        {"path": "{folder}/0a1b"},
        {"path": "secret.png\0"},
        {"path": "http://127.0.0.1:7860/config"},
        {"path": "https://example.com/gradio_api/file=/etc/passwd"},
        {"path": "http://127.0.0.1:7860/gradio_api/file={folder}/%2e%2e/secret.png"},
        {"path": "file:///etc/passwd"},
    ],
)
def test_all_else_is_refused_in_one_sentence(folder, file):
    if isinstance(file, dict) and file.get("path"):
        file = {"path": file["path"].replace("{folder}", str(folder))}
    with pytest.raises(UserError, match="must be a file that was uploaded to this server"):
        uploaded(file)


def test_a_link_out_of_the_folder_is_refused(folder):
    os.symlink(folder.parent / "secret.png", folder / "link.png")
    with pytest.raises(UserError, match="must be a file that was uploaded"):
        uploaded({"path": str(folder / "link.png")})


def test_an_upload_that_was_deleted_is_said_to_be(folder):
    with pytest.raises(UserError, match="not kept any more; upload it again"):
        uploaded({"path": str(folder / "0a1b" / "gone.png")})


@pytest.mark.parametrize(("sent", "taken"), [(None, 1), (0, 1), (3, 3), (9, 5)])
def test_a_number_is_taken_as_its_slider_shows_it_once_its_box_is_left(sent, taken):
    with GuardedBlocks() as page:
        gr.Button().click(lambda steps: None, gr.Slider(1, 5, 2, step=1))
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(asyncio.run, page.preprocess_data(page.fns[0], [sent], None)).result() == [taken]


def test_what_the_camera_took_is_handed_on_as_the_file_that_it_is_and_nothing_else_in_its_place(folder):
    given = folder / "0a1b" / "a b.png"
    Image.new("RGBA", (8, 8), (0, 128, 0, 255)).save(given)
    with GuardedBlocks() as page:
        camera = gr.Image(sources=["webcam"], type="filepath", image_mode=None)
        gr.Button().click(lambda path: None, camera)
    with ThreadPoolExecutor(1) as thread:

        def taken(value: Any) -> Any:
            return thread.submit(asyncio.run, page.preprocess_data(page.fns[0], [value], None)).result()[0]

        assert taken({"path": str(given), "orig_name": "image.png", "meta": {"_type": "gradio.FileData"}}) == str(given)
        assert taken(None) is None
        sent = f"data:image/png;base64,{base64.b64encode(given.read_bytes()).decode()}"
        for value in ({"url": sent}, {"url": sent, "path": None}, {"url": sent, "path": ""}, {}, sent):
            with pytest.raises(gr.Error, match="must be a file that was uploaded"):
                taken(value)


@pytest.mark.parametrize(
    ("path", "status", "logged"), [("/gradio_api/upload", 413, True), ("/gradio_api/upload", 200, False), ("/other", 404, False)]
)
def test_an_upload_that_is_refused_is_a_line_in_the_log_with_a_request_id(caplog, path, status, logged):
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": status})

    async def send(message):
        sent.append(message["status"])

    asked = RefusedUploadsLogged(app)({"type": "http", "path": path, "headers": []}, None, send)  # type: ignore[arg-type]
    with caplog.at_level("INFO"), ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, asked).result()
    assert sent == [status]
    assert bool(re.search(r"request [0-9a-f]{8} failed: An upload was refused with status 413", caplog.text)) is logged
