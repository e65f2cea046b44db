"""The whole way: from a collection, or two, to groups of copies with their proofs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from likeness.catalog import Catalog
from likeness.catalog.records import ImageRow, Space
from likeness.catalog.sorting.duplicates import DuplicateRecords
from likeness.encoders.interface import Encoder
from likeness.types import ImageIds, RgbImage
from likeness.vectors.knn import Neighbours, top_k
from search.duplicates.calibrate import DEFAULT_MAX_FALSE, Calibration, Library, calibrate
from search.duplicates.candidates import (
    NEAR_NEIGHBOURS,
    Candidates,
    candidate_pairs,
    cross_candidates,
)
from search.duplicates.edits import EDITS
from search.duplicates.groups import group_pairs
from search.duplicates.keep import KeepRule, parse_keep
from search.duplicates.nodes import Images, Nodes
from search.duplicates.pictures import PictureLoader
from search.duplicates.relations import Pair, Relation
from search.duplicates.report import DuplicateReport, Group, Member
from search.duplicates.verify import Verifier
from search.graph.keeper import SpaceVectors, current_graph, space_vectors

BEST = parse_keep("best")
CALIBRATION_EDITS = EDITS


@dataclass(frozen=True, slots=True)
class DuplicateRequest:
    """least: the loosest relation to report. reference: path prefixes whose images always stay.

    only: int64 image ids to look among; None for all.
    """

    max_false: float = DEFAULT_MAX_FALSE
    keep: KeepRule = BEST
    least: Relation = Relation.EDITED_COPY
    reference: Sequence[str] = ()
    only: ImageIds | None = None
    recalibrate: bool = False


@dataclass(frozen=True, slots=True)
class Side:
    """A collection's space, and where its index lies."""

    space: Space
    directory: Path


