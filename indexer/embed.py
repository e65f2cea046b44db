"""Prepared images to vectors, in batches as large as the encoder likes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from indexer.items import Decoded, Failure, Group, Prepared
from likeness.encoders.interface import Encoder
from likeness.telemetry import tracing
from likeness.telemetry.totals import stage
from likeness.types import StoredVectors

_GROUP = 1000


class Encoders(Protocol):
    """Encoders by space id, and how many images they take at once; loaded when first asked for."""

    @property
    def encoders(self) -> Mapping[int, Encoder]: ...
    @property
    def batch_size(self) -> int: ...


def embed(decoded: Iterable[Decoded], towers: Encoders) -> Iterator[Group]:
    """Embed prepared images for every space; everything else passes through in its place.

    A group ends when its prepared images fill a batch, or at a thousand outcomes, so that nothing
    waits for long.
    """
    outcomes: list[Decoded] = []
    prepared, began = 0, time.time_ns()
    for outcome in decoded:
        outcomes.append(outcome)
        prepared += isinstance(outcome, Prepared)
        if len(outcomes) >= _GROUP or (prepared and prepared >= towers.batch_size):
            tracing.record("decode", began, time.time_ns(), images=prepared)
            yield _embed_group(outcomes, towers)
            outcomes, prepared, began = [], 0, time.time_ns()
    if outcomes:
        yield _embed_group(outcomes, towers)


def _embed_group(outcomes: Sequence[Decoded], towers: Encoders) -> Group:
    images = [outcome.image for outcome in outcomes if isinstance(outcome, Prepared)]
    if not images:
        return Group(outcomes, {})
    vectors: dict[int, StoredVectors] = {}
    sound = np.ones(len(images), dtype=bool)
    for space_id, encoder in towers.encoders.items():
        batch = np.stack([image.arrays[encoder.fingerprint] for image in images])
        with stage("embed", images=len(images), encoder=encoder.spec.name):
            embedded = encoder.embed_prepared(batch)
        sound &= np.isfinite(embedded).all(axis=1) & (np.abs(embedded).max(axis=1) > 0)
        vectors[space_id] = embedded.astype(np.float16)
    if sound.all():
        return Group(outcomes, vectors)
    return Group(
        list(_without_unsound(outcomes, sound)),
        {space_id: rows[sound] for space_id, rows in vectors.items()},
    )


def _without_unsound(outcomes: Sequence[Decoded], sound: np.ndarray) -> Iterator[Decoded]:
    row = 0
    for outcome in outcomes:
        if not isinstance(outcome, Prepared):
            yield outcome
            continue
        if sound[row]:
            yield outcome
        else:
            message = f"{outcome.source.path}: the encoder gave no usable vector (NaN or zero)"
            yield Failure(outcome.source, "bad_vector", message, outcome.filling)
        row += 1
