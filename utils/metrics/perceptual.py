"""Distances in the feature spaces of networks trained for other things; lower is more alike. Both need files that this project does not ship."""

import zipfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F

from utils.planning.errors import UserError

_SQUEEZENET_LAYERS = sorted(["conv1", *(f"fire{n}/{part}" for n in range(2, 10) for part in ("squeeze1x1", "expand1x1", "expand3x3"))])
_CAFFE_MEANS = (103.939, 116.779, 123.68)  # of blue, green and red over ImageNet


class NotAvailable(Exception):
    """Why a distance cannot be had on this machine, in a few words."""


class Lpips:
    """LPIPS v0.1 (Zhang et al. 2018) by the `lpips` package, over the whole picture."""

    def __init__(self, network: Literal["alex", "vgg"]) -> None:
        """NotAvailable if the package, or what it is made of, is missing. It fetches torchvision's weights of the network at first use."""
        try:
            lpips = import_module("lpips")
        except ModuleNotFoundError as error:
            raise NotAvailable("not installed" if error.name == "lpips" else f"not installed completely, {error.name} is missing") from None
        except Exception as error:  # a torchvision that does not match torch raises many kinds
            raise NotAvailable(f"installed, but cannot be imported ({type(error).__name__})") from error
        try:
            self._network: Any = lpips.LPIPS(net=network, verbose=False).eval()
        except Exception as error:  # no internet, no space, a damaged cache: their words hold addresses and paths
            raise NotAvailable(f"its weights cannot be loaded ({type(error).__name__})") from error

    @torch.no_grad()
    def __call__(self, sr: torch.Tensor, hr: torch.Tensor) -> float:
        """Of two pictures [1,3,H,W] in [0,1]; 0 for equal ones."""
        return float(self._network(sr * 2 - 1, hr * 2 - 1))


class FeatureDistance:
    """Distance in the features of a SqueezeNet 1.1 after conv1, fire3 and fire5 to fire9, over the whole picture.

    At each place features have unit length over channels; the squared difference is summed over channels, averaged over places, then over the seven.
    It is LPIPS without learned weights of the channels, and must not be compared with published figures.
    """

    def __init__(self, weights: Path) -> None:
        """weights: .npz of Keras arrays, a kernel (HWIO) and a bias under each of conv1/, fire2/squeeze1x1/, ...; UserError if it is not that."""
        self._layers: dict[str, list[torch.Tensor]] = {}  # name -> [kernel, bias]
        try:
            with np.load(weights) as arrays:
                for key in sorted(arrays.files, key=lambda key: -arrays[key].ndim):
                    name = "/".join(key.split("/")[: 2 if key.startswith("fire") else 1])
                    array = arrays[key].transpose(3, 2, 0, 1) if arrays[key].ndim == 4 else arrays[key]
                    self._layers.setdefault(name, []).append(torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)))
            sound = sorted(self._layers) == _SQUEEZENET_LAYERS and all(len(layer) == 2 for layer in self._layers.values())
        except (OSError, EOFError, TypeError, ValueError, zipfile.BadZipFile):
            sound = False
        if not sound:
            raise UserError(f"{weights} does not hold the features of a SqueezeNet 1.1 as .npz; name another file.")

    @torch.no_grad()
    def __call__(self, sr: torch.Tensor, hr: torch.Tensor) -> float:
        """Of two pictures [1,3,H,W] in [0,1], at least 32 pixels a side; 0 for equal ones."""
        return float(self.between(sr, hr))

    def between(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        """The same as a scalar tensor that carries gradients, as the mean over pictures [B,3,H,W] where the weights are (`to`)."""
        pairs = zip(self._features(sr), self._features(hr), strict=True)
        distances = [(F.normalize(a, dim=1, eps=1e-6) - F.normalize(b, dim=1, eps=1e-6)).square().sum(1).mean() for a, b in pairs]
        return torch.stack(distances).mean()

    def to(self, device: torch.device) -> "FeatureDistance":
        """Moves the weights to `device`, laid out for pictures with their channels last in memory, which are faster."""
        layouts = {1: torch.preserve_format, 4: torch.channels_last}
        for name, layer in self._layers.items():
            self._layers[name] = [value.to(device, memory_format=layouts[value.ndim]) for value in layer]
        return self

    def _features(self, rgb: torch.Tensor) -> Iterator[torch.Tensor]:
        x = self._convolve(rgb.float().flip(1) * 255 - rgb.new_tensor(_CAFFE_MEANS, dtype=torch.float32).view(3, 1, 1), "conv1", stride=2)
        yield x
        for group in (("fire2", "fire3"), ("fire4", "fire5"), ("fire6", "fire7", "fire8", "fire9")):
            x = F.max_pool2d(x, 3, 2)
            for name in group:
                x = self._fire(x, name)
                if name not in ("fire2", "fire4"):
                    yield x

    def _fire(self, x: torch.Tensor, name: str) -> torch.Tensor:
        squeezed = self._convolve(x, f"{name}/squeeze1x1")
        return torch.cat([self._convolve(squeezed, f"{name}/expand1x1"), self._convolve(squeezed, f"{name}/expand3x3", padding=1)], 1)

    def _convolve(self, x: torch.Tensor, name: str, stride: int = 1, padding: int = 0) -> torch.Tensor:
        kernel, bias = self._layers[name]
        return F.relu(F.conv2d(x, kernel, bias, stride, padding))
