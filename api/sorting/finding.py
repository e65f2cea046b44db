"""Looking at the collection's own pictures: finding copies, checking new images, empty pictures."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from api.encoders import WarmEncoders
from api.sorting.jobs import JobProgress
from api.sorting.reports import StoredReport, stored_report
from indexer.limits import source_limits
from indexer.pipeline import default_decode_workers
from indexer.sources import SourceLimits, UriReader
from likeness.catalog.records import Collection, Space
from likeness.catalog.sorting.duplicates import DuplicateRecords
from likeness.catalog.where import parse_where
from likeness.errors import ImageError
from likeness.imaging.pool import DecodePool
from likeness.runtime import Runtime
from search.duplicates.calibrate import DEFAULT_MAX_FALSE, Calibration
from search.duplicates.check import Checker, Match
from search.duplicates.finder import DuplicateFinder, DuplicateRequest
from search.duplicates.keep import parse_keep
from search.duplicates.opening import copies_space, side_of
from search.duplicates.pictures import PooledLoader
from search.duplicates.relations import Relation, Thresholds

_PIXELS = "pixels"


@dataclass(frozen=True, slots=True)
class FindRequest:
    """As `likeness duplicates` takes it. reference: paths of folders. against: a collection."""

    keep: str = "best"
    max_false: float = DEFAULT_MAX_FALSE
    least: Relation = Relation.EDITED_COPY
    reference: Sequence[str] = ()
    against: str | None = None
    encoder: str | None = None
    where: str | None = None
    recalibrate: bool = False

    def document(self) -> dict[str, object]:
        """As jobs and reports hold it."""
        return {
            "keep": self.keep,
            "max_false": self.max_false,
            "least": self.least.value,
            "reference": list(self.reference),
            "against": self.against,
            "encoder": self.encoder,
            "where": self.where,
            "recalibrate": self.recalibrate,
        }


@dataclass(frozen=True, slots=True)
class Checked:
    """What is known of an image that somebody holds; error: why it could not be looked at."""

    name: str
    matches: Sequence[Match]
    error: ImageError | None = None


class Finding:
    """Finds and checks copies for one service; close it. Thread-safe."""

    def __init__(self, runtime: Runtime, encoders: WarmEncoders) -> None:
        self._runtime, self._catalog, self._encoders = runtime, runtime.catalog, encoders
        self._records = DuplicateRecords(runtime.catalog)
        self._checkers: dict[int, tuple[object, Checker]] = {}
        self._kept = ExitStack()
        self._pixels: DecodePool | None = None
        self._loader: PooledLoader | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """End the decode workers."""
        with self._lock:
            self._kept.close()
            self._pixels, self._loader = None, None
            self._checkers.clear()

    def find(
        self, collection: Collection, request: FindRequest, progress: JobProgress
    ) -> StoredReport:
        """Groups of copies in the collection as it is now. Raises as the finder does."""
        catalog = self._catalog
        side = side_of(self._runtime, collection.name, request.encoder)
        other = None
        names = {collection.id: collection.name}
        if request.against:
            other = side_of(self._runtime, request.against, side.space.encoder)
            names[other.space.collection_id] = request.against
        only = None
        if request.where:
            only = catalog.filter_ids(collection.id, parse_where(request.where))
        asked = DuplicateRequest(
            max_false=request.max_false,
            keep=parse_keep(request.keep),
            least=request.least,
            reference=tuple(request.reference),
            only=only,
            recalibrate=request.recalibrate,
        )
        revision = catalog.collection(collection.name).revision
        with self.loader() as loader:
            finder = DuplicateFinder(
                catalog,
                side,
                loader,
                lambda: self._encoders.of(side.space),
                device=self._runtime.index_device,
                note=progress.note,
                advance=lambda done, total: progress.reach("compared", done, total),
            )
            report = finder.find(asked, other)
        progress.reach("groups", len(report.groups))
        if report.unreadable:
            progress.failures["unreadable"] = len(report.unreadable)
        return stored_report(
            report, revision=revision, request=request.document(), collection_of=names
        )

    def check(
        self,
        collection: Collection,
        images: Sequence[tuple[bytes, str]],
        *,
        least: Relation,
        limit: int,
        encoder: str | None,
    ) -> list[Checked]:
        """Of each image, (bytes, name), what it is a copy of. Raises QueryError."""
        space = copies_space(self._catalog, collection.name, encoder)
        outcomes = []
        for data, name in images:
            try:
                pixels = self._decoders().submit(data, name).result().arrays[_PIXELS]
            except ImageError as error:
                outcomes.append(Checked(name, (), error))
                continue
            with self._lock:
                matches = self._checker(space).check(data, pixels, least=least, limit=limit)
            outcomes.append(Checked(name, matches))
        return outcomes

    @contextmanager
    def loader(self) -> Iterator[PooledLoader]:
        """Pictures by URI, for one job; its decode workers end with the block."""
        with (
            UriReader(self._limits) as reader,
            PooledLoader(reader.read, workers=self._workers, limits=self._runtime.limits) as loader,
        ):
            yield loader

    # ---------------------------------------------------------------- inside

    @property
    def _limits(self) -> SourceLimits:
        return source_limits(self._runtime.settings)

    @property
    def _workers(self) -> int:
        return self._runtime.settings.decode_workers or default_decode_workers()

    def _decoders(self) -> DecodePool:
        """Decodes in full: whether pixels are the same shows in all of them only."""
        with self._lock:
            if self._pixels is None:
                self._pixels = DecodePool(
                    1, limits=self._runtime.limits, prepare={_PIXELS: np.ascontiguousarray}
                )
                self._kept.callback(self._pixels.close, drop=True)
            return self._pixels

    def _checker(self, space: Space) -> Checker:
        """The checker of a space, with the thresholds that it has learnt by now."""
        stored = self._records.calibration(space.id)
        state = None if stored is None else stored.made_at
        kept = self._checkers.get(space.id)
        if kept is not None and kept[0] == state:
            return kept[1]
        thresholds = Calibration.from_json(stored.document).thresholds if stored else Thresholds()
        if self._loader is None:
            self._loader = self._kept.enter_context(self.loader())
        made = Checker(self._catalog, space, self._encoders.of(space), self._loader, thresholds)
        self._checkers[space.id] = (state, made)
        return made


def folder_of(runtime: Runtime) -> Callable[[int], Path]:
    """Where derived files about a whole collection lie, by its id: beside its spaces' indexes."""

    def of(collection_id: int) -> Path:
        return runtime.settings.index_root / str(collection_id)

    return of
