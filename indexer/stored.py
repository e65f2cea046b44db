"""Images that the catalog knows, read again from wherever they came from."""

from __future__ import annotations

from collections.abc import Iterator

from indexer.items import Failure, Filling, Loaded
from indexer.load import filling, with_hash
from indexer.progress import Progress
from indexer.sources import SourceLimits, UriReader
from likeness.catalog import Catalog
from likeness.catalog.records import SourceFacts, Space
from likeness.errors import ImageError
from likeness.types import ImageState

_PAGE = 500


def missing_images(
    catalog: Catalog, space: Space, limits: SourceLimits, progress: Progress
) -> Iterator[Loaded | Failure]:
    """Those without an embedding in the space, by id, to be filled in."""
    after = 0
    with UriReader(limits) as reader:
        while page := catalog.missing_in_space(space.collection_id, space.id, after, _PAGE):
            progress.add(scanned=len(page))
            for image in page:
                source = SourceFacts(
                    image.uri, image.path, image.sha256, image.size, image.mtime_ns
                )
                try:
                    data = reader.read(image.uri)
                except ImageError as error:
                    yield Failure(source, error.code, str(error), Filling(image.image_id))
                else:
                    yield filling(source, image.image_id, data)
            after = page[-1].image_id
    progress.scan_done = True


def failed_images(
    catalog: Catalog, collection_id: int, limits: SourceLimits, progress: Progress
) -> Iterator[Loaded | Failure]:
    """Those that failed, by id, as if they were new."""
    after = 0
    with UriReader(limits) as reader:
        while page := catalog.list_images(
            collection_id, state=ImageState.FAILED, after_id=after, limit=_PAGE
        ):
            progress.add(scanned=len(page))
            for image in page:
                source = SourceFacts(
                    image.uri, image.path, image.sha256, image.size, image.mtime_ns, image.fields
                )
                try:
                    data = reader.read(image.uri)
                except ImageError as error:
                    yield Failure(source, error.code, str(error))
                else:
                    yield Loaded(with_hash(source, data), data)
            after = page[-1].id
    progress.scan_done = True
