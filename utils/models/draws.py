"""The random numbers of a run: by (seed, tile), so that a result depends on neither the tile batch nor other pictures."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from utils.models.denoising import Draws
from utils.planning.geometry import Box
from utils.planning.model_spec import ModelSpec

POSTERIORS = ("predictor", "vae")


def seeded_draws(seed: int, boxes: Sequence[Box], spec: ModelSpec) -> Draws:
    """Standard normal draws for a batch of tiles, each from a generator of its own; made on the CPU, so equal on every device."""
    tiles = [_tile_draws(seed, box, spec) for box in boxes]
    return {name: torch.stack([tile[k] for tile in tiles]) for k, name in enumerate(POSTERIORS)}


def _tile_draws(seed: int, box: Box, spec: ModelSpec) -> torch.Tensor:
    # SeedSequence spreads neighbouring seeds and tiles over the whole range.
    state = np.random.SeedSequence([seed, box.top, box.left]).generate_state(1, np.uint64)[0]
    generator = torch.Generator().manual_seed(int(state) >> 1)
    return torch.randn(len(POSTERIORS), *spec.latent_shape(box.size), generator=generator)


def draws_of(draws: Draws, which: torch.Tensor | slice) -> Draws:
    """Of the draws for a batch, those that a mask [n] or a slice of it holds."""
    return draws if draws == "mean" else {name: values[which] for name, values in draws.items()}


def check_draws(eps: object, batch: int, lq_size: tuple[int, int], spec: ModelSpec) -> None:
    """ValueError unless `eps` is None, "mean", or a draw [B,C,H,W] for each posterior over padded pictures of `lq_size`."""
    if eps is None or (isinstance(eps, str) and eps == "mean"):
        return
    if not isinstance(eps, Mapping) or set(eps) != set(POSTERIORS):
        raise ValueError(f'eps must be None, "mean", or a mapping with the tensors {" and ".join(POSTERIORS)}')
    shape = (batch, *spec.latent_shape(lq_size))
    for name, value in eps.items():
        if tuple(value.shape) != shape:
            raise ValueError(f"eps[{name!r}] must have the shape {shape}, not {tuple(value.shape)}")


def window_draws(eps: Mapping[str, torch.Tensor], batch: Sequence[tuple[Box, int]], spec: ModelSpec) -> Draws:
    """The part of given draws over whole padded pictures [B,C,H,W] that lies under each tile: a box and the index of its picture."""

    def window(field: torch.Tensor, box: Box, picture: int) -> torch.Tensor:
        top, left = (start * spec.scale // spec.latent_factor for start in box[:2])
        _, h, w = spec.latent_shape(box.size)
        return field[picture, :, top : top + h, left : left + w]

    return {name: torch.stack([window(eps[name], box, picture) for box, picture in batch]) for name in POSTERIORS}
