"""Requests that neither the page nor programs of its visitors make are turned away before Gradio's server sees them."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from utils.page.address import is_own_name

_ROUTES = "/gradio_api/"
# The first and the second fetch pages of other servers, the third runs a converter of videos, the fourth keeps a visitor's inputs on disk.
_UNUSED = re.compile(r"file/|proxy=|process_recording|deep_link")
_FOREIGN = re.compile(r"file=/*https?:", re.IGNORECASE)
_HEARTBEAT = "heartbeat/"
_READING = ("GET", "HEAD", "OPTIONS")

_Refusal = tuple[HTTPStatus, str]


class Gate:
    """Middleware for Gradio's server."""

    def __init__(self, app: ASGIApp, only_as: str | None = None) -> None:
        """only_as: the one name, beside those by which every machine calls itself, under which the page may be asked for. None: under any."""
        self._app, self._only_as = app, only_as

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal:
            status, words = refusal
            await PlainTextResponse(words, status)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> _Refusal | None:
        route, headers = scope["path"].partition(_ROUTES)[2], Headers(scope=scope)
        if _UNUSED.match(route):
            return HTTPStatus.NOT_FOUND, "There is no such thing here."
        if _FOREIGN.match(route):
            return HTTPStatus.FORBIDDEN, "This server gives out its own files only."
        if headers.get("sec-fetch-site") == "cross-site" and scope["method"] not in _READING:
            return HTTPStatus.FORBIDDEN, "Pages of other sites cannot use this one in the name of who looks at them."
        if self._only_as is not None and not _goes_by(headers.get("host", ""), self._only_as):
            return (
                HTTPStatus.FORBIDDEN,
                "This page is for its own machine only; under another name it is served with --auth or --insecure.",
            )
        if route.startswith(_HEARTBEAT) and not _may_enter(scope):
            return HTTPStatus.UNAUTHORIZED, "Log in first."
        return None


def _goes_by(host: str, name: str) -> bool:
    """Whether a request that was sent to `host`, a name and perhaps a port, was sent to this machine by one of its own names, or by that name.

    A page of another site can be sent from a name that first leads to its own server and then here, and would be of the same site as this one.
    """
    try:
        asked = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return asked is None or asked == name.lower() or is_own_name(asked)


def _may_enter(scope: Scope) -> bool:
    """Whether the visitor has logged in, or need not. Gradio keeps a session in memory for everybody whose heart beats."""
    server: Any = scope["app"]
    cookies = Request(scope).cookies
    return server.auth is None or any(cookies.get(f"access-token{kind}-{server.cookie_id}") in server.tokens for kind in ("", "-unsecure"))
