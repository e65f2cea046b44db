"""New images that repeat another stay out: decided before they are embedded.

Whether two pictures are the same is a question for the read side, which `indexer` does not know:
who starts a run hands in what decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from indexer.items import Decoded, Failure, Prepared, Twin
from indexer.progress import Progress, Skipped
from likeness.catalog import Catalog
from likeness.catalog.records import KnownImage, Linked, SourceFacts
from likeness.types import ImageFacts, ImageState

SAME_BYTES = "same-bytes"
_PAGE = 500


class Admission(Protocol):
    """Knows the images of a collection, and those that it has let in since."""

    @property
    def relation(self) -> str:
        """How the images that it keeps out are the same as another: `same-pixels`."""
        ...

    def repeated_by(self, source: SourceFacts, facts: ImageFacts) -> str | None:
        """The URI of the image that this new one repeats; None lets it in, and later ones are
        compared with it. Not asked about the same bytes: they stay out in any case."""
        ...


class SameBytesOnly:
    """Lets every picture in; it is the same bytes only that stay out."""

    relation = SAME_BYTES

    def repeated_by(self, source: SourceFacts, facts: ImageFacts) -> str | None:  # noqa: ARG002
        return None


@dataclass(frozen=True, slots=True)
class _Repeat:
    """uri: of the other image; None: any with the same bytes."""

    source: SourceFacts
    relation: str
    uri: str | None


class Gate:
    """Takes repeats out of the pipeline, between decoding and embedding, and lists them.

    The other image may be on its way still, so ids are looked up in `report`, after the commits.
    """

    def __init__(
        self, catalog: Catalog, collection_id: int, admission: Admission, progress: Progress
    ) -> None:
        self._catalog, self._collection_id = catalog, collection_id
        self._admission, self._progress = admission, progress
        self._repeats: list[_Repeat] = []
        self._repeat_of: dict[str, _Repeat] = {}
        self._failed: set[str] = set()

    def admitted(self, decoded: Iterable[Decoded]) -> Iterator[Decoded]:
        """The outcomes in their order, without the new images that repeat another."""
        for outcome in decoded:
            repeat = self._repeated(outcome)
            if repeat is None:
                yield outcome
                continue
            self._repeats.append(repeat)
            self._progress.add(skipped=1)

    def report(self) -> None:
        """Every image kept out so far is listed, with the id of the image that it repeats."""
        for start in range(0, len(self._repeats), _PAGE):
            page = self._repeats[start : start + _PAGE]
            by_uri = self._catalog.known_by_uri(
                self._collection_id, [repeat.uri for repeat in page if repeat.uri is not None]
            )
            for repeat in page:
                if repeat.uri is not None:
                    other = by_uri.get(repeat.uri)
                else:
                    other = next(iter(self._ready_with(repeat.source.sha256)), None)
                if other is None:  # a person has removed it meanwhile, or it got no vector
                    reason = f"{repeat.source.path}: what it repeats was not stored; run again"
                    self._progress.problem(
                        repeat.source.path, "not_stored", reason, counted_as="problems"
                    )
                    continue
                self._progress.list_skipped(
                    Skipped(repeat.source.path, repeat.relation, other.image_id, other.path)
                )
        self._repeats = []

    def _repeated(self, outcome: Decoded) -> _Repeat | None:
        match outcome:
            case Prepared() if outcome.filling is None:
                return self._asked(outcome)
            case Failure():
                self._failed.add(outcome.source.sha256)
            case Twin() if outcome.source.sha256 not in self._failed:
                return self._like_its_twin(outcome.source)
            case Linked() if self._ready_with(outcome.source.sha256):
                return _Repeat(outcome.source, SAME_BYTES, None)
        return None

    def _asked(self, outcome: Prepared) -> _Repeat | None:
        uri = self._admission.repeated_by(outcome.source, outcome.image.facts)
        if uri is None:
            return None
        repeat = _Repeat(outcome.source, self._admission.relation, uri)
        self._repeat_of[outcome.source.sha256] = repeat
        return repeat

    def _like_its_twin(self, source: SourceFacts) -> _Repeat:
        first = self._repeat_of.get(source.sha256)
        if first is None:
            return _Repeat(source, SAME_BYTES, None)
        return _Repeat(source, first.relation, first.uri)

    def _ready_with(self, sha256: str) -> list[KnownImage]:
        rows = self._catalog.known_by_hash(self._collection_id, [sha256]).get(sha256, [])
        return [row for row in rows if row.state is ImageState.READY]
