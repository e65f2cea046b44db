"""Indexes side by side: Likeness's own, FAISS's, hnswlib's and usearch's, on the same vectors.

Each runs in a process of its own, with the same number of threads. Graphs are built by steps of
20,000 and kept, so that a build that was stopped goes on; every peer is then asked at the size
that all have reached. Effort (ef, nprobe) is raised until recall@10 reaches the target.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.index_peers import MORE, PEERS, K, Ours, Peer, threads_used
from benchmarks.record import print_table, write_result
from benchmarks.vector_sets import local_dimension, vectors_of
from likeness.types import Embeddings, StoredVectors
from likeness.vectors.truth import nearest_under

WORK = Path(tempfile.gettempdir()) / "likeness-benchmarks"
TARGET = 0.98
ASKED = 200
_PATIENCE_S = 5.0
"""A peer that takes longer than this for all queries is not asked to look harder."""

BATCH = 64
SHARES = (0.001, 0.01, 0.1, 0.5)
_FILTERED = 50
"""Queries whose time is taken under a filter."""

Search = Callable[[Embeddings], np.ndarray]


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
    count = PEERS[name]().build(rows, path, threads_used())
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
    unfiltered = effort
    for share in SHARES if peer.filters else ():
        key = f"{100 * share:g}%"
        effort, recall = _tuned(peer, asked, truth[key], scores[key], rows, masks[key])
        mask = masks[key]
        cpu = time.process_time()
        spent = _latencies(functools.partial(_asked, peer, effort, mask), asked[:_FILTERED])
        cpu = time.process_time() - cpu
        answer[f"filter {key}"] = {
            "recall@10": recall,
            "p50_ms": float(np.percentile(spent, 50)),
            "qps": 1000 / float(np.median(spent)),
            "cpu_ms": 1000 * cpu / (_FILTERED + 1),
        }
    answer["changes"] = _changed(peer, unfiltered, asked, queries[ASKED : ASKED + MORE], len(rows))
    if not isinstance(peer, Ours):
        return answer
    near = nearest_under(np.arange(len(rows), dtype=np.int64), rows, asked, 100, [None])[0]
    answer["local_dimension"] = local_dimension(near.scores)
    return answer


def _changed(
    peer: Peer, effort: int, asked: Embeddings, new: Embeddings, count: int
) -> dict[str, float]:
    """Rows that come and rows that go after the index was built: what each costs, what a query
    takes with them, and how many of either the next searches get right."""
    begun = time.perf_counter()
    added = peer.add(new)
    figures = {"add_per_s": MORE / (time.perf_counter() - begun)} if added else {}
    gone = np.sort(np.random.default_rng(9).choice(count, MORE, replace=False))
    if added:
        found = peer.search(new, effort, None)
        figures["new_found"] = float(np.mean(found[:, 0] == count + np.arange(MORE)))
    nearest = peer.search(asked, effort, None)[:, 0]
    gone[: len(nearest)] = nearest  # so that it shows when they still answer
    gone = np.unique(gone)
    begun = time.perf_counter()
    if peer.remove(gone):
        figures["remove_per_s"] = len(gone) / (time.perf_counter() - begun)
        left = np.isin(peer.search(asked, effort, None), gone)
        figures["gone_found"] = float(left.any(axis=1).mean())
    spent = _latencies(functools.partial(_asked, peer, effort, None), asked)
    return figures | {"p50_ms": float(np.percentile(spent, 50))}


def _asked(peer: Peer, effort: int, mask: np.ndarray | None, queries: Embeddings) -> np.ndarray:
    return peer.search(queries, effort, mask)


def _truth(
    options: argparse.Namespace, rows: StoredVectors, asked: Embeddings
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """ids [q, 10], scores [q, 10] and mask [n] by filter; found once and kept."""
    random = np.random.default_rng(7)
    masks = {f"{100 * share:g}%": random.random(len(rows)) < share for share in SHARES}
    path = options.work / f"truth-{options.data}-{len(rows)}.npz"
    if not path.exists():
        ids = np.arange(len(rows), dtype=np.int64)
        found = nearest_under(ids, rows, asked, K, [None, *masks.values()])
        kept: dict[str, Any] = {}
        for key, near in zip(("all", *masks), found, strict=True):
            kept[f"ids {key}"], kept[f"scores {key}"] = near.ids, near.scores
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
        begun = time.perf_counter()
        found = peer.search(asked, effort, mask)
        reached = _recall(found, truth, scores, asked, rows)
        if reached >= TARGET or time.perf_counter() - begun > _PATIENCE_S:
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
        env={**os.environ, "OMP_NUM_THREADS": str(threads_used())},
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _paths(name: str, options: argparse.Namespace) -> tuple[Path, Path]:
    stem = options.work / f"{name}-{options.data}-{options.images}"
    return stem, stem.with_name(stem.name + ".json")


def _resident(what: str) -> int:
    """Bytes. VmRSS: all, pages of mapped files that the system may take back among them; RssAnon:
    without those."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(what):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {what}")


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

    print()
    changes = ("add_per_s", "new_found", "remove_per_s", "gone_found", "p50_ms")
    print_table(
        ["index", f"{MORE} more: rows/s", "found", f"{MORE} gone: rows/s", "found", "p50 ms after"],
        [
            [name, *(found["changes"].get(key, "none") for key in changes)]
            for name, found in figures.items()
        ],
    )


def _filter_cell(found: Mapping[str, float] | None) -> str:
    return "none" if found is None else f"{found['qps']:,.0f} ({found['recall@10']:.3f})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
