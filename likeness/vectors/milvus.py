"""Milvus as the proposer of candidates: where one machine ends.

A snapshot's ids and vectors stand in a Milvus collection of their own, so a reader sees one state
throughout, and deletions since are said in the query. SQL stays the truth, and the float16 file of
the snapshot scores what Milvus proposes. `milvus://host:19530` names a server, with a token as its
user part (`milvus://TOKEN@host:19530`) where it wants one; `milvus:PATH.db` is milvus-lite, the
same API in this process, for tests and trials.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import numpy.typing as npt

from likeness.errors import SettingsError, SnapshotError
from likeness.types import Embeddings, ImageIds, StoredVectors
from likeness.vectors.halfscan import Selection

_ROWS_PER_INSERT = 2000
"""At d = 1024, 8 MiB: well below the 64 MiB that a server takes at once."""

MOST_CANDIDATES = 16_384
"""Milvus's own limit of `limit`."""

MOST_LISTED = 50_000
"""Ids in a filter expression; above, scanning the local vectors costs less than sending it."""

_clients: dict[str, Any] = {}
_clients_lock = threading.Lock()


class MilvusProposer:
    """Asks one collection for candidates. Thread-safe."""

    cells = 1
    most: int | None = MOST_CANDIDATES
    most_listed: int | None = MOST_LISTED

    def __init__(self, server: str, name: str, ids: ImageIds) -> None:
        """ids: int64 [n], ascending: the image of each row."""
        self._server, self._name, self._ids = server, name, ids
        with _explained(server):
            client = _client(server)
            if not client.has_collection(name):
                raise SnapshotError(
                    f"Milvus at {_shown(server)} has no collection {name}; build the index again "
                    "with `likeness reindex --index milvus`"
                )
            client.load_collection(name)

    def candidates(
        self,
        queries: Embeddings,
        n: int,
        selection: Selection,
        reach: float,  # noqa: ARG002
        *,
        gather: bool,  # noqa: ARG002
    ) -> npt.NDArray[np.int64]:
        with _explained(self._server):
            found = _client(self._server).search(
                self._name,
                data=list(queries),
                anns_field="vector",
                limit=n,
                filter=self._expression(selection),
                consistency_level="Strong",
            )
        rows = np.full((len(queries), n), -1, dtype=np.int64)
        for at, hits in enumerate(found):
            near = np.array([hit["id"] for hit in hits], dtype=np.int64)
            rows[at, : len(near)] = np.searchsorted(self._ids, near)
        return rows

    def reach_until(
        self,
        queries: Embeddings,  # noqa: ARG002
        rows: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.float32]:
        """There is one cell as far as this side knows."""
        return np.zeros(rows.shape, dtype=np.float32)

    def _expression(self, selection: Selection) -> str:
        """The selection in Milvus's words, by whichever side of it is shorter."""
        if selection.everything:
            return ""
        if 2 * selection.count <= selection.total:
            return f"id in {self._ids[selection.rows].tolist()}"
        left_out = np.ones(selection.total, dtype=np.bool_)
        left_out[selection.rows] = False
        return f"id not in {self._ids[left_out].tolist()}"


def fill(server: str, name: str, ids: ImageIds, vectors: StoredVectors) -> None:
    """The collection holds these rows, indexed and loaded.

    ids: int64 [n]; vectors: float16 [n, d]. Raises SnapshotError when the server cannot be asked.
    """
    with _explained(server):
        client = _client(server)
        from pymilvus import DataType

        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=vectors.shape[1])
        index = client.prepare_index_params()
        index.add_index("vector", index_type=_index_type(server), metric_type="IP")
        client.create_collection(name, schema=schema, index_params=index)
        for start in range(0, len(ids), _ROWS_PER_INSERT):
            block = slice(start, start + _ROWS_PER_INSERT)
            wide = vectors[block].astype(np.float32)
            client.insert(
                name,
                [
                    {"id": image_id, "vector": row}
                    for image_id, row in zip(ids[block].tolist(), wide, strict=True)
                ],
            )
        client.flush(name)
        client.load_collection(name)


def drop(server: str, name: str) -> None:
    """The collection is gone, if it was there."""
    with _explained(server):
        _client(server).drop_collection(name)


def _index_type(server: str) -> str:
    return "FLAT" if _is_lite(server) else "AUTOINDEX"


def _is_lite(server: str) -> bool:
    return not urlsplit(server).netloc


def _client(server: str) -> Any:
    """The one client of this process for a server: milvus-lite opens a file only once."""
    if not server.startswith("milvus:"):
        raise SettingsError(
            f"{server!r} names no Milvus; set LIKENESS_INDEX_URL to milvus://HOST:19530, or to "
            "milvus:PATH.db for milvus-lite"
        )
    with _clients_lock:
        if server not in _clients:
            # gRPC's fork handlers break what is started by fork and exec beside it, and nothing
            # here calls a server from a forked child.
            os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
            try:
                from pymilvus import MilvusClient
            except ImportError as error:
                raise SettingsError(
                    "the index kind milvus needs pymilvus: `pip install 'likeness[milvus]'`"
                ) from error
            parts = urlsplit(server)
            if _is_lite(server):
                _clients[server] = MilvusClient(unquote(parts.path))
            else:
                host = f"http://{parts.hostname}:{parts.port or 19530}"
                token = unquote(parts.netloc.rpartition("@")[0])
                _clients[server] = MilvusClient(host, token=token)
        return _clients[server]


def close_clients() -> None:
    """Connections are closed; the next call opens them anew."""
    with _clients_lock:
        for client in _clients.values():
            client.close()
        _clients.clear()


def _shown(server: str) -> str:
    """The server without its token."""
    scheme, _, rest = server.partition(":")
    return f"{scheme}:{'//' if rest.startswith('//') else ''}{rest.rpartition('@')[2].lstrip('/')}"


@contextlib.contextmanager
def _explained(server: str) -> Iterator[None]:
    """Milvus's errors as ours, naming the server."""
    try:
        yield
    except (SnapshotError, SettingsError):
        raise
    except Exception as error:
        if not type(error).__module__.startswith(("pymilvus", "grpc", "milvus_lite")):
            raise
        raise SnapshotError(
            f"Milvus at {_shown(server)} did not answer: {error}; see that it runs, or build a "
            "local index: `likeness reindex --index auto`"
        ) from error
