"""Filters: Likeness's indexes against FAISS's IVF-Flat with a selector, at equal recall.

The same runs as `benchmarks.index`, of those peers only; see there.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks import index
from benchmarks.record import print_table, write_result

PEER = "faiss-ivf-flat"
OURS = ("likeness-exact", "likeness-compressed", "likeness-ivf")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.filters", description=__doc__)
    parser.add_argument("--set", choices=["clustered", "views"], default="clustered", dest="data")
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument(
        "--work", type=Path, default=index.WORK, help="folder for vectors and indexes"
    )
    options = parser.parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, Any]] = {
        peer: index.child("--build", peer, arguments) | index.child("--ask", peer, arguments)
        for peer in (*OURS, PEER)
    }
    filters = [f"filter {100 * share:g}%" for share in index.SHARES]
    rows = []
    for peer, figures in found.items():
        for name in filters:
            mine, theirs = figures[name], found[PEER][name]
            rows.append((peer, name, mine["recall@10"], mine["qps"], mine["qps"] / theirs["qps"]))
    print_table(["index", "filter", "recall@10", "queries/s", f"times {PEER}"], rows)
    write_result(
        f"filters-{options.data}",
        command=["python", "-m", "benchmarks.filters", *arguments],
        data=f"{options.images} vectors of the set {options.data}",
        encoder=None,
        figures=json.loads(json.dumps(found)),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
