"""Fetching published models from the Hugging Face hub: announced before the first byte, resumed when cut, checked before they count.

Metadata, addresses, login and errors are huggingface_hub's; only the receiving is ours, because the hub's own downloader (2.4.0) throws a partial
file away when it is interrupted and moves in steps of 10 MB. A file gets its final name only once its size and hash are those of the hub's metadata.
"""

import errno
import hashlib
import json
import os
import shutil
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import HfApi, ModelInfo, constants, hf_hub_url
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.utils import WeakFileLock, build_hf_headers, filter_repo_objects, get_session, hf_raise_for_status

from utils.planning.errors import UserError

_PIECE = 256 * 1024  # bytes between two reports of progress, and the most that a cut can lose
_FRUITLESS_TRIES = 3
_LONGEST_SAFETENSORS_HEADER = 100_000_000  # bytes, by the format's definition
_PARTIAL = ".incomplete"


@dataclass(frozen=True)
class RemoteFiles:
    """Files of one hub repository at one revision (a commit, or a branch that is resolved to a commit when it is fetched).

    `patterns` are file names, `*` allowed; `licence` is one sentence that says where to read the terms; `size` is about how many bytes they are,
    for telling it before the hub can be asked.
    """

    repo_id: str
    revision: str
    patterns: tuple[str, ...]
    licence: str
    size: int = 0

    @property
    def page(self) -> str:
        return f"{_endpoint()}/{self.repo_id}"


# Half precision: the published sampler runs these networks in half precision, and the files are half the size.
SD_TURBO = RemoteFiles(
    repo_id="stabilityai/sd-turbo",
    revision="b261bac6fd2cf515557d5d0707481eafa0485ec2",
    patterns=(
        "model_index.json",
        "scheduler/scheduler_config.json",
        "tokenizer/*",
        "text_encoder/config.json",
        "text_encoder/model.fp16.safetensors",
        "unet/config.json",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.fp16.safetensors",
    ),
    licence="Stability AI Community License, commercial use only under its conditions: https://huggingface.co/stabilityai/sd-turbo/blob/main/LICENSE.md",
    size=2_580_000_000,
)
INVSR_NOISE_PREDICTOR = RemoteFiles(
    repo_id="OAOA/InvSR",
    revision="main",
    patterns=("noise_predictor_sd_turbo_v5.pth",),
    licence="S-Lab License 1.0, non-commercial use only: https://github.com/zsyOAOA/InvSR/blob/master/LICENSE",
    size=135_000_000,
)


@dataclass(frozen=True)
class HubFile:
    """One file as the hub describes it: bytes, and the SHA-256 of its content (large files) or its git blob SHA-1 (small ones)."""

    name: str
    size: int
    sha256: str | None
    git_sha1: str | None

    @property
    def digest(self) -> str:
        return self.sha256 or self.git_sha1 or ""

    def matches(self, path: Path) -> bool:
        """Whether the file at `path` has this size and content."""
        if _size(path) != self.size:
            return False
        if self.sha256:
            with path.open("rb") as content:
                return hashlib.file_digest(content, "sha256").hexdigest() == self.sha256
        return hashlib.sha1(b"blob %d\0" % self.size + path.read_bytes(), usedforsecurity=False).hexdigest() == self.git_sha1

    def partial(self, folder: Path) -> Path:
        """Where the file grows; the digest in the name keeps a resumed file from being made of two versions."""
        return folder / f"{self.name}.{self.digest[:12]}{_PARTIAL}"


class DownloadFailed(UserError):
    """failed: what could not be downloaded. reason: why, as the end of a sentence."""

    def __init__(self, failed: RemoteFiles, reason: str, lacking: Iterable[tuple[RemoteFiles, Path]]) -> None:
        """lacking: all that is wanted and not whole, each with the folder where it belongs."""
        by_hand = [
            f"{', '.join(missing_files(remote, folder))} into {folder} by hand, from {remote.page} (revision {remote.revision})"
            for remote, folder in lacking
        ]
        super().__init__(
            f"{failed.repo_id} could not be downloaded because {reason}; start again when that is put right (what has arrived is kept), "
            f"or put {', and '.join(by_hand)}."
        )
        self.failed, self.reason = failed, reason


