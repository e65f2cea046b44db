"""Every bar of the model that ships, for `likeness:tiny` and for its teacher, in one run.

`python -m benchmarks tiny`, or `python -m benchmarks.tiny --model FOLDER` for a model that is not
shipped yet. None of these images was trained on. Each row states its set and size.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from benchmarks.edited_copies import EDITS
from benchmarks.record import print_table, write_result
from likeness.encoders import load_encoder
from likeness.encoders.interface import Encoder
from likeness.encoders.preprocess import Preprocess
from likeness.encoders.tiny.tower import TinyTower
from likeness.imaging.decode import DecodeLimits
from likeness.imaging.pool import DecodePool
from training.config import TeacherConfig
from training.photos import Photo, find_photos
from training.teacher import Teacher
from training.words.classes import ClassTable

Vectors = npt.NDArray[np.float32]

TEACHER = "timm:vit_tiny_patch16_224"
CLASSES = Path(__file__).parent.parent / "training" / "words" / "classes.json"
BLOCK = 256

# Chosen before anything was measured: everyday words, none of them a class name, each above at
# least four of the classes. What counts as an answer is what WordNet has below the word.
HYPERNYMS = (
    "musical instrument", "fruit", "boat", "bird of prey", "snake", "insect", "fish", "monkey",
    "furniture", "weapon", "vegetable", "tool", "headdress", "butterfly", "turtle", "spider",
    "lizard", "truck", "big cat", "building",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. teacher: the same measure of the teacher, None where it has none.
    bar: what the figure should reach, at least (or at most, where `most`)."""

    what: str
    data: str
    teacher: float | None
    tiny: float
    bar: float | None
    most: bool = False

    @property
    def verdict(self) -> str:
        if self.bar is None:
            return ""
        reached = self.tiny <= self.bar if self.most else self.tiny >= self.bar
        return f"{'≤' if self.most else '≥'} {self.bar:.3g} {'met' if reached else 'MISSED'}"


def pixels(file: Path) -> npt.NDArray[np.uint8]:
    """uint8 [h, w, 3], RGB."""
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def embed_files(
    encoder: Encoder,
    files: Sequence[Path],
    change: Callable[[Image.Image], Image.Image] | None = None,
) -> Vectors:
    """float32 [n, d]; `change` is applied to each image first."""
    parts = []
    for start in range(0, len(files), BLOCK):
        images = [pixels(f) for f in files[start : start + BLOCK]]
        if change is not None:
            images = [np.asarray(change(Image.fromarray(i))) for i in images]
        parts.append(encoder.embed(images))
    return np.concatenate(parts)


def precision_at_1(vectors: Vectors, labels: Sequence[str]) -> float:
    """Share of images whose nearest other image has the same label."""
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -2)
    named = np.asarray(labels)
    return float((named[scores.argmax(1)] == named).mean())


def recall_at_1(queries: Vectors, originals: Vectors) -> float:
    """Share of queries whose nearest original is the one of the same row."""
    return float(((queries @ originals.T).argmax(1) == np.arange(len(queries))).mean())


def ranks(queries: Vectors, images: Vectors, own: Sequence[int]) -> npt.NDArray[np.int64]:
    """1-based rank of each query's own image."""
    scores = queries @ images.T
    mine = scores[np.arange(len(queries)), np.asarray(own)]
    return np.asarray((scores > mine[:, None]).sum(1) + 1, np.int64)


def group_precision(
    words: Vectors, images: Vectors, table: ClassTable
) -> dict[str, tuple[float, int]]:
    """(precision, relevant photos) of each of HYPERNYMS: among the first min(10, relevant)."""
    found: dict[str, tuple[float, int]] = {}
    for word, query in zip(HYPERNYMS, words, strict=True):
        relevant = {m for g in table.groups if word in g.words for m in g.members}
        first = np.argsort(-(images @ query))[: min(10, len(relevant))]
        found[word] = (sum(int(i) in relevant for i in first) / len(first), len(relevant))
    return found


