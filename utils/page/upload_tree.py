"""Files that a visitor uploaded, put into a folder in the tree that the browser told, under names that every file system takes."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

from utils.jobs.naming import folded
from utils.models.downloading import readable_size
from utils.planning.errors import UserError

MOST_FILES = 1000
MOST_BYTES = 2 * 1024**3
_LONGEST_PART = 120  # bytes of a name, so that the names of results fit as well
_DEEPEST = 12  # folders within folders
_UNFIT = re.compile(r'[\x00-\x1f\x7f<>:"|?*]')  # what some file system does not take in a name
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")  # names that Windows keeps for itself
_PLACE = re.compile(r"[0-9a-f]{64}")  # the server puts an upload into a folder called by its hash


@dataclass(frozen=True)
class Upload:
    """An uploaded file, and what the browser calls it: a name, or a path in the chosen folder."""

    name: str
    path: Path


def received(claims: Any, root: Path) -> list[Upload]:
    """What a browser says that it has uploaded, [{"name": ..., "path": ...}, ...], if it lies where the server puts uploads below `root`.

    UserError for everything else: a browser could name any file of the machine.
    """
    listed = claims if isinstance(claims, list) else [None]
    complete = [claim for claim in listed if isinstance(claim, dict) and {"name", "path"} <= claim.keys()]
    uploads = [Upload(str(claim["name"]), Path(str(claim["path"]))) for claim in complete]
    if len(uploads) != len(listed) or not all(_is_upload(upload.path, root.resolve()) for upload in uploads):
        raise UserError("The files did not arrive as they should; choose them again.")
    return uploads


def _is_upload(path: Path, root: Path) -> bool:
    place = path.parent
    try:
        return place.resolve().parent == root and bool(_PLACE.fullmatch(place.name)) and path.is_file() and not path.is_symlink()
    except (OSError, ValueError):  # too long, or a NUL
        return False


def safe_name(told: str) -> PurePosixPath:
    """The path as the browser told it, in parts that are plain names: it cannot lead out of the folder it is put in."""
    parts = [_safe_part(part) for part in re.split(r"[/\\]", told)]
    *folders, name = [part for part in parts if part] or ["file"]
    return PurePosixPath(*folders[:_DEEPEST], name)


def _safe_part(part: str) -> str:
    part = _UNFIT.sub("_", part.encode("utf-8", "replace").decode()).strip(" ").rstrip(". ")
    part = f"_{part}" if _DEVICES.match(part) else part
    stem, dot, suffix = part.rpartition(".")
    if len(part.encode()) <= _LONGEST_PART:
        return part
    end = dot + suffix if stem and len(suffix.encode()) < 10 else ""
    return part.encode()[: _LONGEST_PART - len(end.encode())].decode("utf-8", "ignore") + end


@dataclass
class UploadTree:
    """The files of a visitor in `folder`. names: relative to it, sorted. bytes: of all of them."""

    folder: Path
    names: list[PurePosixPath] = field(default_factory=list)
    bytes: int = 0
    _files: set[str] = field(default_factory=set)
    _folders: set[str] = field(default_factory=set)
    _known: set[Upload] = field(default_factory=set)

    def add(self, uploads: Iterable[Upload]) -> None:
        """Put the files into the tree; the same file under the same name is taken once. UserError, and none is taken, if there are too many."""
        self.add_each(sorted({upload for upload in uploads if upload not in self._known}, key=lambda upload: (upload.name, upload.path)))

    def add_each(self, uploads: Sequence[Upload]) -> list[PurePosixPath]:
        """The same for every one of them, also where two are the same file; their names, in the order of the uploads."""
        number, size = len(self.names) + len(uploads), self.bytes + sum(upload.path.stat().st_size for upload in uploads)
        if number > MOST_FILES:
            raise UserError(f"These would be {number} files, and this page takes {MOST_FILES} at a time; choose fewer.")
        if size > MOST_BYTES:
            raise UserError(f"These would be {readable_size(size)}, and this page takes {readable_size(MOST_BYTES)} at a time; choose fewer files.")
        names = [self._put(upload) for upload in uploads]
        self.names = sorted([*self.names, *names])
        self.bytes = size
        return names

    @property
    def root(self) -> Path:
        """The folder that counts as chosen: of one uploaded folder its own, so that its results are called as they would be on the command line."""
        tops = {name.parts[0] for name in self.names}
        (top, *others) = tops or {""}
        return self.folder if others or any(len(name.parts) == 1 for name in self.names) else self.folder / top

    def _put(self, upload: Upload) -> PurePosixPath:
        name = self._free_name(safe_name(upload.name))
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        _link(upload.path, target)
        self._known.add(upload)
        self._files.add(folded(name))
        self._folders.update(folded(parent) for parent in name.parents)
        return name

    def _free_name(self, name: PurePosixPath) -> PurePosixPath:
        """The name, or it with a number where another file has it, or where a file has that of a folder."""
        placed = PurePosixPath()
        for part in name.parts[:-1]:
            placed = next(option for option in _numbered(placed / part) if folded(option) not in self._files)
        taken = self._files | self._folders
        return next(option for option in _numbered(placed / name.name) if folded(option) not in taken)


def _numbered(name: PurePosixPath) -> Iterable[PurePosixPath]:
    yield name
    for k in count(2):
        yield name.with_name(f"{name.stem} ({k}){name.suffix}")


def _link(path: Path, target: Path) -> None:
    try:
        os.link(path, target)
    except OSError:  # a file system that has one name for a file
        shutil.copyfile(path, target)
