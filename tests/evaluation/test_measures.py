import sys
import types

import pytest
import torch

from utils.evaluation.measures import MEASURES, make_measuring


@pytest.fixture
def lpips(monkeypatch):
    """A package with one distance for AlexNet and without weights for VGG."""

    class Distance(torch.nn.Module):
        def __init__(self, net, verbose):
            super().__init__()
            if net == "vgg":
                raise OSError("no internet")

        def forward(self, a, b):
            return (a - b).abs().mean()

    module = types.ModuleType("lpips")
    module.LPIPS = Distance
    monkeypatch.setitem(sys.modules, "lpips", module)


def test_what_cannot_be_had_has_a_reason_and_no_value(lpips):
    measuring = make_measuring(4, ("alex", "vgg"), None)
    hr = torch.zeros(1, 3, 32, 32)
    values = measuring(hr + 0.25, hr, None, None)
    assert values["lpips_alex"] == pytest.approx(0.5)
    assert measuring.absent == {"lpips_vgg": "its weights cannot be loaded (OSError)", "feature_distance": "no weights given"}
    assert not set(values) & set(measuring.absent)
    assert set(values) | set(measuring.absent) | {"seconds"} == set(MEASURES)
    assert values["lr_consistency"] is values["seam"] is None


def test_lpips_that_is_not_asked_for_is_not_loaded(monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", None)  # importing it would fail
    assert make_measuring(4, (), None).absent["lpips_alex"] == "not asked for"


def test_the_border_reaches_psnr_and_ssim():
    hr = torch.full((1, 3, 40, 40), 0.5)
    sr = hr.clone()
    sr[..., :6, :] = 0
    inside, outside = make_measuring(6, (), None)(sr, hr, None, None), make_measuring(5, (), None)(sr, hr, None, None)
    for name in ("psnr_y", "psnr_rgb", "ssim_y", "ssim_rgb"):
        assert inside[name] > outside[name]
