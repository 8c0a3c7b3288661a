"""How a sharp picture becomes a poor low-resolution one: blur, reduction, camera, sharpening, noise and JPEG, in that order.

Pure functions on float32 pictures [H,W,3] (or [H,W,1] for grey) in [0,1]. Whatever is random takes a numpy Generator, so the same seed degrades the
same way. Training draws its low-resolution crops from here; making test sets from folders uses the same functions.
"""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from utils.pictures.resampling import bicubic_antialiased, lanczos

KERNELS: dict[str, Callable[[torch.Tensor, tuple[int, int]], torch.Tensor]] = {
    "bicubic": bicubic_antialiased,
    "bilinear": lambda rgb, size: F.interpolate(rgb, size=size, mode="bilinear", antialias=True),
    "lanczos": lanczos,
    "area": lambda rgb, size: F.interpolate(rgb, size=size, mode="area"),
    "aliased": lambda rgb, size: F.interpolate(rgb, size=size, mode="bilinear"),
    "nearest": lambda rgb, size: F.interpolate(rgb, size=size, mode="nearest-exact"),
}
"""How pictures are made smaller, by name: [B,C,H,W] and a size -> [B,C,h,w], not clamped.

The first three do as Pillow does; "aliased" is the bilinear interpolation of programs that do not widen it for the reduction. That and "nearest"
make stair-steps of slanted edges.
"""

DEMOSAICINGS = {"bilinear": cv2.COLOR_BayerRGGB2RGB, "edge-aware": cv2.COLOR_BayerRGGB2RGB_EA}
"""How a camera completes the one colour that each of its sensor's pixels sees, by name."""


@dataclass(frozen=True)
class Degradation:
    """One way of losing detail. Lengths are high-resolution pixels unless said otherwise; the defaults are the bicubic reduction alone."""

    factor: int = 4
    kernel: str = "bicubic"  # of the reduction; a name of KERNELS
    blur_sigma: tuple[float, float] = (0.0, 0.0)  # along the blur's two axes; zero for no blur
    blur_angle: float = 0.0  # radians, of the first axis against the horizontal
    detour: float = 1.0  # the picture is resized by this factor and back before the reduction; 1 for no detour
    detour_kernel: str = "bicubic"  # of the way there; a name of KERNELS
    detour_jpeg: int | None = None  # quality of a JPEG made there; None for no JPEG
    demosaicing: str | None = None  # of a sensor that sees one colour a pixel; a name of DEMOSAICINGS; nothing happens to grey
    smoothing: float = 0.0  # standard deviation in [0,1] up to which differences count as noise and are smeared; 0 for none
    sharpening: float = 0.0  # how much of what an unsharp mask finds is added to the low-resolution picture; 0 for none
    sharpening_sigma: float = 1.0  # of that mask, low-resolution pixels
    noise_sd: float = 0.0  # Gaussian, on the low-resolution picture, in [0,1] units
    jpeg_quality: int | None = None  # of the low-resolution picture; None for no JPEG


SMOOTHING_DIAMETER = 5
SMOOTHING_SIGMA = 1.5
"""Of the bilateral filter that stands for a camera's noise reduction, low-resolution pixels."""


