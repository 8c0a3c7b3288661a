"""Writing results: whole or not at all, and never over a file that is not ours to replace."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from utils.pictures.encoding import encode
from utils.pictures.formats import output_format
from utils.pictures.picture import Picture
from utils.pictures.provenance import made_by_us
from utils.pictures.whole_files import write_whole
from utils.planning.errors import UserError


def check_target(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """UserError if there is something at `path` that `save` would have to spare: a file that this program did not make, unless `overwrite`."""
    if os.path.lexists(path) and not (overwrite and Path(path).is_file()) and not made_by_us(path):
        raise _not_ours(path)


def save(
    picture: Picture,
    path: str | os.PathLike[str],
    metadata: Mapping[str, str],
    *,
    keep_metadata: bool = True,
    overwrite: bool = False,
    before_naming: Callable[[Path], None] = lambda whole: None,
) -> tuple[str, ...]:
    """Writes the picture in the format that the end of the name says; returns sentences on what of it the format cannot hold.

    8 bits for uint8 pictures, 16 for others where the format has them; grey stays grey. metadata: texts on how the picture was made, embedded as
    `utils.pictures.provenance` describes; keep_metadata: without, neither these nor the picture's EXIF and XMP are. The file appears whole or not
    at all, and equal arguments give equal bytes. before_naming gets the whole file under its temporary name, before it gets its own. UserError if the
    folder does not exist, if writing fails, if the format cannot hold such a picture, or for a target that `check_target` refuses.
    """
    target, kind = Path(path), output_format(path)
    replace = overwrite or os.path.lexists(target)  # looked at before it is checked, so that what comes later is never replaced
    check_target(target, overwrite=overwrite)
    if not target.parent.is_dir():
        raise UserError(f"{target} cannot be written: {target.parent} is not a folder; make it first or choose another.")
    try:
        notes = write_whole(
            target, lambda stream: encode(stream, picture, kind, metadata, keep_metadata), replace=replace, before_naming=before_naming
        )
    except FileExistsError:
        raise _not_ours(target) from None
    return tuple(notes)


def _not_ours(path: str | os.PathLike[str]) -> UserError:
    return UserError(f"{path} was not made by this program and is not replaced; choose another name or folder.")
