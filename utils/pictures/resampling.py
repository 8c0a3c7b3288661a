"""Resizing: the two bicubic kernels of the method, one for the network's input, one for the reference that stages compare with; and Lanczos."""

import torch
import torch.nn.functional as F

REACH = 2
"""Pixels of the smaller picture, on either side of the one at the same place, that a value of `bicubic_antialiased` depends on, both ways."""


def bicubic(rgb: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Interpolating bicubic (a = -0.75, no antialias, not clamped) of [B,C,h,w] to `size` (H, W): what the VAE encoder is given."""
    return F.interpolate(rgb.float(), size=size, mode="bicubic", align_corners=False)


def bicubic_antialiased(rgb: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Antialiased bicubic (a = -0.5, not clamped) of [B,C,h,w] to `size` (H, W): the colour reference, and every reduction."""
    if size[1] == 1:  # the rows of a single column are all resized to the first by torch 2.13, so it gets two
        column = _antialiased(rgb, (rgb.shape[-2], 1))
        return _antialiased(column.expand(*column.shape[:-1], 2), size=(size[0], 2))[..., :1]
    return _antialiased(rgb, size)


def _antialiased(rgb: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return F.interpolate(rgb.float(), size=size, mode="bicubic", align_corners=False, antialias=True)


def lanczos(rgb: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Lanczos with three lobes, as Pillow's: antialiased where it reduces, not clamped; [B,C,h,w] to `size` (H, W)."""
    return F.interpolate(rgb.float(), size=size, mode="lanczos", align_corners=False, antialias=True)
