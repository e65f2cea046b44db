"""Edited copies found, per edit, at one false match in a thousand images: beside the peers.

    python -m benchmarks.duplicates [--data FOLDER] [--encoder NAME] [--home FOLDER] [--every 10]
        [--orb]

Every tenth photo is edited in each way of `search.duplicates.edits`; each copy is looked for among
all photos, which stand for a library. A method gives each pair (copy, photo) a score; its threshold
is the loosest at which at most one query in a thousand (copies and photos alike) matches a photo
that is not its original. Hash methods compare a copy with every photo; Likeness only with its
shortlist, so a copy that is not shortlisted is lost. Further columns leave out what it is made of:
the shortlist from the embedding alone, from PDQ alone, and with --orb ORB keypoints for SIFT's.
`--home` keeps embeddings between runs.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.copy_scores import Scores, figures_of, show
from benchmarks.hash_peers import Bits, hash_methods, pdq
from benchmarks.orb import orb_compare, orb_sketch
from benchmarks.record import write_result
from likeness.encoders.interface import Encoder
from likeness.encoders.loading import load_encoder
from likeness.types import RgbImage
from likeness.vectors.hamming import dihedral_variants, nearest_hashes
from search.duplicates.candidates import HASH_NEIGHBOURS, MOST_BITS, NEAR_NEIGHBOURS
from search.duplicates.edits import EDITS, Edit
from search.duplicates.geometry import Evidence, Sketch, compare, sketch
from search.duplicates.relations import Thresholds


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.duplicates")
    parser.add_argument("--data", type=Path, default=_default_data())
    parser.add_argument("--encoder", default="likeness:tiny")
    parser.add_argument("--home", type=Path)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--orb", action="store_true")
    options = parser.parse_args(arguments)
    files = sorted(options.data.glob("*.jpg"))
    if not files:
        print(f"no photos in {options.data}: name their folder with --data")
        return 2
    begun = time.process_time()
    photos = [_read(file) for file in files]
    rows = np.arange(0, len(photos), options.every)
    copies = _Copies(photos, rows)
    encoder = load_encoder(options.encoder)
    vectors = _Vectors(encoder, options.home)
    tables = _likeness(photos, copies, vectors, with_orb=options.orb)
    for name, hashed in hash_methods().items():
        tables[name] = _by_hash(photos, copies, hashed)
    tables["PDQ, 8 positions"] = _by_pdq_variants(photos, copies)
    figures = figures_of(tables, [edit.name for edit in EDITS], len(copies.rows))
    show(figures)
    seconds = time.process_time() - begun
    print(f"\n{len(photos)} photos, {len(copies)} copies, {seconds:.0f} s of processor time")
    path = write_result(
        "duplicates-orb" if options.orb else "duplicates",
        command=["python", "-m", "benchmarks.duplicates", *(arguments or sys.argv[1:])],
        data=f"photos: {len(photos)} images, every {options.every}th edited in {len(EDITS)} ways",
        encoder=f"{encoder.spec.name} {encoder.fingerprint[:12]}",
        figures=figures,
    )
    print(f"written to {path}")
    return 0


def _default_data() -> Path:
    root = Path(__file__).resolve().parent.parent
    return Path(os.environ.get("LIKENESS_TEST_DATA") or root.parent / "shared" / "data") / "photos"


def _read(file: Path) -> RgbImage:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


class _Copies:
    """The edited copies, made when asked for: equal each time. Query q = (edit, row)."""

    def __init__(self, photos: Sequence[RgbImage], rows: npt.NDArray[np.int64]) -> None:
        self._photos, self.rows = photos, rows

    def __len__(self) -> int:
        return len(EDITS) * len(self.rows)

    def of(self, edit: Edit) -> list[RgbImage]:
        return [edit(self._photos[row], np.random.default_rng(row)) for row in self.rows]


class _Vectors:
    """Embeddings of photos and copies, kept in a folder when there is one."""

    def __init__(self, encoder: Encoder, folder: Path | None) -> None:
        self._encoder, self._folder = encoder, folder

    def of(self, name: str, images: Callable[[], Sequence[RgbImage]]) -> npt.NDArray[np.float32]:
        path = self._folder and self._folder / f"{self._encoder.fingerprint[:12]}-{name}.npy"
        if path is not None and path.is_file():
            return np.asarray(np.load(path), dtype=np.float32)
        pictures = images()
        parts = [
            self._encoder.embed(pictures[start : start + 64])
            for start in range(0, len(pictures), 64)
        ]
        vectors = np.concatenate(parts)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, vectors)
        return vectors


# --------------------------------------------------------------------------- Likeness

_LISTS = ("Likeness", "embedding's list", "PDQ's list")
_ORB = "with ORB"


@dataclass(frozen=True, slots=True)
class _Listed:
    """Photos that a query would be compared with, by the embedding and by the hash."""

    near: frozenset[int]
    alike: frozenset[int]

    def of(self, variant: str) -> frozenset[int]:
        if variant == "embedding's list":
            return self.near
        return self.alike if variant == "PDQ's list" else self.near | self.alike


def _likeness(
    photos: Sequence[RgbImage], copies: _Copies, vectors: _Vectors, *, with_orb: bool
) -> dict[str, Scores]:
    """Score of a pair: of its proof, 0 for what is not on the shortlist or has no proof."""
    base = vectors.of("photos", lambda: photos)
    drawn = _Drawn([sketch(photo) for photo in photos], with_orb=with_orb)
    hashes = pdq(photos)
    tally = _Tally((*_LISTS, _ORB) if with_orb else _LISTS)
    for edit in EDITS:
        made = copies.of(edit)
        found = vectors.of(edit.name, lambda made=made: made)  # type: ignore[misc]
        lists = _shortlists(found, pdq(made), base, hashes)
        for copy, row, listed in zip(made, copies.rows, lists, strict=True):
            tally.add(drawn.scores(sketch(copy), listed), int(row))
    for row, listed in enumerate(_shortlists(base, hashes, base, hashes)):
        others = _Listed(listed.near - {row}, listed.alike - {row})
        tally.add(drawn.scores(drawn.sift[row], others), None)
    return tally.scores()


class _Tally:
    """Scores of every query, by variant."""

    def __init__(self, variants: Sequence[str]) -> None:
        self._own: dict[str, list[float]] = {variant: [] for variant in variants}
        self._other: dict[str, list[float]] = {variant: [] for variant in variants}

    def add(self, scores: Mapping[str, dict[int, float]], original: int | None) -> None:
        """scores: per variant, of the photos that the query was compared with."""
        for variant, of_photo in scores.items():
            own = np.nan if original is None else of_photo.pop(original, -np.inf)
            self._own[variant].append(own)
            self._other[variant].append(max(of_photo.values(), default=0.0))

    def scores(self) -> dict[str, Scores]:
        return {
            name: Scores(np.array(own), np.array(self._other[name]))
            for name, own in self._own.items()
        }


class _Drawn:
    """The photos' sketches, and other pictures compared with them."""

    def __init__(self, sift: Sequence[Sketch], *, with_orb: bool) -> None:
        self.sift = sift
        self._orb = [orb_sketch(each) for each in sift] if with_orb else None

    def scores(self, picture: Sketch, listed: _Listed) -> dict[str, dict[int, float]]:
        """Per variant, of the picture beside each photo listed."""
        both = listed.of("Likeness")
        of_photo = {row: _score(compare(self.sift[row], picture)) for row in both}
        found = {name: {row: of_photo[row] for row in listed.of(name)} for name in _LISTS}
        if self._orb is not None:
            orb = orb_sketch(picture)
            found[_ORB] = {row: _score(orb_compare(self._orb[row], orb)) for row in both}
        return found


