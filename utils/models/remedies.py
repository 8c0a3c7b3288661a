"""What a picture takes beyond its plan where memory, or the numbers that the networks compute in, do not suffice."""

import copy
from dataclasses import dataclass, replace

import torch

from utils.models.denoising import Conditioning, Denoiser
from utils.planning.plan import Plan


@dataclass
class Remedies:
    """How one picture is being computed.

    tile_batch: tiles at a time, from now on. largest: side of the largest tile that is tried as a whole, from now on. tiles_in_parts: so many
    were not. float32_tiles: so many had to be computed again.
    """

    tile_batch: int
    largest: int
    tiles_in_parts: int = 0
    float32_tiles: int = 0

    def sentences(self, plan: Plan) -> list[str]:
        """What is to be known of the result."""
        words = []
        if self.tile_batch < plan.tile_batch:
            words.append(f"For want of memory, tiles were computed {self.tile_batch} at a time instead of {plan.tile_batch}.")
        if self.tiles_in_parts:
            which = f"{self.tiles_in_parts} of {plan.tile_count} tiles of {plan.patch} pixels"
            words.append(f"For want of memory, {which} were computed in overlapping parts, the smallest of {self.largest} pixels.")
        if self.float32_tiles:
            words.append(f"Tiles that came out black or with values that are not numbers were computed again in float32 ({self.float32_tiles}).")
        return words


def amended(plan: Plan, remedies: Remedies) -> Plan:
    """The plan as it was carried out."""
    return replace(plan, tile_batch=remedies.tile_batch, reasons=(*plan.reasons, *remedies.sentences(plan)))


def in_float32(denoiser: Denoiser, conditioning: Conditioning) -> tuple[Denoiser, Conditioning]:
    """Copies that compute in float32, for as long as they are needed; the originals stay as they are, for others may be using them."""
    networks = {name: copy.deepcopy(getattr(denoiser, name)).float() for name in ("noise_predictor", "vae", "unet")}
    sides = [side and {name: _float32(value) for name, value in side.items()} for side in (conditioning.positive, conditioning.negative)]
    return replace(denoiser, **networks), Conditioning(sides[0] or {}, sides[1])


def _float32(value: torch.Tensor | None) -> torch.Tensor | None:
    return value.float() if value is not None and value.is_floating_point() else value
