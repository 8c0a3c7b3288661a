"""Downloads of models behind the page, from a local stand-in for the hub."""

import threading
import time
from collections.abc import Callable

import pytest
from huggingface_hub import constants

from tests.models.hub_stand_in import COMMIT, HubStandIn
from utils.models import downloading
from utils.models.downloading import RemoteFiles, missing_files
from utils.models.model_files import PublishedPart
from utils.page.model_download import ModelDownload
from utils.planning.errors import UserError

WEIGHTS = bytes(range(256)) * 4000  # 1,024,000 bytes: several pieces
REMOTE = RemoteFiles("someone/model", COMMIT, ("config.json", "weights.pth"), "Do what you like.")


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(downloading, "_FRUITLESS_TRIES", 0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with HubStandIn({REMOTE.repo_id: {"config.json": b"{}", "weights.pth": WEIGHTS}}) as stand_in:
        monkeypatch.setenv("HF_ENDPOINT", stand_in.url)
        yield stand_in


@pytest.fixture
def part(tmp_path) -> PublishedPart:
    return PublishedPart("no file of this name", REMOTE, tmp_path / "models" / "some-model")


def wait_for(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline, "this takes too long"
        time.sleep(0.01)


def test_a_download_tells_how_far_it_is_can_be_cancelled_and_goes_on_where_it_stopped(hub, part):
    download, gate = ModelDownload(), threading.Event()
    hub.gates["weights.pth"] = (700_000, gate)
    download.start("some model", [part])
    wait_for(lambda: download.progress and download.progress.done > 500_000)
    progress = download.progress
    assert progress and (progress.name, progress.phase, progress.part) == ("some model", "running", "someone/model (1 of 1)")
    assert (progress.done, progress.total) == (524_288 + 2, len(WEIGHTS) + 2)
    with pytest.raises(UserError, match="some model is being downloaded; wait"):
        download.start("another", [part])
    download.cancel()
    assert download.progress and download.progress.phase == "stopping"
    gate.set()
    wait_for(lambda: download.progress and download.progress.phase == "stopped")
    assert missing_files(REMOTE, part.folder) == ["weights.pth"]

    download.start("some model", [part])
    wait_for(lambda: download.progress is None)
    assert part.missing() == [] and (part.folder / "weights.pth").read_bytes() == WEIGHTS
    assert (hub.downloads()[-1].range or "").startswith("bytes=")


def test_a_download_that_fails_says_which_files_belong_where_and_can_be_tried_again(hub, part):
    download = ModelDownload()
    hub.refusals["resolve"] = (503, "")
    download.start("some model", [part])
    wait_for(lambda: download.progress and not download.progress.is_under_way)
    assert download.progress and download.progress.phase == "failed"
    words = download.progress.reason
    assert all(word in words for word in ("out of order (503)", "config.json, weights.pth into some-model by hand", hub.url)) and "\n" not in words
    hub.refusals.clear()
    download.start("some model", [part])
    wait_for(lambda: download.progress is None)
    assert part.missing() == []
