"""Checkpoints that survive a kill at any moment: written beside, flushed, then renamed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from likeness.errors import SourceError

NAME = "checkpoint.pt"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> Path:
    """`state` (tensors, numbers, strings, lists and dicts of them) is the folder's checkpoint.

    A kill at any moment leaves either the former checkpoint or this one, whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target, beside = folder / NAME, folder / f"{NAME}.part"
    with beside.open("wb") as stream:
        torch.save(state, stream)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(target)
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return target


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The folder's checkpoint, or None when there is none yet.

    Raises SourceError when the file is there and cannot be read.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise SourceError(
            str(path), f"not a readable checkpoint ({error})", "delete it to start afresh"
        ) from error
    return state
