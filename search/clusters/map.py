"""A map of the collection: images that are alike lie near each other in the plane.

Computed once; new images are placed among their neighbours and nothing else moves.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from likeness.errors import SnapshotDamaged
from likeness.types import ImageIds
from likeness.vectors.knn import Vectors
from search.graph.graph import NeighbourGraph
from search.graph.keeper import SpaceVectors
from search.graph.store import sync_folder

FILE_NAME = "map.bin"
_MAGIC = b"LKMAP001"
_FEWEST = 12
_PERPLEXITY = 30.0
_PLACED_BY = 5
_REMADE_AT = 1.5
_ALONE = 20_000
"""Up to here threads wait for each other longer than they work."""


@dataclass(frozen=True, slots=True)
class CollectionMap:
    """image_ids: int64 [n] ascending; places: float32 [n, 2], within -1 … 1 on both axes for the
    images it was computed from. computed_from: how many those were; the others were placed later.
    """

    image_ids: ImageIds
    places: npt.NDArray[np.float32]
    computed_from: int
    fingerprint: str


def make_map(
    image_ids: ImageIds, vectors: Vectors, graph: NeighbourGraph, *, random_seed: int = 0
) -> CollectionMap:
    """t-SNE (van der Maaten & Hinton, 2008; by interpolation: Linderman et al., 2019) of openTSNE.

    The affinities come from the stored neighbour graph; the start is the first two principal
    directions, which keeps far things far (Kobak & Berens, 2019) and makes runs agree.
    """
    n = len(image_ids)
    if n < _FEWEST:
        turn = np.linspace(0, 2 * np.pi, max(n, 1), endpoint=False)[:n]
        places = np.column_stack([np.cos(turn), np.sin(turn)]) * 0.5
        return CollectionMap(image_ids, places.astype(np.float32), n, graph.fingerprint)
    start = _principal(vectors, random_seed)
    return CollectionMap(image_ids, _scaled(_tsne(graph, start, random_seed)), n, graph.fingerprint)


def extend_map(known: CollectionMap, image_ids: ImageIds, graph: NeighbourGraph) -> CollectionMap:
    """The map of image_ids: known images where they were, new ones amid their nearest known ones.

    graph: of exactly image_ids. An image none of whose neighbours is known lies at the rim.
    """
    at = np.searchsorted(known.image_ids, image_ids).clip(max=max(0, len(known.image_ids) - 1))
    have = (
        known.image_ids[at] == image_ids
        if len(known.image_ids)
        else np.zeros(len(image_ids), dtype=np.bool_)
    )
    places = np.zeros((len(image_ids), 2), dtype=np.float32)
    places[have] = known.places[at[have]]
    for row in np.flatnonzero(~have):
        near = graph.neighbours.positions[row]
        near = near[(near >= 0) & have[near]][:_PLACED_BY]
        # The id turns into an angle, so that copies of one image do not lie on one point.
        angle = (int(image_ids[row]) * 2.399963) % (2 * np.pi)
        away = np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)
        if len(near):
            places[row] = np.median(places[near], axis=0) + 0.004 * away
        else:
            places[row] = 1.1 * away
    return CollectionMap(image_ids, places, known.computed_from, known.fingerprint)


def current_map(held: SpaceVectors, graph: NeighbourGraph, directory: Path) -> CollectionMap:
    """The map beside the snapshot, extended to today's images; computed when there is none, when
    it is damaged, or when the collection has grown by half since."""
    path = directory / FILE_NAME
    try:
        known = load_map(path)
    except SnapshotDamaged:
        known = None  # derived, so it is simply made again
    if known is not None and known.fingerprint == graph.fingerprint:
        if np.array_equal(known.image_ids, held.image_ids):
            return known
        if len(held.image_ids) <= _REMADE_AT * max(known.computed_from, _FEWEST):
            extended = extend_map(known, held.image_ids, graph)
            save_map(extended, path)
            return extended
    made = make_map(held.image_ids, held.vectors, graph)
    save_map(made, path)
    return made


def save_map(made: CollectionMap, path: Path) -> None:
    """The file at path is this map, whole."""
    ids = np.ascontiguousarray(made.image_ids, dtype="<i8").tobytes()
    places = np.ascontiguousarray(made.places, dtype="<f4").tobytes()
    header = json.dumps(
        {
            "n": len(made.image_ids),
            "computed_from": made.computed_from,
            "fingerprint": made.fingerprint,
        }
    ).encode()
    body = len(header).to_bytes(4, "little") + header + ids + places
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "wb") as file:
        file.write(_MAGIC + hashlib.sha256(body).digest() + body)
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(path)
    sync_folder(path.parent)


def load_map(path: Path) -> CollectionMap | None:
    """The map at path; None when there is none. Raises SnapshotDamaged."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    body = data[40:]
    if data[:8] != _MAGIC or hashlib.sha256(body).digest() != data[8:40]:
        raise SnapshotDamaged(str(path), "it does not match its checksum")
    length = int.from_bytes(body[:4], "little")
    header = json.loads(body[4 : 4 + length])
    n, arrays = header["n"], body[4 + length :]
    return CollectionMap(
        np.frombuffer(arrays[: 8 * n], dtype="<i8").astype(np.int64),
        np.frombuffer(arrays[8 * n :], dtype="<f4").reshape(n, 2).astype(np.float32),
        header["computed_from"],
        header["fingerprint"],
    )


