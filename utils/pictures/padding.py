"""Padding a picture for the networks and cutting their result back: the only place where either is done."""

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


def crop(sr: torch.Tensor, plan: Plan) -> torch.Tensor:
    """The picture's part [B,3,scale*h,scale*w] of the padded result."""
    box = picture_box(plan)
    return sr[..., box.top : box.bottom, box.left : box.right]