def look_rows(data: Path, teacher: Encoder, tiny: Encoder) -> list[Row]:
    """Class retrieval and agreement with the teacher."""
    clothing = sorted((data / "clothing").rglob("*.jpg"))
    labels = [f.parent.name for f in clothing]
    theirs, ours = (
        precision_at_1(embed_files(encoder, clothing), labels) for encoder in (teacher, tiny)
    )
    return [Row("class retrieval P@1", f"clothing ({len(clothing)})", theirs, ours, 0.79)]


def agreement_row(photos: Sequence[Path], weights: Path, tiny: TinyTower) -> Row:
    """Share of photos that both give the same class."""
    judge = Teacher(TeacherConfig(weights=weights), torch.device("cpu"), torch.bfloat16)
    prepare = Preprocess(224, crop_pct=0.9)
    same = 0
    for start in range(0, len(photos), BLOCK):
        images = [pixels(f) for f in photos[start : start + BLOCK]]
        _, logits = judge.answer(torch.from_numpy(prepare.batch(images)))
        own = tiny.class_probabilities(images)
        same += int((logits.numpy().argmax(1) == own.argmax(1)).sum())
    what = "top-1 agreement with the teacher"
    return Row(what, f"photos ({len(photos)})", 1.0, same / len(photos), 0.65)


def copy_rows(photos: Sequence[Path], teacher: Encoder, copies: Encoder) -> list[Row]:
    """Recall@1 of each edit among the photos, teacher's class feature against `tiny-copy`."""
    plain = [embed_files(encoder, photos) for encoder in (teacher, copies)]
    rows = []
    for name, edit in EDITS.items():
        theirs, ours = (
            recall_at_1(embed_files(encoder, photos, edit), originals)
            for encoder, originals in zip((teacher, copies), plain, strict=True)
        )
        rows.append(
            Row(f"edited copies R@1: {name}", f"photos ({len(photos)})", theirs, ours, theirs)
        )
    theirs, ours = (
        statistics.mean(getattr(r, k) or 0.0 for r in rows) for k in ("teacher", "tiny")
    )
    rows.append(Row("edited copies R@1: mean", f"photos ({len(photos)})", theirs, ours, 0.97))
    return rows


def word_rows(photos: Sequence[Path], captioned: Sequence[Photo], tiny: Encoder) -> list[Row]:
    """Text to image: class names, captions, and words that are no class name."""
    table = ClassTable.load(CLASSES)
    images = embed_files(tiny, photos)
    names = tiny.embed_texts([f.stem.partition("_")[2].replace("_", " ") for f in photos])
    by_name = ranks(names, images, range(len(photos)))
    pairs = [(i, text) for i, photo in enumerate(captioned) for text in photo.captions]
    shown = np.concatenate([tiny.embed([np.asarray(p.image())]) for p in captioned])
    by_caption = ranks(tiny.embed_texts([t for _, t in pairs]), shown, [i for i, _ in pairs])
    groups = group_precision(tiny.embed_texts(HYPERNYMS), images, table)
    print("precision by word:", ", ".join(f"{w} {p:.2f} ({n})" for w, (p, n) in groups.items()))
    of_photos = f"photos ({len(photos)}), by class name"
    of_captions = f"captions-dev ({len(captioned)}), {len(pairs)} captions"
    return [
        Row("text → image R@1", of_photos, None, float((by_name <= 1).mean()), 0.45),
        Row("text → image R@10", of_photos, None, float((by_name <= 10).mean()), 0.75),
        Row("text → image R@1", of_captions, None, float((by_caption <= 1).mean()), 0.24),
        Row("text → image R@5", of_captions, None, float((by_caption <= 5).mean()), None),
        Row("text → image R@10", of_captions, None, float((by_caption <= 10).mean()), 0.65),
        Row("text → image median rank", of_captions, None, float(np.median(by_caption)), 5, True),
        Row(
            "text → image precision@10 (of all there are, where fewer)",
            f"photos ({len(photos)}), {len(HYPERNYMS)} hypernyms",
            None,
            statistics.mean(p for p, _ in groups.values()),
            0.7,
        ),
    ]


