"""What `likeness models` shows: the table with its estimates, and which weights are here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from likeness.encoders.interface import Precision
from likeness.encoders.memory import activation_bytes, weights_bytes
from likeness.encoders.records import EncoderRecord
from likeness.encoders.registry import RECORDS
from likeness.encoders.weights import WeightsStatus, mirror_names, weights_status

FULL: Precision = "fp32"
HALF: Precision = "bf16"


@dataclass(frozen=True, slots=True)
class Memory:
    """Estimated bytes of the weights of all towers, and of the activations of one batch."""

    weights: int
    activations: int

    @property
    def total(self) -> int:
        return self.weights + self.activations


@dataclass(frozen=True, slots=True)
class Listing:
    """An encoder as listed. full, half: memory at fp32 and at half precision for `batch` images.

    status: whether the weights are on this machine, and where. mirror_file: the name, without
    suffix, under which a folder named by LIKENESS_WEIGHTS would hold them.
    """

    record: EncoderRecord
    batch: int
    full: Memory
    half: Memory
    status: WeightsStatus
    mirror_file: str


def listing(record: EncoderRecord, weights_dir: Path | None, batch: int) -> Listing:
    """One encoder's row; looks for files, opens none, and never asks the network."""
    return Listing(
        record=record,
        batch=batch,
        full=estimate(record, batch, FULL),
        half=estimate(record, batch, HALF),
        status=weights_status(record, weights_dir),
        mirror_file=mirror_names(record)[0],
    )


def list_models(
    weights_dir: Path | None = None,
    *,
    batch: int = 8,
    records: Sequence[EncoderRecord] = RECORDS,
) -> list[Listing]:
    """Every encoder of the table, in its order; neither torch nor a model library is imported."""
    return [listing(record, weights_dir, batch) for record in records]


def estimate(record: EncoderRecord, batch: int, precision: Precision) -> Memory:
    """Memory for weights and for a batch of `batch` images."""
    return Memory(weights_bytes(record, precision), activation_bytes(record, batch, precision))
