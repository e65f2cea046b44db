"""Immutable indexes on disk: written whole or not at all, and verified before the first answer."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from likeness.errors import SnapshotDamaged, SnapshotMissing, SnapshotNotWritten, VectorError
from likeness.types import ImageIds, StoredVectors
from likeness.vectors.candidates import CandidateIndex
from likeness.vectors.choice import Budget, Choice, choose
from likeness.vectors.engine import load_faiss
from likeness.vectors.files import DurableFile, FileFacts, VerifiedFile, sync_directory
from likeness.vectors.gpu import on_gpu
from likeness.vectors.index import VectorIndex
from likeness.vectors.kinds import KINDS, NewFile, SnapshotParts, kind_named
from likeness.vectors.manifest import MANIFEST_NAME, Manifest
from likeness.vectors.recall import TARGET, Examination, TextQueries, tune, worst
from likeness.vectors.validate import check_ids, check_vectors

IDS_NAME = "ids.i64"
VECTORS_NAME = "vectors.f16"

PARTIAL_PREFIX = ".partial-"
"""Begins the name of a folder that is being written; a leftover of that name is rubbish."""

IN_MEMORY_BYTES = 512 << 20
"""Snapshots up to this size are read into memory, larger ones are mapped. See VerifiedFile."""

ELSEWHERE = frozenset({"milvus"})
"""Kinds whose index a server holds: whoever asked for one of those is not given a GPU instead."""

DEFAULT_BUDGET = Budget()

_MAX_MANIFEST_BYTES = 1 << 20
_CANARIES = 32
_CANARY_NEIGHBOURS = 10
_CANARIES_MISSED = 8
"""By an index that is not exact: at a recall of 0.98 more of 32 are missed once in a hundred
million times, and codes that are another index's find hardly any."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An opened index, whose every byte was compared with its checksum."""

    path: Path
    manifest: Manifest
    index: VectorIndex
    opened: tuple[VerifiedFile, ...]

    def intact(self) -> bool:
        """Whether no mapped file was written to since it was verified. Cheap: asked per query."""
        return all(file.intact() for file in self.opened)


