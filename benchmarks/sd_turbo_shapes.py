"""Seconds and peak memory of one 128 patch and one step on networks of SD-Turbo's shape with random weights: no download.

python benchmarks/sd_turbo_shapes.py [cpu|cuda] [float32|bfloat16|float16 ...]

One process per precision. The prompt is encoded before, by a text encoder of its own shape, and timed apart.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
RUNS = 3
PATCH = 128
UNET = {
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": [320, 640, 1280, 1280],
    "attention_head_dim": [5, 10, 20, 20],
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
}
VAE = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}
TEXT = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23, "num_attention_heads": 16, "hidden_act": "gelu", "vocab_size": 49408}


def measure(device_name: str, dtype_name: str) -> None:
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from omegaconf import OmegaConf
    from transformers import CLIPTextConfig, CLIPTextModel

    from utils.jobs.self_check import peak_memory
    from utils.models.denoising import Conditioning, Denoiser, sample
    from utils.models.device import DTYPES, choose_vae_dtype
    from utils.models.noise_predictor import NoisePredictor

    device, dtype = torch.device(device_name), DTYPES[dtype_name]
    params = OmegaConf.load(PROJECT / "configs" / "sample-sd-turbo.yaml").model_start.params
    predictor_shape: dict = OmegaConf.to_container(params)  # type: ignore[assignment]

    def built(make, dtype=dtype):
        """A network without ever holding it in a wider precision; small random weights keep activations finite."""
        with torch.device("meta"):
            network = make()
        network = network.to(dtype).to_empty(device=device).eval().requires_grad_(False)
        for value in [*network.parameters(), *network.buffers()]:
            if value.is_floating_point():
                value.normal_(0, 0.02)
        return network.to(memory_format=torch.channels_last) if device.type == "cpu" and dtype == torch.bfloat16 else network

    start = time.perf_counter()
    text_encoder = built(lambda: CLIPTextModel(CLIPTextConfig(**TEXT)))
    loaded = time.perf_counter()
    with torch.no_grad():
        embeddings = text_encoder(torch.zeros(1, 77, dtype=torch.long, device=device), position_ids=torch.arange(77, device=device)[None])[0]
    prompt_seconds = time.perf_counter() - loaded
    del text_encoder
    denoiser = Denoiser(
        noise_predictor=built(lambda: NoisePredictor(**predictor_shape)),
        vae=built(lambda: AutoencoderKL(**VAE), choose_vae_dtype(dtype, device, force_upcast=True)),
        unet=built(lambda: UNet2DConditionModel(**UNET)),
        scheduler_config={
            "beta_start": 0.00085,
            "beta_end": 0.012,
            "beta_schedule": "scaled_linear",
            "timestep_spacing": "trailing",
            "steps_offset": 1,
        },
        scale=4,
    )
    build_seconds = time.perf_counter() - start
    conditioning = Conditioning({"encoder_hidden_states": embeddings})
    lq = torch.rand(1, 3, PATCH, PATCH, device=device)
    draws = {name: torch.randn(1, 4, PATCH // 2, PATCH // 2) for name in ("predictor", "vae")}
    seconds = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        with torch.no_grad():
            sample(denoiser, lq, [200], 1.0, conditioning, draws)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    facts = {
        "first": seconds[0],
        "median": statistics.median(seconds[1:]),
        "peak": peak_memory(device),
        "prompt": prompt_seconds,
        "build": build_seconds,
    }
    print(json.dumps(facts))


def main() -> None:
    device = sys.argv[1] if len(sys.argv) > 1 else "cpu"
    for dtype in sys.argv[2:] or (["float32", "bfloat16"] if device == "cpu" else ["float32", "bfloat16", "float16"]):
        output = subprocess.run(
            [sys.executable, __file__, "--measure", device, dtype], cwd=PROJECT, stdout=subprocess.PIPE, check=True, text=True
        ).stdout
        facts = json.loads(output.splitlines()[-1])
        print(
            f"{device} {dtype:9} one {PATCH} patch, one step: {facts['median']:.2f} s (median of {RUNS}; first {facts['first']:.2f}), "
            f"peak {(facts['peak'] or 0) / 2**30:.2f} GiB, prompt once {facts['prompt']:.2f} s, building {facts['build']:.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    sys.path.insert(0, str(PROJECT))
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], sys.argv[3])
    else:
        main()
