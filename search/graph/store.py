"""A neighbour graph in one file: written beside, synced, renamed; verified before it answers."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path

import numpy as np

from likeness.errors import SnapshotDamaged
from likeness.vectors.knn import Neighbours
from search.graph.graph import NeighbourGraph

FILE_NAME = "graph.bin"
_MAGIC = b"LKGRAPH1"


def save_graph(graph: NeighbourGraph, path: Path) -> None:
    """The file at path is this graph, whole, even if the process dies now; the old one is gone.

    Layout: magic, length of the header (8 bytes, little-endian), header (JSON), then image ids,
    positions and scores as little-endian arrays.
    """
    parts = [
        np.ascontiguousarray(graph.image_ids, dtype="<i8"),
        np.ascontiguousarray(graph.neighbours.positions, dtype="<i4"),
        np.ascontiguousarray(graph.neighbours.scores, dtype="<f4"),
    ]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.data)
    header = {
        "n": len(graph),
        "k": graph.k,
        "fingerprint": graph.fingerprint,
        "revision": graph.revision,
        "method": graph.method,
        "recall": graph.recall,
    }
    text = json.dumps({**header, "sha256": digest.hexdigest()}, sort_keys=True)
    sealed = json.dumps({"header": text, "seal": _seal(text)}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_MAGIC + len(sealed).to_bytes(8, "little") + sealed)
            for part in parts:
                file.write(part.data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def load_graph(path: Path) -> NeighbourGraph | None:
    """The graph stored at path; None when there is none. Raises SnapshotDamaged."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    if data[:8] != _MAGIC or len(data) < 16:
        raise SnapshotDamaged(str(path), "it is not a neighbour graph")
    length = int.from_bytes(data[8:16], "little")
    try:
        sealed = json.loads(data[16 : 16 + length])
        text = sealed["header"]
        if sealed["seal"] != _seal(text):
            raise SnapshotDamaged(str(path), "its header does not match its checksum")
        header = json.loads(text)
    except (ValueError, KeyError, TypeError) as error:
        raise SnapshotDamaged(str(path), "its header cannot be read") from error
    body = memoryview(data)[16 + length :]
    n, k = header["n"], header["k"]
    if len(body) != n * 8 + n * k * 8:
        raise SnapshotDamaged(
            str(path), f"it has {len(body)} bytes of lists, not {n * 8 * (1 + k)}"
        )
    if hashlib.sha256(body).hexdigest() != header["sha256"]:
        raise SnapshotDamaged(str(path), "its lists do not match their checksum")
    ids = np.frombuffer(body[: n * 8], dtype="<i8").astype(np.int64)
    positions = np.frombuffer(body[n * 8 : n * 8 + n * k * 4], dtype="<i4").reshape(n, k)
    scores = np.frombuffer(body[n * 8 + n * k * 4 :], dtype="<f4").reshape(n, k)
    return NeighbourGraph(
        ids,
        Neighbours(positions.astype(np.int32), scores.astype(np.float32)),
        header["fingerprint"],
        header["revision"],
        header["method"],
        header["recall"],
    )


def _seal(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
