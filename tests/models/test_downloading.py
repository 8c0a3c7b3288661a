"""Fetching model files from a local stand-in for the hub: what is announced, kept, resumed, refused and said."""

import dataclasses
import errno
import json
import os
import struct
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.utils import WeakFileLock

from tests.models.hub_stand_in import COMMIT, HubStandIn
from utils.models import downloading
from utils.models.downloading import INVSR_NOISE_PREDICTOR, SD_TURBO, RemoteFiles, describe, fetch, missing_files, readable_size
from utils.planning.errors import UserError

WEIGHTS = bytes(range(256)) * 4000  # 1,024,000 bytes: several pieces
CONFIG = b'{"sample_size": 64}\n'
REMOTE = RemoteFiles("someone/model", COMMIT, ("config.json", "unet/weights.fp16.safetensors"), "Do what you like: http://example.org/terms.")
CONTENT = {"config.json": CONFIG, "unet/weights.fp16.safetensors": WEIGHTS}
TOTAL = len(WEIGHTS) + len(CONFIG)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(downloading, "_FRUITLESS_TRIES", 0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with HubStandIn({REMOTE.repo_id: CONTENT | {"README.md": b"not asked for", "weights.safetensors": b"neither"}}) as stand_in:
        monkeypatch.setenv("HF_ENDPOINT", stand_in.url)
        yield stand_in


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "weights" / "model"


def quiet(_: str) -> None:
    pass


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name[0] != "."}


def partials(folder: Path) -> list[Path]:
    return list(folder.rglob("*.incomplete"))


def safetensors(data: bytes) -> bytes:
    header = json.dumps({"__metadata__": {"format": "pt"}, "a": {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}}).encode()
    return struct.pack("<Q", len(header)) + header + data


def sentence(remote: RemoteFiles, folder: Path) -> str:
    """What a user reads when a fetch fails: always one line."""
    with pytest.raises(UserError) as caught:
        fetch(remote, folder, quiet)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def raiser(error: BaseException, after: int) -> Callable[[int, int], None]:
    def on_progress(done: int, total: int) -> None:
        if done > after:
            raise error

    return on_progress


def test_stand_in_serves_the_hub_library_itself(hub: HubStandIn, tmp_path: Path) -> None:
    path = hf_hub_download(REMOTE.repo_id, "unet/weights.fp16.safetensors", local_dir=tmp_path, endpoint=hub.url)
    assert Path(path).read_bytes() == WEIGHTS


def test_fresh_fetch_brings_the_asked_files_and_records_them(hub: HubStandIn, folder: Path) -> None:
    assert fetch(REMOTE, folder, quiet) == folder
    assert files_in(folder) == CONTENT
    assert not partials(folder)
    record = json.loads((folder / ".someone--model.json").read_text())
    assert record["commit"] == COMMIT and record["repo_id"] == REMOTE.repo_id
    assert {file["name"]: file["size"] for file in record["files"]} == {name: len(content) for name, content in CONTENT.items()}
    assert all(len(file["sha256"] or file["git_sha1"]) in (40, 64) for file in record["files"])


def test_second_fetch_asks_nothing(hub: HubStandIn, folder: Path) -> None:
    fetch(REMOTE, folder, quiet)
    before = len(hub.requests)
    assert fetch(REMOTE, folder, pytest.fail) == folder
    assert len(hub.requests) == before


def test_branch_is_resolved_to_a_commit_and_served_from_it(hub: HubStandIn, folder: Path) -> None:
    fetch(dataclasses.replace(REMOTE, revision="main"), folder, quiet)
    assert json.loads((folder / ".someone--model.json").read_text())["commit"] == COMMIT
    assert all(COMMIT in request.path for request in hub.downloads())


def test_announcement_precedes_the_first_byte_and_says_what_comes(hub: HubStandIn, folder: Path) -> None:
    said: list[str] = []

    def announce(text: str) -> None:
        assert not hub.downloads() and not folder.exists()
        said.append(text)

    fetch(REMOTE, folder, announce)
    (text,) = said
    for part in (f"{hub.url}/{REMOTE.repo_id}", COMMIT[:12], str(folder), "config.json  20 bytes", "1.02 MB still to fetch", REMOTE.licence):
        assert part in text


