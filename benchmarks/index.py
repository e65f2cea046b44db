"""Indexes side by side: Likeness's own, FAISS's, hnswlib's and usearch's, on the same vectors.

Each runs in a process of its own, with the same number of threads. Graphs are built by steps of
20,000 and kept, so that a build that was stopped goes on; every peer is then asked at the size
that all have reached. Effort (ef, nprobe) is raised until recall@10 reaches the target.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks.record import print_table, write_result
from benchmarks.vector_sets import local_dimension, vectors_of
from likeness.types import Embeddings, StoredVectors
from likeness.vectors.exact import ExactIndex
from likeness.vectors.idset import IdSet
from likeness.vectors.snapshot import open_snapshot, write_snapshot

WORK = Path(tempfile.gettempdir()) / "likeness-benchmarks"
K = 10
TARGET = 0.98
ASKED = 200
BATCH = 64
_TRAINED = 100_000
STEP = 20_000
SHARES = (0.001, 0.01, 0.1, 0.5)
Search = Callable[[Embeddings], np.ndarray]


class Peer(Protocol):
    """One kind of index. efforts: values to try, cheapest first; () when there is none."""

    @property
    def efforts(self) -> tuple[int, ...]: ...

    def build(self, rows: StoredVectors, path: Path, threads: int) -> int:
        """Build and store; returns how many rows are in it."""
        ...

    def open(self, rows: StoredVectors, path: Path) -> None: ...
    def search(
        self, queries: Embeddings, effort: int, allowed: np.ndarray | None
    ) -> np.ndarray: ...


class Ours:
    """A snapshot of one kind, opened as the product opens it."""

    efforts: tuple[int, ...] = ()

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._sets: dict[int, IdSet] = {}

    def build(self, rows: StoredVectors, path: Path, threads: int) -> int:  # noqa: ARG002
        def batches() -> Any:
            for start in range(0, len(rows), 65_536):
                block = np.asarray(rows[start : start + 65_536])
                yield np.arange(start, start + len(block)), block

        write_snapshot(
            path,
            batches(),
            fingerprint="",
            dim=rows.shape[1],
            revision=1,
            digest="",
            kind=self.kind,
        )
        return len(rows)

    def open(self, rows: StoredVectors, path: Path) -> None:  # noqa: ARG002
        self.index = open_snapshot(path).index

    def search(self, queries: Embeddings, effort: int, allowed: np.ndarray | None) -> np.ndarray:  # noqa: ARG002
        chosen = None
        if allowed is not None:
            if id(allowed) not in self._sets:
                self._sets[id(allowed)] = IdSet(np.flatnonzero(allowed))
            chosen = self._sets[id(allowed)]
        return self.index.search(queries, K, allowed=chosen).ids


class Faiss:
    """A FAISS index by its factory string; graphs and flat ones hold float32."""

    def __init__(self, spec: str, efforts: tuple[int, ...] = ()) -> None:
        self.spec, self.efforts = spec, efforts

    def build(self, rows: StoredVectors, path: Path, threads: int) -> int:
        import faiss

        faiss.omp_set_num_threads(threads)
        index = faiss.index_factory(rows.shape[1], self.spec, faiss.METRIC_INNER_PRODUCT)
        if not index.is_trained:
            index.train(np.asarray(rows[:_TRAINED], dtype=np.float32))
        for start in range(0, len(rows), STEP):
            index.add(np.asarray(rows[start : start + STEP], dtype=np.float32))
        faiss.write_index(index, str(path))
        return len(rows)

    def open(self, rows: StoredVectors, path: Path) -> None:  # noqa: ARG002
        import faiss

        self._faiss, self.index = faiss, faiss.read_index(str(path))

    def search(self, queries: Embeddings, effort: int, allowed: np.ndarray | None) -> np.ndarray:
        faiss = self._faiss
        parameters: Any = faiss.SearchParameters()
        if "HNSW" in self.spec:
            parameters = faiss.SearchParametersHNSW(efSearch=effort)
        elif "IVF" in self.spec:
            parameters = faiss.SearchParametersIVF(nprobe=effort)
        if allowed is not None:
            bits = np.packbits(allowed, bitorder="little")
            selector = faiss.IDSelectorBitmap(bits)
            parameters.sel = selector
        found: np.ndarray = self.index.search(queries, K, params=parameters)[1]
        return found


class Hnswlib:
    """M 16, ef_construction 100, inner product of unit vectors."""

    efforts = (20, 40, 80, 120, 160, 240, 320, 480, 640, 960)

    def build(self, rows: StoredVectors, path: Path, threads: int) -> int:
        import hnswlib

        index = hnswlib.Index("ip", rows.shape[1])
        if path.exists():
            index.load_index(str(path), max_elements=len(rows))
        else:
            index.init_index(max_elements=len(rows), M=16, ef_construction=100)
        index.set_num_threads(threads)
        while (start := index.get_current_count()) < len(rows):
            block = np.asarray(rows[start : start + STEP], dtype=np.float32)
            with _stopwatch(path, start + len(block)):
                index.add_items(block, np.arange(start, start + len(block)))
            index.save_index(str(path) + ".new")
            Path(str(path) + ".new").rename(path)
        return int(index.get_current_count())

    def open(self, rows: StoredVectors, path: Path) -> None:
        import hnswlib

        self.index = hnswlib.Index("ip", rows.shape[1])
        self.index.load_index(str(path))
        self.index.set_num_threads(_threads())

    def search(self, queries: Embeddings, effort: int, allowed: np.ndarray | None) -> np.ndarray:
        self.index.set_ef(max(effort, K))
        only = None if allowed is None else (lambda label: bool(allowed[label]))
        try:
            return np.asarray(self.index.knn_query(queries, k=K, filter=only)[0], dtype=np.int64)
        except RuntimeError:  # fewer than k were reached
            return np.full((len(queries), K), -1)


class Usearch:
    """Connectivity 16, expansion 100 when adding, float16."""

    efforts = Hnswlib.efforts

    def _empty(self, dim: int) -> Any:
        from usearch.index import Index

        return Index(ndim=dim, metric="ip", dtype="f16", connectivity=16, expansion_add=100)

    def build(self, rows: StoredVectors, path: Path, threads: int) -> int:
        index = self._empty(rows.shape[1])
        if path.exists():
            index.load(str(path))
        while (start := len(index)) < len(rows):
            block = np.asarray(rows[start : start + STEP])
            with _stopwatch(path, start + len(block)):
                index.add(np.arange(start, start + len(block)), block, threads=threads)
            index.save(str(path) + ".new")
            Path(str(path) + ".new").rename(path)
        return len(index)

    def open(self, rows: StoredVectors, path: Path) -> None:
        self.index = self._empty(rows.shape[1])
        self.index.load(str(path))

    def search(self, queries: Embeddings, effort: int, allowed: np.ndarray | None) -> np.ndarray:
        if allowed is not None:
            raise NotImplementedError("usearch's Python index takes no filter")
        self.index.expansion_search = max(effort, K)
        found = self.index.search(queries, K, threads=_threads())
        return np.asarray(found.keys, dtype=np.int64).reshape(len(queries), K)


IVF_EFFORTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
PEERS: Mapping[str, Callable[[], Peer]] = {
    "likeness-exact": lambda: Ours("exact"),
    "likeness-compressed": lambda: Ours("compressed"),
    "likeness-ivf": lambda: Ours("ivf"),
    "likeness-auto": lambda: Ours("auto"),
    "faiss-flat": lambda: Faiss("Flat"),
    "faiss-ivf-flat": lambda: Faiss("IVF1024,Flat", IVF_EFFORTS),
    "faiss-ivf-pq": lambda: Faiss("IVF1024,PQ64", IVF_EFFORTS),
    "faiss-hnsw": lambda: Faiss("HNSW16,Flat", Hnswlib.efforts),
    "hnswlib": Hnswlib,
    "usearch": Usearch,
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.index", description=__doc__)
    parser.add_argument("--set", choices=["clustered", "views"], default="clustered", dest="data")
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, default=WORK, help="folder for vectors and indexes")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--build", metavar="PEER", help="only build this one, in this process")
    parser.add_argument("--ask", metavar="PEER", help="only ask this one, in this process")
    options = parser.parse_args(arguments)
    if options.build or options.ask:
        step = _build if options.build else _ask
        print(json.dumps(step(options.build or options.ask, options)))
        return 0
    options.work.mkdir(parents=True, exist_ok=True)
    figures = {}
    for peer in options.peers:
        figures[peer] = child("--build", peer, arguments) | child("--ask", peer, arguments)
        print(f"{peer}: {figures[peer]}", flush=True)
    _print(figures)
    write_result(
        f"index-{options.data}",
        command=["python", "-m", "benchmarks.index", *arguments],
        data=f"{options.images} vectors of the set {options.data}",
        encoder="timm vit_tiny_patch16_224 at 96 px" if options.data == "views" else None,
        figures=figures,
    )
    return 0


def _build(name: str, options: argparse.Namespace) -> dict[str, Any]:
    rows, _ = vectors_of(options.data, options.images, options.work)
    path, record = _paths(name, options)
    if record.exists():
        known: dict[str, Any] = json.loads(record.read_text())
        if known.get("rows") == len(rows):
            return known
    begun, cpu = time.perf_counter(), time.process_time()
    count = PEERS[name]().build(rows, path, _threads())
    spent, cpu = time.perf_counter() - begun, time.process_time() - cpu
    steps = path.with_suffix(".steps")
    if steps.exists():  # built over several runs
        took = [json.loads(line) for line in steps.read_text().splitlines()]
        spent = sum(step["seconds"] for step in took)
        cpu = sum(step["cpu"] for step in took)
    files = [path] if path.is_file() else list(path.iterdir())
    built = {
        "rows": count,
        "build_s": spent,
        "build_cpu_s": cpu,
        "disk_mb": sum(file.stat().st_size for file in files) / 1e6,
    }
    record.write_text(json.dumps(built))
    return built


def _ask(name: str, options: argparse.Namespace) -> dict[str, Any]:
    rows, queries = vectors_of(options.data, options.images, options.work)
    asked = np.ascontiguousarray(queries[:ASKED])
    truth, scores, masks = _truth(options, rows, asked)
    peer, (path, _) = PEERS[name](), _paths(name, options)
    before, private = _resident("VmRSS"), _resident("RssAnon")
    begun = time.perf_counter()
    peer.open(rows, path)
    peer.search(asked[:1], 16, None)
    answer: dict[str, Any] = {"open_s": time.perf_counter() - begun}
    effort, recall = _tuned(peer, asked, truth["all"], scores["all"], rows, None)
    cpu = time.process_time()
    single = _latencies(lambda query: peer.search(query, effort, None), asked)
    cpu = time.process_time() - cpu
    answer |= {
        "effort": effort,
        "recall@10": recall,
        "p50_ms": float(np.percentile(single, 50)),
        "p99_ms": float(np.percentile(single, 99)),
        "cpu_ms": 1000 * cpu / (len(asked) + 1),
        "batch_qps": _rate(lambda block: peer.search(block, effort, None), asked),
        "private_mb": (_resident("RssAnon") - private) / 1e6,
        "resident_mb": (_resident("VmRSS") - before) / 1e6,
    }
    for share in SHARES:
        key = f"{100 * share:g}%"
        try:
            effort, recall = _tuned(peer, asked, truth[key], scores[key], rows, masks[key])
        except NotImplementedError:
            continue
        mask = masks[key]
        cpu = time.process_time()
        spent = _latencies(functools.partial(_asked, peer, effort, mask), asked[:50])
        cpu = time.process_time() - cpu
        answer[f"filter {key}"] = {
            "recall@10": recall,
            "p50_ms": float(np.percentile(spent, 50)),
            "qps": 1000 / float(np.median(spent)),
            "cpu_ms": 1000 * cpu / 51,
        }
    if not isinstance(peer, Ours):
        return answer
    answer["local_dimension"] = local_dimension(
        ExactIndex(np.arange(len(rows)), np.ascontiguousarray(rows)).search(asked, 100).scores
    )
    return answer


def _asked(peer: Peer, effort: int, mask: np.ndarray, queries: Embeddings) -> np.ndarray:
    return peer.search(queries, effort, mask)


def _truth(
    options: argparse.Namespace, rows: StoredVectors, asked: Embeddings
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """ids [q, 10], scores [q, 10] and mask [n] by filter; found once and kept."""
    random = np.random.default_rng(7)
    masks = {f"{100 * share:g}%": random.random(len(rows)) < share for share in SHARES}
    path = options.work / f"truth-{options.data}-{len(rows)}.npz"
    if not path.exists():
        exact = ExactIndex(np.arange(len(rows)), np.ascontiguousarray(rows))
        kept: dict[str, Any] = {}
        for key, mask in {"all": None, **masks}.items():
            allowed = None if mask is None else IdSet(np.flatnonzero(mask))
            found = exact.search(asked, K, allowed=allowed)
            kept[f"ids {key}"], kept[f"scores {key}"] = found.ids, found.scores
        np.savez(path, **kept)
    with np.load(path) as stored:
        names = ["all", *masks]
        return (
            {key: stored[f"ids {key}"] for key in names},
            {key: stored[f"scores {key}"] for key in names},
            masks,
        )


def _tuned(
    peer: Peer,
    asked: Embeddings,
    truth: np.ndarray,
    scores: np.ndarray,
    rows: StoredVectors,
    mask: np.ndarray | None,
) -> tuple[int, float]:
    """The least effort that reaches the target, else the most; with its recall."""
    effort, reached = 0, 0.0
    for effort in peer.efforts or (0,):
        found = peer.search(asked, effort, mask)
        reached = _recall(found, truth, scores, asked, rows)
        if reached >= TARGET:
            break
    return effort, reached


def _recall(
    found: np.ndarray, truth: np.ndarray, scores: np.ndarray, asked: Embeddings, rows: StoredVectors
) -> float:
    """Share of the ten nearest; one that is as near as the tenth is as good."""
    shares = []
    for query, near, real, bar in zip(asked, found, truth, scores, strict=True):
        held = near[near >= 0]
        exact = np.asarray(rows[np.sort(held)], dtype=np.float64) @ query.astype(np.float64)
        want = int((real >= 0).sum())
        if want:
            shares.append(min(want, int((exact >= bar[want - 1] - 1e-6).sum())) / want)
    return float(np.mean(shares)) if shares else 1.0


def _latencies(call: Search, asked: Embeddings) -> list[float]:
    call(asked[:1])
    spent = []
    for at in range(len(asked)):
        begun = time.perf_counter()
        call(asked[at : at + 1])
        spent.append(1000 * (time.perf_counter() - begun))
    return spent


def _rate(call: Search, asked: Embeddings) -> float:
    call(asked[:BATCH])
    best = 0.0
    for start in range(0, len(asked) - BATCH + 1, BATCH):
        begun = time.perf_counter()
        call(asked[start : start + BATCH])
        best = max(best, BATCH / (time.perf_counter() - begun))
    return best


def child(step: str, peer: str, arguments: list[str]) -> dict[str, Any]:
    """One step, `--build` or `--ask`, in a process of its own, whose memory is measured."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.index", *arguments, step, peer],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(_threads())},
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _paths(name: str, options: argparse.Namespace) -> tuple[Path, Path]:
    stem = options.work / f"{name}-{options.data}-{options.images}"
    return stem, stem.with_name(stem.name + ".json")