def write_snapshot(
    target: Path,
    batches: Iterable[tuple[ImageIds, StoredVectors]],
    *,
    fingerprint: str,
    dim: int,
    revision: int,
    digest: str,
    kind: str = "exact",
    budget: Budget = DEFAULT_BUDGET,
    text_queries: TextQueries | None = None,
    server: str = "",
) -> Manifest:
    """A whole, verified snapshot stands in the folder `target`, or nothing does.

    batches: ids int64 [n] and vectors float16 [n, dim], the ids ascending from batch to batch.
    kind: of `kinds.KINDS`, or `auto`. text_queries: words to measure recall by, for a kind that is
    not exact; one that misses `budget.recall` however it is tuned gives way to its fallback.
    server: for a kind whose index stands elsewhere.
    Written beside as `.partial-…`, fsynced, renamed, the parent fsynced, then read back from the
    disk, compared with its checksums, and asked for some of the vectors it holds.
    Raises SnapshotNotWritten when the disk is full or fails, SnapshotDamaged when what was read
    back is not what was written, VectorError for vectors that may not be stored.
    """
    partial = target.with_name(f"{PARTIAL_PREFIX}{target.name}-{secrets.token_hex(4)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        files: dict[str, FileFacts] = {}
        ids = write_vectors(partial, batches, dim, files)
        vectors = _map_vectors(partial, len(ids), dim)
        built = _build(
            partial,
            ids,
            vectors,
            files,
            choose(kind, vectors, budget),
            budget,
            text_queries,
            server,
        )
        manifest = Manifest(
            kind=built.kind,
            fingerprint=fingerprint,
            dim=dim,
            revision=revision,
            digest=digest,
            count=len(ids),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            files=files,
            options=built.options,
            recall=built.recall,
            made_with={"faiss": str(load_faiss().__version__), "numpy": np.__version__},
        )
        with DurableFile(partial / MANIFEST_NAME) as file:
            file.write(manifest.encode())
            file.finish()
        sync_directory(partial)
        if target.exists():
            raise SnapshotNotWritten(str(target), "a snapshot of that name stands there already")
        partial.rename(target)
        sync_directory(target.parent)
    except OSError as error:
        raise SnapshotNotWritten(str(target), error.strerror or str(error)) from error
    finally:
        if partial.is_dir():
            discard_everywhere(partial, server)
    try:
        try_canaries(open_snapshot(target, server=server))
    except BaseException:
        discard_everywhere(target, server)
        raise
    return manifest


def open_snapshot(
    path: Path, *, in_memory_bytes: int = IN_MEMORY_BYTES, server: str = "", device: str = "cpu"
) -> Snapshot:
    """The index in the folder `path`, every file of it verified by size and SHA-256.

    server: where a kind that stands elsewhere is to be found. device: `cuda…` keeps a copy of an
    index that stands here in that GPU's memory, see `gpu`.

    Raises SnapshotMissing when the folder is not there, SnapshotDamaged when anything in it is
    not as it was written, SnapshotError when a newer version wrote it, SettingsError when the
    device cannot be used.
    """
    manifest = _read_manifest(path)
    total = sum(facts.size for facts in manifest.files.values())
    for name in (IDS_NAME, VECTORS_NAME):
        if name not in manifest.files:
            raise SnapshotDamaged(str(path), f"{MANIFEST_NAME} does not name {name}")
    files = {
        name: VerifiedFile(path / name, facts, in_memory=total <= in_memory_bytes)
        for name, facts in manifest.files.items()
    }
    n, d = manifest.count, manifest.dim
    ids = files[IDS_NAME].data
    vectors = files[VECTORS_NAME].data
    if len(ids) != 8 * n or len(vectors) != 2 * n * d:
        raise SnapshotDamaged(str(path), f"its files do not hold {n} vectors of {d} numbers")
    parts = SnapshotParts(
        ids=ids.view(np.int64),
        vectors=vectors.view(np.float16).reshape(n, d),
        files={name: files[name].data for name in _own(manifest.files)},
        options=manifest.options,
        server=server,
    )
    index = kind_named(manifest.kind).open(parts)
    if device.startswith("cuda") and manifest.kind not in ELSEWHERE:
        target = float(manifest.recall.get("target", TARGET))
        index = on_gpu(index, parts.vectors, device, recall=target)
    return Snapshot(path, manifest, index, tuple(files.values()))


def try_canaries(snapshot: Snapshot) -> None:
    """Ask for vectors that the index holds: each must be among its own nearest.

    A nearer vector may push it out only by a score at least as high, as copies do; and an index
    that is not exact may miss a few, which damaged codes do not stop at.
    Raises SnapshotDamaged naming an image that did not find itself.
    """
    index = snapshot.index
    ids = index.ids
    sample = ids[np.unique(np.linspace(0, len(ids) - 1, min(_CANARIES, len(ids)), dtype=np.int64))]
    held, vectors = index.vectors(sample)
    if len(held) != len(sample):
        raise SnapshotDamaged(str(snapshot.path), "it does not hold the images that it lists")
    queries = vectors.astype(np.float32)
    found = index.search(queries, _CANARY_NEIGHBOURS)
    lost = []
    for row, image_id in enumerate(held.tolist()):
        near, scores = found.row(row)
        itself = float(queries[row].astype(np.float64) @ queries[row].astype(np.float64))
        crowded = len(near) == _CANARY_NEIGHBOURS and float(scores[-1]) >= itself - 1e-6
        if image_id not in near and not crowded:
            lost.append(image_id)
    if len(lost) > (_CANARIES_MISSED if isinstance(index, CandidateIndex) else 0):
        raise SnapshotDamaged(
            str(snapshot.path),
            f"image {lost[0]} did not find itself (nor did {len(lost) - 1} more of {len(sample)})",
        )


def partial_leftovers(directory: Path) -> list[Path]:
    """Folders that a killed writer left behind. Call only while nobody else writes there."""
    if not directory.is_dir():
        return []
    return sorted(path for path in directory.iterdir() if path.name.startswith(PARTIAL_PREFIX))


def discard(path: Path) -> None:
    """Remove a snapshot's folder, if it is there; readers that have it open keep what they have."""
    if path.is_dir():
        # Renamed first, so that a removal that is cut short leaves rubbish, not half a snapshot.
        doomed = path
        if not path.name.startswith(PARTIAL_PREFIX):
            doomed = path.with_name(f"{PARTIAL_PREFIX}{path.name}-{secrets.token_hex(4)}")
            with contextlib.suppress(FileNotFoundError):
                path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def discard_everywhere(path: Path, server: str) -> None:
    """`discard`, and what the snapshot keeps on a server as well."""
    for kind in KINDS.values():
        kind.dispose(path, server)
    discard(path)


def write_vectors(
    folder: Path,
    batches: Iterable[tuple[ImageIds, StoredVectors]],
    dim: int,
    files: dict[str, FileFacts],
) -> ImageIds:
    seen: list[ImageIds] = []
    last = -1
    with DurableFile(folder / IDS_NAME) as id_file, DurableFile(folder / VECTORS_NAME) as file:
        for ids, vectors in batches:
            rows = check_vectors(vectors, dim, ids)
            checked = check_ids(ids, len(rows))
            if not len(checked):
                continue
            if int(checked[0]) <= last or not (np.diff(checked) > 0).all():
                raise VectorError("the ids of a snapshot must ascend from batch to batch")
            last = int(checked[-1])
            id_file.write(checked)
            file.write(rows)
            seen.append(checked)
        files[IDS_NAME] = id_file.finish()
        files[VECTORS_NAME] = file.finish()
    return np.concatenate(seen) if seen else np.empty(0, dtype=np.int64)


def _map_vectors(folder: Path, n: int, dim: int) -> StoredVectors:
    if not n:
        return np.empty((0, dim), dtype=np.float16)
    return np.memmap(folder / VECTORS_NAME, dtype=np.float16, mode="r", shape=(n, dim))


@dataclass(frozen=True, slots=True)
class _Built:
    kind: str
    options: Mapping[str, Any]
    recall: Mapping[str, Any]


def _build(
    folder: Path,
    ids: ImageIds,
    vectors: StoredVectors,
    files: dict[str, FileFacts],
    choice: Choice,
    budget: Budget,
    text_queries: TextQueries | None,
    server: str,
) -> _Built:
    """The chosen kind stands in the folder, or the one it falls back to, tuned and measured."""
    examination: Examination | None = None
    kind, reason = choice.kind, choice.reason
    while True:
        chosen = kind_named(kind)
        options = dict(chosen.build(ids, vectors, _new_file(folder, files), server)) | {
            "chosen": reason
        }
        own = {name: np.memmap(folder / name, dtype=np.uint8, mode="r") for name in _own(files)}
        index = chosen.open(SnapshotParts(ids, vectors, own, options, server))
        if not isinstance(index, CandidateIndex):
            return _Built(kind, options, {"exact": True})
        if examination is None:
            examination = Examination(ids, vectors, text_queries)
        knobs, report = tune(index, examination, budget.recall)
        recall = {"target": budget.recall, "queries": examination.asked, "found": report}
        if worst(report) >= budget.recall or chosen.fallback is None:
            return _Built(kind, options | knobs.as_dict(), recall)
        reason = f"{kind} reached a recall of {worst(report):.3f} only; {choice.reason}"
        kind = chosen.fallback
        chosen.dispose(folder, server)
        for name in _own(files):
            del files[name]
            (folder / name).unlink()


def _own(files: Mapping[str, FileFacts]) -> list[str]:
    """The files that a kind added."""
    return [name for name in files if name not in (IDS_NAME, VECTORS_NAME)]


def _new_file(folder: Path, files: dict[str, FileFacts]) -> NewFile:
    @contextlib.contextmanager
    def open_new(name: str) -> Iterator[DurableFile]:
        with DurableFile(folder / name) as file:
            yield file
            files[name] = file.finish()

    return open_new


def _read_manifest(path: Path) -> Manifest:
    if not path.is_dir():
        raise SnapshotMissing(str(path), "the folder is not there")
    try:
        with (path / MANIFEST_NAME).open("rb") as file:
            data = file.read(_MAX_MANIFEST_BYTES + 1)
    except FileNotFoundError as error:
        raise SnapshotDamaged(str(path), f"{MANIFEST_NAME} is missing") from error
    except OSError as error:
        raise SnapshotDamaged(str(path), f"{MANIFEST_NAME}: {error.strerror}") from error
    return Manifest.decode(data, str(path))
