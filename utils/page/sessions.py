"""Files of visitors: random names, one folder each, gone when they leave."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import stat
import threading
import time
import weakref
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from utils.planning.errors import UserError

if TYPE_CHECKING:
    import gradio as gr

PARTS = SINGLE, BATCH, COMPARISON = ("", "batch", "comparison")
"""Of the page, each with a session of its own for the same visitor: a run of one deletes the files of its run before, and not those of others."""
LONGEST_STAY = 24 * 3600
"""Seconds after which files go although nobody said goodbye (programs that never close their session)."""
LONGEST_PAUSE = 3600
"""Seconds after which an upload to which nothing came has been left by who sent it."""
_UNFINISHED = "tmp????????"
"""Where the server writes what is being uploaded, directly in its folder. It leaves that there when the connection is cut."""


def session_of(request: gr.Request, part: str = SINGLE) -> str:
    """The id of the visitor's session in that part of the page."""
    return f"{request.session_hash} {part}".rstrip()


@dataclass
class _Session:
    folder: Path
    uploads: dict[Path, tuple[int, int] | None] = field(default_factory=dict)
    used: dict[Path, float] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    taken: bool = False
    calls: weakref.WeakSet[threading.Event] = field(default_factory=weakref.WeakSet)
    seen: float = field(default_factory=time.monotonic)

    @property
    def is_busy(self) -> bool:
        """Whether a run or a call is going on."""
        return (self.taken and not self.stop.is_set()) or any(not stop.is_set() for stop in self.calls)


