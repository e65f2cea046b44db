"""From a run's checkpoint to the files that the encoder loads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file
from torch import Tensor

from likeness.encoders.preprocess import Preprocess
from likeness.encoders.tiny.network import MEAN, STD, NetworkConfig, ProjectionHead, TinyNetwork
from likeness.encoders.tiny.text import quantise
from likeness.encoders.tiny.tower import TEXT, VOCABULARY, WEIGHTS, Manifest, file_digest
from likeness.errors import SourceError
from training.checkpoint import load_checkpoint
from training.words.text_table import TextTable


def averaged_student(folder: Path) -> TinyNetwork:
    """The running average of a run's student, as of its latest checkpoint.

    Raises SourceError when the folder holds no checkpoint.
    """
    state = load_checkpoint(folder)
    if state is None:
        raise SourceError(str(folder), "holds no checkpoint", "run `likeness distill` first")
    network = TinyNetwork(NetworkConfig(**state["network"]))
    network.load_state_dict(state["average"])
    return network.eval().requires_grad_(False)


def with_text_head(network: TinyNetwork, head: ProjectionHead) -> TinyNetwork:
    """The same network with a projection to the text space."""
    config = network.config.as_dict() | {
        "text_hidden": head.first.out_features,
        "text_dim": head.second.out_features,
    }
    joined = TinyNetwork(NetworkConfig(**config))
    weights = {k: v for k, v in network.state_dict().items() if not k.startswith("text_head.")}
    weights |= {f"text_head.{name}": tensor for name, tensor in head.state_dict().items()}
    joined.load_state_dict(weights)
    return joined.eval().requires_grad_(False)


@dataclass(frozen=True, slots=True)
class TextParts:
    """What `text.safetensors` and `vocabulary.txt` hold. class_words: [classes, d]."""

    table: TextTable
    class_words: Tensor


def publish(
    network: TinyNetwork, text: TextParts | None, folder: Path, *, look: float, crop_pct: float
) -> Manifest:
    """Write weights (float16), text tower (int8), vocabulary and manifest into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: t.detach().half().contiguous() for name, t in network.state_dict().items()}
    save_file(weights, folder / WEIGHTS)
    names = [WEIGHTS]
    if text is not None:
        vectors = text.table.bag.weight.detach().numpy().astype(np.float32)
        rows, scales = quantise(vectors)
        save_arrays(
            {
                "table": rows,
                "scales": scales.astype(np.float16),
                "class_words": text.class_words.detach().half().numpy(),
            },
            folder / TEXT,
        )
        (folder / VOCABULARY).write_text("\n".join(text.table.pieces) + "\n", "utf-8")
        names += [TEXT, VOCABULARY]
    manifest = Manifest(
        network=network.config,
        preprocess=Preprocess(
            size=network.config.input_size,
            crop_pct=crop_pct,
            mean=(MEAN, MEAN, MEAN),
            std=(STD, STD, STD),
        ),
        look=look,
        files={name: file_digest(folder / name) for name in names},
    )
    manifest.write(folder)
    return manifest


def parameter_count(network: TinyNetwork) -> int:
    return sum(int(p.numel()) for p in network.parameters())


def stored_bytes(network: TinyNetwork) -> int:
    """In half precision, without the file's header."""
    return sum(2 * int(torch.numel(t)) for t in network.state_dict().values())
