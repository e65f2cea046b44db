"""What an entry point asks of the write side: index sources, fill a space, retry, rebuild."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path

from indexer.admission import Admission, Gate
from indexer.compaction import Compactor
from indexer.limits import source_limits
from indexer.migration import Agreement, agreement, switch
from indexer.pipeline import Pipeline, PipelineOptions, Workshop, default_decode_workers
from indexer.progress import IndexReport, Progress
from indexer.publish import Published, needs_publish, publish
from indexer.sample_words import SAMPLE_WORDS
from indexer.sources import Source, SourceLimits, open_list, open_source
from indexer.sources.remote.opening import expand
from indexer.stored import failed_images, missing_images
from likeness.catalog.records import (
    Collection,
    Space,
    SpaceState,
)
from likeness.catalog.serving.spaces import all_spaces
from likeness.catalog.space_states import switch_spaces
from likeness.encoders.interface import Encoder
from likeness.errors import InputError
from likeness.runtime import Runtime
from likeness.telemetry.tracing import span
from likeness.types import Tower
from likeness.vectors.recall import TextQueries


@dataclass(frozen=True, slots=True)
class IndexRequest:
    """What to index. sources: folders, files, archives, shards. lists: files that name images.

    column: of the lists, the one with paths or URLs; None finds it by its name. include, exclude:
    patterns that select within folders and archives. encoder: of the collection's first space;
    None leaves it to the settings. retry_failed: failed images again, changed or not. prune: let
    images go even when their source is empty now. restore: bring back images that were removed.
    """

    collection: str
    sources: Sequence[str] = ()
    lists: Sequence[Path] = ()
    column: str | None = None
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    hidden: bool = False
    follow_symlinks: bool = False
    encoder: str | None = None
    retry_failed: bool = False
    restore: bool = False
    prune: bool = False


class Indexer:
    """The write side of one process."""

    def __init__(self, runtime: Runtime, *, renews: bool = True) -> None:
        """renews: indexes, while images are added and afterwards; False where a `compactor` of
        this process does it anyway."""
        self._runtime = runtime
        self._catalog = runtime.catalog
        self._renews = renews

    def index(
        self,
        request: IndexRequest,
        progress: Progress,
        stop: threading.Event,
        *,
        admission: Callable[[Collection], Admission] | None = None,
    ) -> IndexReport:
        """Bring a collection in step with its sources, fill its spaces and publish.

        Idempotent; stopped or killed at any moment, the next run goes on from what is stored.
        admission: keeps new images out that the collection has already; None lets all in.
        Raises SourceError before any work when a source cannot be opened.
        """
        if not request.sources and not request.lists:
            raise InputError("nothing to index: name a folder, a file, an archive or --from LIST")
        with ExitStack() as opened:
            sources = self._open(request, opened)
            return self._index(request, sources, progress, stop, admission)

    def _index(
        self,
        request: IndexRequest,
        sources: Sequence[Source],
        progress: Progress,
        stop: threading.Event,
        admission: Callable[[Collection], Admission] | None = None,
    ) -> IndexReport:
        collection = self._catalog.create_collection(request.collection)
        encoders = self._encoders(collection, request.encoder, progress)
        pipeline = self._pipeline(
            collection,
            encoders,
            progress,
            stop,
            retry_failed=request.retry_failed,
            restore=request.restore,
            prune=request.prune,
        )
        # So that no query waits for a long tail meanwhile.
        renewing = self.compactor(collection.name) if self._renews else nullcontext()
        with span("index", collection=collection.name), renewing:
            complete = self._run(pipeline, sources, collection, admission, progress)
            if complete:
                for space in self._catalog.spaces(collection.id):
                    if space.state is not SpaceState.RETIRED:
                        complete = complete and self._fill(collection, space, progress, stop)
        return self._finish(collection, progress, complete=complete, force=False)

    def _run(
        self,
        pipeline: Pipeline,
        sources: Sequence[Source],
        collection: Collection,
        admission: Callable[[Collection], Admission] | None,
        progress: Progress,
    ) -> bool:
        if admission is None:
            return pipeline.run(sources)
        gate = Gate(self._catalog, collection.id, admission(collection), progress)
        complete = pipeline.run(sources, gate=gate)
        gate.report()
        return complete

    def add_encoder(
        self, collection_name: str, encoder_name: str, progress: Progress, stop: threading.Event
    ) -> IndexReport:
        """Give a collection a further space and embed every stored image in it."""
        collection = self._catalog.collection(collection_name)
        encoder = self._runtime.encoder(encoder_name)
        space = self._ensure_space(collection, encoder)
        complete = self._fill(collection, space, progress, stop)
        return self._finish(collection, progress, complete=complete, force=False)

    def migrate(
        self,
        collection_name: str,
        encoder_name: str,
        progress: Progress,
        stop: threading.Event,
        *,
        switch_over: bool = True,
    ) -> tuple[IndexReport, Agreement | None]:
        """Embed every image with another encoder while the present one answers, then switch.

        Stopped at any moment, the next call goes on. switch_over: False only fills and reports.
        The spaces that answered until then are retired, and kept for `migration.roll_back`.
        """
        collection = self._catalog.collection(collection_name)
        encoder = self._runtime.encoder(encoder_name)
        new = self._ensure_space(collection, encoder, SpaceState.FILLING)
        old = [
            space
            for space in self._catalog.spaces(collection.id)
            if space.state is SpaceState.ACTIVE and space.id != new.id
        ]
        if new.state is SpaceState.RETIRED:  # coming back to it: what was added since is missing
            switch_spaces(
                self._catalog,
                collection.id,
                {new.id: SpaceState.FILLING},
                expected={new.id: new.state},
            )
            new = self._ensure_space(collection, encoder, SpaceState.FILLING)
        complete = self._fill(collection, new, progress, stop)
        report = self._finish(collection, progress, complete=complete, force=False)
        if not complete or not old:
            return report, None
        compared = agreement(self._catalog, old[0], new)
        if switch_over:
            switch(self._catalog, collection, old, new)
        return report, compared

    def retry_failed(
        self, collection_name: str, progress: Progress, stop: threading.Event
    ) -> IndexReport:
        """Read every failed image again, wherever it came from."""
        collection = self._catalog.collection(collection_name)
        encoders = self._encoders(collection, None, progress)
        pipeline = self._pipeline(collection, encoders, progress, stop)
        complete = pipeline.run_loaded(
            failed_images(self._catalog, collection.id, self._source_limits(), progress)
        )
        return self._finish(collection, progress, complete=complete, force=False)

    def rebuild(
        self, collection_name: str, progress: Progress, *, kind: str | None = None
    ) -> IndexReport:
        """Build every index of a collection anew from the catalog, embedding nothing.

        kind: of index; None leaves it to the settings.
        """
        collection = self._catalog.collection(collection_name)
        return self._finish(collection, progress, complete=True, force=True, kind=kind)

    def compactor(self, collection_name: str) -> Compactor:
        """Renews the indexes of a collection in the background, as it changes; to be entered."""
        collection = self._catalog.collection(collection_name)
        return self._compactor(lambda: self._catalog.spaces(collection.id), interval_s=5.0)

    def compactor_of_all(self, interval_s: float) -> Compactor:
        """As `compactor`, of every collection. interval_s: between looks at what has changed."""
        return self._compactor(lambda: all_spaces(self._catalog), interval_s=interval_s)

    def _compactor(self, spaces: Callable[[], Sequence[Space]], *, interval_s: float) -> Compactor:
        shared = self._catalog.engine.dialect.name != "sqlite"
        return Compactor(
            spaces,
            lambda space: needs_publish(
                self._catalog, space, self._runtime.index_dir(space), others_publish=shared
            ),
            self._publish,
            interval_s=interval_s,
        )

    def _open(self, request: IndexRequest, opened: ExitStack) -> list[Source]:
        limits = self._source_limits()
        sources = [
            opened.enter_context(
                open_source(
                    one,
                    include=request.include,
                    exclude=request.exclude,
                    hidden=request.hidden,
                    follow_symlinks=request.follow_symlinks,
                    limits=limits,
                )
            )
            for spec in request.sources
            for one in expand(spec, limits)
        ]
        sources += [
            opened.enter_context(open_list(path, column=request.column, limits=limits))
            for path in request.lists
        ]
        return sources

    def _source_limits(self) -> SourceLimits:
        return source_limits(self._runtime.settings)

    def _encoders(
        self, collection: Collection, asked: str | None, progress: Progress
    ) -> Callable[[], dict[int, Encoder]]:
        spaces = self._catalog.spaces(collection.id)
        if not spaces:
            chosen = self._runtime.choose_encoder(asked)
            if chosen.notice:
                progress.notices.append(chosen.notice)
            spaces = [self._ensure_space(collection, chosen.encoder)]
        elif asked and asked not in {space.encoder for space in spaces}:
            have = ", ".join(space.encoder for space in spaces)
            raise InputError(
                f"collection {collection.name!r} is embedded with {have}; to add {asked} beside "
                f"it run `likeness reindex --collection {collection.name} --encoder {asked}`, "
                "or index into another --collection"
            )
        served = [space for space in spaces if space.state is not SpaceState.RETIRED]
        return lambda: {space.id: self._runtime.encoder_of(space) for space in served}

    def _ensure_space(
        self,
        collection: Collection,
        encoder: Encoder,
        state: SpaceState = SpaceState.ACTIVE,
    ) -> Space:
        spec = encoder.spec
        return self._catalog.ensure_space(
            collection.id,
            encoder=spec.name,
            fingerprint=encoder.fingerprint,
            dim=spec.dim,
            towers=spec.towers,
            state=state,
        )

    def _pipeline(
        self,
        collection: Collection,
        encoders: Callable[[], Mapping[int, Encoder]],
        progress: Progress,
        stop: threading.Event,
        *,
        retry_failed: bool = False,
        restore: bool = False,
        prune: bool = False,
        workshop: Workshop | None = None,
    ) -> Pipeline:
        options = self._options(retry_failed=retry_failed, restore=restore, prune=prune)
        return Pipeline(
            self._catalog,
            collection.id,
            encoders,
            options,
            progress=progress,
            stop=stop,
            workshop=workshop,
        )

    def _options(
        self, *, retry_failed: bool = False, restore: bool = False, prune: bool = False
    ) -> PipelineOptions:
        settings = self._runtime.settings
        return PipelineOptions(
            decode_workers=settings.decode_workers or default_decode_workers(),
            batch_size=settings.batch_size,
            limits=self._runtime.limits,
            commit_rows=settings.commit_rows,
            commit_interval_s=settings.commit_interval_s,
            retry_failed=retry_failed,
            restore=restore,
            prune=prune,
            readers=settings.read_threads,
        )

    def _fill(
        self, collection: Collection, space: Space, progress: Progress, stop: threading.Event
    ) -> bool:
        """Embed what the space lacks; True when nothing is left to do."""
        if not self._catalog.missing_in_space(collection.id, space.id, 0, 1):
            return True
        pipeline = self._pipeline(
            collection, lambda: {space.id: self._runtime.encoder_of(space)}, progress, stop
        )
        return pipeline.run_loaded(
            missing_images(self._catalog, space, self._source_limits(), progress)
        )

    def _publish(self, space: Space, kind: str | None = None) -> Published:
        settings = self._runtime.settings
        return publish(
            self._catalog,
            space,
            self._runtime.index_dir(space),
            kind=kind or settings.index,
            budget=self._runtime.index_budget,
            text_queries=self._text_queries(space),
            server=settings.index_url,
        )

    def _text_queries(self, space: Space) -> TextQueries | None:
        """Sample words to measure recall by, in a space that answers words."""
        if Tower.TEXT not in space.towers:
            return None
        return lambda: self._runtime.encoder_of(space).embed_texts(SAMPLE_WORDS)

    def _finish(
        self,
        collection: Collection,
        progress: Progress,
        *,
        complete: bool,
        force: bool,
        kind: str | None = None,
    ) -> IndexReport:
        spaces = self._catalog.spaces(collection.id)
        published = []
        for space in spaces:
            directory = self._runtime.index_dir(space)
            if force or (self._renews and needs_publish(self._catalog, space, directory)):
                published.append(self._publish(space, kind).name)
        return IndexReport(
            collection=collection.name,
            encoders=tuple(space.encoder for space in spaces),
            counts=progress.counts,
            seconds=progress.seconds,
            complete=complete,
            published=tuple(published),
            problems=progress.problems,
            notices=tuple(progress.notices),
            skipped=progress.skipped,
        )
