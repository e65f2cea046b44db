"""Searching on a GPU: what is chosen, that answers are right, and what is said where there is none.

The library's GPU calls are faked by its own processor indexes; one test asks a real device.
"""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from likeness.errors import SettingsError
from likeness.types import ImageIds, StoredVectors
from likeness.vectors import gpu, snapshot
from likeness.vectors.engine import load_faiss
from likeness.vectors.exact import ExactIndex
from likeness.vectors.gpu import SPARE_BYTES, GpuIndex, on_gpu
from likeness.vectors.gpu_codes import GpuCodes, code_for, codes_on
from likeness.vectors.idset import IdSet
from likeness.vectors.index import VectorIndex
from likeness.vectors.snapshot import open_snapshot, write_snapshot
from tests.fakes.gpu import GpuFaiss
from tests.fakes.vectors import as_queries, brute_force, sparse_ids, unit_vectors

DIM = 32
IDS = sparse_ids(6000, seed=1)
ROWS = unit_vectors(6000, DIM, 2, groups=200)
QUERIES = as_queries(ROWS[:6000:150]) + as_queries(unit_vectors(40, DIM, 3)) * np.float32(0.3)
CODES_FIT = SPARE_BYTES + ROWS.nbytes - 1


def _index(
    faiss: Any, *, free_bytes: int = CODES_FIT, ids: ImageIds = IDS, rows: StoredVectors = ROWS
) -> GpuIndex:
    plain = ExactIndex(ids, rows)
    index = on_gpu(plain, rows, "cuda:1", least_rows=1, free_bytes=free_bytes, faiss=faiss)
    assert isinstance(index, GpuIndex)
    assert index.wait(), "the copy was not made"
    return index


