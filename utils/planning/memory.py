"""The memory that a result takes, as far as its size alone tells."""

FINISH_BYTES = 170
"""Memory for each pixel of a result after the networks, in the stages and until the file is written."""


def memory_words(output_pixels: int) -> str:
    """ "about 2.4 GB of memory", for a result of so many pixels."""
    count = output_pixels * FINISH_BYTES
    return f"about {count / 1e9:,.0f} GB of memory" if count >= 1e10 else f"about {count / 1e9:.1f} GB of memory"
