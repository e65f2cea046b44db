"""Prepared images to vectors, in batches as large as the encoder likes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from indexer.items import Decoded, Failure, Group, Prepared
from likeness.encoders.interface import Encoder
from likeness.types import StoredVectors


def embed(
    decoded: Iterable[Decoded], encoders: Mapping[int, Encoder], *, batch_size: int
) -> Iterator[Group]:
    """Embed prepared images for every space; everything else passes through in its place.

    encoders: by space id. A group ends when it holds `batch_size` prepared images, or that many
    times sixteen outcomes of other kinds, so that nothing waits for long.
    """
    outcomes: list[Decoded] = []
    prepared = 0
    for outcome in decoded:
        outcomes.append(outcome)
        prepared += isinstance(outcome, Prepared)
        if prepared >= batch_size or len(outcomes) >= batch_size * 16:
            yield _embed_group(outcomes, encoders)
            outcomes, prepared = [], 0
    if outcomes:
        yield _embed_group(outcomes, encoders)


def _embed_group(outcomes: Sequence[Decoded], encoders: Mapping[int, Encoder]) -> Group:
    images = [outcome.image for outcome in outcomes if isinstance(outcome, Prepared)]
    if not images:
        return Group(outcomes, {})
    vectors: dict[int, StoredVectors] = {}
    sound = np.ones(len(images), dtype=bool)
    for space_id, encoder in encoders.items():
        batch = np.stack([image.arrays[encoder.fingerprint] for image in images])
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
