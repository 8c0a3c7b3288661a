"""Which files of a folder are its pictures, and which look like some but must not be touched."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from utils.jobs.output_folder import check_folder
from utils.pictures import formats
from utils.planning.errors import UserError

PICTURE_SUFFIXES = (".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".heic", ".heif")
_SYSTEM_NAMES = {"thumbs.db", "desktop.ini", "__macosx", "$recycle.bin", "system volume information", "lost+found", "@eadir"}
_BMP_RESERVED = slice(6, 10)  # zero in every bitmap, and letters in a text that begins with "BM"


@dataclass(frozen=True)
class Inputs:
    """The files of a job, by their names relative to `root`, sorted. refused: why some of them are not even opened. alone: `root` was not asked for,
    only the one file in it."""

    root: Path
    names: tuple[PurePosixPath, ...]
    refused: Mapping[PurePosixPath, str] = field(default_factory=dict)
    alone: bool = False


def find_inputs(in_path: Path, out_folder: Path, recursive: bool = False) -> Inputs:
    """The file `in_path`, or the files of the folder `in_path` that have a picture's suffix or content; with `recursive`, of its subfolders too.

    System files and `out_folder` are left out; links are refused. UserError if there are none or results could not be put in `out_folder`.
    """
    if "\0" in f"{in_path}{out_folder}":
        raise UserError("A path holds a NUL character, which no path can hold; check it.")
    check_folder(out_folder, "for the results")
    try:
        if not in_path.exists():
            raise UserError(f"{in_path} does not exist; name a picture or a folder of pictures.")
        if not in_path.is_dir():
            if not in_path.is_file():  # reading it might never end
                raise UserError(f"{in_path} is not an ordinary file; name a picture or a folder of pictures.")
            return Inputs(in_path.parent, (PurePosixPath(in_path.name),), alone=True)
        _check_apart(in_path, out_folder, recursive)
        refused: dict[PurePosixPath, str] = {}
        names = tuple(sorted(_pictures(in_path, PurePosixPath(), out_folder.resolve(), recursive, refused)))
    except OSError as error:
        raise UserError(f"{error.filename} cannot be looked at ({error.strerror}); check its name and permissions.") from None
    if not names:
        where = "" if recursive or not any(path.is_dir() for path in in_path.iterdir()) else " itself; --recursive looks into its subfolders"
        raise UserError(f"The folder {in_path} holds no pictures ({', '.join(PICTURE_SUFFIXES)}){where}.")
    return Inputs(in_path, names, refused)


def _check_apart(in_folder: Path, out_folder: Path, recursive: bool) -> None:
    is_same = out_folder.samefile(in_folder) if out_folder.exists() else out_folder.resolve() == in_folder.resolve()  # IN/new/.. comes into being
    if is_same:
        raise UserError("The results must not go into the folder of the pictures; name another folder.")
    if recursive and in_folder.resolve().is_relative_to(out_folder.resolve()):
        raise UserError(f"The folder {in_folder} lies in the folder for the results; name another one for these.")


def _pictures(folder: Path, below: PurePosixPath, left_out: Path, recursive: bool, refused: dict[PurePosixPath, str]) -> Iterator[PurePosixPath]:
    """The names of the pictures in `folder`, which is `below` the root; of those that are refused, the reason goes into `refused`."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = below / entry.name
            if entry.name.startswith(".") or entry.name.casefold() in _SYSTEM_NAMES:
                continue
            if entry.is_dir(follow_symlinks=False):
                if recursive and Path(entry.path).resolve() != left_out:
                    try:
                        yield from _pictures(Path(entry.path), name, left_out, recursive, refused)
                    except OSError as error:
                        refused[name] = f"{name} cannot be looked at ({error.strerror}); check its permissions."
                        yield name
            elif reason := _reason_against(entry, recursive):
                refused[name] = f"{name} is {reason}."
                yield name
            elif _is_picture(entry):
                yield name


def _reason_against(entry: os.DirEntry[str], recursive: bool) -> str | None:
    """Why something that is no folder is refused if it passes for a picture, or for a folder that should be looked into."""
    suffix_fits = Path(entry.name).suffix.lower() in PICTURE_SUFFIXES
    if entry.is_symlink():
        if suffix_fits or (recursive and entry.is_dir()):
            return "a link, which may lead out of the folder, and is not followed; put the picture itself there"
    elif suffix_fits and not entry.is_file():
        return "not an ordinary file; remove it"
    return None


def _is_picture(entry: os.DirEntry[str]) -> bool:
    if entry.is_symlink() or not entry.is_file():
        return False
    if Path(entry.name).suffix.lower() in PICTURE_SUFFIXES:
        return True
    try:
        with open(entry.path, "rb") as stream:
            start = stream.read(formats.START_LENGTH)
    except OSError:  # nothing says that it is one
        return False
    kind = formats.recognised(start)
    return kind is not None and (kind != "BMP" or not any(start[_BMP_RESERVED]))