class Sessions:
    """What is kept for each visitor, by the session's id, which is the browser's choice and so never becomes part of a path.

    Folders are deleted after the lock was given back, for that may take long, and all who come meanwhile would wait.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._sessions: dict[str, _Session] = {}
        self._lock = threading.Lock()

    def new_folder(self, session_id: str) -> Path:
        """An empty folder for the files of one run."""
        with self._lock:
            session = self._session(session_id)
            folder = session.folder / secrets.token_hex(16)
            folder.mkdir(parents=True)
            session.used[folder] = time.monotonic()
            return folder

    def own_upload(self, session_id: str, path: Path) -> None:
        """Have an uploaded file deleted with the session. UserError if it lies elsewhere than uploads do."""
        path = path.resolve()
        if not path.is_relative_to(self._root.resolve()):
            raise UserError("A picture must be a file that was uploaded to this server; what is elsewhere is never deleted.")
        with self._lock:
            # Uploaded again, it is another file in the same place, also for those who own it already.
            for owner in (self._session(session_id), *(other for other in self._sessions.values() if path in other.uploads)):
                owner.uploads[path] = _identity(path)

    def begin_run(self, session_id: str, keep: Collection[Path] = ()) -> None:
        """Give the session's next run an event of its own, that stops it; the run before it is stopped, and all folders but `keep` are deleted."""
        with self._lock:
            session = self._stopped(session_id)
            dropped = _taken_from(session, [folder for folder in session.used if folder not in keep])
        _delete(dropped)

    def go_on(self, session_id: str) -> None:
        """As `begin_run`, for a run that goes on with the files of the one before it."""
        with self._lock:
            self._stopped(session_id)

    def run_stop(self, session_id: str) -> threading.Event:
        """The event that stops the session's run, and is set when it has ended."""
        with self._lock:
            return self._used_session(session_id).stop

    def take_run(self, session_id: str) -> threading.Event | None:
        """That event, for the run itself; None if another one has it: of two that are begun at once, the first to come here is the session's run."""
        with self._lock:
            session = self._used_session(session_id)
            if session.taken:
                return None
            session.taken = True
            return session.stop

    def begin_call(self, session_id: str) -> threading.Event:
        """An event that stops one run among several of a session, set when the session ends. No other run is stopped for it."""
        with self._lock:
            stop = threading.Event()
            self._session(session_id).calls.add(stop)
            return stop

    def keep_folder(self, session_id: str, folder: Path) -> None:
        """Count the folder's age from now on, for what was written into it took its time."""
        with self._lock:
            session = self._sessions.get(session_id)
            if session and folder in session.used:
                session.used[folder] = session.seen = time.monotonic()

    def keeps(self, session_id: str, folder: Path) -> bool:
        """Whether the folder is one of the session's: not one that somebody made anew after the session had left."""
        with self._lock:
            session = self._sessions.get(session_id)
            return session is not None and folder in session.used

    def drop_folder(self, session_id: str, folder: Path) -> None:
        """Delete the folder, also where the session has left and somebody made it anew."""
        _delete([folder])
        with self._lock:
            if session := self._sessions.get(session_id):
                session.used.pop(folder, None)
            with contextlib.suppress(OSError):  # other folders are beside it
                folder.parent.rmdir()

    def leave(self, session_id: str) -> None:
        """Stop the runs and delete the files, but not an upload that another visitor made as well (the server keeps equal files once)."""
        with self._lock:
            dropped = self._leave(session_id)
        _delete(dropped)

    def leave_overdue(self) -> None:
        """`leave` for every session that was not used for LONGEST_STAY, and of the others delete the folders that were not; but nothing while a run
        or a call of the session is going on. Uploads that were cut short go as well."""
        with self._lock:
            idle = {key: session for key, session in self._sessions.items() if not session.is_busy}
            overdue = [key for key, session in idle.items() if time.monotonic() - session.seen > LONGEST_STAY]
            dropped = []
            for session in idle.values():
                dropped += _taken_from(session, [folder for folder, used in session.used.items() if time.monotonic() - used > LONGEST_STAY])
            for session_id in overdue:
                dropped += self._leave(session_id)
        _delete(dropped)
        self._delete_unfinished()

    def leave_all(self) -> None:
        """`leave` for every session."""
        for session_id in list(self._sessions):
            self.leave(session_id)

    def _delete_unfinished(self) -> None:
        for path in self._root.glob(_UNFINISHED):
            with contextlib.suppress(OSError):  # it has just been finished
                status = path.lstat()
                if stat.S_ISREG(status.st_mode) and time.time() - status.st_mtime > LONGEST_PAUSE:
                    path.unlink()

    def _leave(self, session_id: str) -> list[Path]:
        """End the session; the folders that are to be deleted for that."""
        session = self._sessions.pop(session_id, None)
        if session is None:
            return []
        for stop in (session.stop, *session.calls):
            stop.set()
        others = set().union(*(other.uploads for other in self._sessions.values()))
        for upload, identity in session.uploads.items():
            if upload in others or _identity(upload) != identity:  # the latter where somebody has just uploaded it, and is about to name it
                continue
            with contextlib.suppress(OSError):  # it cannot be deleted, or something else is in its folder
                upload.unlink(missing_ok=True)
                upload.parent.rmdir()
        return [session.folder]

    def _stopped(self, session_id: str) -> _Session:
        """The session, its run stopped, with an event for the next."""
        session = self._used_session(session_id)
        session.stop.set()
        session.stop, session.taken = threading.Event(), False
        return session

    def _used_session(self, session_id: str) -> _Session:
        """The session, whose run has to do with all of its folders."""
        session = self._session(session_id)
        session.used = dict.fromkeys(session.used, session.seen)
        return session

    def _session(self, session_id: str) -> _Session:
        session = self._sessions.get(session_id)
        if session is None:
            session = self._sessions[session_id] = _Session(self._root / f"session-{secrets.token_hex(16)}")
        session.seen = time.monotonic()
        return session


def _taken_from(session: _Session, folders: list[Path]) -> list[Path]:
    """The folders, which are the session's no longer."""
    for folder in folders:
        del session.used[folder]
    return folders


def _delete(folders: list[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _identity(path: Path) -> tuple[int, int] | None:
    """Differs when a file is put in the place of another; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
