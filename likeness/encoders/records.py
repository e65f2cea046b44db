"""What is known of an encoder before it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from likeness.types import Tower

Pooling = Literal["cls", "mean", "attention"]


class Purpose(StrEnum):
    """What an encoder is good for.

    WORDS: answers text. LOOK: finds what looks or means alike. COPIES: finds edited copies.
    """

    WORDS = "words"
    LOOK = "look"
    COPIES = "copies"


@dataclass(frozen=True, slots=True)
class Shape:
    """The image tower's dimensions, for estimating memory. Of hierarchical towers (Swin,
    FastViT) the first stage's.

    tokens: patches plus CLS and registers. width: of the residual stream. hidden: widest layer
    of the MLP (both halves of a gated one). heads: of an attention layer.
    """

    tokens: int
    width: int
    depth: int
    heads: int
    hidden: int


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file on the Hugging Face hub. filenames: the names that the library looks for, in its
    order."""

    repo: str
    filenames: tuple[str, ...] = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True, slots=True)
class EncoderRecord:
    """One encoder: an architecture with one set of weights.

    name: `LIBRARY:MODEL/WEIGHTS` or `timm:MODEL.WEIGHTS`. parameters: of the image tower without
    a classifier; text_parameters: of the text tower, 0 without one. giga_flops: for one image,
    10⁹ multiplications and additions. zero_shot: published zero-shot top-1 on ImageNet-1k, %,
    where there is a figure to compare two-tower encoders by. licence: of the weights, an
    SPDX id where there is one. hub, url: where the library fetches the weights. pooling: as
    the family's authors use it for embeddings; pooling_note: whose choice that is, where the
    library's default differs or authors disagree. global_pool: passed to timm where that is not
    its default. loader: dotted path, `module:function`.
    """

    name: str
    family: str
    purposes: tuple[Purpose, ...]
    dim: int
    input_size: int
    parameters: int
    text_parameters: int
    giga_flops: float
    pooling: Pooling
    shape: Shape
    licence: str
    loader: str
    hub: HubFile | None = None
    url: str | None = None
    pooling_note: str = ""
    global_pool: str | None = None
    zero_shot: float | None = None

    @property
    def library(self) -> str:
        """`timm`, `open_clip` or `likeness`."""
        return self.name.partition(":")[0]

    @property
    def architecture(self) -> str:
        """The library's model name, without the tag of the weights."""
        return self.name.partition(":")[2].partition("." if self.library == "timm" else "/")[0]

    @property
    def towers(self) -> frozenset[Tower]:
        return frozenset({Tower.IMAGE, Tower.TEXT} if self.text_parameters else {Tower.IMAGE})


@dataclass(frozen=True, slots=True)
class EncoderName:
    """A name taken apart. architecture: the library's model name. tag: of its weights, "" when
    none is named. path: the part behind `@`."""

    library: str
    architecture: str
    tag: str
    path: Path | None

    @property
    def base(self) -> str:
        """The name without `@path`."""
        if not self.tag:
            return f"{self.library}:{self.architecture}"
        joint = "." if self.library == "timm" else "/"
        return f"{self.library}:{self.architecture}{joint}{self.tag}"