class DuplicateFinder:
    """Finds copies in one space.

    encoder: asked for only when thresholds must be learnt. device: where neighbours are computed.
    """

    def __init__(
        self,
        catalog: Catalog,
        side: Side,
        loader: PictureLoader,
        encoder: Callable[[], Encoder],
        *,
        device: str = "cpu",
        note: Callable[[str], None] = lambda _text: None,
        advance: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> None:
        self._catalog, self._side, self._loader = catalog, side, loader
        self._device = device
        self._encoder, self._note, self._advance = encoder, note, advance
        self._records = DuplicateRecords(catalog)

    def find(self, request: DuplicateRequest, against: Side | None = None) -> DuplicateReport:
        """Groups of copies in the collection; with `against`, only those across the two."""
        space = self._side.space
        with space_vectors(self._catalog, space) as held:
            self._note(f"neighbours of {len(held.image_ids):,} images")
            graph = current_graph(space, held, self._side.directory, device=self._device)
            nodes = Nodes(held.image_ids, self._records.hashes(held.image_ids))
            uris = Images(self._catalog, space.collection_id)
            calibration = self._calibration(request, held, graph.neighbours, nodes, uris)
            work = _Work(self._catalog, self._loader, calibration, nodes, uris)
            if against is None:
                rows = nodes.rows_among(request.only)
                candidates = candidate_pairs(
                    graph.neighbours, held.vectors, nodes.hashes, calibration.thresholds
                )
                candidates = candidates.among(rows, len(nodes))
                vectors: npt.NDArray[np.float16] = held.vectors
            else:
                with space_vectors(self._catalog, against.space) as other:
                    candidates = self._across(held, other, nodes, work, against, request)
                    vectors = np.concatenate([held.vectors, other.vectors])
            return self._report(request, candidates, work, vectors, crossing=against is not None)

    def picture(self, image: ImageRow) -> RgbImage | None:
        """The picture of an image, small; None when it cannot be read."""
        return next(self._loader.small([image.uri]))

    def calibration(self) -> Calibration | None:
        """The stored one, stale or not."""
        stored = self._records.calibration(self._side.space.id)
        return None if stored is None else Calibration.from_json(stored.document)

    def _calibration(
        self,
        request: DuplicateRequest,
        held: SpaceVectors,
        neighbours: Neighbours,
        nodes: Nodes,
        uris: Images,
    ) -> Calibration:
        known = self.calibration()
        images = len(held.image_ids)
        if known and not request.recalibrate and not known.is_stale(images, request.max_false):
            return known
        self._note("learning thresholds from edited copies of your own images")
        library = Library(
            held.vectors,
            neighbours,
            nodes.hashes.sha256,
            lambda row: uris.of(int(nodes.image_ids[row])),
        )
        found = calibrate(
            library,
            self._encoder(),
            self._loader,
            max_false=request.max_false,
            edits=CALIBRATION_EDITS,
            advance=self._note,
        )
        self._records.save_calibration(self._side.space.id, images, found.to_json())
        return found

    def _across(
        self,
        held: SpaceVectors,
        other: SpaceVectors,
        nodes: Nodes,
        work: _Work,
        against: Side,
        request: DuplicateRequest,
    ) -> Candidates:
        theirs = self._records.hashes(other.image_ids)
        neighbours = top_k(held.vectors, other.vectors, NEAR_NEIGHBOURS, device=self._device)
        found = cross_candidates(
            neighbours,
            held.vectors,
            nodes.hashes,
            other.vectors,
            theirs,
            work.calibration.thresholds,
        )
        own = len(nodes)
        rows = nodes.rows_among(request.only)
        nodes.extend(other.image_ids, theirs)
        work.uris.add_collection(against.space.collection_id)
        keep = np.isin(found.first, rows)
        return Candidates(
            found.first[keep], found.second[keep] + own, found.cosine[keep], found.bits[keep]
        )

    def _report(
        self,
        request: DuplicateRequest,
        candidates: Candidates,
        work: _Work,
        vectors: npt.NDArray[np.float16],
        *,
        crossing: bool,
    ) -> DuplicateReport:
        nodes = work.nodes
        same, candidates = nodes.split_same_bytes(candidates, request.only, crossing=crossing)
        total = len(candidates)
        self._note(f"looking at {total:,} pairs of {len(nodes):,} images")
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            self._advance(done, total)

        work.fetch_rows(candidates, same)
        pairs = work.verifier.verify(candidates, advance)
        verdicts = self._records.verdicts()
        pairs = [
            pair
            for pair in [*same, *pairs]
            if pair.relation.at_least(request.least) and nodes.verdict_key(pair) not in verdicts
        ]
        groups = work.grouped(pairs, request, vectors, verdicts)
        unreadable = tuple(work.row(row) for row in sorted(work.verifier.unreadable))
        return DuplicateReport(
            groups=groups,
            calibration=work.calibration,
            images=len(nodes),
            candidates=total,
            compared=work.verifier.compared,
            unreadable=unreadable,
        )


class _Work:
    """Rows being compared and what is known of them."""

    def __init__(
        self,
        catalog: Catalog,
        loader: PictureLoader,
        calibration: Calibration,
        nodes: Nodes,
        uris: Images,
    ) -> None:
        self.catalog, self.calibration, self.nodes, self.uris = catalog, calibration, nodes, uris
        self.verifier = Verifier(
            loader, lambda row: self.row(row).uri, self._size, calibration.thresholds
        )

    def row(self, row: int) -> ImageRow:
        image_id = int(self.nodes.image_ids[row])
        self.uris.fetch([image_id])
        return self.uris.rows[image_id]

    def fetch_rows(self, candidates: Candidates, same: Sequence[Pair]) -> None:
        rows = {*candidates.first.tolist(), *candidates.second.tolist()}
        rows |= {row for pair in same for row in (pair.first, pair.second)}
        self.uris.fetch([int(self.nodes.image_ids[row]) for row in sorted(rows)])

    def grouped(
        self,
        pairs: Sequence[Pair],
        request: DuplicateRequest,
        vectors: npt.NDArray[np.float16],
        verdicts: set[tuple[str, str]],
    ) -> tuple[Group, ...]:
        known: dict[tuple[int, int], Pair] = {(p.first, p.second): p for p in pairs}
        twin_of = {p.second: p.first for p in pairs if p.relation is Relation.SAME_BYTES}

        def related(first: int, second: int) -> bool:
            return look_up(first, second) is not None

        def look_up(first: int, second: int) -> Pair | None:
            key = (min(first, second), max(first, second))
            if key in known:
                return known[key]
            one, other = sorted((twin_of.get(first, first), twin_of.get(second, second)))
            if one == other:
                found: Pair | None = Pair(*key, Relation.SAME_BYTES, 1.0, 1.0, 0, None)
            elif (one, other) in known:
                found = replace(known[one, other], first=key[0], second=key[1])
            else:
                cosine = float(vectors[one].astype(np.float32) @ vectors[other].astype(np.float32))
                found = self.verifier.pair(one, other, cosine, None)
                if found is not None:
                    found = replace(found, first=key[0], second=key[1])
            if found is None or not found.relation.at_least(request.least):
                return None
            if self.nodes.verdict_key(found) in verdicts:
                return None
            known[key] = found
            return found

        rows = sorted({row for pair in pairs for row in (pair.first, pair.second)})
        order = sorted(
            rows, key=lambda row: (not self._protected(row, request), *self._rank(row, request))
        )
        place = {row: number for number, row in enumerate(order)}
        certainty = [(p.first, p.second, -float(p.relation.rank) + p.score) for p in pairs]
        groups = [
            self._group(rows_of, request, look_up)
            for rows_of in group_pairs(certainty, place, related)
        ]
        return tuple(sorted(groups, key=lambda g: (g.certainty.rank, -len(g.members))))

    def _group(
        self,
        rows: Sequence[int],
        request: DuplicateRequest,
        look_up: Callable[[int, int], Pair | None],
    ) -> Group:
        first = rows[0]
        members = [Member(self.row(first), None, None, None, self._protected(first, request))]
        for row in rows[1:]:
            pair = look_up(first, row)
            if pair is not None:
                members.append(
                    Member(
                        self.row(row),
                        pair.relation,
                        pair,
                        pair.proof_from(first),
                        self._protected(row, request),
                    )
                )
        return Group(tuple(members))

    def _protected(self, row: int, request: DuplicateRequest) -> bool:
        if row >= self.nodes.own:
            return True
        path = self.row(row).path
        return any(
            path == each or path.startswith(each.rstrip("/") + "/") for each in request.reference
        )

    def _rank(self, row: int, request: DuplicateRequest) -> tuple[float | int | str, ...]:
        return request.keep.rank(self.row(row))

    def _size(self, row: int) -> tuple[int, int]:
        facts = self.row(row).facts
        return (facts.width, facts.height) if facts else (0, 0)
