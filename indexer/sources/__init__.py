"""Where images come from: folders, files, archives, WebDataset shards, lists and URLs."""

from indexer.sources.interface import (
    ProblemKind,
    Source,
    SourceItem,
    SourceLimits,
    SourceProblem,
)
from indexer.sources.opening import open_list, open_source, read_uri
from indexer.sources.reader import UriReader

__all__ = [
    "ProblemKind",
    "Source",
    "SourceItem",
    "SourceLimits",
    "SourceProblem",
    "UriReader",
    "open_list",
    "open_source",
    "read_uri",
]
