"""Where the files of a model lie, and which of them are published on the hub; asks the disk alone."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from utils.models.downloading import INVSR_NOISE_PREDICTOR, SD_TURBO, RemoteFiles, missing_files
from utils.planning.settings import Settings

PROJECT = Path(__file__).resolve().parents[2]
WEIGHTS = PROJECT / "weights"


@dataclass(frozen=True)
class PublishedPart:
    """A part of a model that the hub has: what settings call it, its files, and the folder they belong in."""

    name: str
    remote: RemoteFiles
    folder: Path

    def missing(self) -> list[str]:
        """The files that have to be fetched before it can be used; none if one of that name was put there by hand."""
        return [] if find_local(self.name) else missing_files(self.remote, self.folder)


def published_parts(settings: Settings) -> list[PublishedPart]:
    """All parts of the model that the hub has, there or not."""
    return [part for part in (published_pipeline(settings), published_predictor(settings)) if part]


def published_pipeline(settings: Settings) -> PublishedPart | None:
    """SD-Turbo, if the settings name it; None for a folder of this machine."""
    name = settings.sd_pipe.params.pretrained_model_name_or_path
    if name != SD_TURBO.repo_id or find_local(name):
        return None
    return PublishedPart(name, replace(SD_TURBO, revision=settings.sd_pipe.params.revision or SD_TURBO.revision), WEIGHTS / "sd-turbo")


def published_predictor(settings: Settings) -> PublishedPart | None:
    """InvSR's checkpoint, if the settings name it by its bare name or by its place among the project's weights; None for any other."""
    name = settings.model_start.ckpt_path or ""
    (published,) = INVSR_NOISE_PREDICTOR.patterns
    if name != published and (WEIGHTS / published).resolve() not in places(name):
        return None
    return PublishedPart(name, INVSR_NOISE_PREDICTOR, WEIGHTS)


def find_local(name: str) -> Path | None:
    """`name` as a path that exists: as it is, else within the project's folder."""
    return next((path for path in places(name) if path.exists()), None)


def places(name: str) -> Iterator[Path]:
    """Where `name` may lie on this machine; nowhere if no file can have that name: too long, with a NUL, in the home of nobody."""
    for folder in (Path.cwd(), PROJECT):
        try:
            path = (folder / Path(name).expanduser()).resolve()
            path.exists()
        except (OSError, RuntimeError, ValueError):
            continue
        yield path
