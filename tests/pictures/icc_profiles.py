"""ICC profiles for tests: of other RGB and grey spaces, and ones that work by tables, put together by hand (ICC.1:2010)."""

import struct
from collections.abc import Callable

import imagecodecs
import numpy as np

D65 = [0.3127, 0.3290, 1.0]
ADOBE_RGB = imagecodecs.cms_profile("rgb", whitepoint=D65, primaries=[0.64, 0.33, 1, 0.21, 0.71, 1, 0.15, 0.06, 1], gamma=2.19921875)
DISPLAY_P3 = imagecodecs.cms_profile("rgb", whitepoint=D65, primaries=[0.68, 0.32, 1, 0.265, 0.69, 1, 0.15, 0.06, 1], gamma=2.2)
PROPHOTO = imagecodecs.cms_profile(
    "rgb", whitepoint=[0.3457, 0.3585, 1.0], primaries=[0.7347, 0.2653, 1, 0.1596, 0.8404, 1, 0.0366, 0.0001, 1], gamma=1.8
)
LINEAR_GREY = imagecodecs.cms_profile("gray", gamma=1.0)
WHITE = np.array([0.9642, 1.0, 0.8249])  # XYZ of D50, the white of profiles


def table_profile(space: bytes, to_xyz: Callable[[np.ndarray], np.ndarray], from_xyz: Callable[[np.ndarray], np.ndarray] | None = None) -> bytes:
    """A profile whose colours [n, channels] in [0,1] become XYZ [n, 3] by a table, and the other way only if there is `from_xyz`."""
    channels = len(space.strip())
    steps = 17 if channels == 3 else 9
    tags = {b"A2B0": _table(_lab_values(to_xyz(_grid(steps, channels))), channels, 3, steps)}
    if from_xyz is not None:
        tags[b"B2A0"] = _table(from_xyz(_xyz(_grid(33, 3))), 3, channels, 33)
    tags[b"wtpt"] = b"XYZ \0\0\0\0" + struct.pack(">3i", *np.rint(WHITE * 65536).astype(int))
    tags[b"desc"] = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"table".ljust(5 + 78, b"\0")
    offset, directory, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        directory += name + struct.pack(">II", offset + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4sI4s4s4s", offset + len(body), b"test", 0x02400000, b"prtr", space, b"Lab ") + bytes(12) + b"acsp" + bytes(28)
    return header.ljust(68, b"\0") + struct.pack(">3i", *np.rint(WHITE * 65536).astype(int)) + bytes(48) + directory + body


def _grid(steps: int, channels: int) -> np.ndarray:
    levels = np.linspace(0, 1, steps)
    return np.stack(np.meshgrid(*[levels] * channels, indexing="ij"), -1).reshape(-1, channels)


def _table(values: np.ndarray, inputs: int, outputs: int, steps: int) -> bytes:
    """lut16Type with straight curves; values in [0,1]."""
    straight = struct.pack(">2H", 0, 65535)
    identity = struct.pack(">9i", *[65536 if k % 4 == 0 else 0 for k in range(9)])
    numbers = np.rint(np.clip(values, 0, 1) * 65535).astype(">u2").tobytes()
    return (
        b"mft2\0\0\0\0"
        + struct.pack("4B", inputs, outputs, steps, 0)
        + identity
        + struct.pack(">2H", 2, 2)
        + straight * inputs
        + numbers
        + straight * outputs
    )


def _lab_values(xyz: np.ndarray) -> np.ndarray:
    """XYZ as the numbers that a table of 16 bits holds for Lab, over 65535: L of 100 is 65280, a and b of 0 are 32768."""
    t = xyz / WHITE
    f = np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)
    lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], -1)
    return (lab * [652.8, 256, 256] + [0, 32768, 32768]) / 65535


def _xyz(values: np.ndarray) -> np.ndarray:
    lab = (values * 65535 - [0, 32768, 32768]) / [652.8, 256, 256]
    y = (lab[:, 0] + 16) / 116
    f = np.stack([y + lab[:, 1] / 500, y, y - lab[:, 2] / 200], -1)
    return np.where(f > 6 / 29, f**3, (116 * f - 16) * 27 / 24389) * WHITE
