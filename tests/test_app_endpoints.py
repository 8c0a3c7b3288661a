"""The page's endpoints, called by programs."""

import asyncio
import base64
import gc
import io
import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError, AuthenticationError
from PIL import Image

from sampler_invsr import InvSamplerSR
from tests.conftest import PROJECT, found_in
from utils.models.device import free_memory
from utils.pictures.picture import Picture

PATIENT: dict[str, Any] = {"verbose": False, "httpx_kwargs": {"timeout": 120}}
"""Of a client on a machine with other work, too."""
META = {"_type": "gradio.FileData"}


class OrderedSampler(InvSamplerSR):
    """The real sampler; it notes the seeds of its runs as they begin, and can be held at the first tile batch."""

    gate = threading.Event()
    seeds: list[int] = []  # noqa: RUF012

    def upscaled(self, picture, on_tile):
        def watch(done, total, preview):
            assert OrderedSampler.gate.wait(60)
            on_tile(done, total, preview)

        OrderedSampler.seeds.append(self.settings.seed)
        return super().upscaled(picture, watch)


def in_a_loop_of_its_own(work: Coroutine[Any, Any, Any]) -> Any:
    """Its result; in a thread, because tests in a browser leave a running loop in this one."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, work).result()


@pytest.fixture(autouse=True)
def let_tiles_pass():
    OrderedSampler.gate.set()
    OrderedSampler.seeds.clear()
    yield
    OrderedSampler.gate.set()


@pytest.fixture(scope="module")
def served(serve, tiny_config):
    address, shared = serve(OrderedSampler, tiny_config)
    shared.start()
    shared.get()
    return address, shared


@pytest.fixture
def client(served):
    with closing(Client(served[0], **PATIENT)) as client:
        yield client


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> Path:
    """16 bits with transparency: what is lost where a picture is encoded again on its way."""
    from utils.pictures.writing import save

    pixels = np.random.default_rng(3).integers(0, 65536, (40, 56, 4), dtype=np.uint16)
    path = tmp_path_factory.mktemp("pictures") / "deep.png"
    save(Picture(pixels[..., :3], alpha=pixels[..., 3]), path, {})
    return path


def wait_until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_only_three_endpoints_are_public(client):
    api: Any = client.view_api(return_format="dict")
    assert sorted(api["named_endpoints"]) == ["/plan", "/upscale", "/upscale_batch"]
    assert api["unnamed_endpoints"] == {}


def test_a_result_is_what_the_command_line_writes_with_its_plan_and_warnings(client, picture, tiny_config, tmp_path):
    file, plan, warnings = client.predict(image=handle_file(picture), seed=7, timesteps=[200, 100], api_name="/upscale")
    (row,) = InvSamplerSR(tiny_config | {"seed": 7, "timesteps": [200, 100]}).inference(picture, tmp_path)
    assert Path(file).name == "deep.png"
    assert Path(file).read_bytes() == row.output.read_bytes()
    assert (plan["output_size"], plan["seed"], plan["timesteps"]) == ([160, 224], 7, [200, 100])
    assert plan["reasons"] and warnings == []


def test_a_plan_is_what_an_upscale_says_of_itself_and_runs_nothing(client, picture):
    planned = client.predict(handle_file(picture), overlap=0.25, fidelity=0.5, api_name="/plan")
    assert OrderedSampler.seeds == []
    _, plan, _ = client.predict(handle_file(picture), overlap=0.25, fidelity=0.5, api_name="/upscale")
    assert plan == planned


def test_a_batch_is_a_zip_of_results_and_a_row_for_every_file(client, picture, tiny_config, tmp_path):
    other = tmp_path / "other" / "deep.png"
    other.parent.mkdir()
    Image.new("L", (33, 21), 90).save(other)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "cut.png").write_bytes(picture.read_bytes()[:200])
    files = [handle_file(path) for path in (picture, tmp_path / "notes.txt", other, tmp_path / "cut.png")]
    archive, rows = client.predict(files=files, seed=3, api_name="/upscale_batch")
    assert [row["status"] for row in rows] == ["done", "failed", "done", "failed"]
    assert [row["input"] for row in rows[:2]] == ["deep.png", "notes.txt"]
    assert "not a picture" in rows[1]["message"] and "damaged" in rows[3]["message"]
    with zipfile.ZipFile(archive) as zipped:
        assert sorted(zipped.namelist()) == sorted([rows[0]["output"], rows[2]["output"], "report.csv", "report.json"])
        (alone,) = InvSamplerSR(tiny_config | {"seed": 3}).inference(picture, tmp_path / "alone")
        assert zipped.read(rows[0]["output"]) == alone.output.read_bytes()
        with Image.open(io.BytesIO(zipped.read(rows[2]["output"]))) as image:
            assert (image.mode, image.size) == ("L", (132, 84))
        assert json.loads(zipped.read("report.json"))["files"] == rows
        assert not any(str(tmp_path) in text or "/tmp" in text for text in (zipped.read("report.csv").decode(), json.dumps(rows)))


def test_wrong_settings_and_files_are_answered_with_one_sentence(client, picture, tmp_path):
    for wrong, words in (
        ({"seed": -1}, r"^seed must be from 0 to \d+, not -1\. \(request [0-9a-f]{8}\)$"),
        ({"color_fix": "best"}, "^color_fix must be one of none, "),
        ({"timesteps": "many"}, "^timesteps must be a list of whole numbers"),
        ({"prompt": "${oc.env:HOME}"}, "must not be"),
    ):
        with pytest.raises(AppError, match=words):
            client.predict(handle_file(picture), api_name="/upscale", **wrong)
    (tmp_path / "page.png").write_text("<html>")
    with pytest.raises(AppError, match=r"^page\.png cannot be read: it is not a picture"):
        client.predict(handle_file(tmp_path / "page.png"), api_name="/upscale")
    with pytest.raises(AppError, match=r"^files must be a list of 1 to"):
        client.predict([], api_name="/upscale_batch")


def called(address: str, name: str, body: Any) -> str:
    """The stream of events that a plain HTTP call is answered with."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}gradio_api/call/v2/{name}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{address}gradio_api/call/{name}/{event}") as answer:
        return answer.read().decode()


