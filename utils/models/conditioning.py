"""What steers the UNet: prompts for models with a text encoder, class labels for those without."""

from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import torch

from utils.models.denoising import Conditioning
from utils.models.part_loading import load_part
from utils.planning.errors import UserError

CLEAN, DEGRADED = 0, 1
"""Class labels of the embedded model: the positive and the negative side of guidance."""

KEPT_PROMPTS = 32
"""How many encoded prompts stay in memory; a page's visitors may send any number."""


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
    """Encodes a prompt once and keeps it by its text, the latest ones; the text encoder is in memory only while a new prompt is encoded."""

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
        """folder: a diffusers-layout model with tokenizer/ and text_encoder/."""
        self._folder, self._device, self._dtype = folder, device, dtype
        self._embeddings: dict[str, torch.Tensor] = {}  # the latest used last
        self._lock = Lock()

    def __call__(self, prompt: str, negative_prompt: str | None, guidance: float) -> Conditioning:
        """As `Conditioner`; UserError if the tokenizer or the text encoder is missing, damaged or another model's."""
        wanted = [prompt, negative_prompt or ""] if guidance > 1 else [prompt]
        with self._lock:
            new = [text for text in dict.fromkeys(wanted) if text not in self._embeddings]
            if new:
                self._embeddings.update(zip(new, self._encode(new), strict=True))
            for text in wanted:
                self._embeddings[text] = self._embeddings.pop(text)
            for text in list(self._embeddings)[:-KEPT_PROMPTS]:
                del self._embeddings[text]
            return Conditioning(*({"encoder_hidden_states": self._embeddings[text]} for text in wanted))

    def _encode(self, texts: list[str]) -> list[torch.Tensor]:
        """The last hidden states after the final layer norm, [1,n,d] each; texts are cut or padded to the encoder's length."""
        from transformers import CLIPTextModel

        tokenizer = self._load_tokenizer()
        encoder = load_part(CLIPTextModel, self._folder / "text_encoder", dtype=self._dtype).to(self._device)
        if len(tokenizer) != encoder.config.vocab_size:
            raise UserError(f"The tokenizer and the text encoder in {self._folder} have different vocabularies; fetch the model again.")
        length = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
        tokens = tokenizer(texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        with torch.no_grad():  # one by one, so that a text means the same whichever it was first asked for with
            return [encoder(ids[None].to(self._device))[0] for ids in tokens.input_ids]

    def _load_tokenizer(self) -> Any:
        from transformers import CLIPTokenizer

        folder = self._folder / "tokenizer"
        try:
            if not folder.is_dir() or any(path.stat().st_size == 0 for path in folder.iterdir()):  # without merges it would run, and spell words out
                raise ValueError("missing or empty files")
            return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # the tokenizers library raises bare Exceptions for damaged files
            raise UserError(f"The model part {folder} is missing or damaged, and the model needs it for prompts; fetch the model again.") from error
