"""Which encoder to take, for what, where, in how much memory; and why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from likeness.encoders.catalogue import FULL, HALF, Listing, estimate, listing
from likeness.encoders.interface import Precision
from likeness.encoders.records import EncoderRecord, Purpose
from likeness.encoders.registry import RECORDS
from likeness.errors import InputError

Device = Literal["cpu", "gpu"]

_BATCH = 8
# Python, torch and both model libraries, before the first tensor: resident memory of a process
# that has imported the adapters (752 MB; torch 2.14, Linux).
_PROCESS_BYTES = 770_000_000
# What one image may cost, in 10⁹ operations, for a collection of tens of thousands to be indexed
# in hours. A core does 100 of them a second in fp32 and 430 in bf16 (benchmarks/README.md); for
# GPUs the limit is set by their makers' figures, of which large towers reach a part.
_GIGA_FLOPS_LIMIT: Mapping[Device, float] = {"cpu": 20.0, "gpu": 1500.0}
_RESTRICTED = ("Apple-AMLR", "CC-BY-NC-4.0", "DINOv3")

# Families for tasks whose published figures differ in kind, best first; each with the evidence.
_LOOK_BY = {
    "DINOv3": "its frozen features lead at finding the same thing again (Siméoni et al., 2025)",
    "DINOv2": "its frozen features find the same thing again (Oquab et al., 2023, section 7.3)",
    "DINO": "its frozen features separate by nearest neighbours (Caron et al., 2021)",
    "ViT": "trained on the 21,000 classes of ImageNet-21k (Steiner et al., 2021)",
}
_COPIES_BY = {
    "Likeness tiny": "trained to find edited copies: 99.6 % of them come first among a thousand "
    "photos (its model card)",
    "DINO": "finds edited copies as it is, on Copydays best of its time (Caron et al., 2021, "
    "table 4)",
    "DINOv2": "learns to see two crops of an image as one (Oquab et al., 2023)",
    "DINOv3": "learns to see two crops of an image as one (Siméoni et al., 2025)",
}
_PREFERENCE: Mapping[Purpose, Mapping[str, str]] = {
    Purpose.LOOK: _LOOK_BY,
    Purpose.COPIES: _COPIES_BY,
}


@dataclass(frozen=True, slots=True)
class Advice:
    """choice: the encoder to take. reasons: why, as sentences. precision: it was weighed at.

    without_strings: the best whose weights may be used for anything, when choice's may not.
    here: the best whose weights are on this machine, when choice's are not; None when none is.
    """

    choice: Listing
    precision: Precision
    reasons: tuple[str, ...]
    without_strings: Listing | None
    here: Listing | None


def advise(
    task: Purpose,
    device: Device,
    memory: int,
    *,
    weights_dir: Path | None = None,
    records: Sequence[EncoderRecord] = RECORDS,
) -> Advice:
    """Recommend an encoder for a task on a device with `memory` bytes.

    Among those that fit and are quick enough there: for words the highest zero-shot figure, else
    the largest of the preferred family. Raises InputError when none fits, naming the smallest.
    """
    precision = HALF if device == "gpu" else FULL
    suited = [record for record in records if task in record.purposes]
    fitting = [record for record in suited if _needs(record, precision) <= memory]
    if not fitting:
        smallest = min(suited, key=lambda record: _needs(record, precision))
        raise InputError(
            f"no encoder for {task} fits into {memory / 1e9:.1f} GB; the smallest, "
            f"{smallest.name}, needs {_needs(smallest, precision) / 1e9:.1f} GB"
        )
    limit = _GIGA_FLOPS_LIMIT[device]
    quick = [record for record in fitting if record.giga_flops <= limit]
    ranked = _ranked(task, quick or sorted(fitting, key=lambda record: record.giga_flops)[:1])
    rows = [listing(record, weights_dir, _BATCH) for record in ranked]
    choice = rows[0]
    free = [row for row in rows if row.record.licence not in _RESTRICTED]
    here = [row for row in rows if row.status.present]
    return Advice(
        choice=choice,
        precision=precision,
        reasons=_reasons(task, device, memory, choice, precision),
        without_strings=free[0] if free and free[0] is not choice else None,
        here=here[0] if here and here[0] is not choice else None,
    )


def parse_memory(text: str) -> int:
    """`4G`, `512M`, `1.5g` or plain bytes → bytes (K, M, G are powers of 1024).

    Raises InputError when it is none of these.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?\s*", text, re.IGNORECASE)
    if not found or float(found.group(1)) <= 0:
        raise InputError(f"memory {text!r} is not a size; write it as 4G, 512M or bytes")
    scale = 1024 ** " kmgt".index(found.group(2).lower() or " ")
    return int(float(found.group(1)) * scale)


def _needs(record: EncoderRecord, precision: Precision) -> int:
    return _PROCESS_BYTES + estimate(record, _BATCH, precision).total


def _ranked(task: Purpose, records: Sequence[EncoderRecord]) -> list[EncoderRecord]:
    """Best first."""
    if task is Purpose.WORDS:
        return sorted(records, key=lambda r: (-(r.zero_shot or 0.0), r.giga_flops))
    rank = {family: place for place, family in enumerate(_PREFERENCE[task])}
    return sorted(records, key=lambda r: (rank.get(r.family, len(rank)), -r.parameters))


def _reasons(
    task: Purpose, device: Device, memory: int, row: Listing, precision: Precision
) -> tuple[str, ...]:
    record = row.record
    evidence = _PREFERENCE.get(task, {}).get(record.family)
    if record.zero_shot is not None and task is Purpose.WORDS:
        evidence = (
            f"it has the best published zero-shot figure of those that fit: {record.zero_shot} % "
            "top-1 on ImageNet"
        )
    limit = _GIGA_FLOPS_LIMIT[device]
    pace = (
        f"one image costs {record.giga_flops:.0f} GFLOP, within the {limit:.0f} that keep "
        f"indexing on a {device.upper()} to hours"
        if record.giga_flops <= limit
        else f"one image costs {record.giga_flops:.0f} GFLOP: the least of those that fit, but "
        f"slow on a {device.upper()}"
    )
    needs = _needs(record, precision) / 1e9
    licence = (
        f"its weights are under {record.licence}, which restricts use: read it first"
        if record.licence in _RESTRICTED
        else f"its weights are under {record.licence}"
    )
    place = (
        f"they are on this machine ({row.status.where})"
        if row.status.present
        else f"they come from {row.status.where}, or as {row.mirror_file}.safetensors in a folder "
        "named by LIKENESS_WEIGHTS"
    )
    room = (
        f"it needs about {needs:.1f} of {memory / 1e9:.1f} GB at {precision}, in batches of "
        f"{row.batch}"
    )
    return (
        evidence or f"the {record.family} family suits {task}",
        pace,
        room,
        f"{licence}; {place}",
    )
