"""Labelled sets: which gallery images are right answers to which queries.

Three forms are read: a folder with a folder per class, a list of queries and positives (TSV), and
the ground truth of revisited Oxford and Paris.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from likeness.errors import SourceError
from search.evaluation.ground_truth import read_ground_truth

Protocol = Literal["easy", "medium", "hard"]
Box = tuple[float, float, float, float]

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif"}
    | {".jp2", ".ppm"}
)


@dataclass(frozen=True, slots=True)
class LabelledQuery:
    """positives, junk: gallery numbers; junk is left out of the answer, neither right nor wrong.
    box: left, top, right, bottom in pixels of the query image, or None for all of it."""

    image: Path
    positives: frozenset[int]
    junk: frozenset[int] = frozenset()
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """gallery: the images searched, numbered from 0. trapezoid: how mAP is computed."""

    name: str
    gallery: tuple[Path, ...]
    queries: tuple[LabelledQuery, ...]
    trapezoid: bool = False


def read_labels(
    path: Path, *, images: Path | None = None, protocol: Protocol = "medium"
) -> LabelledSet:
    """The labelled set at `path`, by its kind: folder, .tsv, or .json/.pkl ground truth.

    images: folder of the images that a list or ground truth names; default: beside it.
    Raises SourceError.
    """
    if path.is_dir():
        return from_folders(path)
    root = images or path.parent
    suffix = path.suffix.lower()
    if suffix in {".tsv", ".txt"}:
        return from_tsv(path, root)
    if suffix in {".json", ".pkl"}:
        return from_revisited(path, root, protocol)
    raise SourceError(
        str(path),
        "it is no labelled set",
        "give a folder with a folder per class, a .tsv list, or a .json/.pkl ground truth",
    )


def from_folders(root: Path) -> LabelledSet:
    """Class per folder: each image asks for the others of its class; it is itself junk.

    Images directly in `root` and images alone in their class are searched but ask nothing.
    """
    gallery = tuple(_images_below(root))
    classes: dict[str, list[int]] = defaultdict(list)
    for number, image in enumerate(gallery):
        parts = image.relative_to(root).parts
        if len(parts) > 1:
            classes[parts[0]].append(number)
    queries = []
    for members in classes.values():
        for number in members:
            others = frozenset(members) - {number}
            if others:
                queries.append(LabelledQuery(gallery[number], others, frozenset({number})))
    if not queries:
        raise SourceError(
            str(root), "no folder in it holds two images or more", "put each class in its folder"
        )
    queries.sort(key=lambda query: query.image)
    return LabelledSet(root.name, gallery, tuple(queries))


def from_tsv(path: Path, root: Path) -> LabelledSet:
    """Lines of a query and its positives, tab-separated; paths relative to `root`.

    Lines that start with # are notes. The gallery is every image below `root`; a query that is in
    it is junk to itself. Raises SourceError naming the line.
    """
    lines = _read_text(path).splitlines()
    gallery = tuple(_images_below(root))
    numbers = {image.resolve(): number for number, image in enumerate(gallery)}
    queries = []
    for line_number, line in enumerate(lines, start=1):
        names = [name for name in (part.strip() for part in line.split("\t")) if name]
        if not names or names[0].startswith("#"):
            continue
        where = f"{path}, line {line_number}"
        if len(names) < 2:
            raise SourceError(where, "it names no positive", "write QUERY<tab>POSITIVE<tab>…")
        query, *positives = [(root / name).resolve() for name in names]
        unknown = [
            name for name, file in zip(names[1:], positives, strict=True) if file not in numbers
        ]
        if unknown or not query.is_file():
            missing = unknown[0] if unknown else names[0]
            raise SourceError(where, f"{missing} is not an image below {root}", "name it rightly")
        itself = frozenset({numbers[query]}) if query in numbers else frozenset()
        wanted = frozenset(numbers[file] for file in positives) - itself
        queries.append(LabelledQuery(query, wanted, itself))
    if not queries:
        raise SourceError(str(path), "it holds no query", "write QUERY<tab>POSITIVE<tab>…")
    return LabelledSet(path.stem, gallery, tuple(queries))


def from_revisited(path: Path, root: Path, protocol: Protocol) -> LabelledSet:
    """Revisited Oxford or Paris (Radenović et al., CVPR 2018): `gnd_roxford5k.pkl` or its JSON.

    easy: easy ones are positive, hard ones junk. medium: both are positive. hard: hard ones are
    positive, easy ones junk. Queries without a positive are left out, as in the paper.
    """
    truth = read_ground_truth(path)
    gallery = tuple(_named(root, name, path) for name in truth.gallery)
    queries = []
    for name, entry in zip(truth.queries, truth.entries, strict=True):
        positives, junk = {
            "easy": (entry.easy, entry.junk | entry.hard),
            "medium": (entry.easy | entry.hard, entry.junk),
            "hard": (entry.hard, entry.junk | entry.easy),
        }[protocol]
        if positives:
            queries.append(
                LabelledQuery(_named(root, name, path), positives, junk - positives, entry.box)
            )
    return LabelledSet(f"{path.stem} ({protocol})", gallery, tuple(queries), trapezoid=True)


def class_counts(labelled: LabelledSet) -> Mapping[str, int]:
    """Sizes for reports: how many images, queries, and positives in all."""
    return {
        "gallery": len(labelled.gallery),
        "queries": len(labelled.queries),
        "positives": sum(len(query.positives) for query in labelled.queries),
    }


def _images_below(root: Path) -> Sequence[Path]:
    if not root.is_dir():
        raise SourceError(str(root), "there is no such folder", "name the folder of the images")
    found = [
        Path(folder) / name
        for folder, _, names in os.walk(root)
        for name in names
        if Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith(".")
    ]
    return sorted(found)


def _named(root: Path, name: str, ground_truth: Path) -> Path:
    """The image that a ground truth names, which leaves the suffix out."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise SourceError(str(ground_truth), f"{name!r} points out of {root}", "mend the file")
    for candidate in (name, f"{name}.jpg", f"jpg/{name}.jpg"):
        if (root / candidate).is_file():
            return root / candidate
    raise SourceError(
        str(ground_truth), f"its image {name} is not in {root}", "give its folder with --images"
    )


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason: Any = getattr(error, "strerror", None) or error
        raise SourceError(str(path), f"it cannot be read: {reason}", "give a UTF-8 list") from error
