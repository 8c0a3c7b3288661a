"""The memory that a result takes, as far as its size tells, and the sizes from which less of it is held at once."""

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


def canvas_memory(pixels: int, runs: int = 1) -> int:
    """Bytes of memory for what the networks make in all runs; 0 where it is on the disk."""
    needed = CANVAS_BYTES * pixels * runs
    return 0 if needed > MOST_IN_MEMORY else needed


def finishing_memory(canvas_pixels: int, output_pixels: int, runs: int = 1) -> int:
    """Bytes of memory after the networks, in the stages and until the file is written."""
    worked_on = min(max(canvas_pixels, output_pixels), STRETCH)
    return canvas_memory(canvas_pixels, runs) + RESULT_BYTES * output_pixels + FINISH_BYTES * worked_on


def memory_words(pixels: int) -> str:
    """ "about 2.4 GB of memory", for a result of so many pixels."""
    needed = finishing_memory(pixels, pixels)
    return f"about {needed / 1e9:,.0f} GB of memory" if needed >= 1e10 else f"about {needed / 1e9:.1f} GB of memory"
