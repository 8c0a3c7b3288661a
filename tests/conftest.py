"""What all tests share: no network, one thread, small real models."""

import os

# Before torch or gradio is imported. One thread: two that spin on shared cores are slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import contextlib
import glob
import secrets
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch

torch.set_num_threads(1)
# The same examples every time, however slow the machine.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")

PROJECT = Path(__file__).resolve().parents[1]
DATA = PROJECT / "tests" / "data"
PARITY = DATA / "parity"
PIPELINE_TINY = DATA / "pipeline_tiny"
SHARED = PROJECT.parent / "shared"


@pytest.fixture(scope="session")
def tiny_config() -> dict[str, Any]:
    """Settings for a Stable-Diffusion-shaped model with random weights, in float32, tiles of 64, no stage on."""
    return {
        "sd_pipe": {"params": {"pretrained_model_name_or_path": str(PIPELINE_TINY)}},
        "basesr": {"chopping": {"pch_size": 64}},
        "color_fix": "none",
        "consistency": 0.0,
        "restraint": 0.0,
        "device": "cpu",
        "dtype": "float32",
    }


@pytest.fixture(scope="session")
def sampler(tiny_config: dict[str, Any]):
    """A sampler over that model."""
    from sampler_invsr import InvSamplerSR

    return InvSamplerSR(tiny_config)


@pytest.fixture(scope="session")
def embedded_sampler():
    """A sampler over the shipped model, in float32."""
    from sampler_invsr import InvSamplerSR

    return InvSamplerSR({"device": "cpu", "dtype": "float32"})


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """Shapes with edges, 120x132, uint8."""
    y, x = np.mgrid[0:120, 0:132]
    disc = ((y - 60) ** 2 + (x - 50) ** 2 < 900).astype(float)
    stripes = ((x + 2 * y) // 9 % 2).astype(float)
    return np.round(255 * np.stack([0.2 + 0.6 * disc, 0.1 + 0.7 * stripes, (x + y) / 252], -1)).astype(np.uint8)


# ---- the web page in a real browser ----


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """pytest-playwright's options for the system's Chromium, with everything off that would use the network by itself."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("no Chromium: install it (apt-get install chromium), or name one in the variable CHROMIUM")
    quiet = ["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    patient = {"timeout": 120_000}  # milliseconds; on a machine with other work, too
    return {**browser_type_launch_args, "executable_path": chromium, "args": ["--no-sandbox", "--disable-gpu", *quiet], **patient}


@pytest.fixture(scope="session")
def page_files(tmp_path_factory: pytest.TempPathFactory):
    """The folder of all uploads and results: Gradio has one for the whole process."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        yield folder


@pytest.fixture(scope="session")
def serve(page_files: Path):
    """serve(make, settings, models, folders, **options of launch) -> (address, SharedSampler) of a page; the model begins to load with `.start()`.

    models: what `build_page` takes, made of the SharedSampler. folders: as there.
    """
    from app import build_page, launch
    from utils.page.server_folders import ServerFolders
    from utils.page.shared_sampler import SharedSampler
    from utils.planning.checked_settings import make_settings

    none = ServerFolders()

    def serve(make: Any, settings: Any, models: Any = None, folders: ServerFolders = none, **options: Any) -> tuple[str, SharedSampler]:
        shared = SharedSampler(make, make_settings(settings))
        return launch(build_page(shared, folders, models and models(shared)), "127.0.0.1", _free_port(), **options), shared

    return serve  # the servers end with the process; closing each takes seconds


def _free_port() -> int:
    """Below those that the system gives to connections: one of these could take it before the server does."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def answer_to(button: Any) -> Any:
    """A context that ends with the server's answer to a click on `button`, a Playwright locator; other answers may be on their way meanwhile."""
    find = "id => window.gradio_config.components.find(component => component.props.elem_id === id).id"
    number = button.page.evaluate(find, button.get_attribute("id"))
    return button.page.expect_response(
        lambda response: "gradio_api/run/predict" in response.url and response.request.post_data_json["trigger_id"] == number
    )


def found_in(folder: Path, pattern: str) -> list[str]:
    """The names under `folder` that match; unlike with `Path.glob`, a folder that vanishes while it is searched holds none."""
    return glob.glob(pattern, root_dir=folder, recursive=True)


def still_there(folder: Path, pattern: str) -> list[str]:
    """The names anywhere under `folder` that match and are still there after ten seconds."""
    deadline = time.monotonic() + 10
    while (left := found_in(folder, f"**/{pattern}")) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left