def degrade(rgb: np.ndarray, how: Degradation, rng: np.random.Generator) -> np.ndarray:
    """rgb [H,W,C], H and W multiples of the factor -> the low-resolution picture [H/factor,W/factor,C], rounded to 8 bits."""
    height, width = rgb.shape[:2]
    if height % how.factor or width % how.factor:
        raise ValueError(f"{height}x{width} is not a multiple of {how.factor}")
    if max(how.blur_sigma) > 0:
        rgb = blur(rgb, gaussian_kernel(how.blur_sigma, how.blur_angle))
    if how.detour != 1:
        between = resize(rgb, (max(1, round(height * how.detour)), max(1, round(width * how.detour))), how.detour_kernel)
        rgb = resize(between if how.detour_jpeg is None else jpeg(between, how.detour_jpeg), (height, width))
    rgb = resize(rgb, (height // how.factor, width // how.factor), how.kernel)
    if how.demosaicing is not None and rgb.shape[2] == 3:
        rgb = demosaic(rgb, how.demosaicing)
    if how.smoothing > 0:
        smooth = cv2.bilateralFilter(rgb, SMOOTHING_DIAMETER, how.smoothing, SMOOTHING_SIGMA, borderType=cv2.BORDER_REPLICATE)
        rgb = smooth.reshape(rgb.shape)  # OpenCV drops the axis of a single channel
    if how.sharpening > 0:
        rgb = rgb + how.sharpening * (rgb - blur(rgb, gaussian_kernel((how.sharpening_sigma, how.sharpening_sigma))))
    if how.noise_sd > 0:
        rgb = rgb + how.noise_sd * rng.standard_normal(rgb.shape, dtype=np.float32)
    if how.jpeg_quality is not None:
        rgb = jpeg(rgb, how.jpeg_quality)
    return round_to_8_bits(rgb)


def draw_degradation(rng: np.random.Generator, factor: int, clean_share: float, kind: str) -> Degradation:
    """A random degradation for training: the bicubic reduction alone for `clean_share` of the draws, else one of a kind of DRAWS."""
    return Degradation(factor) if rng.random() < clean_share else DRAWS[kind](rng, factor)


def _draw_soft(rng: np.random.Generator, factor: int) -> Degradation:
    """Blurred, and mostly with noise and JPEG."""
    sigma = rng.uniform(0.0, 0.6 * factor)
    anisotropic = rng.random() < 0.3
    return Degradation(
        factor=factor,
        blur_sigma=(sigma, rng.uniform(0.0, 0.6 * factor) if anisotropic else sigma),
        blur_angle=rng.uniform(0.0, math.pi),
        detour=rng.uniform(0.5, 1.5) if rng.random() < 0.3 else 1.0,
        noise_sd=rng.uniform(0.0, 10.0) / 255 if rng.random() < 0.8 else 0.0,
        jpeg_quality=int(rng.integers(60, 96)) if rng.random() < 0.8 else None,
    )


def _draw_varied(rng: np.random.Generator, factor: int) -> Degradation:
    """As pictures are found: some soft, some reduced by a sharper filter than bicubic or sharpened, and then compressed, at times strongly.

    A model that has not seen such pictures takes all that for detail and exaggerates it.
    """
    sigma = rng.uniform(0.0, 0.6 * factor) if rng.random() < 0.7 else 0.0
    anisotropic = rng.random() < 0.3
    return Degradation(
        factor=factor,
        kernel=str(rng.choice(("bicubic", "bilinear", "lanczos", "area", "aliased"))) if rng.random() < 0.5 else "bicubic",
        blur_sigma=(sigma, rng.uniform(0.0, 0.6 * factor) if anisotropic else sigma),
        blur_angle=rng.uniform(0.0, math.pi),
        detour=rng.uniform(0.5, 1.5) if rng.random() < 0.3 else 1.0,
        sharpening=rng.uniform(0.0, 1.5) if rng.random() < 0.4 else 0.0,
        sharpening_sigma=rng.uniform(0.5, 1.5),
        noise_sd=rng.uniform(0.0, 10.0) / 255 if rng.random() < 0.7 else 0.0,
        jpeg_quality=int(rng.integers(35, 96)) if rng.random() < 0.8 else None,
    )


def _draw_found(rng: np.random.Generator, factor: int) -> Degradation:
    """A quarter are soft, the others varied, half of them with stair-steps, of their own reduction or an earlier one, most not smoothed before it.

    What was reduced before was mostly a JPEG too, whose blocks were of another size. Noise is weak in most, because reduction averages it. A model
    that has seen few such pictures makes crisp waves and teeth of stair-steps, nets of what JPEG leaves, and wax of what it takes for noise.
    """
    if rng.random() < 0.25:
        return _draw_soft(rng, factor)
    found = replace(_draw_varied(rng, factor), noise_sd=10 / 255 * rng.random() ** 2 if rng.random() < 0.5 else 0.0)
    found = replace(
        found,
        demosaicing=str(rng.choice(list(DEMOSAICINGS))) if rng.random() < 0.2 else None,
        smoothing=rng.uniform(0.02, 0.12) if rng.random() < 0.2 else 0.0,
    )
    stair_steps = str(rng.choice(("aliased", "nearest"))) if rng.random() < 0.5 else None
    if stair_steps and rng.random() < 0.7:
        found = replace(found, blur_sigma=(0.0, 0.0))
    if rng.random() < 0.35:
        quality = int(rng.integers(35, 96)) if rng.random() < 0.7 else None
        return replace(found, detour=rng.uniform(1.0, 2.0) / factor, detour_kernel=stair_steps or "bicubic", detour_jpeg=quality)
    return replace(found, kernel=stair_steps or found.kernel)


DRAWS: dict[str, Callable[[np.random.Generator, int], Degradation]] = {"soft": _draw_soft, "varied": _draw_varied, "found": _draw_found}
"""Random degradations by kind: (generator, factor) -> one of them, everything in it at random strength."""


def gaussian_kernel(sigma: tuple[float, float], angle: float = 0.0) -> np.ndarray:
    """A normalised Gaussian with standard deviations `sigma` (pixels) along axes turned by `angle`: [n,n], n odd, reaching 3 sigma."""
    radius = max(1, math.ceil(3 * max(sigma)))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float32)
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    smallest = 1e-2  # far below a pixel: a sigma of zero leaves its axis alone
    kernel = np.exp(-0.5 * ((along / max(sigma[0], smallest)) ** 2 + (across / max(sigma[1], smallest)) ** 2))
    return (kernel / kernel.sum()).astype(np.float32)


def blur(rgb: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolution of every colour with `kernel`; the picture is continued by its edge pixels."""
    # OpenCV's, which is several times as fast as torch's, correlates; of symmetric kernels, as ours are, that is the same.
    return cv2.filter2D(rgb, -1, kernel, borderType=cv2.BORDER_REPLICATE).reshape(rgb.shape)


def resize(rgb: np.ndarray, size: tuple[int, int], kernel: str = "bicubic") -> np.ndarray:
    """To (height, width) with a kernel of KERNELS."""
    return _to_array(KERNELS[kernel](_to_tensor(rgb), size))


def demosaic(rgb: np.ndarray, how: str) -> np.ndarray:
    """What a camera makes of rgb [H,W,3] behind a Bayer filter: fine lines and edges get false colours and a zip of dots."""
    # OpenCV makes up what is at the border, so that is cut off again.
    rgb = cv2.copyMakeBorder(rgb, 2, 2, 2, 2, cv2.BORDER_REPLICATE)
    rows, columns = np.mgrid[: rgb.shape[0], : rgb.shape[1]] % 2
    seen = np.take_along_axis(rgb, (rows + columns)[..., None], axis=2)[..., 0]  # red, green, red, ... and green, blue, green, ...
    raw = np.round(np.clip(seen, 0, 1) * 65535).astype(np.uint16)
    return cv2.cvtColor(raw, DEMOSAICINGS[how])[2:-2, 2:-2].astype(np.float32) / 65535


def jpeg(rgb: np.ndarray, quality: int) -> np.ndarray:
    """What is left after JPEG at `quality` (1..95) with 4:2:0 chroma; one channel is stored as grey."""
    buffer = io.BytesIO()
    pixels = _to_uint8(rgb)
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(buffer), dtype=np.float32).reshape(pixels.shape) / 255


def round_to_8_bits(rgb: np.ndarray) -> np.ndarray:
    """Clamped to [0,1] and rounded to multiples of 1/255, as an 8-bit file would hold it."""
    return _to_uint8(rgb).astype(np.float32) / 255


def _to_uint8(rgb: np.ndarray) -> np.ndarray:
    return np.round(np.clip(rgb, 0, 1) * 255).astype(np.uint8)


def _to_tensor(rgb: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(rgb, dtype=np.float32)).permute(2, 0, 1)[None]


def _to_array(pictures: torch.Tensor) -> np.ndarray:
    return pictures[0].permute(1, 2, 0).numpy()
