"""A searcher over the live objects of a process."""

from __future__ import annotations

from likeness.runtime import Runtime
from search.service import Searcher


def open_searcher(runtime: Runtime) -> Searcher:
    """The searcher of this process; close it before the runtime."""
    return Searcher(
        runtime.catalog,
        index_dir=runtime.index_dir,
        encoder_of=runtime.encoder_of,
        load_image=runtime.load_image,
    )
