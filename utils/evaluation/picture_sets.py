"""Folders of pictures that belong together: which files they hold, which of one answers to which of another, and reading them."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from utils.jobs.inputs import PICTURE_SUFFIXES
from utils.pictures.picture import Picture
from utils.pictures.reading import load
from utils.planning.errors import UserError

NO_LIMIT = 2**62
"""Pixels: what Pillow's own guard lets pass may be measured."""


@dataclass(frozen=True)
class Skipped:
    """A picture that was left out, by its name in its folder, and why."""

    picture: str
    reason: str


def find_tree(folder: Path) -> list[PurePosixPath]:
    """The files in `folder` and below that are called like pictures, relative to it and sorted; hidden ones and linked folders are left alone.

    UserError if it is no folder or there are none.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name a folder of pictures.")
    try:
        relative = (path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
        found = sorted(PurePosixPath(path.as_posix()) for path in relative if not any(part.startswith(".") for part in path.parts))
    except OSError as error:
        raise UserError(f"{error.filename} cannot be looked at ({error.strerror}); check its permissions.") from None
    if not found:
        raise UserError(f"The folder {folder} holds no pictures ({', '.join(PICTURE_SUFFIXES)}).")
    return found


def check_apart(target: Path, *sources: Path | None) -> None:
    """UserError if `target` is one of the folders of pictures or lies in one, links followed: nothing is written into those."""
    for source in sources:
        if source is not None and target.resolve().is_relative_to(source.resolve()):
            raise UserError(f"The results must not go into the folder of the pictures, {source}; name another folder.")


class PictureSet:
    """The pictures of a folder, found by the names of others."""

    def __init__(self, folder: Path) -> None:
        """UserError if it is no folder or holds no pictures."""
        self.folder = folder
        self._by_stem: dict[str, list[PurePosixPath]] = defaultdict(list)
        for name in find_tree(folder):
            self._by_stem[str(name.with_suffix("")).casefold()].append(name)

    def answering(self, name: PurePosixPath, scale: int) -> Path:
        """The file that goes with `name`: in the same subfolder, called `<name>.*`, `<stem>.*` or `<stem>x<scale>.*`, in this order.

        (Results of a folder that holds both a.jpg and a.png are called a.jpg.png and a.png.png.) UserError if there is none, or more than one.
        """
        stem = str(name.with_suffix("")).casefold()
        for candidate in (str(name).casefold(), stem, f"{stem}x{scale}"):
            found = self._by_stem.get(candidate, [])
            if len(found) > 1:
                raise UserError(f"{' and '.join(str(path) for path in found)} in {self.folder.name} could both belong to it; take one away.")
            if found:
                return self.folder / found[0]
        raise UserError(f"No picture in {self.folder.name} is called like it; add that one.")


def read(path: Path) -> Picture:
    """The picture as `reading.load` reads it, of any size that is read at all."""
    return load(path, max_output_pixels=NO_LIMIT, scale=1)


def colours(picture: Picture) -> np.ndarray:
    """[h,w,3], or [h,w,1] of a grey picture, without transparency."""
    return picture.rgb[..., :1] if picture.grey else picture.rgb


def cropped(pixels: np.ndarray, multiple: int) -> np.ndarray:
    """What is left of [H,W,C] if rows at the bottom and columns at the right are dropped until both sides are multiples."""
    h, w = (side // multiple * multiple for side in pixels.shape[:2])
    return pixels[:h, :w]
