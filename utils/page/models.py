"""The models that the page offers: the presets, whether they are here, and the one in use."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.models.downloading import bytes_here
from utils.models.model_files import PublishedPart, find_local, published_parts
from utils.page.model_download import ModelDownload
from utils.page.shared_sampler import SharedSampler
from utils.planning.checked_settings import make_settings, with_overrides
from utils.planning.errors import UserError
from utils.planning.settings import Settings

_PREFIX = "sample-"


@dataclass(frozen=True)
class ModelPreset:
    """A settings file that stands for a model. meaning: the comment that the file begins with, as far as its first line."""

    name: str
    meaning: str
    settings: Settings

    @property
    def parts(self) -> list[PublishedPart]:
        """What of it the hub has; empty for a model that is only on this machine."""
        return published_parts(self.settings)

    def missing(self) -> list[str]:
        """The files without which it cannot be loaded, as far as one can tell without loading it."""
        names = [name for part in self.parts for name in part.missing()]
        params, predictor = self.settings.sd_pipe.params, self.settings.model_start.ckpt_path
        local = [name for name in (params.pretrained_model_name_or_path, predictor) if name and name not in {part.name for part in self.parts}]
        return names + [name for name in local if not find_local(name)]

    @property
    def size(self) -> int:
        """About how many bytes a download of all of it is."""
        return sum(part.remote.size for part in self.parts)

    def bytes_here(self) -> int:
        """How many bytes of that are here."""
        return sum(bytes_here(part.remote, part.folder) for part in self.parts)


def read_presets(folder: Path, own: Path | None = None, overrides: Mapping[str, Any] | None = None) -> tuple[ModelPreset, ...]:
    """The settings file `own` and the presets in `folder`, first those that need no hub; overrides: of them all. UserError if one cannot be used."""
    paths = sorted(folder.glob(f"{_PREFIX}*.yaml"))
    if own and own.resolve() not in [path.resolve() for path in paths]:
        paths.insert(0, own)
    settings = [with_overrides(make_settings(path), overrides or {}) for path in paths]
    presets = [ModelPreset(path.stem.removeprefix(_PREFIX), _first_comment(path), held) for path, held in zip(paths, settings, strict=True)]
    return tuple(sorted(presets, key=lambda preset: bool(preset.parts)))


def _first_comment(path: Path) -> str:
    first, *_ = path.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


class Models:
    """The presets, for all visitors of this server together: one of them is in use, one may be being downloaded.

    may_change: whether visitors may download and switch.
    """

    def __init__(self, shared: SharedSampler, presets: tuple[ModelPreset, ...], may_change: bool) -> None:
        self.shared, self.presets, self.may_change = shared, presets, may_change
        self.download = ModelDownload()

    @property
    def used(self) -> ModelPreset | None:
        """The preset in use, or being loaded at first; None if the program was started with settings of no preset."""
        return self._preset_of(self.shared.settings)

    @property
    def wanted(self) -> ModelPreset | None:
        """The preset that is about to be in use."""
        return self._preset_of(self.shared.wanted)

    def use(self, preset: ModelPreset) -> None:
        """Put it in the place of the one in use, in the background. UserError if it is not here, or another one is on its way."""
        self._check_may_change()
        if missing := preset.missing():
            raise UserError(f"{preset.name} cannot be used before it is here; it lacks {', '.join(missing)}.")
        self.shared.switch(preset.settings)

    def fetch(self, preset: ModelPreset) -> None:
        """Begin its download, or go on with it. UserError while another one is under way."""
        self._check_may_change()
        self.download.start(preset.name, preset.parts)

    def cancel(self, preset: ModelPreset) -> None:
        """End its download, if that is the one under way; what has arrived is kept."""
        self._check_may_change()
        if self.download.progress and self.download.progress.name == preset.name:
            self.download.cancel()

    def can_switch(self) -> bool:
        """Whether no model is on its way already."""
        return self.shared.state.phase != "loading" and self.shared.wanted is None

    def can_fetch(self) -> bool:
        """Whether no download is under way, also not that of the model the program was started with."""
        return self.shared.state.phase != "loading" and not self._is_fetching()

    def is_busy(self) -> bool:
        """Whether something is under way that a page should follow closely."""
        return not self.can_switch() or self._is_fetching()

    def _is_fetching(self) -> bool:
        return self.download.progress is not None and self.download.progress.is_under_way

    def _check_may_change(self) -> None:
        if not self.may_change:
            raise UserError("Models are chosen by whoever runs this server.")

    def _preset_of(self, settings: Settings | None) -> ModelPreset | None:
        return next((preset for preset in self.presets if preset.settings == settings), None)
