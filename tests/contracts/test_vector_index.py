"""What every kind of index promises, asked of every implementation.

A new implementation is one more entry of IMPLEMENTATIONS.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from likeness.errors import VectorError
from likeness.types import ImageIds, StoredVectors
from likeness.vectors.candidates import CandidateIndex, Knobs
from likeness.vectors.exact import ExactIndex
from likeness.vectors.gpu import SPARE_BYTES, GpuIndex, on_gpu
from likeness.vectors.idset import IdSet
from likeness.vectors.index import NO_ID, VectorIndex
from likeness.vectors.milvus import close_clients
from likeness.vectors.snapshot import open_snapshot, write_snapshot
from likeness.vectors.tail import Tail
from likeness.vectors.torch_scan import TorchScan
from tests.fakes.gpu import GpuFaiss
from tests.fakes.vectors import as_queries, brute_force, sparse_ids, unit_vectors

DIM = 24
Build = Callable[[Path, ImageIds, StoredVectors], VectorIndex]


def in_memory(folder: Path, ids: ImageIds, vectors: StoredVectors) -> VectorIndex:
    return ExactIndex(ids, vectors)


def _snapshot(
    folder: Path, ids: ImageIds, vectors: StoredVectors, in_memory_bytes: int
) -> VectorIndex:
    half = len(ids) // 2
    batches = [(ids[:half], vectors[:half]), (ids[half:], vectors[half:])]
    write_snapshot(
        folder / "s", batches, fingerprint="f", dim=vectors.shape[1], revision=1, digest="d"
    )
    return open_snapshot(folder / "s", in_memory_bytes=in_memory_bytes).index


def loaded_snapshot(folder: Path, ids: ImageIds, vectors: StoredVectors) -> VectorIndex:
    return _snapshot(folder, ids, vectors, 1 << 30)


def mapped_snapshot(folder: Path, ids: ImageIds, vectors: StoredVectors) -> VectorIndex:
    return _snapshot(folder, ids, vectors, 0)


def tail_view(folder: Path, ids: ImageIds, vectors: StoredVectors) -> VectorIndex:
    """Built by appends in another order, with rows that died, came back, and died for good."""
    tail = Tail(vectors.shape[1])
    order = np.random.default_rng(5).permutation(len(ids))
    nobody = np.empty(0, dtype=np.int64)
    for part in np.array_split(order, 5):
        doomed = np.array([10_000_000 + int(i) for i in part[:3]], dtype=np.int64)
        tail.apply(ids[part], vectors[part], nobody)
        tail.apply(doomed, vectors[part[: len(doomed)]], ids[part[:2]])
        tail.apply(ids[part[:2]], vectors[part[:2]], doomed)
    return tail.view()


def _compressed(
    folder: Path, ids: ImageIds, vectors: StoredVectors, kind: str, knobs: Knobs
) -> VectorIndex:
    """With knobs that leave as much as can be to the codes, which few images would not."""
    write_snapshot(
        folder / "s",
        [(ids, vectors)],
        fingerprint="f",
        dim=vectors.shape[1],
        revision=1,
        digest="d",
        kind=kind,
    )
    index = open_snapshot(folder / "s").index
    return index.with_knobs(knobs) if isinstance(index, CandidateIndex) else index


def compressed_scan(folder: Path, ids: ImageIds, vectors: StoredVectors) -> VectorIndex:
    return _compressed(folder, ids, vectors, "compressed", Knobs(refine=2, least=40, direct=0))


def inverted_file(folder: Path, ids: ImageIds, vectors: StoredVectors) -> VectorIndex:
    return _compressed(folder, ids, vectors, "ivf", Knobs(refine=2, least=40, reach=0.5, direct=0))


def gathered_codes(folder: Path, ids: ImageIds, vectors: StoredVectors) -> VectorIndex:
    """Filters are scanned in codes of their own."""
    return _compressed(
        folder,
        ids,
        vectors,
        "ivf",
        Knobs(refine=2, least=40, reach=0.5, direct=0, gather=len(ids)),
    )


def graphics_card(folder: Path, ids: ImageIds, vectors: StoredVectors) -> VectorIndex:
    """The scan for GPUs, on torch's processor device."""
    return ExactIndex(ids, vectors, scan=TorchScan(vectors, device="cpu"))


