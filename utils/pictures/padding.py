"""Padding a picture for the networks, and where it lies in their result."""

import torch

from utils.planning.geometry import Box, pad_axis
from utils.planning.plan import Plan


def pad(lq: torch.Tensor, plan: Plan) -> torch.Tensor:
    """[B,3,h,w] of the plan's picture size -> [B,3,H,W] of its padded size, by reflection."""
    rows, columns = (torch.tensor(pad_axis(length, plan.patch, plan.lq_multiple).sources, device=lq.device) for length in plan.picture_size)
    return lq[..., rows, :][..., columns]


def picture_box(plan: Plan) -> Box:
    """Where the picture lies in the padded result, in pixels of the result."""
    (top, left), (h, w) = plan.origin, plan.picture_size
    return Box(top, left, top + h, left + w).scaled(plan.scale)
