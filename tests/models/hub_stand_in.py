"""A local stand-in for the Hugging Face hub: a server thread that speaks the part of its HTTP interface that downloads need.

Large files are answered as the real hub does: `resolve` redirects to another address with the size and hash in `X-Linked-*` headers.
"""

import hashlib
import json
import re
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    range: str | None
    encoding: str | None


@dataclass
class HubStandIn:
    """Repositories as `{repo_id: {file name: content}}`, at branch `main` and at `COMMIT`. The other fields are faults to set.

    `refusals`: text in a path -> (status, X-Error-Code) of the answer. `cuts`: file name -> for each coming answer, after how many bytes of it the
    connection breaks (answers beyond the list are whole). `gates`: file name -> after how many bytes an answer waits, and the event that lets the
    rest go. `forgeries`: file name -> the content really sent. `ranges`: honour Range requests.
    """

    repositories: Mapping[str, Mapping[str, bytes]]
    large: tuple[str, ...] = (".safetensors", ".pth")
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    cuts: dict[str, list[int]] = field(default_factory=dict)
    gates: dict[str, tuple[int, threading.Event]] = field(default_factory=dict)
    forgeries: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    requests: list[Request] = field(default_factory=list)

    def __enter__(self) -> "HubStandIn":
        hub = self

        class Handler(_Answer):
            stand_in = hub

        self._server = _Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def is_large(self, name: str) -> bool:
        return name.endswith(self.large)

    def metadata(self, repo_id: str) -> bytes:
        """The answer about a repository: its commit, and size and hash of each file."""
        siblings = []
        for name, content in self.repositories[repo_id].items():
            entry: dict[str, object] = {"rfilename": name, "size": len(content), "blobId": _git_sha1(content)}
            if self.is_large(name):
                entry["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
            siblings.append(entry)
        return json.dumps({"id": repo_id, "modelId": repo_id, "sha": COMMIT, "tags": [], "downloads": 0, "likes": 0, "siblings": siblings}).encode()

    def downloads(self) -> list[Request]:
        """The requests for file contents (not for metadata, not the redirects)."""
        return [
            request
            for request in self.requests
            if request.method == "GET" and ("/cdn/" in request.path or ("/resolve/" in request.path and not self.is_large(request.path)))
        ]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Print a failure of the stand-in itself, not that a client went away, as one that cancels does."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stand_in: HubStandIn

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.stand_in.requests.append(Request(self.command, path, self.headers.get("Range"), self.headers.get("Accept-Encoding")))
        for part, (status, code) in self.stand_in.refusals.items():
            if part in path:
                return self._send(status, {"X-Error-Code": code}, b"")
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/(.+)", path):
            return self._metadata(*found.groups())
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._file(*found.groups(), direct=False)
        if found := re.fullmatch(r"/cdn/([^/]+/[^/]+)/([^/]+)/(.+)", path):
            return self._file(*found.groups(), direct=True)
        return self._send(404, {}, b"")

    def _metadata(self, repo_id: str, revision: str) -> None:
        if repo_id not in self.stand_in.repositories:
            return self._send(401, {"X-Error-Code": "RepoNotFound"}, b"")  # the real hub does not tell strangers what exists
        if revision not in ("main", COMMIT):
            return self._send(404, {"X-Error-Code": "RevisionNotFound"}, b"")
        self._send(200, {"Content-Type": "application/json"}, self.stand_in.metadata(repo_id))

    def _file(self, repo_id: str, revision: str, name: str, direct: bool) -> None:
        content = self.stand_in.repositories.get(repo_id, {}).get(name)
        if content is None or revision not in ("main", COMMIT):
            return self._send(404, {"X-Error-Code": "EntryNotFound"}, b"")
        headers = {"X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes", "ETag": f'"{_git_sha1(content)}"'}
        if self.stand_in.is_large(name) and not direct:
            headers |= {"X-Linked-Size": str(len(content)), "X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"'}
            return self._send(302, headers | {"Location": f"{self.stand_in.url}/cdn/{repo_id}/{revision}/{name}"}, b"")
        content = self.stand_in.forgeries.get(name, content)
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if asked is None or not self.stand_in.ranges:
            return self._send(200, headers, content, name)
        start = int(asked[1])
        if start >= len(content):
            return self._send(416, {"Content-Range": f"bytes */{len(content)}"}, b"")
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._send(206, headers, content[start:], name)

    def _send(self, status: int, headers: Mapping[str, str], body: bytes, name: str = "") -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        cuts = self.stand_in.cuts.get(name)
        if cuts:
            body = body[: cuts.pop(0)]
            self.close_connection = True
        after, gate = self.stand_in.gates.get(name, (0, None))
        if gate:
            self.wfile.write(body[:after])
            gate.wait(60)
        self.wfile.write(body[after:])


def _git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
