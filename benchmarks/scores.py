"""Do scores mean what they say: false hits under the cut, and fusion of two spaces.

    python -m benchmarks.scores false [--encoder NAME] [--data FOLDER] [--home FOLDER]
    python -m benchmarks.scores fusion [same]
    python -m benchmarks.scores text [--encoder likeness:tiny]

false: queries to which the collection holds nothing, and the share of them that still gets a hit
with p at most what was asked. `photos`: one half against the other, eight times over (every photo
shows another class). `clothing`: each class asked of the nine others, whose own classes of 300
make neighbours of neighbours. Beside it the recall: cut and askew photos whose source is found
under the cut.
fusion: photos cut, seen askew and covered, R@1 and mean reciprocal rank by the encoder, by colour
histograms as a second space, and by both fused.
text: whether a query's scores should be normalised by its background before they are cut: first
captions of `captions-dev` asked of half of its photos, their own among them or not. The area under
the curve says how well the best score tells the two apart, as it is and normalised.
"""

from __future__ import annotations

import argparse
import io
import os
import tarfile
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


def _lab(runtime: Runtime, encoder: Encoder, data: Path, home: Path) -> Lab:

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


def _captioned(data: Path) -> tuple[list[RgbImage], list[str]]:
    """The photos of captions-dev and the first caption of each, by name."""
    images: dict[str, RgbImage] = {}
    captions: dict[str, str] = {}
    with tarfile.open(data / "train_photos" / "captions-dev.tar") as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is None:
                continue
            key, _, suffix = member.name.rpartition(".")
            if suffix == "txt":
                captions[key] = file.read().decode().splitlines()[0]
            else:
                with Image.open(io.BytesIO(file.read())) as image:
                    images[key] = np.asarray(image.convert("RGB"))
    keys = sorted(images.keys() & captions.keys())
    return [images[key] for key in keys], [captions[key] for key in keys]


def _text(encoder: Encoder, data: Path) -> list[tuple[object, ...]]:
    images, captions = _captioned(data)
    photos, words = encoder.embed(images), encoder.embed_texts(captions)
    plain, normalised, false = [], [], []
    for repeat in range(_REPEATS):
        order = np.random.default_rng(repeat).permutation(len(photos))
        half, rest = order[: len(order) // 2], order[len(order) // 2 :]
        model = _model(photos[half])
        best = {
            side: (words[side_rows] @ photos[half].T).max(axis=1, keepdims=True)
            for side, side_rows in (("answered", half), ("unanswered", rest))
        }
        evidence = {
            "answered": model.evidence(words[half], best["answered"], len(half)),
            "unanswered": model.evidence(words[rest], best["unanswered"], len(half)),
        }
        plain.append(_area(best["answered"], best["unanswered"]))
        normalised.append(_area(evidence["answered"], evidence["unanswered"]))
        false.append(_best_chance(model, words[rest], photos[half]))
    chances = np.concatenate(false)
    return [
        ("area under the curve, cosine", float(np.mean(plain)), "", "", ""),
        ("area under the curve, normalised", float(np.mean(normalised)), "", "", ""),
        ("false hits by the law of images", *(float((chances <= p).mean()) for p in _ASKED)),
    ]


def _area(answered: np.ndarray, unanswered: np.ndarray) -> float:
    """The chance that an answered query's best score is above an unanswered one's."""
    return float((answered.reshape(-1, 1) > unanswered.reshape(1, -1)).mean())


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
    roots: np.ndarray = np.sqrt(counts.ravel())
    return roots


def main(arguments: Sequence[str]) -> int:
    root = Path(__file__).resolve().parent.parent
    shared = Path(os.environ.get("LIKENESS_TEST_DATA") or root.parent / "shared" / "data")
    weights = shared / "weights" / "vit_tiny_patch16_224.safetensors"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=["false", "fusion", "text"], default="false")
    parser.add_argument("--encoder", help="default: ViT-Tiny, and likeness:tiny for text")
    parser.add_argument("--data", type=Path, default=shared)
    parser.add_argument("--home", type=Path, default=root / ".benchmark-home")
    given = parser.parse_args(list(arguments))
    fitting = "likeness:tiny" if given.what == "text" else f"timm:vit_tiny_patch16_224@{weights}"
    with Runtime(load_settings(home=given.home)) as runtime:
        encoder = runtime.encoder(given.encoder or fitting)
        columns: tuple[str, ...] = ("asked", *map(str, _ASKED))
        if given.what == "text":
            rows = _text(encoder, given.data)
        elif given.what == "false":
            rows = _false(_lab(runtime, encoder, given.data, given.home))
        else:
            columns = ("order", *EDITS, "all R@1", "MRR")
            rows = _fusion(_lab(runtime, encoder, given.data, given.home))
        name = f"{encoder.spec.name.partition('@')[0]} {encoder.fingerprint[:12]}"
    print_table(columns, rows)
    write_result(
        f"scores-{given.what}",
        command=["python", "-m", "benchmarks.scores", given.what],
        data="captions-dev (456)" if given.what == "text" else "photos (1,000), clothing (3,068)",
        encoder=name,
        figures={str(row[0]): dict(zip(columns[1:], row[1:], strict=True)) for row in rows},
    )
    return 0


if __name__ == "__main__":
    import sys

    sys.exit(main(sys.argv[1:]))
