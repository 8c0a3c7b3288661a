"""Photographs in memory, and the batches of crops drawn from them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import Dataset

from utils.evaluation.picture_sets import find_tree, read
from utils.models.conditioning import CLEAN, DEGRADED
from utils.pictures.colour_profiles import to_srgb
from utils.pictures.degradations import Degradation, blur, degrade, draw_degradation, gaussian_kernel
from utils.pictures.tensors import full_scale
from utils.planning.errors import UserError
from utils.training.recipe import EmbeddedRecipe, Recipe

MARGIN = 32
"""High-resolution pixels around a crop that are degraded with it, so that its border looks like any other place in a picture."""
FAINT_NOISE = 3 / 255
"""Standard deviation, in [0,1] units, below which softness may be the subject's own; an input with more is one whose blur is to be undone."""


@dataclass(frozen=True)
class Batch:
    """lq [B,3,h,w] and target [B,3,scale*h,scale*w] in [0,1]; labels [B]; the timestep list, and how many of its steps to take.

    poor: [B] bool, whether lq lost more than the bicubic reduction takes.
    seed: of whatever the loss itself draws, so that it is a function of the batch.
    """

    lq: torch.Tensor
    target: torch.Tensor
    labels: torch.Tensor
    poor: torch.Tensor
    timesteps: list[int]
    steps: int
    seed: int = 0

    def to(self, device: torch.device) -> "Batch":
        """The same batch with its tensors on `device`, but for `poor`: it chooses between pictures, which would wait for a device to tell."""
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=True) for name in ("lq", "target", "labels")})

    def pin_memory(self) -> "Batch":
        """The same batch where a GPU fetches it from while it computes; DataLoader asks for this."""
        return replace(self, **{name: getattr(self, name).pin_memory() for name in ("lq", "target", "labels")})


def load_photos(folder: Path, smallest_side: int) -> dict[str, np.ndarray]:
    """Every picture under `folder` with both sides at least `smallest_side`, as sRGB: file name -> uint8 [H,W,3], sorted by name."""
    if not folder.is_dir():
        raise UserError(f"The folder of training pictures {folder} does not exist; give one with --data.")
    photos = {}
    for name in find_tree(folder):
        try:
            picture = read(folder / name)
        except UserError as error:
            raise UserError(f"The training picture {name} cannot be read; repair or remove it. {error}") from error
        if min(picture.size) >= smallest_side:
            srgb = to_srgb(picture.rgb, picture.icc)
            photos[str(name)] = srgb if srgb.dtype == np.uint8 else np.rint(srgb * (255 / full_scale(srgb.dtype))).astype(np.uint8)
    if not photos:
        raise UserError(f"There is no picture of at least {smallest_side} pixels a side in {folder}; give another folder with --data.")
    return photos


def split(names: Sequence[str], held_out: int) -> tuple[list[str], list[str]]:
    """(training names, validation names): the `held_out` names with the lowest hash, so that the split outlives added files mostly unchanged."""
    if held_out >= len(names):
        raise UserError(f"{held_out} validation pictures cannot be held out of {len(names)}; lower validation_photos or add pictures.")
    by_hash = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    return sorted(by_hash[held_out:]), sorted(by_hash[:held_out])


