import sys
import types

import numpy as np
import pytest
import torch

from tests.conftest import SHARED
from tests.metrics.random_squeezenet import save_random_squeezenet
from utils.metrics.perceptual import FeatureDistance, Lpips, NotAvailable
from utils.planning.errors import UserError

WEIGHTS = SHARED / "weights" / "squeezenet1.1_imagenet_notop_keras_tf.npz"


class FakeLpips(torch.nn.Module):
    """Stands in for lpips.LPIPS."""

    def __init__(self, net, verbose):
        super().__init__()
        assert (net, verbose) in [("alex", False), ("vgg", False)]
        self.net = net

    def forward(self, a, b):
        assert not torch.is_grad_enabled() and not self.training
        assert a.min() == -1 and a.max() == 1
        return (a - b).abs().mean().view(1, 1, 1, 1) * {"alex": 1, "vgg": 2}[self.net]


@pytest.fixture
def lpips(monkeypatch):
    module = types.ModuleType("lpips")
    module.LPIPS = FakeLpips
    monkeypatch.setitem(sys.modules, "lpips", module)
    return module


@pytest.mark.parametrize(("network", "factor"), [("alex", 1), ("vgg", 2)])
def test_lpips_gets_the_network_and_pictures_from_minus_one_to_one(lpips, network, factor):
    black_to_white = torch.linspace(0, 1, 48).reshape(1, 3, 4, 4)
    assert Lpips(network)(black_to_white, 1 - black_to_white) == pytest.approx(factor * float((black_to_white * 4 - 2).abs().mean()))


def test_lpips_that_is_not_installed_says_so(monkeypatch):
    monkeypatch.delitem(sys.modules, "lpips", raising=False)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(NotAvailable, match=r"^not installed$"):
        Lpips("alex")


def test_lpips_without_torchvision_names_what_is_missing(monkeypatch, tmp_path):
    (tmp_path / "lpips.py").write_text("import no_such_torchvision")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(NotAvailable, match="no_such_torchvision is missing"):
        Lpips("alex")


def test_lpips_with_a_torchvision_that_does_not_fit(monkeypatch, tmp_path):
    (tmp_path / "lpips.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(NotAvailable, match="cannot be imported"):
        Lpips("alex")


def test_lpips_whose_weights_do_not_come_gives_no_figure(lpips):
    def fail(**_):
        raise OSError("no internet: /some/where")

    lpips.LPIPS = fail
    with pytest.raises(NotAvailable, match="weights cannot be loaded") as caught:
        Lpips("vgg")
    assert "/some" not in str(caught.value)


@pytest.fixture(scope="module")
def feature_distance(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "features.npz"
    save_random_squeezenet(path)
    return FeatureDistance(path)


def test_the_feature_distance_grows_with_the_damage(feature_distance):
    hr = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(hr.shape, generator=torch.Generator().manual_seed(1))
    none, little, much = (feature_distance((hr + sd * noise).clamp(0, 1), hr) for sd in (0, 0.05, 0.2))
    assert none == 0 and 0 < little < much < 4


def test_the_feature_distance_carries_gradients_to_pictures_that_need_them(feature_distance):
    hr = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    sr = (0.9 * hr).requires_grad_()
    distance = feature_distance.between(sr, hr)
    distance.backward()
    assert torch.isfinite(sr.grad).all() and sr.grad.abs().sum() > 0
    assert distance.item() == pytest.approx(sum(feature_distance(a[None], b[None]) for a, b in zip(sr, hr, strict=True)) / 2, rel=1e-5)


def test_the_smallest_picture_that_is_measured_passes(feature_distance):
    small = torch.rand(1, 3, 32, 32)
    assert feature_distance(small, small) == 0


@pytest.mark.skipif(not WEIGHTS.exists(), reason="the weights are not here")
def test_the_feature_distance_of_a_blurred_picture():
    """A figure once computed by the separate program that the weights came with."""
    hr = torch.from_numpy(np.random.default_rng(0).random((1, 3, 64, 96), dtype=np.float32))
    blurred = torch.nn.functional.avg_pool2d(hr, 3, 1, 1)
    assert FeatureDistance(WEIGHTS)(blurred, hr) == pytest.approx(0.49964, rel=1e-4)


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_other_files_are_refused_in_a_sentence(tmp_path, content):
    (tmp_path / "weights.npz").write_bytes(content)
    with pytest.raises(UserError, match="SqueezeNet"):
        FeatureDistance(tmp_path / "weights.npz")


def test_other_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "weights.npz", conv1=np.zeros((3, 3, 3, 64)), other=np.zeros(3))
    with pytest.raises(UserError, match="SqueezeNet"):
        FeatureDistance(tmp_path / "weights.npz")