def test_no_path_of_the_server_and_no_address_is_opened_for_anybody(served, picture):
    address, _ = served
    asked = []

    async def record(reader, writer):
        asked.append(await reader.readline())
        writer.close()

    async def listening_elsewhere() -> None:
        server = await asyncio.start_server(record, "127.0.0.1", 0)
        elsewhere = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/a.png"
        files = [
            {"path": "/etc/passwd", "meta": META},
            {"path": "/etc/passwd"},
            {"path": str(picture), "meta": META},
            {"path": elsewhere, "meta": META},
            {"path": elsewhere, "url": elsewhere},
            {"url": elsewhere, "meta": META},
            elsewhere,
        ]
        for file in files:
            for name, body in (("plan", {"image": file}), ("upscale", {"image": file}), ("upscale_batch", {"files": [file]})):
                answer = await asyncio.to_thread(called, address, name, body)
                assert answer.startswith("event: error") and "must be a file that was uploaded to this server" in answer
        for route, status in (("file=", "403"), ("file/", "404"), ("proxy=", "404")):
            with pytest.raises(urllib.error.HTTPError, match=status):
                await asyncio.to_thread(urllib.request.urlopen, f"{address}gradio_api/{route}{elsewhere}")
        server.close()

    in_a_loop_of_its_own(listening_elsewhere())
    assert asked == []


@pytest.mark.parametrize(
    ("route", "headers", "body", "status"),
    [
        ("process_recording", {}, b"video", 404),
        ("deep_link?session_hash=a", {}, None, 404),
        ("queue/join", {"Sec-Fetch-Site": "cross-site"}, b"{}", 403),
        ("upload", {"Sec-Fetch-Site": "cross-site"}, b"", 403),
        ("info", {"Host": "example.com"}, None, 403),
    ],
)
def test_what_the_page_and_programs_do_not_ask_for_is_not_answered(served, route, headers, body, status):
    with pytest.raises(urllib.error.HTTPError, match=str(status)):
        urllib.request.urlopen(urllib.request.Request(f"{served[0]}gradio_api/{route}", body, headers))


