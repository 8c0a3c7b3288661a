"""What was done in a folder of results: one line of JSON for each step, only ever appended to, so that a job can go on where it stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Set
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from utils.jobs.naming import folded
from utils.jobs.output_folder import make_folder, remove_parts
from utils.planning.errors import UserError

if os.name == "posix":
    import fcntl

MANIFEST = "manifest.jsonl"
_CLEARING = 2.0
"""Seconds that a job which shares the folder waits for another one that is clearing half-written files away."""
_BEGINNING = b'{"root": "'
_STATUSES = ("started", "done", "failed")


@dataclass(frozen=True)
class Entry:
    """A line: what became of an input.

    input, output: names relative to their folders. root: hash of where the folder of inputs lies. status: started, done or failed; started means that
    the result may have been written, or not: as the file of output_sha256 if it is there. settings_sha256: of everything asked for, with the model.
    tiles: that went through the networks. seconds: of work.
    """

    root: str
    input: str
    status: str
    settings_sha256: str
    model: str
    seed: int
    input_sha256: str = ""
    output: str = ""
    output_sha256: str = ""
    tiles: int = 0
    seconds: float = 0.0
    message: str = ""

    def is_of(self, root: str, name: PurePosixPath, sha256: str) -> bool:
        """Whether it is about the same input, which may have changed since, or whose folder may have been moved."""
        return self.input == str(name) and (self.root == root or self.input_sha256 == sha256)


class Manifest:
    """The file `manifest.jsonl` in a folder of results. One thread may append while others look."""

    def __init__(self, folder: Path) -> None:
        """UserError if there is a file of that name that cannot be read or that is something else."""
        self.path = folder / MANIFEST
        self._stream: int | None = None
        self._needs_newline = False
        self._is_new = False
        self.reload()
        if not self._claims and not self._begins_as_ours():
            raise UserError(f"{self.path} was not made by this program and is not added to; name another folder for the results.")

    def reload(self) -> None:
        """Look again at whose the names are. UserError if the file cannot be read."""
        self._claims: dict[str, Entry] = {}
        self._before: dict[str, Entry | None] = {}
        self._results: dict[str, set[str]] = {}
        for entry in self.entries():
            self.claim(entry)

    def reload_name(self, output: PurePosixPath) -> None:
        """Look again at whose this name is, for others may have appended: quick in a long file. UserError if it cannot be read."""
        wanted = folded(output)
        entries = list(self.entries(wanted))
        for known in (self._claims, self._before, self._results):
            known.pop(wanted, None)
        for entry in entries:
            self.claim(entry)

    def entries(self, output: str | None = None) -> Iterator[Entry]:
        """All lines, oldest first, or those of a folded output; one that was cut short, or is none of ours, is passed over.

        UserError if the file cannot be read.
        """
        try:
            with self.path.open("rb") as stream:
                for line in stream:
                    if output is not None and _folded_output(line) != output:
                        continue
                    if (entry := _parsed(line)) is not None:
                        yield entry
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise UserError(f"{self.path} cannot be read ({error.strerror}); check its permissions, or name another folder.") from error

    def _begins_as_ours(self) -> bool:
        """Whether the file is missing, or begins like a line, of which there may be no more than the beginning."""
        try:
            with self.path.open("rb") as stream:
                return _BEGINNING.startswith(stream.read(len(_BEGINNING)))
        except OSError:
            return True  # opening it will say what is wrong

    def claim(self, entry: Entry) -> None:
        """Let the name of its output be this input's from now on, unless it is another's: who comes first has it.

        With a failure it stands again as it was before the start; one without a start changes nothing.
        """
        output = folded(PurePosixPath(entry.output))
        owner = self._claims.get(output)
        if not entry.output or (owner and not owner.is_of(entry.root, PurePosixPath(entry.input), entry.input_sha256)):
            return
        self._results.setdefault(output, set()).update(filter(None, [entry.output_sha256]))
        if entry.status != "failed":
            if entry.status == "started":
                self._before[output] = owner if owner is None or owner.status == "done" else self._before.get(output) or owner
            self._claims[output] = entry
        elif owner and owner.status == "started":
            if before := self._before.pop(output, None):
                self._claims[output] = before
            else:
                del self._claims[output], self._results[output]

    def claimed(self, output: PurePosixPath) -> Entry | None:
        """The latest entry that gave its result this name."""
        return self._claims.get(folded(output))

    def results(self, output: PurePosixPath) -> Set[str]:
        """SHA-256 of every file that was given this name as the result of who has it, or was about to be."""
        return self._results.get(folded(output), set())

    def open(self, shared: bool, folders: Iterable[Path] = ()) -> None:
        """Begin to append, making the folder where it is missing. UserError if another job is at work there, unless both share.

        Whoever is alone clears half-written files out of `folders` first. (Where there are no such locks, as on Windows, this refuses nobody.)
        """
        make_folder(self.path.parent)
        try:
            self._stream = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise UserError(f"{self.path} cannot be written ({error.strerror}); check the folder's permissions and free space.") from error
        alone = self._lock(alone=True)
        if alone:
            remove_parts(folders)
        if not (self._shared_lock() if shared else alone):
            self.close()
            raise UserError(f"Another job is writing into {self.path.parent}; wait until it has ended, or name another folder.")
        self._is_new = os.fstat(self._stream).st_size == 0
        if not self._is_new:
            os.lseek(self._stream, -1, os.SEEK_END)
            self._needs_newline = os.read(self._stream, 1) != b"\n"
        self.reload()

    def append(self, entry: Entry) -> None:
        """Write a line that outlasts a loss of power. UserError if that cannot be."""
        if self._stream is None:
            raise ValueError("open the manifest before appending to it")
        line = b"\n" * self._needs_newline + json.dumps(asdict(entry)).encode() + b"\n"
        self._needs_newline = True  # until the whole line is there
        try:
            while line:
                line = line[os.write(self._stream, line) :]
            os.fsync(self._stream)
            self._needs_newline = False
        except OSError as error:
            raise UserError(f"{self.path} cannot be written: {error.strerror}; check the folder's free space.") from error
        self.claim(entry)

    def discard_if_new(self) -> None:
        """Remove the file if it was made by this opening, unless others have come to use it."""
        if self._is_new and self.is_open and self._lock(alone=True):
            with contextlib.suppress(OSError):  # Windows keeps a file that is open
                self.path.unlink()

    @property
    def is_open(self) -> bool:
        return self._stream is not None

    def size(self) -> int:
        """In bytes; 0 where there is no such file."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def close(self) -> None:
        """Let others at the folder."""
        if self._stream is not None:
            os.close(self._stream)
            self._stream = None

    def _shared_lock(self) -> bool:
        """Whether a lock that others share could be had, in place of one held alone; who has it alone to clear away gives it back in a moment."""
        deadline = time.monotonic() + _CLEARING
        while not self._lock(alone=False):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def _lock(self, alone: bool) -> bool:
        """Whether the lock could be had; kept until the file is closed, also by the end of the process."""
        if os.name != "posix" or self._stream is None:
            return True
        try:
            fcntl.flock(self._stream, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # some network folders know no locks
            return True
        return True


_OUTPUT = re.compile(rb'"output": ("(?:[^"\\]|\\.)*")')


def _folded_output(line: bytes) -> str | None:
    """The output of a line, found without reading the rest of it."""
    found = _OUTPUT.search(line)
    try:
        return folded(PurePosixPath(json.loads(found[1]))) if found else None
    except ValueError:
        return None


_KINDS = {"str": str, "int": int, "float": (int, float)}


def _parsed(line: bytes) -> Entry | None:
    try:
        data: Any = json.loads(line)
        entry = Entry(**{field.name: data[field.name] for field in dataclasses.fields(Entry) if field.name in data})
    except (ValueError, TypeError, RecursionError):
        return None
    sound = all(isinstance(getattr(entry, field.name), _KINDS.get(str(field.type), str)) for field in dataclasses.fields(Entry))
    return entry if sound and entry.status in _STATUSES else None
