"""Answers, with everything a caller shows; each turns into plain JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from likeness.catalog.records import ImageRow
from search.view import Notice


@dataclass(frozen=True, slots=True)
class SearchHit:
    """rank: from 1, counted before the page. score: dot product with the query, float32 exact, in
    the leading space. p: the chance that a hit this good arises between unrelated images of this
    collection (`search.scores`); None where it is not known. ranked_by: what the order is by when
    it is not the score: of the last re-ranker, or of the fusion; None beyond its candidates.
    """

    rank: int
    score: float
    image: ImageRow
    p: float | None = None
    ranked_by: float | None = None

    @property
    def image_id(self) -> int:
        return self.image.id

    def as_dict(self) -> dict[str, Any]:
        image, facts = self.image, self.image.facts
        known: dict[str, Any] = {
            "rank": self.rank,
            "score": self.score,
            "p": self.p,
            "ranked_by": self.ranked_by,
            "id": image.id,
            "uri": image.uri,
            "path": image.path,
            "sha256": image.sha256,
            "size": image.size,
            "tags": sorted(image.tags),
            "fields": dict(image.fields),
        }
        if facts is not None:
            known |= {
                "width": facts.width,
                "height": facts.height,
                "format": facts.format,
                "taken_at": None if facts.taken_at is None else facts.taken_at.isoformat(),
                "camera_make": facts.camera_make,
                "camera_model": facts.camera_model,
                "lens": facts.lens,
                "latitude": facts.latitude,
                "longitude": facts.longitude,
            }
        return known


@dataclass(frozen=True, slots=True)
class SearchResponse:
    """The answer to one request.

    encoder, fingerprint: of the space that answered, or led where several were fused: `spaces`
    names all of them. rerank: what put the best in order. next_cursor: where the next page
    begins; None on the last. searched: images in it; matched: those that
    the filter left. revision: of the collection that the answer is true of. snapshot: the index
    that answered, None for the catalog itself. notices: what is amiss though the answer is right.
    timings_ms: per stage; requests of one batch share their stages.
    """

    hits: tuple[SearchHit, ...]
    collection: str
    encoder: str
    fingerprint: str
    searched: int
    matched: int
    k: int
    offset: int
    revision: int
    snapshot: str | None
    notices: tuple[Notice, ...]
    timings_ms: Mapping[str, float]
    spaces: tuple[str, ...] = ()
    rerank: tuple[str, ...] = ()
    next_cursor: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "hits": [hit.as_dict() for hit in self.hits],
            "collection": self.collection,
            "encoder": self.encoder,
            "spaces": list(self.spaces),
            "rerank": list(self.rerank),
            "next_cursor": self.next_cursor,
            "fingerprint": self.fingerprint,
            "searched": self.searched,
            "matched": self.matched,
            "k": self.k,
            "offset": self.offset,
            "revision": self.revision,
            "snapshot": self.snapshot,
            "notices": [notice.as_dict() for notice in self.notices],
            "timings_ms": {stage: round(ms, 3) for stage, ms in self.timings_ms.items()},
        }