def sent(address: str, function: int, data: list[Any], session: str) -> dict[str, Any]:
    """What the page answers when an event of it is called as its browser does."""
    body = json.dumps({"fn_index": function, "data": data, "session_hash": session}).encode()
    request = urllib.request.Request(f"{address}gradio_api/run/predict", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refusal:
        return json.load(refusal)


def test_no_event_of_the_page_opens_gives_out_or_deletes_a_file_of_the_server(served, tmp_path):
    address, _ = served
    secret, painted = tmp_path / "secret.txt", tmp_path / "painted.png"
    secret.write_text("the operator's own")
    Image.new("RGB", (8, 8)).save(painted)
    with urllib.request.urlopen(f"{address}config") as answer:
        config = json.load(answer)
    kinds = {component["id"]: component["type"] for component in config["components"]}
    doors = [(event, [kinds[part] for part in event["inputs"]]) for event in config["dependencies"] if not event["queue"]]
    files = [
        {"path": str(path), "orig_name": name, **meta}
        for path, name in ((secret, "a.svg"), (painted, "a.png"), (f"{address}config", "a.svg"))
        for meta in ({}, {"meta": META}, {"meta": {}}, {"url": "data:,"})
    ]
    tried = 0
    for event, inputs in doors:
        if inputs and set(inputs) <= {"file", "image"}:
            for file in files:
                for given in (file, [file]):
                    answer = sent(address, event["id"], [given], "intruder")
                    assert "must be a file that was uploaded to this server" in answer["error"]
                    tried += 1
            assert "error" in sent(address, event["id"], [str(secret)], "intruder")
            assert "error" in sent(address, event["id"], [{"url": "data:image/png;base64,iVBORw0KGgo="}], "intruder")
    assert tried >= 4 * 2 * len(files)  # where pictures are chosen, pasted, photographed and compared
    with urllib.request.urlopen(f"{address}gradio_api/heartbeat/intruder") as heart:  # and the visitor leaves
        heart.read(1)
    time.sleep(1)
    assert secret.exists() and painted.exists()


def test_nothing_that_was_shown_stays_in_memory_when_its_visitor_has_left(served, page_files):
    from gradio.state_holder import StateHolder

    from app import build_page

    page, holder = build_page(served[1]), StateHolder()
    holder.set_blocks(page)
    assert holder["visitor"].config_values
    (leave,) = [event.fn for event in page.fns.values() if event.fn and any(name == "unload" for _, name in event.targets)]
    leave(SimpleNamespace(session_hash="visitor"))
    assert not holder["visitor"].config_values


def test_a_run_that_waits_tells_its_place_and_one_that_is_cancelled_stops(served, client, picture):
    address, shared = served
    OrderedSampler.gate.clear()
    other = Client(address, **PATIENT)
    first = other.submit(handle_file(picture), seed=1, api_name="/upscale")
    wait_until(lambda: OrderedSampler.seeds == [1])
    second = client.submit(handle_file(picture), seed=2, api_name="/upscale")

    def place() -> str | None:
        (unit,) = second.status().progress_data or [None]
        return unit and unit.desc

    wait_until(lambda: place() == "Waiting: 1 before you")
    first.cancel()
    time.sleep(1)
    OrderedSampler.gate.set()
    assert second.result(60)[1]["seed"] == 2
    wait_until(lambda: not shared._turns._line)
    other.close()


def test_nothing_is_kept_of_a_batch_that_is_cancelled_although_its_client_stays(client, served, picture, page_files):
    _, shared = served
    OrderedSampler.gate.clear()
    before = set(found_in(page_files, "session-*/*"))
    job = client.submit([handle_file(picture)], api_name="/upscale_batch")
    wait_until(lambda: OrderedSampler.seeds)
    assert set(found_in(page_files, "session-*/*")) - before
    job.cancel()
    OrderedSampler.gate.set()
    wait_until(lambda: not shared._turns._line)
    wait_until(lambda: set(found_in(page_files, "session-*/*")) <= before)


def test_results_of_one_session_are_nothing_another_can_find_and_go_with_it(served, page_files, tmp_path):
    address, _ = served
    mine = tmp_path / "mine only.png"
    Image.new("RGB", (20, 30), (10, 200, 30)).save(mine)
    owner, stranger = Client(address, **PATIENT), Client(address, **PATIENT)
    owner.predict(handle_file(mine), api_name="/upscale")
    stranger.predict(handle_file(mine.rename(tmp_path / "other.png")), overlap=0.0, api_name="/plan")
    (kept,) = map(page_files.joinpath, found_in(page_files, "session-*/*/mine only.png"))
    assert all(len(part.removeprefix("session-")) == 32 for part in kept.relative_to(page_files).parts[:2])
    for folder in (page_files, kept.parent.parent, kept.parent):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"{address}gradio_api/file={folder}/")
    stranger.close()
    time.sleep(0.5)
    assert kept.exists()
    owner.close()
    wait_until(lambda: not found_in(page_files, "**/mine only.png"))


