"""What is in a picture: how complex it is and where, how noisy and how blurred. Measured once, over the whole of it."""

import math

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from utils.pictures.tensors import GREY_WEIGHTS, full_scale
from utils.planning.statistics import ComplexityMap, ImageStats

BORDER = cv2.BORDER_REFLECT_101
"""How filters see past the border: by reflection, which makes no edge there."""

# Complexity: the seed program's weights of its four ingredients, and where each of them counts in full.
VARIANCE_WEIGHT, GRADIENT_WEIGHT, LOCAL_VARIANCE_WEIGHT, ENTROPY_WEIGHT = 0.25, 0.30, 0.25, 0.20
FULL_VARIANCE, FULL_GRADIENT, FULL_LOCAL_VARIANCE = 0.5, 0.15, 0.05
LEVEL_OF_BLACK = 1 / 255
"""Added to the mean brightness before anything is divided by it, so that the rounding of nearly black pictures is no detail."""

ENTROPY_BINS, ENTROPY_RANGE = 64, 4.0  # the range in units of the level
CELL = 16
"""Side of a cell of the complexity map, in pixels."""

NOISE_CELL = 8
FLATTEST_CELLS, FLAT_CELLS = 0.02, 0.1
NOISE_OF_FLATTEST, NOISE_OF_FLAT = 0.70, 0.80
"""What the flattest fiftieth and tenth of the cells show of a Gaussian noise that is everywhere: found by trial on noise alone, [512,512]."""
MOST_NOISE = 0.5
"""No values in [0,1] have a larger standard deviation, but a few pixels may look like it."""
FEWEST_CELLS = 0.05
"""Where fewer of the cells than this are free of black and white pixels, all are taken."""

BLOCK = 8
FEWEST_BLOCKS = 4
"""Along each side: in a smaller picture JPEG is not told from chance."""
MOST_BLOCKS, WINDOWS = 256, 64
"""That are looked at, spread evenly over the picture: for their steps, and for where the first block begins."""
QUALITIES = range(3, 96)
"""Finer ones leave no more than the rounding of pixels does."""
ROUNDING = 0.5
"""Standard deviation of a coefficient by the rounding of pixels, in units of 1/255."""
NEAR_ZERO = 2 * ROUNDING
WORST_ODDS = -2.0
"""Logarithm, of one coefficient that is no multiple of its step: pixels cut off at black and white make some."""
FEWEST_KEPT = 3
"""Coefficients of a frequency that are not 0, from which on their share says how widely they are spread."""
COARSEST, LIKELIEST = 512, 6
"""Coefficients that all qualities are tried on, and how many of the qualities are then tried on all coefficients."""
CLEAR_ODDS = 12.0
"""Logarithm, of all coefficients together, from which on a quality is believed."""
JPEG_LUMA_STEPS = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
"""Table K.1 of the JPEG standard (ITU-T T.81), for quality 50."""

HIGHEST_STEP = 60 / 255
"""Of third differences: higher ones are edges of the picture itself."""
STEP_OF_CHANCE, STEP_OF_CHANCE_IN_SMALL = 0.1, 60.0
"""In units of 1/255: photographs without JPEG show as much; small ones the second value divided by the root of their pixels."""
NOISE_OF_A_STEP = 2.0
"""sqrt(step) times this is the deviation of JPEG's errors in grey: fitted to photographs at qualities 40 to 95, within a half for most of them."""

INNER_BLUR, OUTER_BLUR = 0.7, 1.4
"""Gaussians whose effects on edges are compared, in pixels: the inner one is there to calm noise."""
SLOPE_VARIANCE = 1 / 3
"""What the central difference of the Sobel filter blurs by itself: it is a derivative averaged over two pixels."""
STRONGEST_EDGES = 0.1
FAINTEST_EDGE = 1.0
"""Change per pixel, in units of 1/255 or of the noise, whichever is more: below it, edges are not told from rounding and noise."""
WIDEST_BLUR = 20.0