@pytest.mark.parametrize("free_bytes", [CODES_FIT, SPARE_BYTES + ROWS.nbytes // 2])
def test_codes_on_the_device_propose_and_the_vector_file_decides(free_bytes: int) -> None:
    """With 8 bits a number, and with as little as a byte for many of them."""
    faiss = GpuFaiss(gpus=2)
    index = _index(faiss, free_bytes=free_bytes)
    assert [device for device, _ in faiss.cloned] == [1]
    found_of_all = 0
    for query in QUERIES:
        true_ids, true_scores = brute_force(IDS, ROWS, query, 10)
        ids, scores = index.search(query[None], 10).row(0)
        score_of = dict(zip(*brute_force(IDS, ROWS, query, len(IDS)), strict=True))
        assert [score_of[i] for i in ids.tolist()] == scores.tolist()
        assert len(ids) == 10
        found_of_all += len(set(ids.tolist()) & set(true_ids))
        assert scores[0] <= true_scores[0]
    assert found_of_all >= 0.95 * 400


@pytest.mark.parametrize("hidden", [1, 40, 2500, 5900, 5995])
def test_what_is_removed_or_not_allowed_is_never_found_and_k_come_back(hidden: int) -> None:
    index = _index(GpuFaiss())
    random = np.random.default_rng(hidden)
    query = as_queries(ROWS[77:78])
    nearest = brute_force(IDS, ROWS, query[0], hidden)[0]  # the worst case: all that is near goes
    for gone in (IdSet(nearest), IdSet(random.choice(IDS, hidden, replace=False))):
        left = [i for i in IDS.tolist() if i not in gone]
        for answer in (
            index.search(query, 20, removed=gone),
            index.search(query, 20, allowed=IdSet(left)),
        ):
            ids, scores = answer.row(0)
            assert set(ids.tolist()) <= set(left)
            assert len(ids) == min(20, len(left))
            assert (np.diff(scores) <= 0).all()


def test_more_neighbours_than_the_device_selects_are_the_processors_to_find() -> None:
    index = _index(GpuFaiss())
    query = as_queries(ROWS[5:6])
    ids, _ = index.search(query, 3000).row(0)
    assert ids.tolist() == brute_force(IDS, ROWS, query[0], 3000)[0]


def test_the_processor_answers_until_the_copy_stands_and_when_it_cannot_be_made(
    caplog: pytest.LogCaptureFixture,
) -> None:
    plain = ExactIndex(IDS, ROWS)
    go, query = threading.Event(), as_queries(ROWS[9:10])
    truth = brute_force(IDS, ROWS, query[0], 10)[0]

    def fails() -> GpuCodes:
        go.wait(30)
        raise RuntimeError("CUDA error 2 out of memory")

    index = GpuIndex(plain, ROWS, fails)
    assert index.search(query, 10).ids[0].tolist() == truth
    go.set()
    assert not index.wait()
    assert index.search(query, 10).ids[0].tolist() == truth
    assert "not copied to the GPU" in caplog.text


def test_vectors_that_fit_are_searched_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    scanned: list[str] = []

    def scan(vectors: StoredVectors, *, device: str) -> object:
        scanned.append(device)
        return object()

    monkeypatch.setattr(gpu, "TorchScan", scan)
    index = on_gpu(
        ExactIndex(IDS, ROWS), ROWS, "cuda", free_bytes=SPARE_BYTES + ROWS.nbytes, faiss=GpuFaiss()
    )
    assert isinstance(index, ExactIndex)
    assert scanned == ["cuda"]


def test_a_snapshot_is_opened_on_the_device_and_with_the_recall_asked_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[str, float]] = []

    def on_gpu(plain: VectorIndex, _vectors: StoredVectors, device: str, *, recall: float) -> Any:
        opened.append((device, recall))
        return plain

    facts: dict[str, Any] = {"fingerprint": "f", "dim": DIM, "revision": 1, "digest": "d"}
    write_snapshot(tmp_path / "s", [(IDS, ROWS)], **facts)
    with pytest.raises(SettingsError, match="there is no cuda:64 here"):
        open_snapshot(tmp_path / "s", device="cuda:64")
    monkeypatch.setattr(snapshot, "on_gpu", on_gpu)
    assert len(open_snapshot(tmp_path / "s").index) == len(IDS)
    assert opened == []
    assert len(open_snapshot(tmp_path / "s", device="cuda:2").index) == len(IDS)
    assert opened == [("cuda:2", 0.98)]


def test_the_finest_code_that_fits_is_taken() -> None:
    many = np.lib.stride_tricks.as_strided(ROWS[:1], (10**9, 768), (0, 2))  # no memory is taken
    assert code_for(many, 900 << 30, "cuda") == "SQ8"
    assert code_for(many, 139 << 30, "cuda") == "PQ96"
    assert code_for(many, 79 << 30, "cuda") == "PQ64"
    with pytest.raises(SettingsError, match="not even codes of 1000000000 vectors"):
        code_for(many, 50 << 30, "cuda")


def test_cuvs_is_used_where_the_build_has_it_and_it_has_the_code() -> None:
    for free, has_it, used in (
        (CODES_FIT, True, False),
        (SPARE_BYTES + ROWS.nbytes // 2, True, True),
        (SPARE_BYTES + ROWS.nbytes // 2, False, False),
    ):
        faiss = GpuFaiss(options="OPTIMIZE AVX2 GPU NVIDIA_CUVS" if has_it else "AVX2 GPU")
        _index(faiss, free_bytes=free)
        assert [options.use_cuvs for _, options in faiss.cloned] == [used]


def test_codes_that_find_too_little_are_not_used() -> None:
    noise = unit_vectors(3000, DIM, 4)
    with pytest.raises(SettingsError, match=r"do not find 1\.1 of the nearest; free some"):
        codes_on("cuda", np.arange(3000), noise, "PQ4", 1.1, GpuFaiss())


def test_a_gpu_that_is_not_there_is_said_so() -> None:
    torch = pytest.importorskip("torch")
    plain = ExactIndex(IDS, ROWS)
    with pytest.raises(SettingsError, match=r"there is no cuda:64 here .* set LIKENESS_DEVICE"):
        on_gpu(plain, ROWS, "cuda:64")
    assert torch.cuda.device_count() < 64
    for name in ("mps", "cuda:one"):
        with pytest.raises(SettingsError, match="is no GPU's name"):
            on_gpu(plain, ROWS, name)


def test_a_library_without_gpus_is_said_so_where_codes_are_needed() -> None:
    if hasattr(load_faiss(), "StandardGpuResources"):
        pytest.skip("this build of FAISS has GPUs")
    with pytest.raises(SettingsError, match="no codes for GPUs; install the one that has"):
        on_gpu(ExactIndex(IDS, ROWS), ROWS, "cuda", least_rows=1, free_bytes=CODES_FIT)


def test_few_images_that_do_not_fit_stay_with_the_processor() -> None:
    plain = ExactIndex(IDS, ROWS)
    assert on_gpu(plain, ROWS, "cuda", free_bytes=0, faiss=GpuFaiss()) is plain


@pytest.mark.gpu
@pytest.mark.parametrize("code", ["SQ8", "PQ16"])
def test_a_real_device_finds_what_the_processor_finds(code: str) -> None:
    if importlib.util.find_spec("torch") is None or not hasattr(load_faiss(), "get_num_gpus"):
        pytest.skip("torch or FAISS is not installed")
    faiss = load_faiss()
    if not hasattr(faiss, "StandardGpuResources") or not faiss.get_num_gpus():
        pytest.skip("needs an NVIDIA GPU and faiss-gpu")
    size = {"SQ8": CODES_FIT, "PQ16": SPARE_BYTES + ROWS.nbytes // 2}[code]
    index = on_gpu(ExactIndex(IDS, ROWS), ROWS, "cuda", least_rows=1, free_bytes=size)
    assert isinstance(index, GpuIndex)
    assert index.wait()
    mine, theirs = index.search(QUERIES, 10), ExactIndex(IDS, ROWS).search(QUERIES, 10)
    same = sum(len(set(a) & set(b)) for a, b in zip(mine.ids, theirs.ids, strict=True))
    assert same >= 0.95 * 400
