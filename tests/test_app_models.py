"""Models on the page, in a real browser: fetched from a local stand-in for the hub, changed for each other, and freed."""

import gc
import json
import re
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
import pytest
from huggingface_hub import constants
from omegaconf import OmegaConf
from PIL import Image
from playwright.sync_api import Page, Route, expect

from sampler_invsr import InvSamplerSR
from tests.conftest import PIPELINE_TINY, PROJECT
from tests.models.hub_stand_in import HubStandIn
from tests.models.test_sd_turbo_preset import published_files
from utils.models import model_files, model_loading
from utils.page.models import Models, read_presets
from utils.page.shared_sampler import SharedSampler
from utils.pictures.provenance import read_texts
from utils.planning.checked_settings import make_settings

SLOWEST = 120_000  # milliseconds
expect.set_options(timeout=30_000)  # on a machine with other work, too


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """With SD-Turbo's and InvSR's repositories, and no model downloaded yet."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(model_files, "PROJECT", tmp_path)
    monkeypatch.setattr(model_files, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr(model_loading, "_loaded", WeakValueDictionary())  # so that the page shares its models with no other test
    with HubStandIn(published_files()) as stand_in:
        monkeypatch.setenv("HF_ENDPOINT", stand_in.url)
        yield stand_in


@pytest.fixture
def presets(tmp_path) -> Path:
    """A folder with the shipped presets, made fit for a small model: SD-Turbo's in shape and precision, and with two steps."""
    folder = tmp_path / "configs"
    folder.mkdir()
    for name in ("sample-tiny", "sample-sd-turbo"):
        comment, *_ = (PROJECT / "configs" / f"{name}.yaml").read_text().splitlines()
        config = OmegaConf.load(PROJECT / "configs" / f"{name}.yaml")
        config.device, config.dtype, config.basesr.chopping.pch_size = "cpu", "float32", 64
        if name == "sample-sd-turbo":
            config.sd_pipe.params.revision, config.timesteps = "main", [200, 100]
            config.model_start.params = json.loads((PIPELINE_TINY / "noise_predictor" / "config.json").read_text())["config"]
        (folder / f"{name}.yaml").write_text(f"{comment}\n{OmegaConf.to_yaml(config)}")
    return folder


@pytest.fixture
def serve_models(serve, presets):
    """serve_models(may_change) -> (address, shared) of a page that begins with the embedded model."""

    def serve_models(may_change: bool) -> tuple[str, SharedSampler]:
        address, shared = serve(
            InvSamplerSR, presets / "sample-tiny.yaml", lambda shared: Models(shared, read_presets(presets), may_change=may_change)
        )
        shared.start()
        shared.get()
        return address, shared

    return serve_models


def hold_answer(page: Page) -> list[Callable[[], None]]:
    """Keep the server's answer to the next press of a button under way; what is appended to the result lets it arrive."""
    held: list[Callable[[], None]] = []

    def hold(route: Route) -> None:
        if held or route.request.post_data_json["data"]:
            route.continue_()
        else:
            answer = route.fetch()
            held.append(lambda: route.fulfill(response=answer))

    page.route("**/run/*", hold)
    return held


def holders(thing: object) -> list[str]:
    """What keeps it alive, with what keeps that alive, and so on."""
    lines, level = [], [thing]
    passed = {id(level)}
    for depth in range(12):
        found = [holder for held in level for holder in gc.get_referrers(held) if getattr(holder, "f_globals", None) is not globals()]
        passed |= {id(found), id(level)}
        level = list({id(holder): holder for holder in found if id(holder) not in passed}.values())[:20]
        passed |= {id(holder) for holder in level}
        lines += [f"{'  ' * depth}{type(holder).__name__} {str(holder)[:150]!r}" for holder in level]
    return lines