_SECOND_DIFFERENCE = np.array([1, -2, 1], np.float32)
_THIRD_DIFFERENCE = np.array([[-1, 3, -3, 1]], np.float32)
_COSINES = cv2.dct(np.eye(BLOCK, dtype=np.float32), flags=cv2.DCT_ROWS).T
"""The orthonormal transform of a column of 8."""
_NEITHER_BLACK_NOR_WHITE = (float(np.finfo(np.float32).tiny), float(np.nextafter(np.float32(1), np.float32(0))))


def measure(rgb: np.ndarray) -> ImageStats:
    """The statistics of a picture: [h,w,3], uint8, uint16, or float in [0,1]."""
    full = full_scale(rgb.dtype)
    rgb = rgb.astype(np.float32)
    rgb /= np.float32(full)
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    score, where = complexity(grey)
    grain = noise_level(rgb)
    compression = jpeg_noise(rgb)
    noise = max(grain, compression)  # not their sum: JPEG leaves of grain, and of texture taken for it, ever less
    return ImageStats(complexity=score, noise=noise, compression=compression, blur=blur_width(grey, grain), complexity_map=where)


def complexity(grey: np.ndarray) -> tuple[float, ComplexityMap]:
    """How detailed a picture [h,w] float32 in [0,1] is: as a whole in [0,1], 0 being flat, and in every cell.

    The ingredients and weights of the seed program: variance, gradient, local variance and entropy. They differ from the seed's in that
    - brightness is divided by its mean, so that a picture scores alike in bright and in dim light;
    - gradient and local variance saturate in every pixel and not as a whole, so that they say which share of the picture has detail,
      and the few pixels of a hard edge (or of a seam, where a picture is repeated) count for no more than their share;
    - borders are continued by reflection and not by black, local variance is that of 5 x 5 pixels (not a mean of squares that are
      means already), and empty bins of the histogram count nothing: a flat picture of any colour and size scores 0.
    Noise counts as detail. Mirrored or repeated, a picture keeps its score within 0.02, but for those of a few tens of pixels, of which the seams are
    a larger share. At half its brightness it keeps it within 0.05, unless rounding to 8 bits takes its detail away, as where it has few grey levels,
    or it is nearly black: at a mean of 7/255, 0.1.
    """
    mean = float(grey.mean(dtype=np.float64))
    level = mean + LEVEL_OF_BLACK
    contrast = (grey - np.float32(mean)) / np.float32(level)
    gradient, local_variance = _gradient(contrast), _local_variance(contrast)
    np.minimum(gradient / np.float32(FULL_GRADIENT), 1, out=gradient)
    np.minimum(local_variance / np.float32(FULL_LOCAL_VARIANCE), 1, out=local_variance)
    score = (
        VARIANCE_WEIGHT * min(float(np.square(contrast).mean(dtype=np.float64)) / FULL_VARIANCE, 1)
        + GRADIENT_WEIGHT * float(gradient.mean(dtype=np.float64))
        + LOCAL_VARIANCE_WEIGHT * float(local_variance.mean(dtype=np.float64))
        + ENTROPY_WEIGHT * _entropy(contrast)
    )
    total = GRADIENT_WEIGHT + LOCAL_VARIANCE_WEIGHT
    detail = cv2.addWeighted(gradient, GRADIENT_WEIGHT / total, local_variance, LOCAL_VARIANCE_WEIGHT / total, 0)
    # Rounded, because a flat picture's score is 1e-10 at times, by the rounding in the filters.
    return round(score, 6), ComplexityMap(_cell_means(detail, CELL), CELL)


def _gradient(grey: np.ndarray) -> np.ndarray:
    """Change per pixel, from the 3 x 3 Sobel filters."""
    across, down = (cv2.Sobel(grey, cv2.CV_32F, *order, scale=1 / 8, borderType=BORDER) for order in ((1, 0), (0, 1)))
    return cv2.magnitude(across, down)


def _local_variance(grey: np.ndarray) -> np.ndarray:
    """Variance of the 5 x 5 pixels around each; exact enough in float32 because `grey` has mean zero."""
    mean = cv2.blur(grey, (5, 5), borderType=BORDER)
    return np.maximum(cv2.blur(grey * grey, (5, 5), borderType=BORDER) - mean * mean, 0)


