"""The network behind `likeness:tiny`: one small ViT and the heads that read its last layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import timm
import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor, nn
from torch.nn import functional

from likeness.errors import NoTextTower

MEAN = STD = 0.5
"""Of every channel, for pixels in [0, 1]."""


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Its shape. architecture: a timm Vision Transformer with a CLS token; input_size: pixels;
    depth: blocks; classes: of the class head; copy_dim: of the vector for copies;
    text_hidden, text_dim: of the projection to the text space, 0 when there is none."""

    architecture: str = "vit_tiny_patch16_224"
    input_size: int = 160
    depth: int = 12
    classes: int = 1000
    copy_dim: int = 256
    text_hidden: int = 0
    text_dim: int = 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Features(NamedTuple):
    """Of the last layer, after its norm. cls: [n, d]; patches: [n, p, d]."""

    cls: Tensor
    patches: Tensor


class TinyNetwork(nn.Module):
    """A Vision Transformer with a class head, a head for copies and one for words."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_vit(
            config.architecture, config.input_size, config.classes, config.depth
        )
        width = int(self.backbone.num_features)
        self.copy_head = nn.Linear(2 * width, config.copy_dim)
        self.text_head = (
            ProjectionHead(2 * width, config.text_hidden, config.text_dim)
            if config.text_dim
            else None
        )
        self.register_buffer(
            "class_words", torch.zeros(config.classes, config.text_dim), persistent=False
        )
        self.class_words: Tensor

    def features(self, pixels: Tensor) -> Features:
        """pixels: float [n, 3, s, s], normalised. Returns the last layer's tokens."""
        tokens = self.backbone.forward_features(pixels)
        prefix = int(self.backbone.num_prefix_tokens)
        return Features(tokens[:, 0], tokens[:, prefix:])

    def logits(self, features: Features) -> Tensor:
        """Class scores before the softmax, [n, classes]."""
        return self.backbone.head(features.cls)  # type: ignore[no-any-return]

    def copies(self, features: Features) -> Tensor:
        """The vector that edits of one photo share, [n, copy_dim], L2 norm 1."""
        pooled = torch.cat(
            (
                functional.normalize(features.cls.float(), dim=-1),
                functional.normalize(generalised_mean(features.patches.float()), dim=-1),
            ),
            dim=-1,
        )
        return functional.normalize(self.copy_head(pooled).float(), dim=-1)

    def words(self, features: Features) -> Tensor:
        """The photo's place in the text space, [n, text_dim], L2 norm 1: the unit projection
        plus the classes' words weighted by their probabilities (ConSE, Norouzi et al. 2014)."""
        if self.text_head is None:
            raise NoTextTower("a network without text_head")
        projected = functional.normalize(self.text_head(pool(features)).float(), dim=-1)
        probabilities = self.logits(features).float().softmax(-1)
        return functional.normalize(projected + probabilities @ self.class_words.float(), dim=-1)


class ProjectionHead(nn.Module):
    """Two layers from [CLS, mean patch] to the text space (LiT, Zhai et al. 2022, image locked)."""

    def __init__(self, width: int, hidden: int, dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Linear(width, hidden)
        self.drop = nn.Dropout(dropout)
        self.second = nn.Linear(hidden, dim)

    def forward(self, pooled: Tensor) -> Tensor:
        """pooled: [n, 2 width], as `pool` gives it. Returns [n, dim], of any length."""
        halves = (functional.normalize(half, dim=-1) for half in pooled.chunk(2, dim=-1))
        hidden = functional.gelu(self.first(torch.cat(tuple(halves), dim=-1)))
        out: Tensor = self.second(self.drop(hidden))
        return out


def pool(features: Features) -> Tensor:
    """[CLS, mean patch token]: float32 [n, 2 d]."""
    return torch.cat((features.cls.float(), features.patches.float().mean(1)), dim=-1)


def generalised_mean(patches: Tensor, power: float = 3.0) -> Tensor:
    """GeM pooling over patches (Radenovic et al. 2018, eq. 3): [n, p, d] → [n, d]."""
    return patches.clamp(min=1e-4).pow(power).mean(1).pow(1.0 / power)


def build_vit(architecture: str, input_size: int, classes: int, depth: int | None = None) -> Any:
    """A randomly initialised timm Vision Transformer of this shape."""
    options: dict[str, Any] = {} if depth is None else {"depth": depth}
    return timm.create_model(
        architecture, pretrained=False, img_size=input_size, num_classes=classes, **options
    )


def fit_weights(
    weights: Mapping[str, Tensor], input_size: int, patch_size: int, depth: int
) -> dict[str, Tensor]:
    """A larger ViT's tensors for one of fewer tokens and blocks.

    The position embedding is resampled (bicubic); of the blocks, `depth` are kept, evenly
    spaced, first and last always among them.
    """
    fitted = dict(weights)
    side = input_size // patch_size
    position = fitted["pos_embed"]
    if position.shape[1] != side * side + 1:
        fitted["pos_embed"] = resample_abs_pos_embed(position.float(), [side, side])
    blocks = 1 + max(int(k.split(".")[1]) for k in fitted if k.startswith("blocks."))
    kept = [round(i * (blocks - 1) / max(depth - 1, 1)) for i in range(depth)]
    outside = {k: v for k, v in fitted.items() if not k.startswith("blocks.")}
    inside = {
        f"blocks.{new}.{key.split('.', 2)[2]}": tensor
        for new, old in enumerate(kept)
        for key, tensor in fitted.items()
        if key.startswith(f"blocks.{old}.")
    }
    return outside | inside


def normalise(pixels: Tensor) -> Tensor:
    """uint8 [n, s, s, 3] → float32 [n, 3, s, s] in [-1, 1]."""
    return pixels.permute(0, 3, 1, 2).float().div_(255.0 * STD).sub_(MEAN / STD)