class TrainingBatches(Dataset[Batch]):
    """Item n is a batch: a pure function of (photos, seed, n), which makes resuming exact. One step from a start timestep to the targets."""

    def __init__(self, photos: Sequence[np.ndarray], recipe: Recipe) -> None:
        self.photos = photos
        self.recipe = recipe

    def __getitem__(self, index: int) -> Batch:
        rng = np.random.default_rng([self.recipe.seed, index])
        timesteps, steps = self._schedule(rng)
        samples = [self._sample(rng) for _ in range(self.recipe.batch)]
        lq, target, labels, poor = zip(*samples, strict=True)
        return Batch(to_tensor(lq), to_tensor(target), torch.tensor(labels), torch.tensor(poor), timesteps, steps, int(rng.integers(2**63)))

    def _schedule(self, rng: np.random.Generator) -> tuple[list[int], int]:
        """A timestep list and how many of its steps to take."""
        shares = np.divide(self.recipe.start_shares, np.sum(self.recipe.start_shares))
        return [int(rng.choice(self.recipe.start_timesteps, p=shares))], 1

    def _sample(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int, bool]:
        """A low-resolution crop, its target, its class label, and whether it is a poor one."""
        recipe = self.recipe
        window = cut_window(self.photos[int(rng.integers(len(self.photos)))], recipe.crop + 2 * MARGIN, rng, recipe.smallest_size)
        # The crop does not sit in the middle of the window, so that JPEG's blocks fall anywhere.
        top, left = recipe.scale * rng.integers(MARGIN // 2 // recipe.scale, 3 * MARGIN // 2 // recipe.scale + 1, size=2)
        how = draw_degradation(rng, recipe.scale, recipe.clean_share, recipe.degradations)
        if how.noise_sd < FAINT_NOISE and recipe.defocus_share and rng.random() < recipe.defocus_share:  # for a share of 0 nothing is drawn
            sigma = rng.uniform(0, recipe.defocus_sigma)
            window = blur(window, gaussian_kernel((sigma, sigma)))
        lq = degrade(window, how, rng)
        target, label = self._target(window, rng)
        lq = crop(lq, top // recipe.scale, left // recipe.scale, recipe.crop // recipe.scale)
        return lq, crop(target, top, left, recipe.crop), label, how != Degradation(recipe.scale)

    def _target(self, window: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, int]:
        """What a window is to become, and its class label."""
        return window, CLEAN


class EmbeddedBatches(TrainingBatches):
    """For a model that also learns the steps after the first one and the negative side of guidance."""

    recipe: EmbeddedRecipe

    def _schedule(self, rng: np.random.Generator) -> tuple[list[int], int]:
        if rng.random() >= self.recipe.few_step_share:
            return super()._schedule(rng)
        timesteps = self.recipe.few_step_lists[rng.integers(len(self.recipe.few_step_lists))]
        return list(timesteps), int(rng.integers(2, len(timesteps) + 1))

    def _target(self, window: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, int]:
        if rng.random() >= self.recipe.negative_share:
            return window, CLEAN
        sigma = self.recipe.negative_sigma
        return blur(window, gaussian_kernel((sigma, sigma))), DEGRADED


Pair = tuple[np.ndarray, np.ndarray]
"""A low-resolution picture [h,w,3] and the sharp one [H,W,3], float32 in [0,1]."""

DEGRADED_PAIRS = Degradation(blur_sigma=(1.6, 1.6), noise_sd=4 / 255, jpeg_quality=80)
"""The degraded half of validation: a soft, slightly noisy JPEG."""


def validation_pairs(photos: Sequence[np.ndarray], recipe: Recipe, how: Degradation | None = None, multiple: int = 1) -> list[Pair]:
    """The middle of every photo, at most `validation_crop` pixels a side, with its low-resolution picture: the bicubic reduction, or `how`.

    Sides of the low-resolution pictures are multiples of `multiple`.
    """
    pairs = []
    how = replace(how or Degradation(), factor=recipe.scale)
    unit = recipe.scale * multiple
    for index, photo in enumerate(photos):
        height, width = (min(side, recipe.validation_crop) // unit * unit for side in photo.shape[:2])
        top, left = (photo.shape[0] - height) // 2, (photo.shape[1] - width) // 2
        hq = photo[top : top + height, left : left + width].astype(np.float32) / 255
        pairs.append((degrade(hq, how, np.random.default_rng(index)), hq))
    return pairs


def cut_window(photo: np.ndarray, side: int, rng: np.random.Generator, smallest_size: float = 1.0) -> np.ndarray:
    """A random square of `side` pixels, turned and mirrored at random, float32 in [0,1].

    It is cut from the photo reduced to a random size between `smallest_size` (as far as its shorter side stays at least `side`) and 1: the smaller,
    the more detail a pixel has to show. For a `smallest_size` of 1 no size is drawn.
    """
    seen = side if smallest_size == 1 else min(round(side / rng.uniform(smallest_size, 1)), *photo.shape[:2])
    top, left = (rng.integers(length - seen + 1) for length in photo.shape[:2])
    window = np.rot90(crop(photo, top, left, seen), int(rng.integers(4)))
    if rng.random() < 0.5:
        window = window[:, ::-1]
    return (window if seen == side else _reduced_bytes(window, side)).astype(np.float32) / 255


def _reduced_bytes(rgb: np.ndarray, side: int) -> np.ndarray:
    """A square uint8 [n,n,3] at `side` pixels, by antialiased bicubic: what `resize` does, but several times as fast, for it stays with bytes."""
    pixels = torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None]
    return F.interpolate(pixels, size=(side, side), mode="bicubic", antialias=True)[0].permute(1, 2, 0).numpy()


def crop(picture: np.ndarray, top: int, left: int, side: int) -> np.ndarray:
    """The square of `side` pixels whose corner is (top, left)."""
    return picture[top : top + side, left : left + side]


def to_tensor(pictures: Sequence[np.ndarray]) -> torch.Tensor:
    """Pictures [H,W,3] of one size -> [B,3,H,W]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
