"""Photographs in memory, and the batches of crops drawn from them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from utils.models.conditioning import CLEAN, DEGRADED
from utils.pictures.degradations import Degradation, blur, degrade, draw_degradation, gaussian_kernel
from utils.planning.errors import UserError
from utils.training.recipe import Recipe

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
MARGIN = 32
"""High-resolution pixels around a crop that are degraded with it, so that its border looks like any other place in a picture."""


@dataclass(frozen=True)
class Batch:
    """lq [B,3,h,w] and target [B,3,scale*h,scale*w] in [0,1]; labels [B]; the timestep list, and how many of its steps to take."""

    lq: torch.Tensor
    target: torch.Tensor
    labels: torch.Tensor
    timesteps: list[int]
    steps: int


def load_photos(folder: Path, smallest_side: int) -> dict[str, np.ndarray]:
    """Every picture under `folder` with both sides at least `smallest_side`, decoded: file name -> uint8 [H,W,3], sorted by name."""
    if not folder.is_dir():
        raise UserError(f"The folder of training pictures {folder} does not exist; give one with --data.")
    photos = {}
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
        try:
            with Image.open(path) as picture:
                pixels = np.asarray(picture.convert("RGB"))
        except OSError as error:
            raise UserError(f"The training picture {path} cannot be read ({error}); repair or remove it.") from error
        if min(pixels.shape[:2]) >= smallest_side:
            photos[path.relative_to(folder).as_posix()] = pixels
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
    """Item n is the batch of step n: a pure function of (photos, seed, n), which makes resuming exact."""

    def __init__(self, photos: Sequence[np.ndarray], recipe: Recipe) -> None:
        self.photos = photos
        self.recipe = recipe

    def __len__(self) -> int:
        return self.recipe.steps

    def __getitem__(self, step: int) -> Batch:
        recipe = self.recipe
        rng = np.random.default_rng([recipe.seed, step])
        timesteps, steps = draw_schedule(rng, recipe)
        samples = [self._sample(rng) for _ in range(recipe.batch)]
        lq, target, labels = zip(*samples, strict=True)
        return Batch(to_tensor(lq), to_tensor(target), torch.tensor(labels), timesteps, steps)

    def _sample(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
        recipe = self.recipe
        window = cut_window(self.photos[int(rng.integers(len(self.photos)))], recipe.crop + 2 * MARGIN, rng)
        # The crop does not sit in the middle of the window, so that JPEG's blocks fall anywhere.
        top, left = recipe.scale * rng.integers(MARGIN // 2 // recipe.scale, 3 * MARGIN // 2 // recipe.scale + 1, size=2)
        lq = degrade(window, draw_degradation(rng, recipe.scale, recipe.clean_share), rng)
        label = DEGRADED if rng.random() < recipe.negative_share else CLEAN
        target = blur(window, gaussian_kernel((recipe.negative_sigma, recipe.negative_sigma))) if label == DEGRADED else window
        return crop(lq, top // recipe.scale, left // recipe.scale, recipe.crop // recipe.scale), crop(target, top, left, recipe.crop), label


def draw_schedule(rng: np.random.Generator, recipe: Recipe) -> tuple[list[int], int]:
    """A timestep list of the recipe and how many of its steps to take: mostly the first one, else two or more."""
    if rng.random() >= recipe.few_step_share:
        return [int(rng.choice(recipe.start_timesteps, p=np.divide(recipe.start_shares, np.sum(recipe.start_shares))))], 1
    timesteps = recipe.few_step_lists[rng.integers(len(recipe.few_step_lists))]
    return list(timesteps), int(rng.integers(2, len(timesteps) + 1))


def validation_pairs(photos: Sequence[np.ndarray], recipe: Recipe) -> list[tuple[np.ndarray, np.ndarray]]:
    """The middle of every photo, at most `validation_crop` pixels a side, and its bicubic reduction: (lq, hq) pairs, float32 in [0,1]."""
    pairs = []
    for photo in photos:
        height, width = (min(side, recipe.validation_crop) // recipe.scale * recipe.scale for side in photo.shape[:2])
        top, left = (photo.shape[0] - height) // 2, (photo.shape[1] - width) // 2
        hq = photo[top : top + height, left : left + width].astype(np.float32) / 255
        pairs.append((degrade(hq, Degradation(recipe.scale), np.random.default_rng(0)), hq))
    return pairs


def cut_window(photo: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """A random square of `side` pixels, turned and mirrored at random, float32 in [0,1]."""
    top, left = (rng.integers(length - side + 1) for length in photo.shape[:2])
    window = np.rot90(crop(photo, top, left, side), int(rng.integers(4)))
    if rng.random() < 0.5:
        window = window[:, ::-1]
    return window.astype(np.float32) / 255


def crop(picture: np.ndarray, top: int, left: int, side: int) -> np.ndarray:
    """The square of `side` pixels whose corner is (top, left)."""
    return picture[top : top + side, left : left + side]


def to_tensor(pictures: Sequence[np.ndarray]) -> torch.Tensor:
    """Pictures [H,W,3] of one size -> [B,3,H,W]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