def test_progress_adds_up(hub: HubStandIn, folder: Path) -> None:
    hub.cuts["unet/weights.fp16.safetensors"] = [600_000]
    seen: list[tuple[int, int]] = []
    fetch(REMOTE, folder, quiet, lambda done, total: seen.append((done, total)))
    assert {total for _, total in seen} == {TOTAL}
    done = [count for count, _ in seen]
    assert done == sorted(done) and done[0] == 0 and done[-1] == TOTAL and len(set(done)) >= 5


def test_cut_connection_is_taken_up_where_it_broke(hub: HubStandIn, folder: Path) -> None:
    hub.cuts["unet/weights.fp16.safetensors"] = [600_000, 300_000]
    fetch(REMOTE, folder, quiet)
    assert files_in(folder) == CONTENT
    ranges = [request.range for request in hub.downloads() if "weights" in request.path]
    assert ranges == [None, "bytes=524288-", "bytes=786432-"]
    assert {request.encoding for request in hub.downloads()} == {"identity"}  # ranges of a compressed answer would not fit together


def test_server_that_ignores_ranges_still_gives_the_right_file(hub: HubStandIn, folder: Path) -> None:
    hub.ranges = False
    hub.cuts["unet/weights.fp16.safetensors"] = [600_000]
    fetch(REMOTE, folder, quiet)
    assert files_in(folder) == CONTENT


def test_broken_off_fetch_is_not_complete_and_resumes_at_the_next_call(hub: HubStandIn, folder: Path) -> None:
    hub.cuts["unet/weights.fp16.safetensors"] = [600_000, 0]
    text = sentence(REMOTE, folder)
    assert "unet/weights.fp16.safetensors into" in text and "config.json" not in text  # only what is still missing
    assert files_in(folder).keys() >= {"config.json"} and "unet/weights.fp16.safetensors" not in files_in(folder)
    assert missing_files(REMOTE, folder) == ["unet/weights.fp16.safetensors"]
    assert "524 kB already here" in str(describe(REMOTE, folder))
    assert describe(REMOTE, folder).bytes_to_fetch == len(WEIGHTS) - 524_288

    seen: list[int] = []
    fetch(REMOTE, folder, quiet, lambda done, _: seen.append(done))
    assert seen[0] == len(CONFIG) + 524_288
    assert hub.downloads()[-1].range == "bytes=524288-"
    assert files_in(folder) == CONTENT


