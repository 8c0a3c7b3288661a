import numpy as np
import pytest
from accelerate.state import AcceleratorState
from PIL import Image

from tests.conftest import PIPELINE_TINY
from utils.training.recipe import EmbeddedRecipe, NoisePredictorRecipe
from utils.training.run import start_accelerator, start_trainer

TINY_UNET = {
    "in_channels": 48,
    "out_channels": 48,
    "down_block_types": ["DownBlock2D", "DownBlock2D"],
    "mid_block_type": "UNetMidBlock2D",
    "up_block_types": ["UpBlock2D", "UpBlock2D"],
    "block_out_channels": [16, 16],
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "num_class_embeds": 2,
}
TINY_PREDICTOR = {
    "down_block_types": ["DownBlock2D"],
    "block_out_channels": [16],
    "layers_per_block": [1],
    "latent_channels": 48,
    "norm_num_groups": 8,
    "mid_block_add_attention": False,
    "temb_channels": 16,
}


@pytest.fixture(autouse=True)
def one_accelerator_a_test():
    """A process has one precision; tests have several."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def new_trainer():
    """new_trainer(recipe, photos, state) -> its trainer."""

    def build(recipe, photos, state=None):
        return start_trainer(recipe, start_accelerator(recipe), photos, state)

    return build


@pytest.fixture
def recipe() -> EmbeddedRecipe:
    return EmbeddedRecipe(
        steps=6,
        batch=2,
        crop=16,
        warmup_steps=2,
        few_step_share=0.5,
        precision="float32",
        workers=0,
        validation_photos=1,
        validation_crop=48,
        validate_every=4,
        unet=TINY_UNET,
        noise_predictor=TINY_PREDICTOR,
    )


@pytest.fixture
def predictor_recipe() -> NoisePredictorRecipe:
    """For the Stable-Diffusion-shaped model of the tests."""
    return NoisePredictorRecipe(
        pipeline=str(PIPELINE_TINY),
        steps=6,
        batch=2,
        crop=64,
        warmup_steps=0,
        cooldown_share=0.0,
        learning_rate=3e-3,
        ema_decay=0.9,
        precision="float32",
        workers=0,
        validation_photos=1,
        validation_crop=64,
        validate_every=4,
        adversarial_start=2,
        discriminator_width=8,
        noise_predictor={
            "block_out_channels": [32, 32],
            "layers_per_block": [1, 1],
            "norm_num_groups": 8,
            "temb_channels": 48,
            "attention_head_dim": 16,
        },
    )


@pytest.fixture(scope="session")
def large_photo(photo):
    """240x264: a Stable-Diffusion-shaped model needs crops of 64, and they a margin."""
    return np.tile(photo, (2, 2, 1))


@pytest.fixture(scope="session")
def large_photo_folder(large_photo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("large_photos")
    for k in range(3):
        Image.fromarray(np.roll(large_photo, 11 * k, axis=1)).save(folder / f"{k}.png")
    return folder


@pytest.fixture(scope="session")
def photo_folder(photo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for k in range(3):
        Image.fromarray(np.roll(photo, 11 * k, axis=1)).save(folder / f"{k}.png")
    Image.fromarray(photo[:40, :40]).save(folder / "small.png")
    return folder