def _entropy(contrast: np.ndarray) -> float:
    """Of the histogram, 0 for one value to 1 for all bins alike."""
    # Moved by half a bin: contrast 0 is the middle of one, so that rounding does not spread a flat picture over two.
    lowest = -1 - ENTROPY_RANGE / ENTROPY_BINS / 2
    counts = cv2.calcHist([contrast], [0], None, [ENTROPY_BINS], [lowest, lowest + ENTROPY_RANGE]).ravel()
    share = counts[counts > 0] / max(counts.sum(), 1)
    return float(-(share * np.log2(share)).sum()) / math.log2(ENTROPY_BINS) + 0.0


def _cell_means(values: np.ndarray, cell: int) -> np.ndarray:
    """Means [rows,columns] of the cells of [h,w], rounded if it holds whole numbers; cells that the border cuts are filled up by reflection."""
    h, w = values.shape
    rows, columns = -(-h // cell), -(-w // cell)
    below, beside = rows * cell - h, columns * cell - w
    if below or beside:
        values = cv2.copyMakeBorder(values, 0, below, 0, beside, BORDER)
    return cv2.resize(values, (columns, rows), interpolation=cv2.INTER_AREA)


def noise_level(rgb: np.ndarray) -> float:
    """Standard deviation of the noise of [h,w,3] float32 in [0,1], in units of 1/255: the mean of its colours.

    Immerkaer's filter ("Fast noise variance estimation", 1996), which sees neither slopes nor straight edges, in the flattest fiftieth of the
    cells. Over the whole picture, as he has it and as scikit-image's `estimate_sigma` does with wavelets, the texture of sharp small pictures
    counts as noise. Noise alone has the same level in the flattest tenth; where that shows more, even the flattest cells are taken to hold texture,
    and the level is lowered by the square of the ratio. Cells with black or white pixels, where noise is cut off, are left out if others are there.
    """
    levels = []
    for colour in cv2.split(rgb):
        response = cv2.sepFilter2D(colour, cv2.CV_32F, _SECOND_DIFFERENCE, _SECOND_DIFFERENCE, borderType=BORDER)
        cells = _cell_means(np.abs(response, out=response), NOISE_CELL)
        whole = _cell_means(cv2.inRange(colour, *_NEITHER_BLACK_NOR_WHITE), NOISE_CELL) == 255
        flattest, flat = np.quantile(cells[whole] if whole.mean() > FEWEST_CELLS else cells, (FLATTEST_CELLS, FLAT_CELLS))
        flattest, flat = flattest / NOISE_OF_FLATTEST, flat / NOISE_OF_FLAT
        levels.append(flattest * min(flattest / flat, 1) ** 2 if flat > 0 else 0.0)
    # Of noise of standard deviation s the filter makes 6 s, whose mean magnitude is 6 s sqrt(2 / pi).
    return min(float(np.mean(levels)) / (6 * math.sqrt(2 / math.pi)), MOST_NOISE) * 255


def jpeg_noise(rgb: np.ndarray) -> float:
    """Standard deviation of what JPEG did to the luma of [h,w,3] float32 in [0,1], in units of 1/255; 0 if nothing tells of it.

    JPEG takes fine grain away and leaves errors that `noise_level` cannot see, but what it keeps are multiples of known steps. Where the tables are
    others than those of libjpeg, the steps between blocks tell. A picture scaled after it was compressed has neither and goes unnoticed.
    """
    if min(rgb.shape[:2]) < FEWEST_BLOCKS * BLOCK:
        return 0.0
    top, left = _first_block(rgb)
    blocks, whole = _spread_windows(rgb[top:, left:], BLOCK, MOST_BLOCKS)
    coefficients = _COSINES @ blocks @ _COSINES.T
    steps = _quantisation(coefficients[whole])
    if steps is not None:
        return _quantisation_noise(coefficients, steps)
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    # The lesser of the two, so that stripes are no grid.
    step = min(_step_between_blocks(grey, _THIRD_DIFFERENCE, 0), _step_between_blocks(grey, _THIRD_DIFFERENCE.T, 1)) * 255
    return NOISE_OF_A_STEP * math.sqrt(max(step - max(STEP_OF_CHANCE, STEP_OF_CHANCE_IN_SMALL / math.sqrt(grey.size)), 0))


def _spread_windows(rgb: np.ndarray, side: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The luma of `most` windows or fewer, every `BLOCK` pixels or further apart and spread evenly, [n,side,side] in -128 to 127, and in which of
    them no channel is black or white, where values are cut off: bool [n], all if hardly any are so."""
    places = sliding_window_view(rgb, (side, side), (0, 1))[::BLOCK, ::BLOCK]
    rows, columns = places.shape[:2]
    chosen = np.linspace(0, rows * columns - 1, min(rows * columns, most)).astype(int)
    windows = places[chosen // columns, chosen % columns] * np.float32(255)  # [n,3,side,side]
    whole = (windows.min((1, 2, 3)) > 0.5) & (windows.max((1, 2, 3)) < 254.5)
    luma = np.tensordot(windows, np.array(GREY_WEIGHTS, np.float32), (1, 0)) - np.float32(128)
    return luma, whole if whole.sum() >= FEWEST_BLOCKS else np.ones_like(whole)


def _first_block(rgb: np.ndarray) -> tuple[int, int]:
    """Row and column, each below 8, where the first block of JPEG would begin: where most coefficients of the cosine transform may have been rounded
    to 0, in windows that hold a block for each of the 64 places."""
    windows, whole = _spread_windows(rgb, 2 * BLOCK - 1, WINDOWS)
    beside = sliding_window_view(windows[whole], BLOCK, axis=2)  # [n,15,left,8]
    below = sliding_window_view(_cosine_transformed(beside), BLOCK, axis=1)  # [n,top,left,8,8]
    near_zero = np.abs(_cosine_transformed(below)) < NEAR_ZERO
    top, left = divmod(int(near_zero.sum((0, 3, 4)).argmax()), BLOCK)
    return top, left


def _cosine_transformed(values: np.ndarray) -> np.ndarray:
    """Along the last axis, of 8."""
    return (np.ascontiguousarray(values).reshape(-1, BLOCK) @ _COSINES.T).reshape(values.shape)


def _steps_of_quality(quality: int) -> np.ndarray:
    """Of the coefficients' quantisation, float32 [8,8], by libjpeg's rule."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((JPEG_LUMA_STEPS * percent + 50) // 100, 1, 255).astype(np.float32)


_STEPS = np.stack([_steps_of_quality(quality) for quality in QUALITIES])  # [qualities,8,8]


def _quantisation(coefficients: np.ndarray) -> np.ndarray | None:
    """The steps of which coefficients [n,8,8] are multiples, [8,8]; None if they are of none.

    The likelihood of each quality against that of coefficients anywhere, after Fan and de Queiroz ("Identification of bitmap compression history",
    2003): by the coarsest coefficients first, which tell most, then, for the likeliest qualities, by all. Coefficients nearest to 0 say nothing:
    those of a smooth picture are small without JPEG too. Nor do means of blocks: those of a drawing in squares are multiples of 8 by themselves.
    """
    rounded = np.rint(coefficients * 16) / 16 + np.float32(0)  # -0 becomes 0, so that equal blocks are equal bytes
    distinct = {block.tobytes(): block for block in rounded}  # blocks that repeat, as in a drawing, tell no more than one
    values = np.abs(np.stack(list(distinct.values())).reshape(len(distinct), -1)[:, 1:])
    place = np.broadcast_to(np.arange(values.shape[1]), values.shape).ravel()
    steps = _STEPS.reshape(len(_STEPS), -1)[:, 1:]
    coarseness, values = (values / JPEG_LUMA_STEPS.ravel()[1:]).ravel(), values.ravel()
    coarsest = np.argpartition(coarseness, -min(COARSEST, values.size))[-COARSEST:]
    likeliest = np.sort(np.argsort(_odds(values[coarsest], steps[:, place[coarsest]]))[-LIKELIEST:])
    totals = [_odds(values[kept], steps[k, place[kept]]) for k in likeliest for kept in [2 * values > steps[k, place]]]
    best = int(np.argmax(totals))
    return _STEPS[likeliest[best]] if totals[best] > CLEAR_ODDS else None


def _odds(values: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Logarithms of the odds that values [n] were rounded to multiples of `steps` [...,n], summed over those that are nearer to another multiple than
    to 0: [...]."""
    multiples = values / steps
    nearest = np.rint(multiples)
    error = (multiples - nearest) * steps
    odds = np.log(steps * np.float32(1 / (ROUNDING * math.sqrt(2 * math.pi)))) - error**2 / (2 * ROUNDING**2)
    return np.where(nearest > 0, np.maximum(odds, WORST_ODDS), 0).sum(-1)


def _quantisation_noise(coefficients: np.ndarray, steps: np.ndarray) -> float:
    """Standard deviation of the error of coefficients that were rounded to multiples of `steps`, which is that of the pixels.

    Of those that became 0 it depends on how large they are otherwise: they are taken to be spread exponentially, such that the share seen is rounded
    to 0; where next to all are, as widely as at the frequency of least spread that tells.
    """
    kept = (np.abs(coefficients) > steps / 2).sum(0)
    share = kept / len(coefficients)
    spread = steps / 2 / -np.log(np.clip(share, 1e-6, 0.999))
    spread = np.where(kept < FEWEST_KEPT, spread[kept >= FEWEST_KEPT].min(initial=spread.max()), spread)
    x = steps / 2 / spread
    within = np.exp(-x)
    variance_of_zeros = (2 - within * (x**2 + 2 * x + 2)) / (1 - within) * spread**2
    return math.sqrt(float(((1 - share) * variance_of_zeros + share * steps**2 / 12).mean()))


def _step_between_blocks(grey: np.ndarray, difference: np.ndarray, across: int) -> float:
    """How much more the mean difference is at the most conspicuous of every eight columns (across = 0) or rows (1) than at those not next to it."""
    steps = np.abs(cv2.filter2D(grey, cv2.CV_32F, difference, borderType=BORDER))
    steps = cv2.threshold(steps, HIGHEST_STEP, 0, cv2.THRESH_TOZERO_INV)[1]
    means = cv2.reduce(steps, across, cv2.REDUCE_AVG).ravel()[2:-2]  # without those that see past the border
    by_phase = means[: len(means) // BLOCK * BLOCK].reshape(-1, BLOCK).mean(0)
    phase = int(by_phase.argmax())
    return float(by_phase[phase] - np.delete(by_phase, [(phase + k) % BLOCK for k in (-1, 0, 1)]).max())


def blur_width(grey: np.ndarray, noise: float) -> float:
    """Standard deviation in pixels of the Gaussian that would blur steps as the edges of [h,w] float32 in [0,1] are; 0 without edges.

    After Zhuo and Sim ("Defocus map estimation from a single image", 2011): an edge of width b, blurred by s as well, has a slope of
    1 / sqrt(b^2 + s^2), so the slopes under two known blurs tell b. The median over the strongest tenth of the edge points, that is of the
    parts that are in focus. `noise` is the picture's, in units of 1/255.
    """
    inner, outer = (_gradient(cv2.GaussianBlur(grey, (0, 0), sigma, borderType=BORDER)) for sigma in (INNER_BLUR, OUTER_BLUR))
    faintest = np.float32(FAINTEST_EDGE * max(noise, 1) / 255)
    on_edge = (inner >= cv2.dilate(inner, np.ones((3, 3), np.uint8))) & (inner > faintest)
    if not on_edge.any():
        return 0.0
    inner, outer = inner[on_edge], outer[on_edge]
    strongest = inner >= np.quantile(inner, 1 - STRONGEST_EDGES)
    ratio = float(np.median(inner[strongest] / np.maximum(outer[strongest], np.finfo(np.float32).tiny))) ** 2
    inner_variance, outer_variance = (sigma**2 + SLOPE_VARIANCE for sigma in (INNER_BLUR, OUTER_BLUR))
    if ratio <= (outer_variance + WIDEST_BLUR**2) / (inner_variance + WIDEST_BLUR**2):
        return WIDEST_BLUR
    return math.sqrt(max(outer_variance - ratio * inner_variance, 0) / (ratio - 1))