def test_silent_server_is_given_up_after_some_tries(hub: HubStandIn, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(downloading, "_FRUITLESS_TRIES", 2)
    monkeypatch.setattr(downloading.time, "sleep", waits.append)
    hub.cuts["unet/weights.fp16.safetensors"] = [0] * 9
    assert "connection broke" in sentence(REMOTE, folder)
    assert waits == [1, 2]


@pytest.mark.parametrize("error", [RuntimeError("stop"), ValueError("stop"), BrokenPipeError("stop"), KeyboardInterrupt()])
def test_raising_from_progress_cancels_and_the_next_fetch_resumes(hub: HubStandIn, folder: Path, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        fetch(REMOTE, folder, quiet, raiser(error, after=500_000))
    assert caught.value is error
    assert [path.stat().st_size for path in partials(folder)] == [524_288]
    fetch(REMOTE, folder, quiet)
    assert hub.downloads()[-1].range == "bytes=524288-"
    assert files_in(folder) == CONTENT


@pytest.mark.parametrize("name", CONTENT)
@pytest.mark.parametrize("forge", [lambda content: content[:-1] + b"?", lambda content: content + b"?"], ids=["changed", "longer"])
def test_content_that_is_not_the_hubs_is_deleted_and_refused(hub: HubStandIn, folder: Path, name: str, forge: Callable[[bytes], bytes]) -> None:
    hub.forgeries[name] = forge(CONTENT[name])
    text = sentence(REMOTE, folder)
    assert text.startswith(f"{name} arrived damaged") and text.endswith("start again.")
    assert name not in files_in(folder) and not partials(folder)
    assert missing_files(REMOTE, folder)
    hub.forgeries.clear()
    fetch(REMOTE, folder, quiet)
    assert files_in(folder) == CONTENT


def test_content_that_ends_early_is_refused(hub: HubStandIn, folder: Path) -> None:
    hub.forgeries["unet/weights.fp16.safetensors"] = WEIGHTS[:300_000]
    assert "arrived damaged" in sentence(REMOTE, folder)
    assert "unet/weights.fp16.safetensors" not in files_in(folder) and not partials(folder)
    hub.forgeries.clear()
    fetch(REMOTE, folder, quiet)
    assert files_in(folder) == CONTENT


def test_damaged_start_of_a_file_does_not_survive(hub: HubStandIn, folder: Path) -> None:
    with pytest.raises(RuntimeError):
        fetch(REMOTE, folder, quiet, raiser(RuntimeError(), after=500_000))
    (partial,) = partials(folder)
    partial.write_bytes(b"?" * 524_288)
    assert "checksum" in sentence(REMOTE, folder)
    fetch(REMOTE, folder, quiet)
    assert files_in(folder) == CONTENT


def test_start_that_is_longer_than_the_file_is_dropped(hub: HubStandIn, folder: Path) -> None:
    with pytest.raises(RuntimeError):
        fetch(REMOTE, folder, quiet, raiser(RuntimeError(), after=500_000))
    (partial,) = partials(folder)
    partial.write_bytes(WEIGHTS + b"?")
    fetch(REMOTE, folder, quiet)
    assert files_in(folder) == CONTENT


REFUSALS = [
    ("/api/", 401, "RepoNotFound", "refuses access (401)"),
    ("/api/", 403, "GatedRepo", "terms must first be accepted"),
    ("/api/", 404, "RevisionNotFound", "does not have that"),
    ("/api/", 400, "", "refuses the request (400)"),
    ("/api/", 503, "", "out of order (503)"),
    ("/resolve/", 404, "EntryNotFound", "does not have that"),
    ("/resolve/", 401, "GatedRepo", "terms must first be accepted"),
    ("/cdn/", 403, "", "refuses access (403)"),
    ("/cdn/", 500, "", "out of order (500)"),
]


@pytest.mark.parametrize(("where", "status", "code", "why"), REFUSALS)
def test_refusal_says_why_what_is_missing_and_where_it_goes(hub: HubStandIn, folder: Path, where: str, status: int, code: str, why: str) -> None:
    hub.refusals[where] = (status, code)
    text = sentence(REMOTE, folder)
    for part in (why, "unet/weights.fp16.safetensors", str(folder), f"{hub.url}/someone/model", COMMIT):
        assert part in text
    assert "unet/weights.fp16.safetensors" not in files_in(folder)


def test_repository_or_revision_that_is_not_there(hub: HubStandIn, folder: Path) -> None:
    assert "refuses access (401)" in sentence(dataclasses.replace(REMOTE, repo_id="nobody/nothing"), folder)
    assert "(404)" in sentence(dataclasses.replace(REMOTE, revision="f" * 40), folder)
    assert "name" in sentence(dataclasses.replace(REMOTE, repo_id="a/b/c"), folder)
    assert not folder.exists()


def test_file_that_the_repository_lacks_is_named(hub: HubStandIn, folder: Path) -> None:
    text = sentence(dataclasses.replace(REMOTE, patterns=("config.json", "vae/*.safetensors")), folder)
    assert "vae/*.safetensors" in text and COMMIT in text
    assert not folder.exists()


def test_offline_says_what_to_put_where(hub: HubStandIn, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    text = sentence(REMOTE, folder)
    for part in ("HF_HUB_OFFLINE", "config.json, unet/weights.fp16.safetensors", str(folder), REMOTE.repo_id, COMMIT):
        assert part in text
    assert not hub.requests and not folder.exists()


def test_connection_refused(hub: HubStandIn, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with HubStandIn({}) as gone:
        nobody = gone.url
    monkeypatch.setenv("HF_ENDPOINT", nobody)
    assert f"{nobody} cannot be reached" in sentence(REMOTE, folder)


@pytest.mark.parametrize("endpoint", ["not an address", "ftp://127.0.0.1"])
def test_endpoint_that_is_no_address(hub: HubStandIn, folder: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    assert f"{endpoint} cannot be reached" in sentence(REMOTE, folder)


@pytest.mark.parametrize("body", [b"<html>please log in</html>", b"[]", b"{}"])
def test_something_else_than_a_hub_answers(hub: HubStandIn, folder: Path, monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    monkeypatch.setattr(HubStandIn, "metadata", lambda *_: body)
    assert "is not the hub" in sentence(REMOTE, folder)


def test_metadata_without_hashes_is_not_enough(hub: HubStandIn, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    siblings = [{"rfilename": name} for name in CONTENT]
    monkeypatch.setattr(HubStandIn, "metadata", lambda *_: json.dumps({"id": REMOTE.repo_id, "sha": COMMIT, "siblings": siblings}).encode())
    assert "size and hash" in sentence(REMOTE, folder)


def test_file_names_cannot_leave_the_folder(hub: HubStandIn, folder: Path) -> None:
    hub.repositories = {REMOTE.repo_id: {"tokenizer/../../../escaped.json": b"{}"}}
    assert "outside the folder" in sentence(dataclasses.replace(REMOTE, patterns=("tokenizer/*",)), folder)
    assert not hub.downloads()


def test_too_little_free_disk_is_seen_before_downloading(hub: HubStandIn, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda _: namedtuple("Usage", "free")(TOTAL - 1))
    text = sentence(REMOTE, folder)
    assert "1.02 MB" in text and str(folder) in text
    assert not hub.downloads()


@pytest.mark.parametrize(("number", "why"), [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "cannot be written (Permission denied)")])
def test_disk_that_fails_during_the_download(hub: HubStandIn, folder: Path, monkeypatch: pytest.MonkeyPatch, number: int, why: str) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(downloading.os, "fsync", fail)
    assert why in sentence(REMOTE, folder)
    monkeypatch.undo()
    assert not files_in(folder).keys() & CONTENT.keys()


def test_folder_that_is_a_file(hub: HubStandIn, folder: Path) -> None:
    folder.parent.mkdir()
    folder.write_text("here first")
    assert "cannot be written" in sentence(REMOTE, folder)
    assert folder.read_text() == "here first"


def test_two_programs_do_not_download_into_one_folder(hub: HubStandIn, folder: Path) -> None:
    folder.mkdir(parents=True)
    with WeakFileLock(folder / ".someone--model.lock"):
        assert "Another program" in sentence(REMOTE, folder)
    assert not hub.downloads()


@pytest.mark.parametrize("name", ["weights.fp16.safetensors", "weights.safetensors"])
def test_folder_filled_by_hand_is_taken_as_it_is(hub: HubStandIn, folder: Path, name: str) -> None:
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / name).write_bytes(safetensors(b"mine"))
    (folder / "config.json").write_bytes(b"{}")
    assert fetch(REMOTE, folder, pytest.fail) == folder
    assert not hub.requests


@pytest.mark.parametrize("weights", [safetensors(b"cut off")[:-1], b"", b"version https://git-lfs.github.com/spec/v1\n", safetensors(b"")[:12]])
def test_weights_placed_by_hand_but_not_whole_are_fetched(hub: HubStandIn, folder: Path, weights: bytes) -> None:
    (folder / "unet").mkdir(parents=True)
    (folder / "unet/weights.fp16.safetensors").write_bytes(weights)
    (folder / "config.json").write_bytes(CONFIG)
    assert missing_files(REMOTE, folder) == ["unet/weights.fp16.safetensors"]
    said: list[str] = []
    fetch(REMOTE, folder, said.append)
    assert files_in(folder) == CONTENT
    assert ("replaces another file" in said[0]) == bool(weights)
    assert [request.path.rsplit("/", 1)[-1] for request in hub.downloads()] == ["weights.fp16.safetensors"]  # the good file is kept


def test_interrupted_fetch_does_not_pass_for_a_folder_filled_by_hand(hub: HubStandIn, folder: Path) -> None:
    remote = dataclasses.replace(REMOTE, patterns=("unet/*",))
    with pytest.raises(RuntimeError):
        fetch(remote, folder, quiet, raiser(RuntimeError(), after=500_000))
    assert missing_files(remote, folder) == ["unet/*"]


def test_file_lost_after_the_fetch_is_fetched_again_alone(hub: HubStandIn, folder: Path) -> None:
    fetch(REMOTE, folder, quiet)
    (folder / "config.json").unlink()
    before = len(hub.downloads())
    assert missing_files(REMOTE, folder) == ["config.json"]
    fetch(REMOTE, folder, quiet)
    assert [request.path.rsplit("/", 1)[-1] for request in hub.downloads()[before:]] == ["config.json"]


def test_another_revision_is_asked_for_but_equal_files_are_kept(hub: HubStandIn, folder: Path) -> None:
    fetch(dataclasses.replace(REMOTE, revision="main"), folder, quiet)
    before = len(hub.downloads())
    assert missing_files(REMOTE, folder) == list(REMOTE.patterns)
    fetch(REMOTE, folder, quiet)
    assert len(hub.downloads()) == before
    assert not missing_files(REMOTE, folder)


def test_outdated_start_of_a_file_is_cleared_away(hub: HubStandIn, folder: Path) -> None:
    with pytest.raises(RuntimeError):
        fetch(REMOTE, folder, quiet, raiser(RuntimeError(), after=500_000))
    newer = WEIGHTS[::-1]
    hub.repositories = {REMOTE.repo_id: CONTENT | {"unet/weights.fp16.safetensors": newer}}
    fetch(REMOTE, folder, quiet)
    assert files_in(folder) == CONTENT | {"unet/weights.fp16.safetensors": newer}


def test_unreadable_record_is_as_none(hub: HubStandIn, folder: Path) -> None:
    fetch(REMOTE, folder, quiet)
    for damage in ("", "[]", '{"files": 3}', '{"revision": "main", "patterns": [], "files": [{}]}'):
        (folder / ".someone--model.json").write_text(damage)
        assert missing_files(REMOTE, folder) == ["unet/weights.fp16.safetensors"]  # the test's weights are no safetensors
    fetch(REMOTE, folder, quiet)
    assert not missing_files(REMOTE, folder)


def test_published_models_ask_for_no_more_than_they_need(hub: HubStandIn, tmp_path: Path) -> None:
    needed = [
        "model_index.json",
        "scheduler/scheduler_config.json",
        *(f"tokenizer/{name}" for name in ("merges.txt", "special_tokens_map.json", "tokenizer_config.json", "vocab.json")),
        *("text_encoder/config.json", "text_encoder/model.fp16.safetensors"),
        *("unet/config.json", "unet/diffusion_pytorch_model.fp16.safetensors"),
        *("vae/config.json", "vae/diffusion_pytorch_model.fp16.safetensors"),
    ]
    more = ["README.md", "LICENSE.md", "sd_turbo.safetensors", *(name.replace(".fp16.", ".") for name in needed if ".fp16." in name)]
    predictors = ["noise_predictor_sd_turbo_v5.pth", "noise_predictor_sd_turbo_v5_diftune.pth", "vgg16_sdturbo_lpips.pth"]
    hub.repositories = {
        SD_TURBO.repo_id: {name: name.encode() for name in needed + more},
        INVSR_NOISE_PREDICTOR.repo_id: {name: name.encode() for name in predictors},
    }
    fetch(dataclasses.replace(SD_TURBO, revision=COMMIT), tmp_path / "sd-turbo", quiet)
    fetch(INVSR_NOISE_PREDICTOR, tmp_path, quiet)
    assert sorted(files_in(tmp_path / "sd-turbo")) == sorted(needed)
    assert (tmp_path / predictors[0]).read_bytes() == predictors[0].encode()
    assert not missing_files(INVSR_NOISE_PREDICTOR, tmp_path)


def test_sizes_are_readable() -> None:
    assert [readable_size(count) for count in (0, 999, 1867, 1_059_962, 1_731_904_736)] == ["0 bytes", "999 bytes", "1.87 kB", "1.06 MB", "1.73 GB"]