def served_in_order(served, folder: Path, clients: int, rounds: int, side: int = 24) -> list[tuple[tuple[str, Any, list[str]], int]]:
    """Jobs of so many clients, each with a seed of its own, in the order they were asked for; and that they were served in it.

    The picture that all of them send stays as `small.png` in the folder.
    """
    address, shared = served
    folder.mkdir()
    picture = folder / "small.png"
    Image.fromarray(np.random.default_rng(5).integers(0, 256, (side, side - 4, 3), dtype=np.uint8)).save(picture)
    visitors = [Client(address, **PATIENT, download_files=str(folder / f"client-{k}")) for k in range(clients)]
    wait_until(lambda: shared._measured[0] and not shared._turns._line)  # the trial after loading takes a turn too
    OrderedSampler.seeds.clear()
    OrderedSampler.gate.clear()
    jobs = []
    for seed in range(clients * rounds):
        jobs.append((visitors[seed % clients].submit(handle_file(picture), seed=seed, api_name="/upscale"), seed))
        wait_until(lambda: len(shared._turns._line) == len(jobs))
    OrderedSampler.gate.set()
    answers = [(job.result(600), seed) for job, seed in jobs]
    assert OrderedSampler.seeds == [seed for _, seed in answers]
    for visitor in visitors:
        visitor.close()
    return answers


@pytest.mark.slow
def test_jobs_of_several_clients_are_all_done_right_and_in_their_order(served, tiny_config, tmp_path):
    sampler = InvSamplerSR(tiny_config)
    for answer in served_in_order(served, tmp_path / "served", 3, 2):
        assert_done_right(answer, sampler, tmp_path / "served")


def assert_done_right(answer, sampler: InvSamplerSR, folder: Path) -> None:
    """That a job brought what the sampler makes of its picture by itself."""
    (file, plan, warnings), seed = answer
    (row,) = sampler.with_settings(seed=seed).inference(folder / "small.png", folder / f"alone-{seed}")
    assert Path(file).read_bytes() == row.output.read_bytes()
    assert (plan["seed"], warnings) == (seed, [])


def memory() -> tuple[int, int]:
    """Bytes that this process has in use, and how many pictures and samplers are alive in it."""
    free_memory(torch.device("cpu"))  # what is freed but kept for later use by the C library depends on which threads ran when
    alive = sum(issubclass(type(thing), (Picture, InvSamplerSR)) for thing in gc.get_objects())
    return psutil.Process().memory_info().rss, alive


