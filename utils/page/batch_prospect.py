"""What a batch will take, said before it is run: the sizes that come out, tiles, seconds and memory, and what will not work."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from utils.jobs.forecast import quick_forecast
from utils.jobs.job import Job
from utils.models.downloading import readable_size
from utils.page import markup
from utils.page.cost import available_memory, memory
from utils.page.describing import duration, wide_by_high
from utils.page.errors import told
from utils.page.figures import unbroken
from utils.page.upload_tree import MOST_FILES
from utils.pictures.reading import picture_size
from utils.planning.adaptive import extremes
from utils.planning.errors import UserError
from utils.planning.plan import Plan, Size, make_plan

if TYPE_CHECKING:
    from sampler_invsr import InvSamplerSR
    from utils.jobs.options import JobOptions
    from utils.page.batch import Batch
    from utils.page.batch_running import BatchFile

_NAMED = 3
"""How many files a sentence names."""
_PIXEL_BYTES = 3
"""Of a result in its file, at most, unless it has 16 bits or transparency."""


@dataclass(frozen=True)
class _Cost:
    """What a picture takes: a plan with the least and one with the most that may be decided by what is in it, and bytes of memory."""

    least: Plan
    most: Plan
    memory: int


@dataclass(frozen=True)
class Prospect:
    """Of a batch, or of the first files of a long one.

    files, looked_at: how many there are, and of how many the rest tells. done: how many have their result. costs: of those to be done. failing: those
    that cannot be. failed: those that failed with these very settings, and whose headers do not say why. tight: those that may need more memory than
    the `free_memory`. free_disk: for the results. Both in bytes.
    """

    files: int
    looked_at: int
    done: int
    costs: list[_Cost]
    failing: list[BatchFile]
    failed: list[BatchFile]
    tight: list[BatchFile]
    free_memory: int
    free_disk: int


def look_ahead(batch: Batch, sampler: InvSamplerSR, options: JobOptions) -> Prospect:
    """Decide by the headers of the files, and by what was noted of results; files that wait are told. UserError if the settings cannot be used."""
    assert batch.inputs is not None
    cost_of, sizes = _reckoner(sampler), {file.path: file.size for file in batch.pictures}
    job = Job(batch.inputs, batch.out_folder, sampler, options)
    ahead = quick_forecast(job, lambda path: cost_of(sizes[path] or picture_size(path)).most, MOST_FILES)
    free = available_memory(sampler.device)
    costs: list[_Cost] = []
    failing: list[BatchFile] = []
    failed: list[BatchFile] = []
    tight: list[BatchFile] = []
    for one, name in zip(ahead, batch.inputs.names, strict=False):
        file, message = batch.files[name], ""
        if one.plan and file.status == "failed" and file.failed_with == job.settings_sha256:
            failed.append(file)
        elif one.plan:
            costs.append(cost := cost_of(one.plan.picture_size))
            if cost.memory > free:
                tight.append(file)
                message = f"This may not fit into memory: it takes up to {_bytes(cost.memory)}."
        elif one.output is None:
            failing.append(file)
            message = told(UserError(one.message))
        if file.is_ahead:
            file.status = "waiting" if one.output else "refused"
            file.message, file.result_size = message, one.plan.output_size if one.plan else None
    done = len(ahead) - len(costs) - len(failing) - len(failed)
    return Prospect(len(batch.inputs.names), len(ahead), done, costs, failing, failed, tight, free, _free_disk(batch.out_folder))


def _reckoner(sampler: InvSamplerSR) -> Callable[[Size], _Cost]:
    """What a picture of a size takes, decided once for each: the pictures of a camera have few. UserError for one that is too large."""
    least, most = extremes(sampler.settings, *sampler.spec.timesteps)

    @cache
    def cost_of(size: Size) -> _Cost:
        plan = make_plan(size, most, sampler.spec)
        return _Cost(plan if least == most else make_plan(size, least, sampler.spec), plan, memory(plan, sampler.spec, sampler.dtype))

    return cost_of


def _free_disk(folder: Path) -> int:
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    return shutil.disk_usage(existing).free


def described(prospect: Prospect, seconds_for: Callable[[Plan], float | None]) -> str:
    """The prospect as HTML. seconds_for(plan): how long that takes, where it is known."""
    rows = [("Done", f"{prospect.done} of them, with these settings")] if prospect.done else []
    if prospect.costs:
        rows += [("Output", _output(prospect)), ("Work", _work(prospect, seconds_for))]
    notes = [f"Judged by the first {prospect.looked_at} files of {prospect.files}."] if prospect.looked_at < prospect.files else []
    return (markup.facts(rows) if rows else "") + "".join(map(markup.notice, [*notes, *_warnings(prospect)]))


def _output(prospect: Prospect) -> str:
    sizes = sorted({cost.most.output_size for cost in prospect.costs}, key=math.prod)
    spread = " to ".join(unbroken(wide_by_high(size)) for size in dict.fromkeys((sizes[0], sizes[-1])))
    megapixels = unbroken(f"{max(_pixels(prospect) / 1e6, 0.1):.1f} megapixels")
    return f"{spread}, {megapixels}" + (" together" if len(prospect.costs) > 1 else "")


def _work(prospect: Prospect, seconds_for: Callable[[Plan], float | None]) -> str:
    patch = prospect.costs[0].most.patch
    ends = [[cost.least for cost in prospect.costs], [cost.most for cost in prospect.costs]]
    tiles = _range([f"{_of_all(prospect, [plan.tile_count for plan in plans]):.0f}" for plans in ends])
    words = [f"{tiles} tile{'' if tiles == '1' else 's'} of {unbroken(wide_by_high((patch, patch)))}"]
    seconds = [[seconds_for(plan) for plan in plans] for plans in ends]
    known = [[one for one in some if one is not None] for some in seconds]  # all, or none before the first run
    if known[0]:
        words.append(f"about {_range([unbroken(duration(_of_all(prospect, some))) for some in known])}")
    words.append(f"up to {_bytes(max(cost.memory for cost in prospect.costs))} of memory")
    return ", ".join(words)


def _warnings(prospect: Prospect) -> list[str]:
    words = []
    if prospect.failing:
        words.append(f"{_named(prospect.failing)} cannot be done; the list says why.")
    if prospect.failed:
        words.append(f"{_named(prospect.failed)} failed with these settings. The next run tries again, which is not counted here.")
    if prospect.tight:
        words.append(
            f"{_named(prospect.tight)} may not fit: only {_bytes(prospect.free_memory)} of memory are free."
            " A smaller chopping size, no guidance or smaller pictures take less."
        )
    disk = round(_pixels(prospect) * _PIXEL_BYTES)
    if disk > prospect.free_disk:
        words.append(f"The results may not fit on the disk: they take up to {_bytes(disk)}, and {_bytes(prospect.free_disk)} are free.")
    return words


def _pixels(prospect: Prospect) -> float:
    return _of_all(prospect, [math.prod(cost.most.output_size) for cost in prospect.costs])


def _of_all(prospect: Prospect, amounts: Sequence[float]) -> float:
    """The sum over those looked at, and for the others as much in proportion."""
    return sum(amounts) * prospect.files / prospect.looked_at


def _bytes(number: int) -> str:
    return unbroken(readable_size(number))


def _range(ends: Sequence[str]) -> str:
    low, high = ends
    return low if low == high else f"{low} to {high}"


def _named(files: Sequence[BatchFile]) -> str:
    names, more = [str(file.name) for file in files[:_NAMED]], len(files) - _NAMED
    if more > 0:
        return f"{', '.join(names)} and {more} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