@pytest.mark.slow
def test_a_model_is_downloaded_cancelled_resumed_used_and_left_again(page: Page, hub, serve_models, tmp_path):
    gate = threading.Event()
    hub.gates["unet/diffusion_pytorch_model.fp16.safetensors"] = (800_000, gate)
    address, shared = serve_models(True)
    page.goto(address)
    expect(page.locator("#model")).to_contain_text("Model tiny ready", timeout=SLOWEST)
    page.get_by_role("button", name="Model: tiny").click()
    tiny, sd_turbo = page.locator("#model-0"), page.locator("#model-1")
    expect(tiny).to_contain_text("In use")
    expect(sd_turbo).to_contain_text("Not installed")
    expect(sd_turbo).to_contain_text("about 2.71 GB to download")
    expect(sd_turbo).to_contain_text("non-commercial use only: https://github.com/zsyOAOA/InvSR")

    late = hold_answer(page)
    page.get_by_role("button", name="Download sd-turbo").click()
    expect(sd_turbo.get_by_role("progressbar")).to_be_visible(timeout=SLOWEST)
    expect(sd_turbo).to_contain_text("stabilityai/sd-turbo (1 of 2)")
    expect(page.get_by_role("button", name="Model: tiny · downloading sd-turbo")).to_be_visible()
    page.get_by_role("button", name="Cancel the download").click()
    expect(sd_turbo).to_contain_text("Stopping")
    gate.set()
    expect(sd_turbo).to_contain_text("What has arrived is kept")
    page.get_by_role("button", name="Go on downloading sd-turbo").click()
    expect(sd_turbo).to_contain_text("Installed", timeout=SLOWEST)
    assert any(request.range for request in hub.downloads())
    late.pop()()  # what it says is out of date: shown at most until the next look

    Image.fromarray(np.random.default_rng(7).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "mine.png")
    page.locator("#upload input[type=file]").set_input_files(tmp_path / "mine.png")
    expect(page.locator("#about")).to_contain_text("256 × 256")
    seed, steps = page.get_by_label("Random seed"), page.get_by_role("spinbutton", name="Number of steps")
    expect(steps).to_have_value("1")
    seed.fill("7")
    page.get_by_role("button", name="Guidance").click()
    expect(page.locator("#setting-prompt")).to_be_hidden()
    old = weakref.ref(shared.get()._model.denoiser.unet)
    page.get_by_role("button", name="Use sd-turbo").click()
    expect(page.locator("#model")).to_contain_text("Model sd-turbo ready", timeout=SLOWEST)
    expect(sd_turbo).to_contain_text("In use")
    expect(steps).to_have_value("2")
    expect(seed).to_have_value("7")
    expect(page.locator("#setting-prompt")).to_be_visible()
    until = time.monotonic() + 60
    while old() is not None and time.monotonic() < until:  # what the page was just describing with it ends first
        gc.collect()
        time.sleep(0.2)
    assert old() is None, "\n".join(holders(old()))

    page.get_by_role("button", name="Process").click()
    expect(page.locator("#status")).to_contain_text("Done in", timeout=SLOWEST)
    with page.expect_download() as event:
        page.locator("#download").click()
    texts = read_texts(event.value.path()) or {}
    assert json.loads(texts["plan"])["model"] == "sd-turbo" and json.loads(texts["settings"])["seed"] == 7

    page.get_by_role("button", name="Use tiny").click()
    expect(page.locator("#model")).to_contain_text("Model tiny ready", timeout=SLOWEST)
    expect(steps).to_have_value("1")


def test_visitors_of_other_sessions_learn_of_the_change_and_one_that_fails_is_undone(page: Page, hub, serve_models, tmp_path, monkeypatch):
    monkeypatch.setattr("utils.page.models_panel._SELDOM", 0.5)
    address, shared = serve_models(False)
    page.goto(address)
    expect(page.locator("#model")).to_contain_text("Model tiny ready", timeout=SLOWEST)
    page.get_by_role("button", name="Model: tiny").click()
    expect(page.locator("#models")).to_contain_text("Who runs this server decides which")
    expect(page.get_by_role("button", name="Download sd-turbo")).to_have_count(0)
    expect(page.get_by_role("button", name=re.compile("^Use (?!via API)"))).to_have_count(0)

    shared.switch(make_settings({**shared.settings.to_dict(), "pretrained_model_name_or_path": str(PIPELINE_TINY)}))
    expect(page.locator("#model")).to_contain_text("Model pipeline_tiny ready", timeout=SLOWEST)
    shared.switch(make_settings({"pretrained_model_name_or_path": "nowhere"}))
    expect(page.locator("#models-message [role=alert]")).to_contain_text("There is no model folder nowhere", timeout=SLOWEST)
    expect(page.locator("#models-message")).to_contain_text("The model from before is in use again")
    expect(page.locator("#model")).to_contain_text("Model pipeline_tiny ready")
