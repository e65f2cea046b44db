"""The teacher: a timm Vision Transformer with a class head, from a weights file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from likeness.encoders.tiny.network import build_vit, fit_weights, normalise
from likeness.errors import SettingsError
from training.config import TeacherConfig


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file. Raises SettingsError when it is not there."""
    if not path.is_file():
        raise SettingsError(f"{path}: there are no teacher weights; set teacher.weights")
    return load_file(path)


class Teacher:
    """Frozen; answers with CLS features and class scores."""

    def __init__(self, config: TeacherConfig, device: torch.device, dtype: torch.dtype) -> None:
        weights = read_weights(config.weights)
        self.classes = len(weights["head.bias"])
        self.vit: Any = build_vit(config.architecture, config.input_size, self.classes)
        patch = int(self.vit.patch_embed.patch_size[0])
        self.vit.load_state_dict(
            fit_weights(weights, config.input_size, patch, len(self.vit.blocks))
        )
        self.vit.eval().requires_grad_(False).to(device, dtype)
        self.device, self.dtype = device, dtype

    @torch.inference_mode()
    def __call__(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """pixels: normalised float [n, 3, s, s]. Returns (CLS [n, d], logits [n, classes])."""
        tokens = self.vit.forward_features(pixels.to(self.device, self.dtype))
        return tokens[:, 0].float(), self.vit.head(tokens[:, 0]).float()

    def answer(self, pixels: Tensor, batch: int = 32) -> tuple[Tensor, Tensor]:
        """As calling it, for any number of uint8 images [n, s, s, 3]; on the CPU."""
        parts = [
            self(normalise(pixels[i : i + batch].to(self.device)))
            for i in range(0, len(pixels), batch)
        ]
        return torch.cat([p[0] for p in parts]).cpu(), torch.cat([p[1] for p in parts]).cpu()
