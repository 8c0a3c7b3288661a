"""What steers the UNet: prompts for models with a text encoder, class labels for those without."""

from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import torch

from utils.models.denoising import Conditioning

CLEAN, DEGRADED = 0, 1
"""Class labels of the embedded model: the positive and the negative side of guidance."""


class Conditioner(Protocol):
    def __call__(self, prompt: str, negative_prompt: str | None, guidance: float) -> Conditioning:
        """The conditioning for these prompts; the negative side only where guidance is above 1."""
        ...


class ClassConditioner:
    """For a UNet without text conditioning: prompts have no meaning to it."""

    def __init__(self, device: torch.device) -> None:
        self._conditioning = Conditioning(
            *({"encoder_hidden_states": None, "class_labels": torch.tensor([label], device=device)} for label in (CLEAN, DEGRADED))
        )

    def __call__(self, prompt: str, negative_prompt: str | None, guidance: float) -> Conditioning:
        return self._conditioning


class TextConditioner:
    """Encodes each prompt once and keeps it by its text; the text encoder is in memory only while a new prompt is encoded."""

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype, variant: str | None) -> None:
        """folder: a diffusers-layout model with tokenizer/ and text_encoder/. variant: infix of the weight files' names, such as fp16."""
        self._folder, self._device, self._dtype, self._variant = folder, device, dtype, variant
        self._embeddings: dict[str, torch.Tensor] = {}
        self._lock = Lock()

    def __call__(self, prompt: str, negative_prompt: str | None, guidance: float) -> Conditioning:
        wanted = [prompt, negative_prompt or ""] if guidance > 1 else [prompt]
        with self._lock:
            new = [text for text in dict.fromkeys(wanted) if text not in self._embeddings]
            if new:
                self._embeddings.update(zip(new, self._encode(new), strict=True))
        return Conditioning(*({"encoder_hidden_states": self._embeddings[text]} for text in wanted))

    def _encode(self, texts: list[str]) -> list[torch.Tensor]:
        """The last hidden states after the final layer norm, [1,n,d] each; texts are cut or padded to the encoder's length."""
        from transformers import CLIPTextModel, CLIPTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()  # a bar over weights would break into ours
        tokenizer = CLIPTokenizer.from_pretrained(self._folder / "tokenizer", local_files_only=True)
        encoder: Any = CLIPTextModel.from_pretrained(
            self._folder / "text_encoder", dtype=self._dtype, variant=self._variant, use_safetensors=True, local_files_only=True
        )
        encoder = encoder.to(self._device)
        tokens = tokenizer(texts, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt")
        with torch.no_grad():
            embeddings = encoder(tokens.input_ids.to(self._device))[0]
        return list(embeddings.split(1))
