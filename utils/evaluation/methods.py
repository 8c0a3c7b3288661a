"""What is compared: ways of enlarging a low-resolution picture, called by name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from utils.metrics.seams import Tiling, tiling_of
from utils.models.model_loading import find_pipeline, find_predictor
from utils.pictures.resampling import bicubic, lanczos
from utils.pictures.tensors import to_pixels, to_tensor
from utils.planning.checked_settings import make_settings, parse_assignments
from utils.planning.errors import UserError
from utils.planning.settings import Settings, leaves

if TYPE_CHECKING:
    from sampler_invsr import InvSamplerSR

PRESETS = Path(__file__).resolve().parents[2] / "configs"
OVERRIDES = {"color_fix": "none"}
"""What is set for every model unless a method says otherwise: figures of the literature are without colour fix."""


@dataclass(frozen=True)
class Upscaled:
    """A result, [H,W,3] of any depth, and its tiles if there were any."""

    rgb: np.ndarray
    tiling: Tiling | None = None


@dataclass(frozen=True)
class Method:
    """One way of enlarging. upscale: [h,w,1|3] of any depth -> result. facts: what to know of it, by name, without paths of this machine."""

    label: str
    upscale: Callable[[np.ndarray], Upscaled]
    facts: dict[str, Any]


def make_methods(words: Iterable[str], scale: int, make_sampler: Callable[[Settings], InvSamplerSR]) -> list[Method]:
    """The methods called `words`: bicubic, lanczos, a preset's short name such as tiny, or a settings file; models with `:name=value` for settings.

    Every name and setting is checked before the first model is loaded. UserError if one cannot be used at this scale or is given twice.
    """
    words = list(words)
    repeated = next((word for word in words if words.count(word) > 1), None)
    if repeated:
        raise UserError(f"The method {repeated} is named twice; leave one out.")
    settings = {word: _settings(word, scale) for word in words if word not in RESAMPLERS}
    labels = _labels(words)
    return [_sampler(labels[word], settings[word], make_sampler(settings[word])) if word in settings else _resampler(word, scale) for word in words]


RESAMPLERS: dict[str, tuple[Callable[[torch.Tensor, tuple[int, int]], torch.Tensor], str]] = {
    "bicubic": (bicubic, "bicubic, a = -0.75, align_corners off, no antialias"),
    "lanczos": (lanczos, "Lanczos with 3 lobes"),
}


def preset_names() -> list[str]:
    """Short names of the presets: tiny for configs/sample-tiny.yaml."""
    return sorted(path.stem.removeprefix("sample-") for path in PRESETS.glob("sample-*.yaml"))


def _settings(word: str, scale: int) -> Settings:
    name, *assignments = _parts(word)
    path = PRESETS / f"sample-{name}.yaml"
    if not path.is_file():
        path = Path(name)
        if path.suffix.lower() not in (".yaml", ".yml"):
            known = ", ".join([*RESAMPLERS, *preset_names()])
            raise UserError(f"There is no method {name}; use {known}, or the path of a settings file (.yaml).")
    settings = make_settings(path, {**OVERRIDES, "sf": scale, "longest_side": 0, **parse_assignments(assignments)})
    if settings.basesr.sf != scale or settings.basesr.longest_side:
        raise UserError(f"The method {name} asks for another size than {scale} times the input's; leave sf and longest_side to --factor.")
    return settings


def _parts(word: str) -> list[str]:
    """`tiny:seed=7:cfg_scale=2` -> [tiny, seed=7, cfg_scale=2]; a colon without an assignment behind it belongs to the name."""
    parts: list[str] = []
    for piece in word.split(":"):
        if parts and "=" not in piece:
            parts[-1] += f":{piece}"
        else:
            parts.append(piece)
    return parts


def _labels(words: list[str]) -> dict[str, str]:
    """How methods are called in reports: without the folders of a settings file, which tell of this machine; numbered where that makes two alike."""
    labels: dict[str, str] = {}
    for word in words:
        name, *assignments = _parts(word)
        label = base = " ".join([Path(name).stem, *assignments])
        number = 2
        while label in labels.values():
            label, number = f"{base} ({number})", number + 1
        labels[word] = label
    return labels


def _resampler(name: str, scale: int) -> Method:
    resize, description = RESAMPLERS[name]

    def upscale(lq: np.ndarray) -> Upscaled:
        rgb = resize(to_tensor(lq), (lq.shape[0] * scale, lq.shape[1] * scale)).clamp(0, 1).expand(-1, 3, -1, -1)
        return Upscaled(to_pixels(rgb, np.dtype(np.uint8)))

    return Method(name, upscale, {"method": description})


def _sampler(label: str, settings: Settings, sampler: InvSamplerSR) -> Method:
    def upscale(lq: np.ndarray) -> Upscaled:
        result = sampler.upscale(lq)
        return Upscaled(result.picture, tiling_of(result.plan))

    return Method(label, upscale, _facts(settings, sampler))


def _facts(settings: Settings, sampler: InvSamplerSR) -> dict[str, Any]:
    facts: dict[str, Any] = {"model": sampler.spec.name, "weights": _digest(settings)}
    for name, _ in leaves():
        value: Any = settings
        for part in name.split("."):
            value = getattr(value, part)
        last = name.rsplit(".", 1)[-1]
        if last == "params" or value is None or (last.endswith("prompt") and not sampler.spec.has_text):
            continue
        facts[last] = list(value) if isinstance(value, tuple) else value
    for name in ("pretrained_model_name_or_path", "ckpt_path"):
        if Path(str(facts.get(name, ""))).expanduser().is_absolute():
            facts[name] = Path(facts[name]).name
    facts["device"], facts["dtype"] = sampler.device.type, str(sampler.dtype).removeprefix("torch.")
    return facts


def _digest(settings: Settings) -> str:
    """Twelve digits of the SHA-256 of the UNet's and the noise predictor's files: which weights these were."""
    folder = find_pipeline(settings, fetch=lambda files, target: target)  # they are loaded, so everything is there
    predictor = find_predictor(settings, folder, fetch=lambda files, target: target).weights
    digest = hashlib.sha256()
    for path in [*sorted((folder / "unet").glob("*.safetensors")), predictor]:
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:12]
