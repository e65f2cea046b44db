"""Do scores mean what they say: false hits under the cut, and fusion of two spaces.

    python -m benchmarks.scores false [--encoder NAME] [--data FOLDER] [--home FOLDER]
    python -m benchmarks.scores fusion [same]

false: queries to which the collection holds nothing, and the share of them that still gets a hit
with p at most what was asked. `photos`: one half against the other, eight times over (every photo
shows another class). `clothing`: each class asked of the nine others, whose own classes of 300
make neighbours of neighbours. Beside it the recall: cut and askew photos whose source is found
under the cut.
fusion: photos cut, seen askew and covered, R@1 and mean reciprocal rank by the encoder, by colour
histograms as a second space, and by both fused.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.instances import EDITS, Instance, instances
from benchmarks.record import print_table, write_result
from likeness.encoders.interface import Encoder
from likeness.runtime import Runtime
from likeness.settings import load_settings
from likeness.types import Embeddings, RgbImage
from search.evaluation.embedding import Pictures, embed_pictures
from search.evaluation.labels import read_labels
from search.fusion import evidence_fusion, reciprocal_rank_fusion
from search.rerank.interface import unit
from search.scores import FalseMatchModel, fit_false_matches, sample_positions

_ASKED = (0.001, 0.01, 0.05, 0.1)
_REPEATS = 8


@dataclass(frozen=True, slots=True)
class Lab:
    """An encoder, the photos with their vectors, and the changed photos with theirs."""

    encoder: Encoder
    data: Path
    embed: Callable[[Sequence[Path]], Embeddings]
    files: tuple[Path, ...]
    photos: Embeddings
    changed: tuple[Instance, ...]
    queries: Embeddings


def _lab(runtime: Runtime, encoder_name: str, data: Path, home: Path) -> Lab:
    encoder = runtime.encoder(encoder_name)

    def embed(files: Sequence[Path]) -> Embeddings:
        vectors, _ = embed_pictures(
            Pictures.whole(files),
            encoder,
            cache=home / "evaluation",
            workers=2,
            limits=runtime.limits,
        )
        return vectors

    photos = data / "photos"
    files = tuple(sorted(p for p in photos.iterdir() if p.suffix.lower() in {".jpg", ".jpeg"}))
    changed = tuple(instances(files))
    kept = home / "evaluation" / f"instances-{encoder.fingerprint[:16]}.npy"
    if kept.is_file():
        queries = np.load(kept, allow_pickle=False)
    else:
        queries = encoder.embed([each.pixels for each in changed])
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(kept, queries)
    return Lab(encoder, data, embed, files, embed(files), changed, queries)


def _model(vectors: Embeddings) -> FalseMatchModel:
    model = fit_false_matches(vectors[sample_positions(len(vectors))])
    if model is None:
        raise ValueError("too few images for a distribution")
    return model


def _best_chance(model: FalseMatchModel, queries: Embeddings, gallery: Embeddings) -> np.ndarray:
    best = (queries @ gallery.T).max(axis=1, keepdims=True)
    return model.chance(queries, best, len(gallery))[:, 0]


def _false(lab: Lab) -> list[tuple[object, ...]]:
    photos, found = [], []
    sources = np.array([each.source for each in lab.changed])
    easy = np.array([each.edit != "occlusion" for each in lab.changed])
    for repeat in range(_REPEATS):
        order = np.random.default_rng(repeat).permutation(len(lab.photos))
        half, rest = np.sort(order[: len(order) // 2]), order[len(order) // 2 :]
        model = _model(lab.photos[half])
        photos.append(_best_chance(model, lab.photos[rest], lab.photos[half]))
        here = np.isin(sources, half) & easy
        cosines = np.einsum("nd,nd->n", lab.queries[here], lab.photos[sources[here]])
        found.append(model.chance(lab.queries[here], cosines[:, np.newaxis], len(half))[:, 0])
    clothing = read_labels(lab.data / "clothing")
    vectors = lab.embed(clothing.gallery)
    classes = np.array([path.parent.name for path in clothing.gallery])
    garments = []
    for name in np.unique(classes):
        others = vectors[classes != name]
        garments.append(_best_chance(_model(others), vectors[classes == name], others))
    return [
        (what, *(float((np.concatenate(chances) <= asked).mean()) for asked in _ASKED))
        for what, chances in (
            ("false hits, photos", photos),
            ("false hits, clothing without the class", garments),
            ("sources found, cut and askew photos", found),
        )
    ]


def _fusion(lab: Lab) -> list[tuple[object, ...]]:
    colours = unit(np.stack([_colours(_pixels(path)) for path in lab.files]))
    asked = unit(np.stack([_colours(each.pixels) for each in lab.changed]))
    models = _model(lab.photos), _model(colours)
    ids = np.arange(len(lab.files))
    ranks: dict[str, list[int]] = {}
    for query, colour, each in zip(lab.queries, asked, lab.changed, strict=True):
        cosines = lab.photos @ query, colours @ colour
        evidence = [
            (ids, model.evidence(vector[np.newaxis], scores[np.newaxis], len(ids))[0])
            for model, vector, scores in zip(models, (query, colour), cosines, strict=True)
        ]
        alone = [np.argsort(-scores, kind="stable") for scores in cosines]
        orders = {
            "encoder alone": alone[0],
            "colours alone": alone[1],
            "by rank (RRF)": reciprocal_rank_fusion(alone, [1, 1])[0],
            "by evidence": evidence_fusion(evidence, [1, 1])[0],
            "sum of cosines": ids[np.argsort(-(cosines[0] + cosines[1]), kind="stable")],
        }
        for name, order in orders.items():
            ranks.setdefault(name, []).append(int(np.flatnonzero(order == each.source)[0]))
    edits = np.array([each.edit for each in lab.changed])
    rows = []
    for name, places in ranks.items():
        place = np.array(places)
        shares = [float((place[edits == edit] == 0).mean()) for edit in EDITS]
        rows.append((name, *shares, float((place == 0).mean()), float((1 / (1 + place)).mean())))
    return rows


def _pixels(path: Path) -> RgbImage:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _colours(pixels: RgbImage) -> np.ndarray:
    """Square roots of a histogram of 8 hues, 3 saturations and 3 values: float [72]."""
    small = Image.fromarray(pixels).resize((64, 64)).convert("HSV")
    cells = np.asarray(small).reshape(-1, 3)
    counts, _ = np.histogramdd(cells, bins=(8, 3, 3), range=((0, 256),) * 3)
    return np.sqrt(counts.ravel())


def main(arguments: Sequence[str]) -> int:
    root = Path(__file__).resolve().parent.parent
    shared = Path(os.environ.get("LIKENESS_TEST_DATA") or root.parent / "shared" / "data")
    weights = shared / "weights" / "vit_tiny_patch16_224.safetensors"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=["false", "fusion"], default="false")
    parser.add_argument("--encoder", default=f"timm:vit_tiny_patch16_224@{weights}")
    parser.add_argument("--data", type=Path, default=shared)
    parser.add_argument("--home", type=Path, default=root / ".benchmark-home")
    given = parser.parse_args(list(arguments))
    with Runtime(load_settings(home=given.home)) as runtime:
        lab = _lab(runtime, given.encoder, given.data, given.home)
        if given.what == "false":
            columns: tuple[str, ...] = ("asked", *map(str, _ASKED))
            rows = _false(lab)
        else:
            columns = ("order", *EDITS, "all R@1", "MRR")
            rows = _fusion(lab)
        name = f"{lab.encoder.spec.name.partition('@')[0]} {lab.encoder.fingerprint[:12]}"
    print_table(columns, rows)
    write_result(
        f"scores-{given.what}",
        command=["python", "-m", "benchmarks.scores", given.what],
        data="photos (1,000), clothing (3,068)",
        encoder=name,
        figures={str(row[0]): dict(zip(columns[1:], row[1:], strict=True)) for row in rows},
    )
    return 0


if __name__ == "__main__":
    import sys

    sys.exit(main(sys.argv[1:]))
