"""Run benchmarks one after the other: `python -m benchmarks [NAME…]`, all without a name."""

from __future__ import annotations

import importlib
import sys

# name → what it measures. Each is a module of this package with `main(arguments) -> int`.
BENCHMARKS = {
    "decode": "images/s of decoding and its workers; what reduced-scale decoding changes",
    "embed": "images/s of each stage alone and of the whole pipeline, against the plain loop",
    "clothing": "precision of class retrieval through the whole product",
    "rerank": "how long re-ranking 200 candidates takes, and on changed photos what it is worth",
    "scores": "false hits under the cut by p, fusion of two spaces, and words",
    "serve": "latency and requests/s of the HTTP API under load, beside the encoder by itself",
    "catalog": "rows/s of the catalog's large operations, on SQLite and PostgreSQL",
    "index": "indexes of a million vectors against FAISS's, hnswlib's and usearch's",
    "filters": "filtered search against FAISS's IVF-Flat with a selector",
    "publish": "rows/s from SQL into an index",
    "workers": "the queue path beside the in-process one, cost of a piece, memory of the broker",
    "search": "what a search costs besides the scan",
    "tiny": "every bar of the model that ships, beside its teacher",
    "duplicates": "recall of 34 edits at one false match in a thousand, beside PDQ and others",
    "cluster": "NMI, ARI and purity on labelled sets, beside scikit-learn; maps",
    "graph": "recall, images/s and memory of the neighbour graph, beside FAISS flat",
    "map": "frames of the map page with 100,000 points, beside one fillRect per point",
    "sorting": "time and memory of copies and clusters on 100,000 vectors, end to end",
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are:", file=sys.stderr)
        for name, line in BENCHMARKS.items():
            print(f"  {name:12} {line}", file=sys.stderr)
        return 2
    worst = 0
    for name in names or BENCHMARKS:
        print(f"## {name}: {BENCHMARKS[name]}\n", flush=True)
        worst = max(worst, importlib.import_module(f"benchmarks.{name}").main([]))
        print()
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
