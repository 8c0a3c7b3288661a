"""Drawings on training crops: bars, outlines and words, which photographs of nature lack and people's pictures are full of.

A model that has seen few straight edges after a poor reduction takes their stair-steps for the shape: it makes waves of bars and strands of lines.
"""

import math
import string

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from utils.pictures.degradations import blur, gaussian_kernel

FINENESS = 4
"""Shapes are drawn this many times as large and reduced by the mean, so that a pixel holds how much of it they cover."""
MOST_SHAPES = 5
SOFTEST = 0.8
"""The greatest standard deviation, in pixels, of the blur of edges: cameras and screens draw none sharper than a pixel, and few much softer."""
LETTERS = np.array(list(string.ascii_letters + string.digits))


def draw_on(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture [H,W,3] in [0,1] with one to `MOST_SHAPES` opaque shapes of random kind, place, size and colour."""
    for _ in range(rng.integers(1, MOST_SHAPES + 1)):
        shape = (_bars, _outline, _polygon, _word)[rng.choice(4, p=(0.5, 0.15, 0.15, 0.2))]
        cover = cv2.resize(shape(rgb.shape[0], rgb.shape[1], rng), rgb.shape[1::-1], interpolation=cv2.INTER_AREA).astype(np.float32)[..., None] / 255
        cover = blur(cover, gaussian_kernel((softness := rng.uniform(0.1, SOFTEST), softness)))
        rgb = rgb + cover * (_colour(rng) - rgb)
    return rgb


def _colour(rng: np.random.Generator) -> np.ndarray:
    """Any, or often one near black or white."""
    colour = rng.random(3, dtype=np.float32)
    return np.float32(rng.integers(2)) * 0.9 + 0.1 * colour if rng.random() < 0.5 else colour


def _angle(rng: np.random.Generator) -> float:
    """Radians; half of them near the horizontal or the vertical, where stair-steps are longest."""
    return rng.integers(4) * math.pi / 2 + rng.uniform(-0.25, 0.25) if rng.random() < 0.5 else rng.uniform(0, 2 * math.pi)


def _canvas(height: int, width: int) -> np.ndarray:
    return np.zeros((height * FINENESS, width * FINENESS), np.uint8)


def _bars(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Parallel bars, from hairlines to beams: [H,W] uint8 at the drawing's size, like all of these."""
    canvas, angle = _canvas(height, width), _angle(rng)
    along, across = np.array([math.cos(angle), math.sin(angle)]), np.array([-math.sin(angle), math.cos(angle)])
    thick = FINENESS * math.exp(rng.uniform(math.log(1.5), math.log(28)))
    gap = thick * rng.uniform(1.5, 4)
    middle, half = rng.random(2) * canvas.shape[::-1], max(canvas.shape) * (2 if rng.random() < 0.6 else rng.uniform(0.1, 0.6))
    for n in range(rng.integers(1, 6)):
        start = middle + n * gap * across
        corners = (start + side * half * along + edge * thick / 2 * across for side, edge in ((-1, -1), (-1, 1), (1, 1), (1, -1)))
        cv2.fillPoly(canvas, [np.rint(np.stack(list(corners))).astype(np.int32)], 255)
    return canvas


def _outline(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """An ellipse or a part of one, as a line or filled."""
    canvas = _canvas(height, width)
    middle = [int(rng.integers(side)) for side in canvas.shape[::-1]]
    axes = [int(side * rng.uniform(0.03, 0.5)) for side in canvas.shape[::-1]]
    thick = -1 if rng.random() < 0.3 else max(1, int(FINENESS * rng.uniform(1.5, 10)))
    cv2.ellipse(canvas, middle, axes, rng.uniform(0, 180), 0, 360 if rng.random() < 0.7 else rng.uniform(60, 300), 255, thick)
    return canvas


def _polygon(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    canvas = _canvas(height, width)
    middle = rng.random(2) * canvas.shape[::-1]
    corners = middle + rng.normal(0, rng.uniform(0.05, 0.3) * max(canvas.shape), (rng.integers(3, 7), 2))
    cv2.fillPoly(canvas, [np.rint(corners).astype(np.int32)], 255)
    return canvas


def _word(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Letters and digits, turned."""
    word = "".join(rng.choice(LETTERS, rng.integers(1, 9)))
    font = ImageFont.load_default(FINENESS * math.exp(rng.uniform(math.log(10), math.log(70))))
    page = Image.new("L", (width * FINENESS, height * FINENESS))
    ImageDraw.Draw(page).text((page.width / 2, page.height / 2), word, fill=255, font=font, anchor="mm")
    right, down = (int(rng.uniform(-0.3, 0.3) * side) for side in page.size)
    return np.asarray(page.rotate(math.degrees(_angle(rng)), Image.Resampling.NEAREST, translate=(right, down)))
