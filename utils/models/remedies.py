"""What a picture takes beyond its plan where memory, or the numbers that the networks compute in, do not suffice."""

import copy
from dataclasses import dataclass, replace

import torch

from utils.models.denoising import Conditioning, Denoiser
from utils.planning.plan import Plan

SMALLEST_PATCH = 32
"""Side of the smallest tiles that are tried for want of memory; still smaller ones are mostly border."""


@dataclass
class Remedies:
    """How one picture is being computed. tile_batch: tiles at a time, from now on. float32_tiles: so many had to be computed again."""

    tile_batch: int
    float32_tiles: int = 0

    def take_fewer_tiles(self, tried: int) -> bool:
        """Half as many at a time as were too many; False if that was one."""
        if tried > 1:
            self.tile_batch = tried // 2
        return tried > 1

    def sentences(self, plan: Plan) -> list[str]:
        """What is to be known of the result."""
        words = []
        if self.tile_batch < plan.tile_batch:
            words.append(f"For want of memory, tiles were computed {self.tile_batch} at a time instead of {plan.tile_batch}.")
        if self.float32_tiles:
            words.append(f"Tiles that came out black or with values that are not numbers were computed again in float32 ({self.float32_tiles}).")
        return words


def amended(plan: Plan, tile_batch: int, sentences: list[str]) -> Plan:
    """The plan as it was carried out."""
    return replace(plan, tile_batch=tile_batch, reasons=(*plan.reasons, *sentences))


def smaller_patch(patch: int, multiple: int) -> int | None:
    """The side of the tiles to try after `patch` was too large for the memory: about half; None if that is too small to be of use."""
    half = patch // 2 // multiple * multiple
    return half if half >= SMALLEST_PATCH else None


def in_float32(denoiser: Denoiser, conditioning: Conditioning) -> tuple[Denoiser, Conditioning]:
    """Copies that compute in float32, for as long as they are needed; the originals stay as they are, for others may be using them."""
    networks = {name: copy.deepcopy(getattr(denoiser, name)).float() for name in ("noise_predictor", "vae", "unet")}
    sides = [side and {name: _float32(value) for name, value in side.items()} for side in (conditioning.positive, conditioning.negative)]
    return replace(denoiser, **networks), Conditioning(sides[0] or {}, sides[1])


def _float32(value: torch.Tensor | None) -> torch.Tensor | None:
    return value.float() if value is not None and value.is_floating_point() else value
