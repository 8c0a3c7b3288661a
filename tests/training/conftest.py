import numpy as np
import pytest
from PIL import Image

from utils.training.recipe import Recipe

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


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(
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


@pytest.fixture(scope="session")
def photo_folder(photo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for k in range(3):
        Image.fromarray(np.roll(photo, 11 * k, axis=1)).save(folder / f"{k}.png")
    Image.fromarray(photo[:40, :40]).save(folder / "small.png")
    return folder