def trustworthiness(
    vectors: Vectors, places: npt.NDArray[np.float32], k: int = 10, sample: int = 1000
) -> float:
    """Whether neighbours on the map are neighbours indeed, 0..1 (Venna & Kaski, 2001)."""
    n = len(vectors)
    random = np.random.default_rng(0)
    rows = np.sort(random.choice(n, min(n, sample), replace=False))
    everything = np.asarray(vectors, dtype=np.float32)
    penalty = 0.0
    for row in rows:
        far = np.argsort(-(everything @ everything[row]), kind="stable")
        rank = np.empty(n, dtype=np.int64)
        rank[far[far != row]] = np.arange(1, n)
        flat = ((places - places[row]) ** 2).sum(axis=1)
        flat[row] = np.inf
        near = np.argpartition(flat, k)[:k]
        penalty += float(np.maximum(rank[near] - k, 0).sum())
    return 1 - 2 * penalty / (len(rows) * k * (2 * n - 3 * k - 1))


def _tsne(
    graph: NeighbourGraph, start: npt.NDArray[np.float64], random_seed: int
) -> npt.NDArray[np.float32]:
    import openTSNE  # here: slow to import, and only maps need it
    from scipy.sparse import csr_matrix

    neighbours = graph.neighbours
    n = len(neighbours)
    perplexity = min(_PERPLEXITY, max(2.0, neighbours.k / 3))
    affinities = openTSNE.affinity.PrecomputedAffinities(
        _conditional(neighbours.positions, neighbours.scores, perplexity, n, csr_matrix)
    )
    embedding = openTSNE.TSNEEmbedding(
        start,
        affinities,
        negative_gradient_method="fft" if n > 5000 else "bh",
        random_state=random_seed,
        n_jobs=1 if n <= _ALONE else -1,
    )
    # Half the usual steps: more kept no more neighbours (decision 0009).
    embedding = embedding.optimize(n_iter=120, exaggeration=12, momentum=0.5)
    return np.asarray(embedding.optimize(n_iter=250, momentum=0.8), dtype=np.float32)


def _conditional(
    positions: npt.NDArray[np.int32],
    scores: npt.NDArray[np.float32],
    perplexity: float,
    n: int,
    csr_matrix: Any,
) -> Any:
    """Symmetric affinities, sparse [n, n], sum 1: each row's width by bisection to a perplexity."""
    known = positions >= 0
    distance = np.where(known, 2 - 2 * scores, np.inf)
    distance = distance - np.where(known, distance, np.inf).min(axis=1, initial=np.inf)[:, None]
    low, high = np.full(n, 1e-3), np.full(n, 1e6)
    target = np.log(np.minimum(perplexity, np.maximum(known.sum(axis=1) - 1, 1.1)))
    for _ in range(40):
        width = np.sqrt(low * high)
        share = np.where(known, np.exp(-np.where(known, distance, 0) * width[:, None]), 0)
        share /= np.maximum(share.sum(axis=1, keepdims=True), 1e-12)
        entropy = -(share * np.log(np.maximum(share, 1e-12))).sum(axis=1)
        low, high = np.where(entropy > target, width, low), np.where(entropy > target, high, width)
    rows = np.repeat(np.arange(n), positions.shape[1])[known.ravel()]
    matrix = csr_matrix((share[known], (rows, positions[known])), shape=(n, n))
    symmetric = matrix + matrix.T
    return symmetric / symmetric.sum()


def _principal(vectors: Vectors, random_seed: int) -> npt.NDArray[np.float64]:
    """First two principal directions, scaled as t-SNE likes to start: standard deviation 1e-4."""
    n = len(vectors)
    random = np.random.default_rng(random_seed)
    rows = np.sort(random.permutation(n)[:20_000])
    sample = np.asarray(vectors[rows], dtype=np.float32)
    mean = sample.mean(axis=0)
    _, _, directions = np.linalg.svd(
        (sample - mean)[: max(3, min(len(sample), 5000))], full_matrices=False
    )
    # The sign of a direction is arbitrary: its largest part is positive.
    largest = np.abs(directions[:2]).argmax(axis=1)
    directions[:2] *= np.sign(directions[np.arange(2), largest])[:, None]
    start = np.empty((n, 2), dtype=np.float64)
    for begin in range(0, n, 65_536):
        block = np.asarray(vectors[begin : begin + 65_536], dtype=np.float32)
        start[begin : begin + 65_536] = (block - mean) @ directions[:2].T
    return start / max(float(start[:, 0].std()), 1e-12) * 1e-4


def _scaled(places: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    centred = places - (places.max(axis=0) + places.min(axis=0)) / 2
    return np.asarray(centred / max(float(np.abs(centred).max()), 1e-12), dtype=np.float32)
