"""Names to loaded encoders."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import cast

from likeness.encoders.batch_memory import BatchMemory
from likeness.encoders.interface import Encoder, LoadRequest
from likeness.encoders.registry import find, parse_name


def load_encoder(
    name: str,
    *,
    device: str = "auto",
    precision: str = "auto",
    weights_dir: Path | None = None,
    offline: bool = False,
    batch_size: int | None = None,
    batch_memory: BatchMemory | None = None,
    random_seed: int | None = None,
    compiled: bool = False,
) -> Encoder:
    """Load an encoder, ready to embed.

    name: `LIBRARY:MODEL/WEIGHTS`, optionally `@path` of a .safetensors or .pt file.
    device: "auto" (a GPU when there is one), "cpu", "cuda", "cuda:1", "mps".
    precision: "auto" (half where the device computes in it natively), "fp32", "bf16", "fp16".
    weights_dir: a folder that mirrors weights, looked into before the hub.
    offline: never ask the hub, as HF_HUB_OFFLINE=1 does. batch_size: None chooses by memory.
    batch_memory: where batch sizes are kept for which a device had no room.
    random_seed: initialise at random with this seed instead of loading weights.
    compiled: run through torch.compile.

    Raises UnknownEncoder, WeightsNotFound (the hub out of reach included), WeightsMismatch,
    SettingsError (a device or precision that this machine cannot serve).
    """
    record = find(name)
    request = LoadRequest(
        name=name,
        weights_path=parse_name(name).path,
        weights_dir=weights_dir,
        device=device,
        precision=precision,
        offline=offline,
        batch_size=batch_size,
        batch_memory=batch_memory,
        random_seed=random_seed,
        compiled=compiled,
    )
    module, _, function = record.loader.partition(":")
    return cast(Encoder, getattr(importlib.import_module(module), function)(record, request))
