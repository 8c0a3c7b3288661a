"""Which files of a folder are upscaled, what their results are called, and running them without one stopping the rest."""

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from utils.planning.errors import UserError

PICTURE_SUFFIXES = (".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif")


@dataclass(frozen=True)
class FileResult:
    """What became of one file: output is None where it failed; message says why, or what is to be known of the result."""

    input: Path
    output: Path | None
    message: str = ""


def find_pictures(folder: Path) -> list[Path]:
    """The files of `folder` that are called like pictures, in the order of their names; subfolders are left alone."""
    return sorted(path for path in folder.iterdir() if path.is_file() and path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith("."))


def find_inputs(in_path: Path, out_folder: Path) -> list[Path]:
    """The file `in_path`, or the pictures of the folder `in_path`; UserError if there are none or results could not be put in `out_folder`."""
    if "\0" in f"{in_path}{out_folder}":
        raise UserError("A path holds a NUL character, which no path can hold; check it.")
    try:
        if out_folder.exists() and not out_folder.is_dir():
            raise UserError(f"{out_folder} is a file; name a folder for the results.")
        if not in_path.exists():
            raise UserError(f"{in_path} does not exist; name a picture or a folder of pictures.")
        if not in_path.is_dir():
            return [in_path]
        if out_folder.exists() and out_folder.samefile(in_path):
            raise UserError("The results must not go into the folder of the pictures; name another folder.")
        inputs = find_pictures(in_path)
    except OSError as error:
        raise UserError(f"{error.filename} cannot be looked at ({error.strerror}); check its name and permissions.") from None
    if not inputs:
        raise UserError(f"The folder {in_path} holds no pictures ({', '.join(PICTURE_SUFFIXES)}).")
    return inputs


def name_outputs(inputs: Iterable[Path], out_folder: Path) -> dict[Path, Path]:
    """Input -> out_folder/<stem>.png, or <name>.png for inputs whose stems are the same (also where only the case differs)."""
    inputs = list(inputs)
    stems = Counter(path.stem.casefold() for path in inputs)
    names = {path: path.stem if stems[path.stem.casefold()] == 1 else path.name for path in inputs}
    # The two rules can meet (`a.png.webp` beside `a.png` and `a.jpg`), and names can differ in case only.
    taken = Counter(name.casefold() for name in names.values())
    return {
        path: out_folder / (f"{name}.png" if taken[name.casefold()] == 1 else f"{path.name}.{k}.png") for k, (path, name) in enumerate(names.items())
    }


def make_folder(folder: Path) -> None:
    """Make `folder` and the ones it lies in; UserError if that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be made ({error.strerror}); name another one for the results.") from None


def run_files(inputs: Iterable[Path], work: Callable[[Path, Event], FileResult], at_once: int) -> list[FileResult]:
    """Run work(path, stop) on every file, `at_once` of them together; rows in the order of `inputs`. A UserError fails its file only.

    Any other exception, such as Ctrl-C, sets `stop`, for which the work must watch, and leaves once it is heard.
    """
    stop = Event()

    def run(path: Path) -> FileResult:
        try:
            return work(path, stop)
        except UserError as error:
            return FileResult(path, None, str(error))

    with ThreadPoolExecutor(at_once, thread_name_prefix="picture") as pool:
        futures = [pool.submit(run, path) for path in inputs]
        try:
            return [future.result() for future in futures]
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
