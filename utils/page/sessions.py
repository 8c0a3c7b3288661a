"""Files of visitors: random names, one folder each, gone when they leave."""

import contextlib
import secrets
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

LONGEST_STAY = 24 * 3600
"""Seconds after which files go although nobody said goodbye (programs that never close their session)."""


@dataclass
class _Session:
    folder: Path
    uploads: set[Path] = field(default_factory=set)
    stop: threading.Event = field(default_factory=threading.Event)
    seen: float = field(default_factory=time.monotonic)


class Sessions:
    """What is kept for each visitor, by the session's id, which is the browser's choice and so never becomes part of a path."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._sessions: dict[str, _Session] = {}
        self._lock = threading.Lock()

    def new_folder(self, session_id: str) -> Path:
        """An empty folder for the files of one run."""
        with self._lock:
            folder = self._session(session_id).folder / secrets.token_hex(16)
            folder.mkdir(parents=True)
            return folder

    def own_upload(self, session_id: str, path: Path) -> None:
        """Have an uploaded file deleted with the session."""
        with self._lock:
            self._session(session_id).uploads.add(path)

    def begin_run(self, session_id: str) -> None:
        """Give the session's next run an event of its own, that stops it; the run before it is stopped and its files are deleted."""
        with self._lock:
            shutil.rmtree(self._stopped(session_id).folder, ignore_errors=True)

    def go_on(self, session_id: str) -> None:
        """As `begin_run`, for a run that goes on with the files of the one before it."""
        with self._lock:
            self._stopped(session_id)

    def run_stop(self, session_id: str) -> threading.Event:
        """The event that stops the session's run."""
        with self._lock:
            return self._session(session_id).stop

    def leave(self, session_id: str) -> None:
        """Stop the run and delete the files, but not an upload that another visitor made as well (the server keeps equal files once)."""
        with self._lock:
            session = self._sessions.pop(session_id, None)
            if session is None:
                return
            session.stop.set()
            shutil.rmtree(session.folder, ignore_errors=True)
            others = set().union(*(other.uploads for other in self._sessions.values()))
            for upload in session.uploads - others:
                upload.unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # something else is in there
                    upload.parent.rmdir()

    def leave_overdue(self) -> None:
        """`leave` for every session that was not used for LONGEST_STAY."""
        with self._lock:
            overdue = [key for key, session in self._sessions.items() if time.monotonic() - session.seen > LONGEST_STAY]
        for session_id in overdue:
            self.leave(session_id)

    def _stopped(self, session_id: str) -> _Session:
        """The session, its run stopped, with an event for the next."""
        session = self._session(session_id)
        session.stop.set()
        session.stop = threading.Event()
        return session

    def _session(self, session_id: str) -> _Session:
        session = self._sessions.get(session_id)
        if session is None:
            session = self._sessions[session_id] = _Session(self._root / f"session-{secrets.token_hex(16)}")
        session.seen = time.monotonic()
        return session
