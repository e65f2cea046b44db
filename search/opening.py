"""A searcher over the live objects of a process."""

from __future__ import annotations

from collections.abc import Callable

from likeness.runtime import Runtime
from search.graph.reading import StoredGraphs
from search.service import Searcher


def open_searcher(runtime: Runtime, *, read_uri: Callable[[str], bytes] | None = None) -> Searcher:
    """The searcher of this process; close it before the runtime.

    read_uri: the bytes behind an image's URI, or an ImageError; for re-rankers that compare
    pixels.
    """
    return Searcher(
        runtime.catalog,
        index_dir=runtime.index_dir,
        encoder_of=runtime.encoder_of,
        load_image=runtime.load_image,
        graph_of=StoredGraphs(runtime.index_dir).of,
        index_server=runtime.settings.index_url,
        index_device=runtime.index_device,
        read_image=None if read_uri is None else lambda row: read_uri(row.uri),
    )