def speed_row(photos: Sequence[Path], teacher: Encoder, tiny: Encoder, runs: int = 3) -> Row:
    """Median ratio of the whole pipeline's rates, the two taking turns."""
    rates = [(pipeline_rate(teacher, photos), pipeline_rate(tiny, photos)) for _ in range(runs)]
    print("images/s, teacher and tiny by turns:", ", ".join(f"{a:.0f} {b:.0f}" for a, b in rates))
    ratio = statistics.median(b / a for a, b in rates)
    what = f"images/s, whole pipeline, {os.cpu_count()} cores, × the teacher's"
    return Row(what, f"photos ({len(photos)}), median of {runs}", 1.0, ratio, 1.5)


def pipeline_rate(encoder: Encoder, files: Sequence[Path]) -> float:
    """Images/s from bytes on disk to vectors: decoding in two processes, embedding beside it."""
    prepare = {"tiny": encoder.preprocess}
    with DecodePool(
        2,
        limits=DecodeLimits(),
        prepare=prepare,
        min_side=encoder.preprocess.min_side,
        perceptual_hash=False,
    ) as pool:
        pool.submit(files[0].read_bytes(), files[0].name).result()
        side = encoder.spec.input_size
        encoder.embed_prepared(np.zeros((encoder.batch_size, side, side, 3), np.uint8))
        began = perf_counter()
        waiting = [pool.submit(f.read_bytes(), f.name) for f in files]
        for start in range(0, len(waiting), encoder.batch_size):
            done = [w.result().arrays["tiny"] for w in waiting[start : start + encoder.batch_size]]
            encoder.embed_prepared(np.stack(done))
        return len(files) / (perf_counter() - began)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tiny", description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("LIKENESS_TEST_DATA"))
    parser.add_argument("--model", type=Path, help="folder of another model of this kind")
    parser.add_argument("--only", choices=("look", "agreement", "copies", "words", "speed"))
    chosen = parser.parse_args(arguments)
    if chosen.data is None:
        print("needs the test data: set LIKENESS_TEST_DATA or give --data", file=sys.stderr)
        return 2
    data = Path(chosen.data)
    weights = data / "weights" / "vit_tiny_patch16_224.safetensors"
    at = f"@{chosen.model}" if chosen.model else ""
    teacher = load_encoder(f"{TEACHER}@{weights}")
    tiny, copies = (load_encoder(f"likeness:{name}{at}") for name in ("tiny", "tiny-copy"))
    photos = sorted((data / "photos").glob("*.jpg"))
    parts: dict[str, Callable[[], list[Row]]] = {
        "look": lambda: look_rows(data, teacher, tiny),
        "agreement": lambda: [agreement_row(photos, weights, tiny)],  # type: ignore[arg-type]
        "copies": lambda: copy_rows(photos, teacher, copies),
        "words": lambda: word_rows(
            photos, find_photos([data / "train_photos" / "captions-dev.tar"]), tiny
        ),
        "speed": lambda: [speed_row(photos, teacher, tiny)],
    }
    rows = [r for name, part in parts.items() if chosen.only in (None, name) for r in part()]
    print_table(
        ("what", "set (images)", "teacher", "likeness:tiny", "bar"),
        [
            (r.what, r.data, "–" if r.teacher is None else r.teacher, r.tiny, r.verdict)
            for r in rows
        ],
    )
    if chosen.only is None and chosen.model is None:
        write_result(
            "tiny",
            command=("python", "-m", "benchmarks", "tiny"),
            data="photos, clothing, train_photos/captions-dev.tar of the test data",
            encoder=f"likeness:tiny {tiny.fingerprint}",
            figures={"rows": [asdict(r) | {"verdict": r.verdict} for r in rows]},
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
