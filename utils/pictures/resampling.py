"""Resizing: the two bicubic kernels of the method, one for the network's input, one for the reference that stages compare with; and Lanczos."""

import torch
import torch.nn.functional as F


def bicubic(rgb: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Interpolating bicubic (a = -0.75, no antialias, not clamped) of [B,C,h,w] to `size` (H, W): what the VAE encoder is given."""
    return F.interpolate(rgb.float(), size=size, mode="bicubic", align_corners=False)


def bicubic_antialiased(rgb: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Antialiased bicubic (a = -0.5, not clamped) of [B,C,h,w] to `size` (H, W): the colour reference, and every reduction."""
    return F.interpolate(rgb.float(), size=size, mode="bicubic", align_corners=False, antialias=True)


def at_size(rgb: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """[B,C,h,w] in [0,1] at `size` (H, W), by the antialiased bicubic, in [0,1]; what has that size already is returned as it is."""
    return rgb if rgb.shape[-2:] == size else bicubic_antialiased(rgb, size).clamp_(0, 1)


def lanczos(rgb: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Lanczos with three lobes, as Pillow's: antialiased where it reduces, not clamped; [B,C,h,w] to `size` (H, W)."""
    return F.interpolate(rgb.float(), size=size, mode="lanczos", align_corners=False, antialias=True)