def graphics_card_codes(folder: Path, ids: ImageIds, vectors: StoredVectors) -> VectorIndex:
    """The codes for a GPU that holds no more than those, in FAISS's processor indexes."""
    room = SPARE_BYTES + vectors.nbytes - 1
    plain = ExactIndex(ids, vectors)
    faiss = GpuFaiss()
    index = on_gpu(plain, vectors, "cuda", least_rows=256, free_bytes=room, faiss=faiss)
    assert isinstance(index, GpuIndex) == (len(ids) >= 256)
    assert not isinstance(index, GpuIndex) or index.wait()
    return index


def milvus_lite(folder: Path, ids: ImageIds, vectors: StoredVectors) -> VectorIndex:
    pytest.importorskip("pymilvus", reason="pymilvus is not installed")
    pytest.importorskip("milvus_lite", reason="milvus-lite is not installed")
    server = f"milvus:{folder / 'lite.db'}"
    write_snapshot(
        folder / "s",
        [(ids, vectors)],
        fingerprint="f",
        dim=vectors.shape[1],
        revision=1,
        digest="d",
        kind="milvus",
        server=server,
    )
    index = open_snapshot(folder / "s", server=server).index
    assert isinstance(index, CandidateIndex)
    return index.with_knobs(Knobs(direct=0))


@pytest.fixture(autouse=True)
def no_server_is_left_open() -> Iterator[None]:
    yield
    close_clients()


EXACT: list[Build] = [in_memory, loaded_snapshot, mapped_snapshot, tail_view, graphics_card]
APPROXIMATE: list[Build] = [
    compressed_scan,
    inverted_file,
    gathered_codes,
    graphics_card_codes,
    milvus_lite,
]
IMPLEMENTATIONS = EXACT + APPROXIMATE


@pytest.fixture(params=IMPLEMENTATIONS, ids=lambda build: build.__name__)
def build(request: pytest.FixtureRequest) -> Build:
    chosen: Build = request.param
    return chosen


@pytest.fixture
def ids() -> ImageIds:
    return sparse_ids(800, seed=1)


@pytest.fixture
def vectors(ids: ImageIds) -> StoredVectors:
    rows = unit_vectors(len(ids), DIM, seed=2, groups=40)
    rows[500:700] = rows[3]  # copies: more equal scores than any k asked here
    return rows


def filters(ids: ImageIds) -> list[IdSet | None]:
    random = np.random.default_rng(3)
    shares = [ids[random.random(len(ids)) < share] for share in (0.001, 0.01, 0.1, 0.5, 0.97)]
    strangers = IdSet([0, 999_999])
    return [None, *map(IdSet, shares), IdSet(ids), IdSet(ids[450:750]), IdSet([]), strangers]


@pytest.mark.parametrize("build", EXACT, ids=lambda build: build.__name__)
def test_answers_are_those_of_brute_force_for_any_filter_and_removal(
    build: Build, tmp_path: Path, ids: ImageIds, vectors: StoredVectors
) -> None:
    index = build(tmp_path, ids, vectors)
    queries = np.concatenate([as_queries(vectors[[3, 10]]), as_queries(unit_vectors(2, DIM, 9))])
    removals = [None, IdSet(ids[::2]), IdSet(ids[520:680])]
    for allowed in filters(ids):
        for removed in removals:
            for k in (1, 10, 150):
                found = index.search(queries, k, allowed=allowed, removed=removed)
                for row, query in enumerate(queries):
                    expected = brute_force(ids, vectors, query, k, allowed=allowed, removed=removed)
                    near, scores = found.row(row)
                    assert (near.tolist(), scores.tolist()) == expected


@pytest.mark.parametrize("build", APPROXIMATE, ids=lambda build: build.__name__)
def test_scores_are_exact_and_few_neighbours_are_missed_for_any_filter_and_removal(
    build: Build, tmp_path: Path, ids: ImageIds, vectors: StoredVectors
) -> None:
    index = build(tmp_path, ids, vectors)
    queries = np.concatenate([as_queries(vectors[[3, 10]]), as_queries(unit_vectors(2, DIM, 9))])
    found_share = []
    for allowed in filters(ids):
        for removed in (None, IdSet(ids[::2]), IdSet(ids[520:680])):
            found = index.search(queries, 10, allowed=allowed, removed=removed)
            for row, query in enumerate(queries):
                every = brute_force(ids, vectors, query, 800, allowed=allowed, removed=removed)
                score_of = dict(zip(*every, strict=True))
                near, scores = found.row(row)
                assert scores.tolist() == [score_of[i] for i in near.tolist()]
                ranked = list(zip((-scores).tolist(), near.tolist(), strict=True))
                assert ranked == sorted(set(ranked))
                if every[1]:
                    bar = every[1][:10][-1]
                    found_share.append((scores >= bar).sum() / min(10, len(every[1])))
    assert np.mean(np.minimum(found_share, 1)) > 0.9


