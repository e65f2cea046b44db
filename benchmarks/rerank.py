"""Re-rankers: how long 200 candidates take, and what they are worth.

    python -m benchmarks.rerank speed
    python -m benchmarks.rerank instances [--encoder NAME] [--data FOLDER] [--home FOLDER]

speed: shortlists of 200 clustered vectors of 512 numbers, and 200 images of 196 patches, on one
thread; processor time beside the clock's, because a busy machine stretches only the latter.
instances: photos cut, seen askew and covered (`benchmarks/instances.py`), R@1 among all photos, by
cosine and re-ranked. What they are worth on `clothing`: `likeness eval`.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

# Before NumPy is loaded. The bar is for two cores; matrices of 200 rows gain nothing from a second.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from PIL import Image

from benchmarks.instances import EDITS, instances
from benchmarks.record import print_table, write_result
from likeness.encoders.interface import Encoder
from likeness.runtime import Runtime
from likeness.settings import load_settings
from likeness.types import Embeddings, RgbImage
from search.evaluation.embedding import Pictures, embed_pictures
from search.rerank.interface import Context, Shortlist, shortlist, unit
from search.rerank.matching import PatchFeatures, patch_features
from search.rerank.patch_store import PatchStore, StoredPatches
from search.rerank.registry import RERANKERS, rerank

_CANDIDATES = 200
_DIM = 512
_ROUNDS = 40
_CHAINS: tuple[tuple[str, ...], ...] = (
    (),
    ("qe",),
    ("dba",),
    ("kreciprocal",),
    ("diffusion",),
    ("patches",),
)


def _clustered(seed: int) -> Shortlist:
    random = np.random.default_rng(seed)
    centres = unit(random.standard_normal((12, _DIM)))
    points = centres[random.integers(12, size=_CANDIDATES)]
    near = points + 0.03 * random.standard_normal(points.shape)
    query = centres[0] + 0.03 * random.standard_normal(_DIM)
    return shortlist(query, np.arange(_CANDIDATES), near.astype(np.float16))


class _Shelf:
    """Patch features in memory."""

    def __init__(self, shelf: Sequence[PatchFeatures]) -> None:
        self._shelf = shelf

    def features(self, image_ids: np.ndarray) -> list[PatchFeatures | None]:
        return [self._shelf[int(image_id)] for image_id in image_ids]


def _speed() -> int:
    grid = (14, 14)
    random = np.random.default_rng(0)
    shelf = [patch_features(random.standard_normal((196, 192)), grid) for _ in range(_CANDIDATES)]
    context = Context(query_patches=shelf[0], patches=_Shelf(shelf))
    rows = []
    for record in RERANKERS:
        clock, processor = [], []
        for seed in range(5 if record.needs_pixels else _ROUNDS):
            given = _clustered(seed)
            begun, begun_work = time.perf_counter(), time.process_time()
            record.reranker(given, context)
            processor.append(1000 * (time.process_time() - begun_work))
            clock.append(1000 * (time.perf_counter() - begun))
        rows.append((record.name, float(np.median(processor)), float(np.median(clock)), min(clock)))
    print_table(("re-ranker", "processor ms", "clock ms", "least"), rows)
    write_result(
        "rerank-speed",
        command=["python", "-m", "benchmarks.rerank", "speed"],
        data=f"{_CANDIDATES} synthetic candidates, d = {_DIM}, 196 patches",
        encoder=None,
        figures={
            name: {"processor_ms": work, "clock_ms": clock, "least_clock_ms": least}
            for name, work, clock, least in rows
        },
    )
    return 0


def _pixels(path: Path) -> RgbImage:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _vectors(encoder: Encoder, images: Sequence[RgbImage], folder: Path) -> Embeddings:
    """Vectors of the changed photos, kept in the folder."""
    file = folder / f"instances-{encoder.fingerprint[:16]}.npy"
    if file.is_file():
        kept: Embeddings = np.load(file, allow_pickle=False)
        return kept
    vectors = encoder.embed(images)
    np.save(file, vectors)
    return vectors


def _tokens(encoder: Encoder, images: Sequence[RgbImage], folder: Path) -> list[PatchFeatures]:
    """Patch features of images, kept in a store in the folder."""
    store = PatchStore(folder / encoder.fingerprint[:16])
    source = StoredPatches(store, encoder, lambda number: images[number])
    found = source.features(np.arange(len(images)))
    return [features for features in found if features is not None]


def _instances(encoder_name: str, data: Path, home: Path) -> int:
    files = sorted(path for path in data.iterdir() if path.suffix.lower() in {".jpg", ".jpeg"})
    with Runtime(load_settings(home=home)) as runtime:
        encoder = runtime.encoder(encoder_name)
        gallery, _ = embed_pictures(
            Pictures.whole(files),
            encoder,
            cache=home / "evaluation",
            workers=2,
            limits=runtime.limits,
        )
        kept = home / "evaluation"
        shelf = _Shelf(
            _tokens(encoder, [_pixels(path) for path in files], kept / "instances-gallery")
        )
        changed = list(instances(files))
        pixels = [each.pixels for each in changed]
        asked = _tokens(encoder, pixels, kept / "instances-asked")
        vectors = _vectors(encoder, pixels, kept)
        first: dict[tuple[str, ...], dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
        spent: dict[tuple[str, ...], list[float]] = defaultdict(list)
        for instance, vector, query in zip(changed, vectors, asked, strict=True):
            top = np.argsort(-(gallery @ vector), kind="stable")[:_CANDIDATES]
            given = shortlist(vector, top, gallery[top])
            context = Context(query_patches=query, patches=shelf)
            for chain in _CHAINS:
                begun = time.process_time()
                answer = rerank(given, chain, context)
                spent[chain].append(1000 * (time.process_time() - begun))
                first[chain][instance.edit].append(int(answer.ids[0]) == instance.source)
        name = f"{encoder.spec.name.partition('@')[0]} {encoder.fingerprint[:12]}"
    rows = []
    for chain in _CHAINS:
        shares = [float(np.mean(first[chain][edit])) for edit in EDITS]
        everything = float(np.mean([hit for edit in EDITS for hit in first[chain][edit]]))
        rows.append(
            (",".join(chain) or "none", *shares, everything, float(np.median(spent[chain])))
        )
    print_table(("re-ranker", *EDITS, "all R@1", "processor ms"), rows)
    write_result(
        "rerank-instances",
        command=["python", "-m", "benchmarks.rerank", "instances"],
        data=f"{len(files)} photos of {data.name}, 200 changed in three ways",
        encoder=name,
        figures={
            str(row[0]): dict(zip((*EDITS, "all", "processor_ms"), row[1:], strict=True))
            for row in rows
        },
    )
    return 0


def main(arguments: Sequence[str]) -> int:
    root = Path(__file__).resolve().parent.parent
    shared = Path(os.environ.get("LIKENESS_TEST_DATA") or root.parent / "shared" / "data")
    weights = shared / "weights" / "vit_tiny_patch16_224.safetensors"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=["speed", "instances"], default="speed")
    parser.add_argument("--encoder", default=f"timm:vit_tiny_patch16_224@{weights}")
    parser.add_argument("--data", type=Path, default=shared / "photos")
    parser.add_argument("--home", type=Path, default=root / ".benchmark-home")
    given = parser.parse_args(list(arguments))
    if given.what == "speed":
        return _speed()
    return _instances(given.encoder, given.data, given.home)


if __name__ == "__main__":
    import sys

    sys.exit(main(sys.argv[1:]))
