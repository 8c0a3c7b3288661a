"""What a job would do, without doing it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from utils.jobs.fingerprints import input_hash
from utils.pictures.file_state import file_state
from utils.pictures.reading import check_file_size
from utils.planning.errors import UserError

if TYPE_CHECKING:
    from utils.jobs.job import Job
    from utils.planning.plan import Plan


@dataclass(frozen=True)
class FileForecast:
    """What would become of one file: `plan` for one to be upscaled, else a message on why it is not.

    output: relative to the folder of results; None for a file that would fail. replaces: whether the result takes the place of a file.
    """

    input: Path
    output: PurePosixPath | None
    plan: Plan | None = None
    message: str = ""
    replaces: bool = False

    def __str__(self) -> str:
        if self.plan is None:
            return f"{self.input}: {'would fail. ' if self.output is None else ''}{self.message}"
        (h, w), tiles = self.plan.output_size, self.plan.tile_count
        there = ", replacing the file that is there" if self.replaces else ""
        return f"{self.input} -> {self.output}: {w} x {h} pixels, {tiles} tile{'s' if tiles > 1 else ''}{there}"


@dataclass(frozen=True)
class Forecast:
    """A job before it is run. seconds_per_tile: as measured on pictures done in the same folder with the same settings, or None."""

    files: tuple[FileForecast, ...]
    seconds_per_tile: float | None

    @property
    def plans(self) -> list[Plan]:
        return [file.plan for file in self.files if file.plan]

    @property
    def seconds(self) -> float | None:
        """Of work ahead, where a rate is known."""
        return None if self.seconds_per_tile is None else self.seconds_per_tile * sum(plan.tile_count for plan in self.plans)

    def __str__(self) -> str:
        plans, last = self.plans, f"{len(self.plans)} of {len(self.files)} files to upscale"
        if plans:
            tiles = sum(plan.tile_count for plan in plans)
            megapixels = max(sum(math.prod(plan.output_size) for plan in plans) / 1e6, 0.1)
            unknown = ". How long that takes is known when a first picture is done with these settings"
            took = unknown if self.seconds is None else f", about {self.seconds:.0f} s"
            last += f": {tiles} tile{'s' if tiles > 1 else ''}, {megapixels:.1f} megapixels of results{took}"
        return "\n".join([*map(str, self.files), f"{last}."])


def forecast(job: Job, make_plan: Callable[[Path], Plan]) -> Forecast:
    """Look at every file of the job, and write nothing. For a single picture, UserError if it cannot be used."""
    files = tuple(_look_at(job, name, make_plan, _by_content) for name in job.names)
    return Forecast(files, _seconds_per_tile(job))


def quick_forecast(job: Job, make_plan: Callable[[Path], Plan], most: int) -> tuple[FileForecast, ...]:
    """The same of the first `most` files, by what was noted of them: no file is read for whether it was changed since, so that many take no time."""
    return tuple(_look_at(job, name, make_plan, _as_noted) for name in job.names[:most])


def _look_at(
    job: Job, name: PurePosixPath, make_plan: Callable[[Path], Plan], target: Callable[[Job, PurePosixPath], tuple[PurePosixPath, bool]]
) -> FileForecast:
    """target(job, name): where the result goes, and whether it is there already. UserError if it cannot be put there."""
    path = job.inputs.root / name
    try:
        if name in job.inputs.refused:
            raise UserError(job.inputs.refused[name])
        output, is_done = target(job, name)
        if is_done:
            return FileForecast(path, output, message="done before and unchanged.")
        plan = make_plan(path)
        job.options.kind.check_size(plan.output_size)
        return FileForecast(path, output, plan, replaces=(job.out_folder / output).exists())
    except UserError as error:
        if job.inputs.alone:
            raise
        return FileForecast(path, None, message=str(error))


def _by_content(job: Job, name: PurePosixPath) -> tuple[PurePosixPath, bool]:
    path = job.inputs.root / name
    sha256 = input_hash(path, file_state(path))
    output, claim = job.choose_target(name, sha256)
    is_done = job.is_unchanged(claim, sha256)
    if not is_done:
        job.check_replaceable(output)
    return output, is_done


def _as_noted(job: Job, name: PurePosixPath) -> tuple[PurePosixPath, bool]:
    path = job.inputs.root / name
    check_file_size(path.name, file_state(path).size)
    noted = job.manifest.claimed(job.outputs[name])
    output, claim = job.choose_target(name, noted.input_sha256 if noted and noted.input == str(name) else "")
    if claim is None:
        job.check_replaceable(output)
        return output, False
    return output, claim.status == "done" and claim.settings_sha256 == job.settings_sha256 and (job.out_folder / output).is_file()


def _seconds_per_tile(job: Job) -> float | None:
    done = [entry for entry in job.manifest.entries() if entry.status == "done" and entry.settings_sha256 == job.settings_sha256]
    tiles = sum(entry.tiles for entry in done)
    return sum(entry.seconds for entry in done) / tiles if tiles else None