@contextlib.contextmanager
def _stopwatch(path: Path, rows: int) -> Iterator[None]:
    """Notes what one step of a build took, beside the index."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    took = {"rows": rows, "seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    with path.with_suffix(".steps").open("a") as file:
        file.write(json.dumps(took) + "\n")


def _resident(what: str) -> int:
    """Bytes. VmRSS: all, pages of mapped files that the system may take back among them; RssAnon:
    without those."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(what):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {what}")


def _threads() -> int:
    return len(os.sched_getaffinity(0))


def _print(figures: Mapping[str, Mapping[str, Any]]) -> None:
    columns = (
        "build_s",
        "build_cpu_s",
        "disk_mb",
        "private_mb",
        "open_s",
        "recall@10",
        "p50_ms",
        "p99_ms",
        "cpu_ms",
    )
    rows = [
        [name, *(float(found[c]) for c in columns), float(found["batch_qps"])]
        for name, found in figures.items()
    ]
    print_table(["index", *columns, f"queries/s, {BATCH} at once"], rows)
    print()
    filters = [f"filter {100 * share:g}%" for share in SHARES]
    print_table(
        ["index", *(f"{f}: queries/s (recall)" for f in filters)],
        [[name, *(_filter_cell(found.get(f)) for f in filters)] for name, found in figures.items()],
    )


def _filter_cell(found: Mapping[str, float] | None) -> str:
    return "none" if found is None else f"{found['qps']:,.0f} ({found['recall@10']:.3f})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
