"""Class retrieval through the whole product: index a folder, ask for each image's neighbours.

    python -m benchmarks.clothing [--data FOLDER] [--encoder NAME] [--fp32]

A hit is right when it lies in the same folder as the query. P@1 and P@10 come from the searcher,
one request per image; mAP from the vectors that the catalog stores, over the whole ranking. The
two ways must agree on the first hit.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.record import print_table, write_result
from indexer.progress import IndexReport, Progress
from indexer.service import Indexer, IndexRequest
from likeness.catalog.records import Space
from likeness.runtime import Runtime
from likeness.settings import load_settings
from search.opening import open_searcher
from search.request import IdTerm, SearchRequest
from search.service import Searcher

_K = 10
_AT_ONCE = 64
_COLLECTION = "benchmark"

Labels = npt.NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class Precision:
    """Of n queries: shares of right first hits and of right hits among ten, and the mean AP.

    agreement: share of queries whose first hit is also the brute-force one or scores the same.
    """

    queries: int
    at_1: float
    at_10: float
    mean_average_precision: float
    agreement: float


def default_data() -> Path:
    """The clothing set of the test data."""
    root = Path(__file__).resolve().parent.parent
    return (
        Path(os.environ.get("LIKENESS_TEST_DATA") or root.parent / "shared" / "data") / "clothing"
    )


def measure(searcher: Searcher, runtime: Runtime, space: Space) -> tuple[Precision, float]:
    """Precision over every stored image, and searches per second."""
    catalog = runtime.catalog
    batches = list(catalog.stream_vectors(space.id))
    image_ids = np.concatenate([ids for ids, _ in batches])
    vectors = np.concatenate([rows for _, rows in batches]).astype(np.float32)
    rows = catalog.images(space.collection_id, image_ids.tolist())
    labels = np.array([Path(rows[int(i)].path).parent.name for i in image_ids])

    began = time.perf_counter()
    found = list(_ask(searcher, image_ids))
    seconds = time.perf_counter() - began

    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    place = {int(image_id): row for row, image_id in enumerate(image_ids)}
    hits = np.array([[place[i] for i in ids] for ids in found])
    right = labels[hits] == labels[:, None]
    first = scores[np.arange(len(hits)), hits[:, 0]]
    precision = Precision(
        queries=len(image_ids),
        at_1=float(right[:, 0].mean()),
        at_10=float(right.mean()),
        mean_average_precision=mean_average_precision(scores, labels),
        agreement=float((first >= scores.max(axis=1) - 1e-3).mean()),
    )
    return precision, len(image_ids) / seconds


def _ask(searcher: Searcher, image_ids: npt.NDArray[np.int64]) -> Iterator[list[int]]:
    """The ten nearest others of each image, in order."""
    requests = [SearchRequest((IdTerm(int(i)),), k=_K) for i in image_ids]
    for start in range(0, len(requests), _AT_ONCE):
        responses = searcher.search_many(_COLLECTION, requests[start : start + _AT_ONCE])
        yield from ([hit.image_id for hit in response.hits] for response in responses)


def mean_average_precision(scores: npt.NDArray[np.float32], labels: Labels) -> float:
    """Mean over queries of the average precision over all others.

    scores: float32 [n, n], -inf on the diagonal. labels: [n]. A query that is alone in its class
    has no average precision and is left out.
    """
    averages = []
    for row, label in zip(scores, labels, strict=True):
        order = np.argsort(-row, kind="stable")[:-1]
        right = labels[order] == label
        if right.any():
            ranks = np.flatnonzero(right) + 1
            averages.append(float((np.arange(1, len(ranks) + 1) / ranks).mean()))
    return float(np.mean(averages))


def run(data: Path, encoder: str, precision: str) -> tuple[IndexReport, Precision, float, str]:
    """Index `data` into a temporary home and measure; the encoder's name and fingerprint last."""
    with tempfile.TemporaryDirectory(prefix="likeness-benchmark-") as home:
        settings = load_settings(home=Path(home), precision=precision)
        with Runtime(settings) as runtime:
            request = IndexRequest(_COLLECTION, sources=[str(data)], encoder=encoder)
            report = Indexer(runtime).index(request, Progress(), threading.Event())
            collection = runtime.catalog.collection(_COLLECTION)
            space = runtime.catalog.spaces(collection.id)[0]
            with open_searcher(runtime) as searcher:
                measured, rate = measure(searcher, runtime, space)
            return report, measured, rate, f"{_bare(space.encoder)} ({space.fingerprint[:12]})"


def _bare(encoder: str) -> str:
    """The name without the folder of a weights file, which means nothing elsewhere."""
    name, at, path = encoder.partition("@")
    return f"{name}{at}{Path(path).name}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and write results/clothing.json; returns an exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=default_data(), help="one folder per class")
    parser.add_argument("--encoder", default="likeness:tiny")
    parser.add_argument("--fp32", action="store_true", help="compute in single precision")
    parser.add_argument("--name", default="clothing", help="of the file in results/")
    options = parser.parse_args(arguments)
    if not options.data.is_dir():
        print(f"no data in {options.data}: set LIKENESS_TEST_DATA or --data")
        return 2
    report, measured, rate, encoder = run(
        options.data, options.encoder, "fp32" if options.fp32 else "auto"
    )
    stored = report.counts.stored + report.counts.linked
    print_table(
        ("encoder", "images", "P@1", "P@10", "mAP", "indexed, images/s", "searches/s"),
        [
            (
                encoder,
                measured.queries,
                round(measured.at_1, 4),
                round(measured.at_10, 4),
                round(measured.mean_average_precision, 4),
                stored / report.seconds,
                rate,
            )
        ],
    )
    print(
        f"\nbrute force over the stored vectors agrees with {measured.agreement:.2%} of first hits"
    )
    path = write_result(
        options.name,
        command=[
            "python",
            "-m",
            "benchmarks.clothing",
            "--encoder",
            _bare(options.encoder),
        ],
        data=f"{options.data.name}: {measured.queries} images",
        encoder=encoder,
        figures={
            "precision_at_1": measured.at_1,
            "precision_at_10": measured.at_10,
            "mean_average_precision": measured.mean_average_precision,
            "brute_force_agreement": measured.agreement,
            "failed": report.counts.failed,
        },
    )
    print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