def test_when_k_images_are_allowed_k_come_back(
    build: Build, tmp_path: Path, ids: ImageIds, vectors: StoredVectors
) -> None:
    index = build(tmp_path, ids, vectors)
    for allowed in filters(ids):
        matched = index.matched(allowed=allowed)
        assert matched == (len(ids) if allowed is None else len(set(allowed) & set(ids.tolist())))
        for k in (1, 7, matched, matched + 5):
            found = index.search(as_queries(vectors[:2]), k, allowed=allowed)
            assert found.ids.shape == (2, k)
            assert ((found.ids != NO_ID).sum(axis=1) == min(k, matched)).all()


def test_an_answer_does_not_depend_on_the_other_queries_of_its_batch(
    build: Build, tmp_path: Path, ids: ImageIds, vectors: StoredVectors
) -> None:
    index = build(tmp_path, ids, vectors)
    queries = as_queries(unit_vectors(9, DIM, 4, groups=3))
    for allowed in (None, IdSet(ids[::3])):
        together = index.search(queries, 12, allowed=allowed)
        for row in range(len(queries)):
            alone = index.search(queries[row : row + 1], 12, allowed=allowed)
            assert alone.ids[0].tolist() == together.ids[row].tolist()
            assert alone.scores[0].tolist() == together.scores[row].tolist()


def test_padding_is_minus_one_and_minus_infinity(build: Build, tmp_path: Path) -> None:
    index = build(tmp_path, np.array([4, 9]), unit_vectors(2, DIM, 0))
    found = index.search(as_queries(unit_vectors(1, DIM, 1)), 5)
    assert found.ids[0, 2:].tolist() == [NO_ID] * 3
    assert np.isneginf(found.scores[0, 2:]).all()


def test_an_empty_index_answers_with_nobody(build: Build, tmp_path: Path) -> None:
    index = build(tmp_path, np.empty(0, np.int64), np.empty((0, DIM), np.float16))
    assert len(index) == 0
    assert index.search(as_queries(unit_vectors(2, DIM, 1)), 3).ids.tolist() == [[NO_ID] * 3] * 2
    assert index.vectors(np.array([1, 2]))[0].tolist() == []


def test_vectors_come_back_bit_for_bit_in_the_order_asked(
    build: Build, tmp_path: Path, ids: ImageIds, vectors: StoredVectors
) -> None:
    index = build(tmp_path, ids, vectors)
    assert index.ids.tolist() == ids.tolist()
    wanted = np.array([ids[50], 999_999, ids[7], ids[799]])
    held, rows = index.vectors(wanted)
    assert held.tolist() == [ids[50], ids[7], ids[799]]
    assert (rows.view(np.uint16) == vectors[[50, 7, 799]].view(np.uint16)).all()


@pytest.mark.parametrize(
    "queries",
    [
        np.zeros((1, DIM), np.float32),
        np.full((1, DIM), np.nan, np.float32),
        np.ones((1, DIM + 1), np.float32),
        np.ones(DIM, np.float32),
    ],
    ids=["all zero", "NaN", "wrong dimension", "one axis"],
)
def test_queries_that_have_no_answer_are_refused(
    build: Build, tmp_path: Path, queries: np.ndarray
) -> None:
    index = build(tmp_path, np.array([4, 9]), unit_vectors(2, DIM, 0))
    with pytest.raises(VectorError):
        index.search(queries, 3)


def test_many_threads_search_at_once_and_agree(
    build: Build, tmp_path: Path, ids: ImageIds, vectors: StoredVectors
) -> None:
    index = build(tmp_path, ids, vectors)
    queries = as_queries(unit_vectors(4, DIM, 11))
    chosen = IdSet(ids[::5])
    expected = index.search(queries, 10, allowed=chosen).ids.tolist()
    wrong: list[object] = []

    def ask() -> None:
        for _ in range(10):
            found = index.search(queries, 10, allowed=chosen).ids.tolist()
            if found != expected:
                wrong.append(found)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