@dataclass(frozen=True)
class Announcement:
    """What a download is going to do; `str()` of it is for people."""

    remote: RemoteFiles
    folder: Path
    commit: str
    files: tuple[HubFile, ...]
    to_fetch: tuple[HubFile, ...]

    @property
    def total_bytes(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def bytes_to_fetch(self) -> int:
        return sum(file.size - _size(file.partial(self.folder)) for file in self.to_fetch)

    def __str__(self) -> str:
        lines = [f"Downloading {self.remote.repo_id} ({self.remote.page}, commit {self.commit[:12]}) into {self.folder}:"]
        for file in self.files:
            present = _size(file.partial(self.folder)) if file in self.to_fetch else file.size
            here = "" if not present else ", already here" if present == file.size else f", {readable_size(present)} already here"
            other = ", replaces another file of that name" if file in self.to_fetch and _size(self.folder / file.name) else ""
            lines.append(f"  {file.name}  {readable_size(file.size)}{here}{other}")
        lines.append(f"{readable_size(self.total_bytes)} in all, {readable_size(self.bytes_to_fetch)} still to fetch.")
        lines.append(f"Licence: {self.remote.licence}")
        return "\n".join(lines)


def fetch(
    remote: RemoteFiles,
    folder: Path,
    announce: Callable[[str], None],
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """The folder, with all files of `remote` in it; asks no network when they are there (see `missing_files`).

    `announce` gets the repository, sizes and licence in plain words before the first byte. `on_progress(done, total)` gets bytes of all files
    together and may raise to cancel: what it raises comes out unchanged, and the next call goes on where this one stopped.
    UserError, in one sentence, when the files cannot be had; what has arrived is kept, except a file whose content is not the hub's.
    """
    folder = Path(folder)
    if not missing_files(remote, folder):
        return folder
    plan = describe(remote, folder)
    announce(str(plan))
    with ExitStack() as stack:
        with _said_plainly(remote, folder):
            folder.mkdir(parents=True, exist_ok=True)
            _take_turn(stack, remote, folder)
            _check_free_space(plan)
        done = plan.total_bytes - sum(file.size for file in plan.to_fetch)
        for file in plan.to_fetch:
            for present in _receive(plan, file):
                if on_progress:
                    on_progress(done + present, plan.total_bytes)
            done += file.size
            with _said_plainly(remote, folder):
                _admit(plan, file)
        with _said_plainly(remote, folder):
            _write_manifest(plan)
    return folder


def missing_files(remote: RemoteFiles, folder: Path) -> list[str]:
    """Names (or patterns) of `remote` that `folder` lacks, from the disk alone; empty if it can be used.

    A folder that was fetched must still hold every recorded file in its recorded size, at the asked revision. A folder filled by hand is taken as
    it is once something answers each pattern; full-precision weights (`model.safetensors`) answer for the half-precision ones
    (`model.fp16.safetensors`), cut-off safetensors answer for nothing.
    """
    folder = Path(folder)
    manifest = _read_manifest(remote, folder)
    if manifest is None:
        return [pattern for pattern in remote.patterns if not _placed_by_hand(folder, pattern)]
    if (manifest["revision"], manifest["patterns"]) != (remote.revision, list(remote.patterns)):
        return list(remote.patterns)
    return [file["name"] for file in manifest["files"] if _size(folder / file["name"]) != file["size"]]


def bytes_here(remote: RemoteFiles, folder: Path) -> int:
    """How many bytes of `remote` lie in `folder`, in whole files and in those that still grow."""
    names = [name for pattern in remote.patterns for name in (pattern, f"{pattern}.*{_PARTIAL}")]
    return sum(map(_size, {path for name in names for path in Path(folder).glob(name)}))


def describe(remote: RemoteFiles, folder: Path) -> Announcement:
    """What `fetch` would do, from the hub's metadata and the files in `folder`; UserError if the hub cannot be asked."""
    folder = Path(folder)
    with _said_plainly(remote, folder):
        info = _ask_hub(remote)
        # Small ones first: a folder whose fetch was cut lacks its largest file, so `missing_files` cannot take it for one filled by hand.
        files = tuple(sorted(_wanted(remote, folder, info), key=lambda file: file.size))
        to_fetch = tuple(file for file in files if not file.matches(folder / file.name))
        for file in to_fetch:
            if _size(file.partial(folder)) > file.size:  # no honest start of this file
                file.partial(folder).unlink()
        return Announcement(remote, folder, str(info.sha), files, to_fetch)


def readable_size(count: int) -> str:
    """Bytes in words, decimal as disks and providers count: "1.73 GB"."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"


def _endpoint() -> str:
    """The hub's address, read at each use: huggingface_hub reads HF_ENDPOINT only when it is imported."""
    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def _ask_hub(remote: RemoteFiles) -> ModelInfo:
    """The hub's metadata of a repository; ValueError if something else than a hub answers."""
    api = HfApi(endpoint=_endpoint())
    try:
        return api.model_info(remote.repo_id, revision=remote.revision, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError("unexpected metadata") from error


def _wanted(remote: RemoteFiles, folder: Path, info: ModelInfo) -> Iterator[HubFile]:
    """The files of a repository that the patterns ask for; UserError if the hub's answer cannot be worked with."""
    siblings = info.siblings or []
    for pattern in remote.patterns:
        if not any(filter_repo_objects((entry.rfilename for entry in siblings), allow_patterns=pattern)):
            raise UserError(f"{remote.page} has no file {pattern} at revision {remote.revision}; choose another revision or repository.")
    for entry in filter_repo_objects(siblings, allow_patterns=list(remote.patterns), key=lambda entry: entry.rfilename):
        digest = entry.lfs.sha256 if entry.lfs else entry.blob_id
        if entry.size is None or not digest or not info.sha:
            raise UserError(f"{remote.page} does not state size and hash of {entry.rfilename} to check it by; set HF_ENDPOINT to another hub.")
        file = HubFile(entry.rfilename, entry.size, digest if entry.lfs else None, None if entry.lfs else digest)
        if not (folder / file.name).resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{remote.page} lists a file outside the folder it belongs in ({file.name}); do not use this repository.")
        yield file


def _receive(plan: Announcement, file: HubFile) -> Iterator[int]:
    """Let the partial file grow to its full size, yielding the bytes on disk after each piece; given up after several tries without any."""
    partial = file.partial(plan.folder)
    url = hf_hub_url(plan.remote.repo_id, file.name, revision=plan.commit, endpoint=_endpoint())
    fruitless = 0
    with _said_plainly(plan.remote, plan.folder):
        partial.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
        yield (start := _size(partial))
        while start < file.size:
            try:
                yield from _receive_once(url, partial, start, file.size)
            except httpx2.TransportError:
                fruitless = fruitless + 1 if _size(partial) <= start else 0
                if fruitless > _FRUITLESS_TRIES:
                    raise
                time.sleep(fruitless)
            except HfHubHTTPError as error:
                if error.response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    raise _discard(plan, file) from error  # nothing comes after what is here, yet it is too short: it would never resume
                raise
            start = _size(partial)


def _receive_once(url: str, partial: Path, start: int, size: int) -> Iterator[int]:
    """One request for the bytes from `start` on, appended to `partial`; httpx2.TransportError if it brings too few."""
    headers = build_hf_headers(headers={"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {}))
    with get_session().stream("GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT) as response:
        hf_raise_for_status(response)
        continues = response.status_code == HTTPStatus.PARTIAL_CONTENT
        present = start if continues else 0
        with partial.open("ab" if continues else "wb") as output:
            for piece in response.iter_bytes(_PIECE):
                output.write(piece)
                present += len(piece)
                yield min(present, size)
                if present > size:
                    return
            output.flush()
            os.fsync(output.fileno())
    if present < size:
        raise httpx2.RemoteProtocolError("the answer ended early")


def _admit(plan: Announcement, file: HubFile) -> None:
    """Give a received file its final name if its content is the hub's; delete it and raise UserError if not."""
    partial = file.partial(plan.folder)
    if not file.matches(partial):
        raise _discard(plan, file)
    os.replace(partial, plan.folder / file.name)
    for outdated in partial.parent.glob(f"{partial.name.split(file.digest[:12])[0]}*{_PARTIAL}"):
        outdated.unlink()


def _discard(plan: Announcement, file: HubFile) -> UserError:
    """Delete what arrived of a file that cannot become the hub's; the error to raise."""
    file.partial(plan.folder).unlink()
    return UserError(f"{file.name} arrived damaged from {plan.remote.page} (not the size and checksum stated there) and was deleted; start again.")


def _take_turn(stack: ExitStack, remote: RemoteFiles, folder: Path) -> None:
    """Hold the folder's lock while `stack` is open, so that two programs do not write the same partial files."""
    path = _beside(remote, folder, ".lock")
    try:
        stack.enter_context(WeakFileLock(path, timeout=1))
    except TimeoutError:
        raise UserError(
            f"Another program is downloading {remote.repo_id} into {folder}; wait until it has finished and start again (if none is, delete {path})."
        ) from None


def _check_free_space(plan: Announcement) -> None:
    free = shutil.disk_usage(plan.folder).free
    if free < plan.bytes_to_fetch:
        raise UserError(
            f"{plan.remote.repo_id} needs {readable_size(plan.bytes_to_fetch)} on the disk of {plan.folder}, where {readable_size(free)} are free; "
            "make room there or choose another folder."
        )


def _placed_by_hand(folder: Path, pattern: str) -> bool:
    """Whether a usable file answers a pattern, in half or in full precision."""
    return any(_looks_whole(path) for name in (pattern, pattern.replace(".fp16.", ".")) for path in folder.glob(name))


def _looks_whole(path: Path) -> bool:
    """Whether a file is neither empty, nor partial, nor safetensors shorter or longer than their header states."""
    if path.name.endswith(_PARTIAL) or _size(path) == 0:
        return False
    if path.suffix != ".safetensors":
        return True
    try:
        with path.open("rb") as content:
            (length,) = struct.unpack("<Q", content.read(8))
            header = json.loads(content.read(min(length, _LONGEST_SAFETENSORS_HEADER)))
        header.pop("__metadata__", None)
        return _size(path) == 8 + length + max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
    except (OSError, struct.error, ValueError, KeyError, TypeError, AttributeError):
        return False


def _size(path: Path) -> int:
    """Bytes of a file, 0 if there is none."""
    return path.stat().st_size if path.is_file() else 0


def _beside(remote: RemoteFiles, folder: Path, suffix: str) -> Path:
    """A file of ours about one repository; several may share a folder."""
    return folder / f".{remote.repo_id.replace('/', '--')}{suffix}"


def _write_manifest(plan: Announcement) -> None:
    """Record what was fetched and checked: that is what makes a folder complete without asking the hub again."""
    content = asdict(plan.remote) | {"commit": plan.commit, "files": [asdict(file) for file in plan.files]}
    path = _beside(plan.remote, plan.folder, ".json")
    draft = path.with_suffix(_PARTIAL)
    draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(draft, path)


def _read_manifest(remote: RemoteFiles, folder: Path) -> dict[str, Any] | None:
    """The record of an earlier fetch; None if there is none that can be read."""
    try:
        content = json.loads(_beside(remote, folder, ".json").read_text(encoding="utf-8"))
        usable = {"revision", "patterns", "files"} <= content.keys() and all({"name", "size"} <= file.keys() for file in content["files"])
    except (OSError, ValueError, AttributeError, TypeError):
        return None
    return content if usable else None


@contextmanager
def _said_plainly(remote: RemoteFiles, folder: Path) -> Iterator[None]:
    """Turn whatever the network, the hub or the disk raises into one sentence with the way out."""
    try:
        yield
    except UserError:
        raise
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
        raise DownloadFailed(remote, _reason(error), [(remote, folder)]) from error


def _reason(error: Exception) -> str:
    """Why a download failed, as the end of a sentence."""
    match error:
        case OfflineModeIsEnabled():
            return "HF_HUB_OFFLINE forbids asking the hub"
        case GatedRepoError():
            return "its terms must first be accepted on its page, by the account that `hf auth login` logs in here"
        case HFValidationError():
            return "no repository of the hub can have that name"
        case HfHubHTTPError():
            return _reason_of_status(error.response.status_code)
        case httpx2.TimeoutException():
            return f"{_endpoint()} does not answer in time"
        case httpx2.HTTPError() | httpx2.InvalidURL():
            return f"{_endpoint()} cannot be reached or the connection broke"
        case OSError(errno=errno.ENOSPC):
            return "the disk is full"
        case OSError():
            return f"the folder cannot be written ({error.strerror or type(error).__name__})"
        case _:
            return f"what answers at {_endpoint()} is not the hub"


def _reason_of_status(status: int) -> str:
    if status in (401, 403):
        return f"the hub refuses access ({status}): the repository is private or gone, or the account of `hf auth login` may not read it"
    if status == 404:
        return "the hub does not have that repository, revision or file (404)"
    if status == 429 or status >= 500:
        return f"the hub is overloaded or out of order ({status})"
    return f"the hub refuses the request ({status})"