def _score(evidence: Evidence | None) -> float:
    return 0.0 if evidence is None else evidence.score


def _shortlists(
    vectors: npt.NDArray[np.float32],
    hashes: Bits,
    base: npt.NDArray[np.float32],
    base_hashes: Bits,
) -> list[_Listed]:
    """The photos that the product would compare with each query."""
    limits = Thresholds()
    cosine = vectors @ base.T
    order = np.argsort(-cosine, axis=1)[:, : NEAR_NEIGHBOURS + 1]
    rows, distances = nearest_hashes(hashes, base_hashes, HASH_NEIGHBOURS + 1)
    lists = []
    for query, ranked in enumerate(order):
        near = {
            int(row)
            for place, row in enumerate(ranked)
            if cosine[query, row] >= (limits.far_cosine if place < 4 else limits.near_cosine)
        }
        close = distances[query] <= MOST_BITS
        lists.append(_Listed(frozenset(near), frozenset(int(row) for row in rows[query][close])))
    return lists


# --------------------------------------------------------------------------- peers


def _by_hash(
    photos: Sequence[RgbImage], copies: _Copies, hashed: Callable[[RgbImage], Bits]
) -> Scores:
    base = np.stack([hashed(photo) for photo in photos])
    return _nearest(
        base, copies, lambda edit: np.stack([hashed(copy) for copy in copies.of(edit)])[None]
    )


def _by_pdq_variants(photos: Sequence[RgbImage], copies: _Copies) -> Scores:
    return _nearest(pdq(photos), copies, lambda edit: dihedral_variants(pdq(copies.of(edit))))


def _nearest(base: Bits, copies: _Copies, hashes_of: Callable[[Edit], Bits]) -> Scores:
    """Score of a pair: minus the bits that differ, in the nearest of the variants."""
    own, other = [], []
    for edit in EDITS:
        scores = -_distances(hashes_of(edit), base)
        at = np.arange(len(copies.rows))
        own.append(scores[at, copies.rows].copy())
        scores[at, copies.rows] = -np.inf
        other.append(scores.max(axis=1))
    among = -_distances(base[None], base)
    np.fill_diagonal(among, -np.inf)
    own.append(np.full(len(base), np.nan))
    other.append(among.max(axis=1))
    return Scores(np.concatenate(own), np.concatenate(other))


def _distances(variants: Bits, base: Bits) -> npt.NDArray[np.float64]:
    """float64 [q, n], the least over the variants uint8 [v, q, bytes]."""
    rows = [
        np.min([np.bitwise_count(one[q] ^ base).sum(axis=1) for one in variants], axis=0)
        for q in range(variants.shape[1])
    ]
    return np.asarray(rows, dtype=np.float64)


if __name__ == "__main__":
    raise SystemExit(main())