@pytest.mark.slow
def test_eight_clients_with_forty_jobs_are_all_served_right_in_order_and_in_the_same_memory(serve, tmp_path):
    settings = {"device": "cpu", "dtype": "float32"}
    served = serve(OrderedSampler, settings)
    served[1].start()
    sampler = InvSamplerSR(settings)
    served_in_order(served, tmp_path / "first", 8, 5, side=96)
    before, alive_before = memory()
    answers = served_in_order(served, tmp_path / "then", 8, 5, side=96)
    after, alive_after = memory()
    print(f"memory after the first 40 jobs {before / 1e6:.0f} MB, after 40 more {after / 1e6:.0f} MB")
    assert alive_after == alive_before
    assert after - before < 40 * 384 * 384 * (3 + 12)  # less than the results and what the networks made, were they kept; it swings by 40 MB
    for answer in answers:
        assert_done_right(answer, sampler, tmp_path / "then")


def test_a_page_with_logins_answers_nobody_without(serve, tiny_config):
    address, shared = serve(OrderedSampler, tiny_config, logins=[("anna", "s:ecret")])
    shared.start()
    with pytest.raises(AuthenticationError):
        Client(address, **PATIENT)
    with pytest.raises(ValueError, match="Could not login"):
        Client(address, **PATIENT, auth=("anna", "wrong"))
    with pytest.raises(urllib.error.HTTPError, match="401"):
        called(address, "plan", {"image": None})
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{address}gradio_api/heartbeat/visitor")
    with closing(Client(address, **PATIENT, auth=("anna", "s:ecret"))) as client:
        headers = {**client.headers, "Cookie": "; ".join(f"{name}={value}" for name, value in client.cookies.items())}
        with urllib.request.urlopen(urllib.request.Request(f"{address}gradio_api/heartbeat/visitor", headers=headers)) as heart:
            assert heart.read(1)
        assert "/upscale" in client.view_api(return_format="dict")["named_endpoints"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "--host 0.0.0.0 would let everybody who can reach this machine use the page"),
        (["--share"], "--share would let everybody on the internet use the page"),
        (["--auth", "anna"], "--auth must be user:password"),
        (["--auth", "@nowhere"], "The file of logins nowhere cannot be read"),
        (["--auth", "anna:secret", "--mcp"], "--mcp and --auth do not go together"),
    ],
)
def test_what_would_let_anybody_in_is_refused_with_one_line(arguments, words):
    ended = subprocess.run([sys.executable, "app.py", *arguments], cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"error: {words}") and ended.stderr.count("\n") == 1
    assert "secret" not in ended.stderr


def test_tools_without_their_package_are_refused_with_one_line(monkeypatch, capsys):
    import app

    monkeypatch.setattr(app, "find_spec", lambda name: None)
    assert app.main(["--mcp"]) == 2
    assert "pip install 'gradio[mcp]" in capsys.readouterr().err


def test_the_single_picture_endpoint_is_the_only_tool_for_language_models(serve, tiny_config, picture):
    pytest.importorskip("mcp", reason="the package mcp is not installed; it comes with gradio[mcp]")
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    address, shared = serve(OrderedSampler, tiny_config, mcp=True)
    shared.start()
    shared.get()

    async def use() -> tuple[list[Any], Any, Any, Any]:
        async with streamablehttp_client(f"{address}gradio_api/mcp/") as (read, write, _), ClientSession(read, write) as session:
            await session.initialize()
            tools = (await session.list_tools()).tools
            image = f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"
            result = await session.call_tool("upscale", {"image": image, "seed": 9})
            refused = await session.call_tool("upscale", {"image": f"{address}config"})
            return tools, result, refused, await session.call_tool("upscale_batch", {"files": []})

    (tool,), result, refused, other = in_a_loop_of_its_own(use())
    assert tool.name == "upscale" and "Upscale a picture" in tool.description
    assert tool.inputSchema["required"] == ["image"] and "Seed of the noise" in tool.inputSchema["properties"]["seed"]["description"]
    assert not result.isError
    with Image.open(io.BytesIO(base64.b64decode(result.content[0].data))) as upscaled:
        assert upscaled.size == (224, 160)
    assert "'seed': 9" in "".join(getattr(content, "text", "") for content in result.content)
    assert refused.isError and "must be a file that was uploaded" in refused.content[0].text
    assert other.isError
