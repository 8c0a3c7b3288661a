"""The picture that a visitor works with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from utils.page import describing
from utils.page.display import preview_uri
from utils.page.shared_sampler import SharedSampler
from utils.pictures.reading import load
from utils.planning.errors import UserError
from utils.planning.statistics import ImageStats

if TYPE_CHECKING:
    from sampler_invsr import InvSamplerSR


@dataclass(eq=False)
class Chosen:
    """A picture that was uploaded and could be read: its file, and what the page shows and says of it.

    preview: address of a small copy. size: (h, w). pixel_bytes: bytes of one pixel. kept_bytes: of what comes with the pixels. stats: what `measure`
    found, once it was asked.
    """

    path: Path
    preview: str
    size: tuple[int, int]
    summary: str
    pixel_bytes: int
    kept_bytes: int
    stats: ImageStats | None = None

    def measure(self, sampler: InvSamplerSR) -> ImageStats:
        """How complex, noisy and blurred it is, found out once. UserError if the file was deleted meanwhile."""
        if self.stats is None:
            self.stats = sampler.measure(self.path)
        return self.stats

    def check_kept(self) -> None:
        """UserError if the file was deleted meanwhile."""
        _check_kept(self.path)


def choose(path: Path, shared: SharedSampler) -> Chosen:
    """The uploaded file, read but not yet measured. UserError if it cannot be used."""
    _check_kept(path)
    spec = shared.spec
    picture = load(path, int(shared.settings.max_output_megapixels * 1e6), spec.scale if spec else 1)
    channels = (1 if picture.grey else 3) + (picture.alpha is not None)
    kept = sum(len(data) for data in (picture.icc, picture.exif, picture.xmp) if data)
    return Chosen(path, preview_uri(picture), picture.size, describing.summary(picture), channels * picture.rgb.dtype.itemsize, kept)


def _check_kept(path: Path) -> None:
    if not path.exists():
        raise UserError("The uploaded file is not kept any more; choose it again.")
