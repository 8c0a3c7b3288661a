"""The memory that a result takes, as far as its size tells, and the sizes from which less of it is held at once."""

from utils.planning.model_spec import ModelSpec

MOST_IN_MEMORY = 2**30
"""Bytes of what the networks make of a picture; where it is more, it waits on the disk for the stages."""
STRETCH = 2**23
"""Pixels of a result that are worked on at once after the networks, about; smaller results are finished as a whole."""
CANVAS_BYTES = 12
"""Memory for each pixel of what the networks make in a run: three colours in float32."""
RESULT_BYTES = 8
"""Memory for each pixel of a result, and of its image while a file of 8 bits is written."""
FINISH_BYTES = 150
"""Memory for each pixel of a result that is worked on in the stages."""
NETWORK_BYTES = 5000
"""Memory of the networks for each output pixel of a tile in float32: what Stable Diffusion's VAE takes, which is most of it."""
TRANSFORM_BYTES = 450
"""The same for a model whose latents are a transform of the pixels: its networks work at the size of the input."""
BLENDING_BYTES = 32
"""Memory for each pixel of the rows of a result that tiles are still blended in: three colours and a weight, and copies of them."""
HUGE = 2**29
"""Bytes of a result, as `RESULT_BYTES` counts them, above which a job has only one such at a time. What the default limit allows is below."""


def canvas_memory(pixels: int, runs: int = 1) -> int:
    """Bytes of memory for what the networks make in all runs; 0 where it is on the disk."""
    needed = CANVAS_BYTES * pixels * runs
    return 0 if needed > MOST_IN_MEMORY else needed


def finishing_memory(canvas_pixels: int, output_pixels: int, runs: int = 1) -> int:
    """Bytes of memory after the networks, in the stages and until the file is written."""
    worked_on = min(max(canvas_pixels, output_pixels), STRETCH)
    return canvas_memory(canvas_pixels, runs) + RESULT_BYTES * output_pixels + FINISH_BYTES * worked_on


def tiling_memory(lq_size: tuple[int, int], patch: int, spec: ModelSpec, tile_batch: int, itemsize: int, guidance: float) -> int:
    """Bytes of memory of the networks and of the rows in which tiles are blended. itemsize: bytes of each of the networks' numbers."""
    for_pixel = (TRANSFORM_BYTES if spec.is_exact else NETWORK_BYTES) * itemsize // 4 * (2 if guidance > 1 else 1)
    networks = tile_batch * (patch * spec.scale) ** 2 * for_pixel
    return networks + BLENDING_BYTES * min(patch, lq_size[0]) * lq_size[1] * spec.scale**2


def is_huge(pixels: int) -> bool:
    """Whether a job should have no other such result in memory at the same time."""
    return RESULT_BYTES * pixels > HUGE


def memory_words(pixels: int) -> str:
    """ "about 2.4 GB of memory", for a result of so many pixels."""
    return f"about {gigabytes(finishing_memory(pixels, pixels))} of memory"


def gigabytes(needed: int) -> str:
    """ "2.4 GB", "24 GB"."""
    return f"{needed / 1e9:,.0f} GB" if needed >= 1e10 else f"{needed / 1e9:.1f} GB"
