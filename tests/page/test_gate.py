"""Requests that are turned away."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from utils.page.gate import Gate

PASSED = "passed"
OPEN: Any = SimpleNamespace(auth=None)
LOCKED: Any = SimpleNamespace(auth={"anna": "secret"}, cookie_id="id", tokens={"token": "anna"})


def answer(path: str = "/", method: str = "GET", headers: dict[str, str] | None = None, only_as: str | None = None, server: Any = OPEN) -> Any:
    """The status that a request is refused with, or that it passed."""
    sent = []

    async def app(scope, receive, send):
        sent.append(PASSED)

    async def send(message):
        sent.append(message.get("status"))

    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    scope = {"type": "http", "path": path, "method": method, "headers": raw, "app": server}
    asked = Gate(app, only_as)(scope, None, send)  # type: ignore[arg-type]
    with ThreadPoolExecutor(1) as thread:  # in the main one a browser's event loop may be running
        thread.submit(asyncio.run, asked).result()
    return sent[0]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/gradio_api/file=/folder/a.png", PASSED),
        ("/gradio_api/file=/folder/gradio_api/file/a.png", PASSED),
        ("/", PASSED),
        ("/gradio_api/file=http://example.com/a.png", 403),
        ("/gradio_api/file=HTTPS://example.com/a.png", 403),
        ("/gradio_api/file=/http:/example.com", 403),
        ("/gradio_api/file/http://example.com/a.png", 404),
        ("/gradio_api/file/folder/a.png", 404),
        ("/gradio_api/proxy=https://example.hf.space/a.png", 404),
        ("/below/gradio_api/file/http://example.com/a.png", 404),
    ],
)
def test_pages_of_other_servers_are_not_fetched_for_anybody(path, status):
    assert answer(path) == status


@pytest.mark.parametrize("path", ["/gradio_api/process_recording", "/gradio_api/deep_link", "/gradio_api/deep_link/"])
def test_what_the_page_never_asks_for_is_not_there(path):
    assert answer(path) == 404


@pytest.mark.parametrize(
    ("method", "site", "status"),
    [
        ("POST", "cross-site", 403),
        ("DELETE", "cross-site", 403),
        ("GET", "cross-site", PASSED),
        ("POST", "same-origin", PASSED),
        ("POST", "none", PASSED),
        ("POST", None, PASSED),
    ],
)
def test_pages_of_other_sites_have_nothing_done_here(method, site, status):
    assert answer(method=method, headers={"sec-fetch-site": site} if site else {}) == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:7860", PASSED),
        ("127.0.0.1", PASSED),
        ("localhost:7860", PASSED),
        ("LocalHost.:7860", PASSED),
        ("studio.localhost:7860", PASSED),
        ("[::1]:7860", PASSED),
        ("My-Machine:7860", PASSED),
        ("example.com", 403),
        ("example.com:7860", 403),
        ("127.0.0.1.example.com:7860", 403),
        ("localhost.example.com:7860", 403),
        ("192.168.0.7:7860", 403),
        ("[", 403),
    ],
)
def test_a_page_for_its_own_machine_goes_by_no_name_of_another_site(host, status):
    assert answer(headers={"host": host}, only_as="my-machine") == status
    assert answer(headers={"host": host}) == PASSED


@pytest.mark.parametrize(
    ("cookie", "server", "status"),
    [
        ("", OPEN, PASSED),
        ("", LOCKED, 401),
        ("access-token-id=guessed", LOCKED, 401),
        ("access-token-id=token", LOCKED, PASSED),
        ("access-token-unsecure-id=token", LOCKED, PASSED),
    ],
)
def test_nobody_is_kept_in_memory_who_has_not_logged_in(cookie, server, status):
    assert answer("/gradio_api/heartbeat/visitor", headers={"cookie": cookie}, server=server) == status
